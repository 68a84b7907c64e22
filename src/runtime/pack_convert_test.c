// Converting while packing gives the bytes of converting first and packing then.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h> // needs those above

#include "base/half.h"
#include "runtime/pack_convert.h"
#include "runtime/pack_panel.h"
#include "runtime/quantize.h"

static float value_at(size_t row, int64_t col)
{
    return (float)((int)((row * 131 + (size_t)col * 71) % 257) - 128) / 37.0f;
}

// A row of `type`, and the same values as f32.
static void make_row(tensor_type type, size_t row, int64_t cols, unsigned char *out, float *exact)
{
    for (int64_t c = 0; c < cols; c++) {
        float x = value_at(row, c);
        uint16_t half = type == TENSOR_F16 ? half_from_float(x) : bfloat_from_float(x);
        if (type == TENSOR_F32)
            memcpy(out + 4 * c, &x, sizeof x);
        else
            memcpy(out + 2 * c, &half, sizeof half);
        exact[c] = type == TENSOR_F32 ? x : type == TENSOR_F16 ? half_to_float(half) : bfloat_to_float(half);
    }
}

static size_t convert_row(weight_layout layout, const float *x, int64_t cols, unsigned char *out)
{
    if (layout == LAYOUT_Q8_0_X16) quantize_q8_0(x, cols, out);
    if (layout == LAYOUT_Q4_0_X16) quantize_q4_0(x, cols, out);
    if (layout == LAYOUT_F32_X16) memcpy(out, x, (size_t)cols * 4);
    for (int64_t c = 0; c < cols && layout == LAYOUT_BF16_X16; c++) {
        uint16_t half = bfloat_from_float(x[c]);
        memcpy(out + 2 * c, &half, sizeof half);
    }
    return layout == LAYOUT_Q8_0_X16   ? (size_t)cols / 32 * 34
           : layout == LAYOUT_Q4_0_X16 ? (size_t)cols / 32 * 18
                                       : (size_t)cols * (layout == LAYOUT_F32_X16 ? 4 : 2);
}

static void check(weight_layout layout, tensor_type type, size_t n_rows, int64_t cols)
{
    size_t panel_bytes, row_bytes = (size_t)cols * (type == TENSOR_F32 ? 4 : 2), converted_bytes = 0;
    assert_true(panel_converts(layout, type));
    assert_true(layout_panel_bytes(layout, cols, &panel_bytes));
    unsigned char *rows = malloc(n_rows * row_bytes), *converted = malloc(n_rows * (size_t)cols * 4);
    unsigned char *expected = malloc(panel_bytes), *found = malloc(panel_bytes);
    float *exact = malloc((size_t)cols * sizeof *exact);
    assert_true(rows && converted && expected && found && exact);
    for (size_t r = 0; r < n_rows; r++) {
        make_row(type, r, cols, rows + r * row_bytes, exact);
        converted_bytes = convert_row(layout, exact, cols, converted + r * converted_bytes);
    }
    panel_pack(layout, converted, converted_bytes, n_rows, cols, expected);
    memset(found, 0xa5, panel_bytes);
    panel_pack_converted(layout, type, rows, row_bytes, n_rows, cols, found);
    assert_memory_equal(found, expected, panel_bytes);
    free(rows), free(converted), free(expected), free(found), free(exact);
}

static void test_equals_two_steps(void **state)
{
    (void)state;
    static const weight_layout layouts[] = {LAYOUT_F32_X16, LAYOUT_BF16_X16, LAYOUT_Q8_0_X16, LAYOUT_Q4_0_X16};
    static const tensor_type types[] = {TENSOR_F32, TENSOR_F16, TENSOR_BF16};
    static const int64_t cols[] = {32, 64, 256, 288, 544, 1, 7, 257, 300};
    static const size_t n_rows[] = {1, 5, 16};
    for (size_t l = 0; l < 4; l++)
        for (size_t t = 0; t < 3; t++)
            for (size_t c = 0; c < sizeof cols / sizeof *cols; c++)
                for (size_t r = 0; r < 3; r++)
                    if (l < 2 || cols[c] % 32 == 0) check(layouts[l], types[t], n_rows[r], cols[c]);
}

static void test_names(void **state)
{
    (void)state;
    int type;
    assert_int_equal(weights_parse(NULL, &type, NULL), WF_OK);
    assert_int_equal(type, -1);
    assert_int_equal(weights_parse("q8_0", &type, NULL), WF_OK);
    assert_int_equal(type, TENSOR_Q8_0);
    static const char *const wrong[] = {"q8", "Q8_0", "f16", "q4_1", " f32"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(weights_parse(wrong[i], &type, NULL), WF_ERROR_USAGE);
}

static void test_which_tensors(void **state)
{
    (void)state;
    checkpoint_tensor t = {.type = TENSOR_BF16, .dims = {64, 3, 1, 1}};
    assert_int_equal(weights_type(&t, -1), TENSOR_BF16);
    assert_int_equal(weights_type(&t, TENSOR_Q4_0), TENSOR_Q4_0);
    t.dims[0] = 48; // no whole blocks
    assert_int_equal(weights_type(&t, TENSOR_Q4_0), TENSOR_BF16);
    assert_int_equal(weights_type(&t, TENSOR_F32), TENSOR_F32);
    t.type = TENSOR_Q4_1; // quantised already
    assert_int_equal(weights_type(&t, TENSOR_F32), TENSOR_Q4_1);
    assert_false(panel_converts(LAYOUT_Q8_0_X16, TENSOR_Q4_1));
    assert_false(panel_converts(LAYOUT_VECTOR_F32, TENSOR_F32));
    assert_false(panel_converts(LAYOUT_F16_X16, TENSOR_F32));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_two_steps),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_which_tensors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
