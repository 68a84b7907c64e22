#include "runtime/pack/pack_key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h> // needs those above

#include "runtime/weight/weight_type.h"

static program_weight matrix(weight_layout layout, tensor_type type)
{
    program_weight w = {.layout = layout, .n_sources = 1, .sources = {"w"}, .types = {type}, .rows = {16}, .cols = 512};
    assert_true(program_weight_bytes(&w, &w.bytes));
    return w;
}

static bool same_key(const program_weight *a, const program_weight *b)
{
    buffer keys[2] = {{0}};
    const program_weight *weights[] = {a, b};
    for (int i = 0; i < 2; i++) {
        program_area area = {.kind = AREA_WEIGHTS};
        area.bytes.c[DIM_ONE] = (int64_t)weights[i]->bytes;
        program_weight copy = *weights[i];
        const program p = {.n_areas = 1, .areas = &area, .n_weights = 1, .weights = &copy};
        pack_key_append(&p, &keys[i]);
        assert_false(keys[i].failed);
    }
    bool same = keys[0].len == keys[1].len && !memcmp(keys[0].data, keys[1].data, keys[0].len);
    buffer_free(&keys[0]);
    buffer_free(&keys[1]);
    return same;
}

static void test_every_field_counts(void **state)
{
    (void)state;
    const program_weight w = matrix(LAYOUT_Q4_0_X16, TENSOR_F32);
    assert_true(same_key(&w, &w));
    program_weight other[] = {w, w, w, w, w, w, w, w, w};
    other[0].layout = LAYOUT_Q5_0_X16;
    other[1].types[0] = TENSOR_F16;
    other[2].cols = 256;
    other[3].rows[0] = 15;
    other[4].offset = 64;
    other[5].interleave = true;
    other[6].plus_one = true;
    other[7].sources[0] = "v";
    other[8].n_sources = 2;
    other[8].sources[1] = "v";
    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        if (same_key(&w, &other[i])) fail_msg("field %zu does not change the key", i);
}

// How long the samples of each layout take is no matter; that each is packed, from each type it takes, is.
static void test_every_type(void **state)
{
    (void)state;
    for (int l = LAYOUT_F32_X16; l < LAYOUT_COUNT; l++)
        for (int m = LAYOUT_F32_X16; m < LAYOUT_COUNT; m++) {
            program_weight a = matrix((weight_layout)l, weight_type_in((weight_layout)m)->tensor);
            program_weight b = a;
            b.layout = LAYOUT_VECTOR_F32;
            assert_true(same_key(&a, &a));
            assert_false(same_key(&a, &b));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_field_counts),
        cmocka_unit_test(test_every_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
