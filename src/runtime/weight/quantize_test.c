#include "runtime/weight/quantize.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/half.h"

enum { N = 32 };

static float half_at(const unsigned char *p) { return half_to_float((uint16_t)(p[0] + 256 * p[1])); }

// The three formats, each with the range of its quants.
typedef struct format {
    const char *name;
    void (*quantize)(const float *x, int64_t n, unsigned char *out);
    size_t block_bytes;
    int q_min, q_max;
} format;

static const format FORMATS[] = {
    {"q8_0", quantize_q8_0, 34, -127, 127}, {"q4_0", quantize_q4_0, 18, -8, 7}, {"q4_1", quantize_q4_1, 20, 0, 15}};

static int quant_at(const format *f, const unsigned char *block, int i)
{
    if (f->block_bytes == 34) return (int8_t)block[2 + i];
    const unsigned char *q = block + (f->block_bytes - 16);
    int nibble = i < 16 ? q[i] & 15 : q[i - 16] >> 4;
    return f->block_bytes == 18 ? nibble - 8 : nibble;
}

static double value_at(const format *f, const unsigned char *block, int i)
{
    double offset = f->block_bytes == 20 ? (double)half_at(block + 2) : 0;
    return (double)half_at(block) * quant_at(f, block, i) + offset;
}

static void fill_random(float *x, uint32_t seed, float scale)
{
    for (int i = 0; i < N; i++) {
        seed = seed * 1664525 + 1013904223;
        x[i] = (float)((double)(seed >> 8) / (1 << 23) - 1) * scale;
    }
}

// Known blocks, worked out by hand.
static void test_known_bytes(void **state)
{
    (void)state;
    float x[N] = {0};
    unsigned char block[34];
    x[0] = 127, x[1] = -127, x[2] = 2.5f, x[3] = -2.5f, x[31] = 0.4f;
    quantize_q8_0(x, N, block);
    assert_true(half_at(block) == 1);
    const int8_t q8[] = {127, -127, 3, -3}; // halves away from zero
    for (int i = 0; i < 4; i++) assert_int_equal((int8_t)block[2 + i], q8[i]);
    assert_int_equal(block[2 + 31], 0);
}

static void test_known_nibbles(void **state)
{
    (void)state;
    float x[N] = {0};
    unsigned char block[20];
    x[0] = -8, x[1] = 8, x[2] = 3.5f, x[17] = -3.5f, x[31] = 7;
    quantize_q4_0(x, N, block);
    assert_true(half_at(block) == 1);
    assert_int_equal(block[2 + 0], 0x80);  // -8 -> 0; 0 -> 8
    assert_int_equal(block[2 + 1], 0x5f);  // 8 -> 16, held at 15; -3.5 -> 5
    assert_int_equal(block[2 + 2], 0x8c);  // 3.5 -> 12
    assert_int_equal(block[2 + 15], 0xf8); // 7 -> 15
    x[0] = 8, x[1] = -8;
    quantize_q4_0(x, N, block);
    assert_true(half_at(block) == -1); // now 8 comes first

    for (int i = 0; i < N; i++) x[i] = (float)(i % 16) - 3;
    x[17] = -1.5f; // 1.5 above the least value: rounds up
    quantize_q4_1(x, N, block);
    assert_true(half_at(block) == 1 && half_at(block + 2) == -3);
    assert_int_equal(block[4 + 0], 0x00);
    assert_int_equal(block[4 + 1], 0x21);
    assert_int_equal(block[4 + 15], 0xff);
}

static double spread(const format *f, const float *x, const unsigned char *block)
{
    double largest = fabs((double)half_at(block)) * 16;
    for (int i = 0; i < N; i++) largest = fmax(largest, fabs((double)x[i]));
    return f->block_bytes == 20 ? fmax(largest, fabs((double)half_at(block + 2))) : largest;
}

// Every value comes back within half a step and the rounding of the scale to f16 (2^-11 relative, times the quant).
static void test_error_bound(void **state)
{
    (void)state;
    float x[N];
    unsigned char block[34];
    for (size_t k = 0; k < sizeof FORMATS / sizeof *FORMATS; k++) {
        const format *f = &FORMATS[k];
        for (uint32_t seed = 0; seed < 2000; seed++) {
            fill_random(x, seed, seed % 2 ? 1.0f : 100.0f);
            f->quantize(x, N, block);
            double step = fabs((double)half_at(block)), slack = spread(f, x, block) * 0x1p-10;
            for (int i = 0; i < N; i++) {
                double error = fabs(value_at(f, block, i) - (double)x[i]);
                // Q4_0 has no +8: a value as large as the largest, of the other sign, loses a whole step.
                double bound = f->block_bytes == 18 && quant_at(f, block, i) == 7 ? step : step / 2;
                if (error > bound + slack)
                    fail_msg("%s seed %u value %d: error %g of step %g", f->name, seed, i, error, step);
            }
        }
    }
}

// What a format can represent exactly comes back exactly.
static void test_is_exact_on_its_own_values(void **state)
{
    (void)state;
    float x[N];
    unsigned char block[34], again[34];
    for (size_t k = 0; k < sizeof FORMATS / sizeof *FORMATS; k++) {
        const format *f = &FORMATS[k];
        for (int i = 0; i < N; i++) {
            int q = i == 0 ? f->q_min : i == 1 ? f->q_max : (i * 37) % (f->q_max - f->q_min + 1) + f->q_min;
            x[i] = 0.25f * (float)q;
        }
        f->quantize(x, N, block);
        for (int i = 0; i < N; i++) assert_true(value_at(f, block, i) == (double)x[i]);
        f->quantize(x, N, again);
        assert_memory_equal(block, again, f->block_bytes);
    }
}

static void test_degenerate_blocks(void **state)
{
    (void)state;
    unsigned char block[34];
    for (size_t k = 0; k < sizeof FORMATS / sizeof *FORMATS; k++) {
        const format *f = &FORMATS[k];
        float x[N] = {0};
        f->quantize(x, N, block);
        for (int i = 0; i < N; i++) assert_true(value_at(f, block, i) == 0);
        for (int i = 0; i < N; i++) x[i] = 0.5f; // constant
        f->quantize(x, N, block);
        for (int i = 0; i < N; i++) assert_true(fabs(value_at(f, block, i) - 0.5) < 0.5 * 0x1p-10);
        for (int i = 0; i < N; i++) x[i] = i % 2 ? 1e-40f : -1e-42f; // denormal: the scale is zero in f16
        f->quantize(x, N, block);
        for (int i = 0; i < N; i++) assert_true(fabs(value_at(f, block, i)) < 1e-7);
        // Not to be crashed by, nor undefined.
        const float bad[] = {NAN, INFINITY, -INFINITY, FLT_MAX, -FLT_MAX};
        for (size_t b = 0; b < sizeof bad / sizeof *bad; b++) {
            x[b] = bad[b];
            f->quantize(x, N, block);
            for (int i = 0; i < N; i++) assert_in_range(quant_at(f, block, i) + 128, f->q_min + 128, f->q_max + 128);
        }
    }
}

static void test_many_blocks(void **state)
{
    (void)state;
    float x[4 * N];
    unsigned char all[4 * 34], one[34];
    for (int b = 0; b < 4; b++) fill_random(x + b * N, (uint32_t)b, 1);
    for (size_t k = 0; k < sizeof FORMATS / sizeof *FORMATS; k++) {
        const format *f = &FORMATS[k];
        f->quantize(x, 4 * N, all);
        for (size_t b = 0; b < 4; b++) {
            f->quantize(x + b * N, N, one);
            assert_memory_equal(all + b * f->block_bytes, one, f->block_bytes);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_bytes),       cmocka_unit_test(test_known_nibbles),
        cmocka_unit_test(test_error_bound),       cmocka_unit_test(test_is_exact_on_its_own_values),
        cmocka_unit_test(test_degenerate_blocks), cmocka_unit_test(test_many_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
