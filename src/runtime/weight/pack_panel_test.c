// Converting while packing gives the bytes of converting first and packing then.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h> // needs those above

#include "base/half.h"
#include "runtime/weight/pack_panel.h"

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

static void check(const weight_type *to, const weight_type *from, size_t n_rows, int64_t cols)
{
    size_t panel_bytes, row_bytes = weight_type_file_bytes(from, cols);
    size_t converted_bytes = weight_type_file_bytes(to, cols);
    assert_true(panel_takes(to->layout, from->tensor));
    assert_true(layout_panel_bytes(to->layout, cols, &panel_bytes));
    unsigned char *rows = malloc(n_rows * row_bytes), *converted = malloc(n_rows * converted_bytes);
    unsigned char *expected = malloc(panel_bytes), *found = malloc(panel_bytes);
    float *exact = malloc((size_t)cols * sizeof *exact);
    assert_true(rows && converted && expected && found && exact);
    for (size_t r = 0; r < n_rows; r++) {
        make_row(from->tensor, r, cols, rows + r * row_bytes, exact);
        to->narrow(exact, cols, converted + r * converted_bytes);
    }
    panel_pack(to->layout, to->tensor, converted, converted_bytes, n_rows, cols, expected);
    memset(found, 0xa5, panel_bytes);
    panel_pack(to->layout, from->tensor, rows, row_bytes, n_rows, cols, found);
    assert_memory_equal(found, expected, panel_bytes);
    free(rows), free(converted), free(expected), free(found), free(exact);
}

static void test_equals_two_steps(void **state)
{
    (void)state;
    static const int64_t cols[] = {32, 64, 256, 288, 544, 1, 7, 257, 300};
    static const size_t n_rows[] = {1, 5, 16};
    int pairs = 0;
    for (int l = LAYOUT_F32_X16; l < LAYOUT_COUNT; l++)
        for (int m = LAYOUT_F32_X16; m < LAYOUT_COUNT; m++) {
            const weight_type *to = weight_type_in((weight_layout)l), *from = weight_type_in((weight_layout)m);
            if (!to->narrow || !from->widen) continue;
            pairs++;
            for (size_t c = 0; c < sizeof cols / sizeof *cols; c++)
                for (size_t r = 0; r < 3; r++)
                    if (cols[c] % (int64_t)tensor_type_layout(to->tensor)->block_values == 0)
                        check(to, from, n_rows[r], cols[c]);
        }
    assert_true(pairs >= 4 * 3); // to f32, bf16, q8_0 and q4_0 from three types of floats
}

static void test_what_can_be_packed(void **state)
{
    (void)state;
    for (int l = LAYOUT_F32_X16; l < LAYOUT_COUNT; l++)
        assert_true(panel_takes((weight_layout)l, weight_type_in((weight_layout)l)->tensor));
    assert_false(panel_takes(LAYOUT_Q8_0_X16, TENSOR_Q4_1));
    assert_false(panel_takes(LAYOUT_F16_X16, TENSOR_F32));
    assert_false(panel_takes(LAYOUT_Q8_0_X16, TENSOR_Q2_K)); // has no row
    assert_false(panel_takes(LAYOUT_COUNT, TENSOR_F32));
    assert_true(panel_takes(LAYOUT_VECTOR_F32, TENSOR_BF16));
    assert_false(panel_takes(LAYOUT_VECTOR_F32, TENSOR_Q8_0));
    assert_false(panel_takes(LAYOUT_VECTOR_F32, TENSOR_F64));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_two_steps),
        cmocka_unit_test(test_what_can_be_packed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
