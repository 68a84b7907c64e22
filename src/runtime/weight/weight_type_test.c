#include "runtime/weight/weight_type.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h> // needs those above

// What the compilers do not see: rows in the layouts' order, names that follow from one another, sizes that fit.
static void test_rows(void **state)
{
    (void)state;
    for (int layout = LAYOUT_F32_X16; layout < LAYOUT_COUNT; layout++) {
        const weight_type *t = weight_type_in((weight_layout)layout);
        char name[16] = "";
        assert_non_null(t);
        assert_int_equal(t->layout, layout);
        assert_ptr_equal(weight_type_of(t->tensor), t);
        assert_ptr_equal(weight_type_named(t->name, strlen(t->name)), t);
        const tensor_layout *blocks = tensor_type_layout(t->tensor);
        assert_non_null(blocks);
        for (size_t i = 0; blocks->name[i] && i + 1 < sizeof name; i++) name[i] = (char)tolower(blocks->name[i]);
        assert_string_equal(t->name, name);
        strcat(name, "x16");
        assert_string_equal(t->layout_name, name);
        assert_true(t->pack && t->unpack);
        bool quantised = weight_type_is_quantised(t);
        assert_int_equal(t->activation == ACTIVATION_Q8, quantised);
        assert_int_equal(t->widen == NULL, quantised);
        assert_int_equal(blocks->block_values, quantised ? t->quant.blocks * QUANT_BLOCK : 1);
    }
    assert_null(weight_type_in(LAYOUT_VECTOR_F32));
    assert_null(weight_type_in(LAYOUT_COUNT));
    assert_null(weight_type_of(TENSOR_Q2_K));
    assert_null(weight_type_of((tensor_type)1000));
    assert_null(weight_type_named("q4", 2));
    assert_null(weight_type_named("q4_1x16", 7));
}

static void test_parse(void **state)
{
    (void)state;
    const weight_type *asked;
    wf_error err = {0};
    assert_int_equal(weight_type_parse(NULL, &asked, NULL), WF_OK);
    assert_null(asked);
    assert_int_equal(weight_type_parse("", &asked, NULL), WF_OK);
    assert_null(asked);
    assert_int_equal(weight_type_parse("q8_0", &asked, NULL), WF_OK);
    assert_ptr_equal(asked, weight_type_of(TENSOR_Q8_0));
    static const char *const wrong[] = {"q8", "Q8_0", "f16", "q4_1", " f32"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(weight_type_parse(wrong[i], &asked, &err), WF_ERROR_USAGE);
    assert_string_equal(err.message, "weights ' f32': the types are f32, bf16, q8_0 and q4_0");
}

static void test_which_tensors(void **state)
{
    (void)state;
    const weight_type *bf16 = weight_type_of(TENSOR_BF16), *q4_0 = weight_type_of(TENSOR_Q4_0),
                      *f32 = weight_type_of(TENSOR_F32);
    assert_ptr_equal(weight_type_packed(TENSOR_BF16, 64, NULL), bf16);
    assert_ptr_equal(weight_type_packed(TENSOR_BF16, 64, q4_0), q4_0);
    assert_ptr_equal(weight_type_packed(TENSOR_BF16, 48, q4_0), bf16); // no whole blocks
    assert_ptr_equal(weight_type_packed(TENSOR_BF16, 48, f32), f32);
    assert_ptr_equal(weight_type_packed(TENSOR_Q4_1, 64, f32), weight_type_of(TENSOR_Q4_1)); // quantised already
    assert_null(weight_type_packed(TENSOR_Q2_K, 256, f32));                                  // no row
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_which_tensors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
