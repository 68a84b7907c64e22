// Quantised activations: what comes back is within half a step, sums are exact, hostile values stay visible.
#include "compiler/kernel/rows/q8.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/kernel/harness.h"

static const char *const CPUS[] = {"native", "haswell", "emulated-avx512", "emulated-avx512f", "emulated-avx-vnni"};
enum { N_CPUS = sizeof CPUS / sizeof *CPUS, FEATURES = 96, BLOCKS = FEATURES / Q8_BLOCK };

typedef struct code {
    harness h;
    kernel_fn quantize;
} code;

// x [tiles, FEATURES] to rows of q8.
static code compile(const char *cpu)
{
    code c;
    wf_error err = {0};
    if (harness_open(&c.h, cpu, &err) != WF_OK) fail_msg("%s", err.message);
    builder *b = &c.h.builder;
    int n = b->target.lanes;
    kernel_begin(b, "quantize");
    value x = operand(b, 0), y = operand(b, 1);
    loop rows, blocks;
    loop_begin(b, &rows, b->begin, b->end, 1, 0, NULL);
    loop_begin(b, &blocks, const_i(b, 0), const_i(b, BLOCKS), 1, 0, NULL);
    value offset = add(b, mul_i(b, rows.iv, 4 * FEATURES), mul_i(b, blocks.iv, 4 * Q8_BLOCK)), v[Q8_BLOCK / 8];
    for (int i = 0; i < Q8_BLOCK / n; i++) v[i] = load(b, x, offset, i * n * 4, vec(b, n, b->f32));
    q8_store_block(b, v, at(b, y, mul_i(b, rows.iv, q8_row_bytes(FEATURES)), 0), blocks.iv, FEATURES);
    loop_end(b, &blocks, NULL);
    loop_end(b, &rows, NULL);
    kernel_end(b);
    if (harness_compile(&c.h, (const char *[]){"quantize"}, 1, &c.quantize, &err) != WF_OK) fail_msg("%s", err.message);
    return c;
}

typedef struct block {
    int8_t q[Q8_BLOCK];
    float d, s;
    int32_t z, t[2];
} block;

static block quantized_block(const unsigned char *row, int i)
{
    block out;
    memcpy(out.q, row + i * Q8_BLOCK, Q8_BLOCK);
    memcpy(&out.d, row + q8_scale_offset(FEATURES) + 4 * i, 4);
    memcpy(&out.s, row + q8_sum_offset(FEATURES) + 4 * i, 4);
    memcpy(&out.z, row + q8_start_offset(FEATURES) + 4 * i, 4);
    memcpy(out.t, row + q8_half_offset(FEATURES) + 8 * i, 8);
    return out;
}

static void check_block(const char *cpu, bool vpdpbusd, const float *x, block got)
{
    float largest = 0;
    int sum = 0, pairs[2][2] = {{0}}; // of each half: quants 4k and 4k + 1, and the others
    for (int i = 0; i < Q8_BLOCK; i++) largest = fmaxf(largest, fabsf(x[i]));
    assert_true(fabs((double)got.d - (double)largest / 127) <= 1e-7 * (double)got.d + 1e-45);
    for (int i = 0; i < Q8_BLOCK; i++) {
        double error = fabs((double)got.d * got.q[i] - (double)x[i]);
        // half a step, the rounding of x * 127 / max, and 2^-120 where blocks become zeros
        if (!(error <= (double)got.d * 0.50003 + 1e-36) || got.q[i] == -128)
            fail_msg("%s: %.9g became %d * %.9g", cpu, (double)x[i], got.q[i], (double)got.d);
        sum += got.q[i];
        pairs[i / 16][i / 2 % 2] += got.q[i];
    }
    for (int half = 0; half < 2; half++) {
        int32_t all = -128 * (pairs[half][0] + pairs[half][1]);
        uint32_t apart = ((uint32_t)(-32 * pairs[half][0]) & 0xffff) | (uint32_t)(-32 * pairs[half][1]) << 16;
        assert_int_equal(got.t[half], vpdpbusd ? all : (int32_t)apart);
    }
    if (vpdpbusd) assert_int_equal(got.z, -128 * sum);
    assert_true(got.s == got.d * (float)sum);
}

enum { ROWS = 200 };

static void test_round_trip(void **state)
{
    const char *cpu = *state;
    code c = compile(cpu);
    float *x = malloc(ROWS * FEATURES * sizeof *x);
    size_t bytes = ROWS * (size_t)q8_row_bytes(FEATURES);
    unsigned char *y = malloc(bytes);
    assert_true(x && y);
    memset(y, 0x55, bytes);
    uint32_t random = 1;
    for (int i = 0; i < ROWS * FEATURES; i++) {
        random = random * 1664525 + 1013904223;
        float unit = (float)(int32_t)random / 2147483648.0f, scale = ldexpf(1, i / Q8_BLOCK % 250 - 140);
        x[i] = unit * scale; // from denormals to 2^109
    }
    for (int i = 0; i < Q8_BLOCK; i++) x[i] = 0;                                      // zeros
    for (int i = 0; i < Q8_BLOCK; i++) x[Q8_BLOCK + i] = (float)i - 16;               // integers
    for (int i = 0; i < Q8_BLOCK; i++) x[2 * Q8_BLOCK + i] = i == 5 ? -3e38f : 1e-3f; // one outlier
    c.quantize((void *const[]){x, y}, NULL, 0, ROWS);
    for (int r = 0; r < ROWS; r++)
        for (int i = 0; i < BLOCKS; i++)
            check_block(cpu, c.h.builder.target.vpdpbusd, x + r * FEATURES + i * Q8_BLOCK,
                        quantized_block(y + r * q8_row_bytes(FEATURES), i));
    for (int r = 0; r < ROWS; r++) // the padding is not written
        for (int64_t i = q8_half_offset(FEATURES) + 8 * BLOCKS; i < q8_row_bytes(FEATURES); i++)
            assert_int_equal(y[r * q8_row_bytes(FEATURES) + i], 0x55);
    free(x);
    free(y);
    harness_close(&c.h);
}

// 127 steps of one: halves go to the even neighbour.
static void test_ties(void **state)
{
    code c = compile(*state);
    float x[FEATURES];
    unsigned char y[512];
    for (int i = 0; i < FEATURES; i++) x[i] = i % Q8_BLOCK == 0 ? 127 : (float)(i % Q8_BLOCK) - 15.5f;
    c.quantize((void *const[]){x, y}, NULL, 0, 1);
    for (int i = 1; i < FEATURES; i++)
        if (i % Q8_BLOCK) assert_int_equal((int8_t)y[i], (int)rint((double)x[i]));
    harness_close(&c.h);
}

static void test_not_finite(void **state)
{
    code c = compile(*state);
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int lane = 0; lane < Q8_BLOCK; lane++)
        for (int i = 0; i < 3; i++) {
            float x[FEATURES];
            unsigned char y[512];
            for (int j = 0; j < FEATURES; j++) x[j] = (float)(j + 1);
            x[Q8_BLOCK + lane] = bad[i];
            c.quantize((void *const[]){x, y}, NULL, 0, 1);
            float d = quantized_block(y, 1).d;
            assert_true(isnan(bad[i]) ? isnan(d) : isinf(d));
            check_block(*state, c.h.builder.target.vpdpbusd, x, quantized_block(y, 0));
            check_block(*state, c.h.builder.target.vpdpbusd, x + 2 * Q8_BLOCK, quantized_block(y, 2));
        }
    harness_close(&c.h);
}

int main(void)
{
    struct CMUnitTest tests[3 * N_CPUS];
    for (int i = 0; i < N_CPUS; i++) {
        void *cpu = (void *)(uintptr_t)CPUS[i];
        tests[3 * i] = (struct CMUnitTest)cmocka_unit_test_prestate(test_round_trip, cpu);
        tests[3 * i + 1] = (struct CMUnitTest)cmocka_unit_test_prestate(test_ties, cpu);
        tests[3 * i + 2] = (struct CMUnitTest)cmocka_unit_test_prestate(test_not_finite, cpu);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
