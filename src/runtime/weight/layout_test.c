#include "runtime/weight/layout.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static size_t panel_bytes(weight_layout layout, int64_t cols)
{
    size_t bytes = 0;
    assert_true(layout_panel_bytes(layout, cols, &bytes));
    return bytes;
}

static void test_panel_bytes(void **state)
{
    (void)state;
    assert_int_equal(panel_bytes(LAYOUT_VECTOR_F32, 577), 577 * 4);
    assert_int_equal(panel_bytes(LAYOUT_F32_X16, 3), 3 * 16 * 4);
    assert_int_equal(panel_bytes(LAYOUT_F16_X16, 3), 3 * 16 * 2);
    assert_int_equal(panel_bytes(LAYOUT_BF16_X16, 4), 4 * 16 * 2);
    assert_int_equal(panel_bytes(LAYOUT_BF16_X16, 3), 4 * 16 * 2);
    assert_int_equal(panel_bytes(LAYOUT_Q8_0_X16, 64), 2 * (16 * 2 + 16 * 32));
    assert_int_equal(panel_bytes(LAYOUT_Q4_0_X16, 64), 2 * (16 * 2 + 16 * 16));
    assert_int_equal(panel_bytes(LAYOUT_Q4_1_X16, 64), 2 * (2 * 16 * 2 + 16 * 16));
    assert_int_equal(panel_bytes(LAYOUT_Q5_0_X16, 64), 2 * (16 * 2 + 16 * 20));
    assert_int_equal(panel_bytes(LAYOUT_Q5_1_X16, 64), 2 * (2 * 16 * 2 + 16 * 20));
    assert_int_equal(panel_bytes(LAYOUT_Q4_K_X16, 512), 2 * (2 * 16 * 2 + 8 * 16 * (2 + 16)));
    assert_int_equal(panel_bytes(LAYOUT_Q5_K_X16, 512), 2 * (2 * 16 * 2 + 8 * 16 * (2 + 20)));
    assert_int_equal(panel_bytes(LAYOUT_Q6_K_X16, 512), 2 * 16 * 210);
}

// The table of steps and the table of blocks must agree.
static void test_quant_formats(void **state)
{
    (void)state;
    assert_null(layout_quant(LAYOUT_COUNT));
    assert_null(layout_quant(LAYOUT_BF16_X16));
    for (int layout = LAYOUT_Q8_0_X16; layout < LAYOUT_COUNT; layout++) {
        const quant_format *f = layout_quant((weight_layout)layout);
        assert_non_null(f);
        assert_int_equal(panel_bytes((weight_layout)layout, f->blocks * QUANT_BLOCK), quant_step_bytes(f));
    }
}

static void test_refuses(void **state)
{
    (void)state;
    size_t bytes;
    assert_false(layout_panel_bytes(LAYOUT_Q4_0_X16, 33, &bytes));
    assert_false(layout_panel_bytes(LAYOUT_Q8_0_X16, 16, &bytes));
    assert_false(layout_panel_bytes(LAYOUT_Q6_K_X16, 128, &bytes));
    for (int layout = 0; layout < LAYOUT_COUNT; layout++) {
        assert_false(layout_panel_bytes((weight_layout)layout, 0, &bytes));
        assert_false(layout_panel_bytes((weight_layout)layout, -32, &bytes));
    }
    assert_false(layout_panel_bytes(LAYOUT_COUNT, 32, &bytes));
    assert_false(layout_panel_bytes(LAYOUT_F32_X16, INT64_MAX, &bytes));
}

static void test_names(void **state)
{
    (void)state;
    assert_null(layout_name(LAYOUT_COUNT));
    assert_string_equal(layout_name(LAYOUT_Q4_1_X16), "q4_1x16");
    for (int a = 0; a < LAYOUT_COUNT; a++) {
        assert_non_null(layout_name((weight_layout)a));
        for (int b = 0; b < a; b++)
            assert_string_not_equal(layout_name((weight_layout)a), layout_name((weight_layout)b));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_panel_bytes),
        cmocka_unit_test(test_quant_formats),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
