// Rotation, norm and the way into the cache against float64: both pairings, partial rotation, strides, all cache
// types; and nothing else in the cache is touched.
#include "compiler/kernel/rows/rope.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/half.h"
#include "compiler/kernel/harness.h"
#include "compiler/kernel/testing.h"
#include "runtime/program/kv.h"

enum { CONTEXT = 128, N_BLOCKS = CONTEXT / KV_BLOCK, N_LAYERS = 3, LAYER = 1 };

static float *random_floats(rng *r, int64_t n)
{
    float *x = aligned_alloc(64, (size_t)(4 * n + 127) / 64 * 64);
    assert_non_null(x);
    for (int64_t i = 0; i < n; i++) x[i] = (float)((double)random_bits(r) / 1073741824.0 - 2);
    return x;
}

static float *rotation_table(int64_t n_dims)
{
    float *table = aligned_alloc(64, (size_t)(CONTEXT * n_dims * 4 + 63) / 64 * 64);
    assert_non_null(table);
    for (int64_t p = 0; p < CONTEXT; p++)
        for (int64_t i = 0; i < n_dims / 2; i++) {
            double angle = (double)p * pow(10000, -2.0 * (double)i / (double)n_dims);
            table[p * n_dims + i] = (float)cos(angle);
            table[p * n_dims + n_dims / 2 + i] = (float)sin(angle);
        }
    return table;
}

// One head, as the formula says it.
static void rotate(const float *x, const float *row, int64_t head_dim, int64_t n_dims, bool interleaved, double *out)
{
    for (int64_t i = 0; i < head_dim; i++) out[i] = (double)x[i];
    for (int64_t i = 0; i < n_dims / 2; i++) {
        int64_t a = interleaved ? 2 * i : i, b = interleaved ? 2 * i + 1 : i + n_dims / 2;
        double cosine = (double)row[i], sine = (double)row[n_dims / 2 + i];
        out[a] = (double)x[a] * cosine - (double)x[b] * sine;
        out[b] = (double)x[b] * cosine + (double)x[a] * sine;
    }
}

static void check_close(const char *what, double got, double want, double relative)
{
    if (!(fabs(got - want) <= 1e-6 + relative * fabs(want))) fail_msg("%s: %.9g instead of %.9g", what, got, want);
}

typedef struct shape {
    int64_t n_heads, n_kv_heads, head_dim, n_dims;
    bool interleaved;
    kv_type kv;
    bool norm; // of q and k before rope_store's rotation
} shape;

static const double EPS = 1e-5;

static const shape SHAPES[] = {
    {9, 3, 64, 64, true, KV_F16, false},    {12, 2, 128, 128, false, KV_Q8, false},
    {4, 1, 80, 32, false, KV_F16, false},   {5, 1, 80, 20, true, KV_F32, false},
    {2, 2, 96, 96, false, KV_F32, false},   {4, 1, 256, 256, false, KV_Q8, false},
    {4, 2, 128, 128, false, KV_F32, true},  {6, 2, 256, 256, false, KV_Q8, true},
    {6, 3, 48, 32, true, KV_F32, true},     {1, 1, 16, 2, true, KV_Q8, false},
    {1, 1, 48, 42, false, KV_F32, false},   {3, 1, 8, 8, false, KV_Q8, true},
    {4, 2, 100, 100, true, KV_F16, true},   {2, 2, 100, 50, false, KV_F32, false},
    {3, 3, 15, 14, false, KV_F16, true},    {2, 1, 112, 28, false, KV_Q8, true},
    {1, 1, 192, 192, false, KV_F32, false}, {2, 2, 10, 6, true, KV_F32, true},
};
enum { N_SHAPES = sizeof SHAPES / sizeof *SHAPES };

static const int64_t CALLS[] = {1, 7, 16, 33}, PASTS[] = {0, 1, 15, 64};

typedef struct code {
    harness h;
    kernel_fn functions[4 * N_SHAPES]; // rope of q, kv_store, rope_store, head_norm of q for each
} code;

static code compile(const char *cpu)
{
    code c;
    wf_error err = {0};
    const char *names[4 * N_SHAPES];
    if (harness_open(&c.h, cpu, &err) != WF_OK) fail_msg("%s", err.message);
    for (int i = 0; i < N_SHAPES; i++) {
        const shape *s = &SHAPES[i];
        rope_kernel rope = {s->n_heads, s->head_dim, s->n_dims, s->interleaved};
        kv_store_kernel kv = {s->n_kv_heads, s->head_dim, s->kv};
        rope_store_kernel both = {s->n_heads,     s->n_kv_heads, s->head_dim, s->n_dims,
                                  s->interleaved, s->kv,         s->norm,     EPS};
        head_norm_kernel norm = {s->n_heads, s->head_dim, EPS};
        names[4 * i] = harness_add(&c.h, &ROPE_KERNEL, &rope);
        names[4 * i + 1] = harness_add(&c.h, &KV_STORE_KERNEL, &kv);
        names[4 * i + 2] = harness_add(&c.h, &ROPE_STORE_KERNEL, &both);
        names[4 * i + 3] = harness_add(&c.h, &HEAD_NORM_KERNEL, &norm);
    }
    if (harness_compile(&c.h, names, 4 * N_SHAPES, c.functions, &err) != WF_OK) fail_msg("%s", err.message);
    return c;
}

// One head, normed in f64 and rounded to the f32 that the rotation reads.
static void norm_head(const float *x, const float *gamma, int64_t head_dim, float *out)
{
    double square = 0;
    for (int64_t i = 0; i < head_dim; i++) square += (double)x[i] * (double)x[i];
    double scale = 1 / sqrt(square / (double)head_dim + EPS);
    for (int64_t i = 0; i < head_dim; i++) out[i] = (float)((double)x[i] * scale * (double)gamma[i]);
}

// Halves of the call, the second first.
static void run(kernel_fn f, void *const *buffers, const int64_t *dims)
{
    f(buffers, dims, dims[0] / 2, dims[0]);
    f(buffers, dims, 0, dims[0] / 2);
}

static void check_rope(const shape *s, kernel_fn f, int64_t n_tokens, int64_t n_past, rng *random)
{
    int64_t features = s->n_heads * s->head_dim, stride = features + 24;
    float *x = random_floats(random, n_tokens * stride), *table = rotation_table(s->n_dims);
    float *y = filled_memory((size_t)(n_tokens * features * 4), 0x7f);
    run(f, (void *const[]){x, table, y}, (const int64_t[]){n_tokens, n_past, stride});
    for (int64_t t = 0; t < n_tokens; t++)
        for (int64_t h = 0; h < s->n_heads; h++) {
            double want[256];
            rotate(x + t * stride + h * s->head_dim, table + (n_past + t) * s->n_dims, s->head_dim, s->n_dims,
                   s->interleaved, want);
            for (int64_t d = 0; d < s->head_dim; d++)
                check_close("rope", (double)y[t * features + h * s->head_dim + d], want[d], 0);
        }
    assert_int_equal(float_bits(y[n_tokens * features]), 0x7f7f7f7f);
    // in place
    float *same = random_floats(random, n_tokens * features);
    for (int64_t t = 0; t < n_tokens; t++) memcpy(same + t * features, x + t * stride, (size_t)features * 4);
    run(f, (void *const[]){same, table, same}, (const int64_t[]){n_tokens, n_past, features});
    assert_memory_equal(same, y, (size_t)(n_tokens * features) * 4);
    free(x), free(y), free(table), free(same);
}

static void test_rope(void **state)
{
    code c = compile(*state);
    rng random = {1};
    for (int i = 0; i < N_SHAPES; i++)
        for (int j = 0; j < 16; j++) check_rope(&SHAPES[i], c.functions[4 * i], CALLS[j % 4], PASTS[j / 4], &random);
    harness_close(&c.h);
}

static int64_t layer_bytes(const shape *s)
{
    return KV_BLOCK * kv_bytes_per_position(s->n_kv_heads, s->head_dim, s->kv);
}

static void fill_blocks(const shape *s, unsigned char *const *blocks)
{
    for (int i = 0; i < N_BLOCKS; i++) memset(blocks[i], 0xff, (size_t)(N_LAYERS * layer_bytes(s)));
}

// Other layers are as they were.
static void check_others(const shape *s, unsigned char *const *blocks)
{
    for (int i = 0; i < N_BLOCKS; i++)
        for (int64_t k = 0; k < N_LAYERS * layer_bytes(s); k++)
            if (k / layer_bytes(s) != LAYER) assert_int_equal(blocks[i][k], 0xff);
}

// A feature, and how far off it may be for its form; NaN where nothing was written.
static float read_cache(const shape *s, const unsigned char *cache, int64_t element, const unsigned char *scale,
                        float *slack)
{
    float x;
    uint16_t h;
    if (s->kv == KV_Q8) {
        memcpy(&x, scale, 4);
        *slack = 0.501f * x;
        return x * (float)(int8_t)cache[element];
    }
    memcpy(&x, cache + 4 * element * (s->kv == KV_F32), 4);
    memcpy(&h, cache + 2 * element, 2);
    if (s->kv == KV_F16) x = half_to_float(h);
    *slack = s->kv == KV_F16 ? 0x1p-11f * fabsf(x) : 0;
    return x;
}

static void check_near(const char *what, double got, double want, double slack)
{
    if (!(fabs(got - want) <= 1e-6 + slack)) fail_msg("%s: %.9g instead of %.9g", what, got, want);
}

// The caches after a call against what went in: `qkv` holds k and v at their feature offsets.
static void check_caches(const shape *s, const float *qkv, int64_t stride, int64_t k_at, int64_t v_at,
                         const float *table, int64_t n_tokens, int64_t n_past, unsigned char *const *blocks)
{
    int64_t dims = s->head_dim, padded = kv_row(dims), row_bytes = kv_row_bytes(dims, s->kv);
    for (int64_t h = 0; h < s->n_kv_heads; h++)
        for (int64_t p = 0; p < CONTEXT; p++) {
            double want[256];
            bool written = p >= n_past && p < n_past + n_tokens;
            const float *row = qkv + (p - n_past) * stride;
            if (written)
                rotate(row + k_at + h * dims, table ? table + p * s->n_dims : NULL, dims, table ? s->n_dims : 0,
                       s->interleaved, want);
            int64_t at = p % KV_BLOCK, lane = at % KV_GROUP;
            const unsigned char *keys = blocks[p / KV_BLOCK] + LAYER * layer_bytes(s) + h * KV_BLOCK * row_bytes;
            const unsigned char *group = keys + (at - lane) * row_bytes;
            const unsigned char *own = keys + layer_bytes(s) / 2 + at * row_bytes;
            for (int64_t d = 0; d < padded; d++) {
                float k_slack, v_slack;
                float k = read_cache(s, group, d * KV_GROUP + lane,
                                     group + KV_GROUP * padded + 4 * (d / KV_SCALED * KV_GROUP + lane), &k_slack);
                float v = read_cache(s, own, d, own + padded + 4 * (d / KV_SCALED), &v_slack);
                if (d >= dims && s->kv == KV_Q8) continue; // may be anything
                if (!written || d >= dims) {
                    assert_true(isnan(k) && isnan(v)); // as it was filled
                    continue;
                }
                check_near("key", (double)k, want[d], (double)k_slack);
                check_near("value", (double)v, (double)row[v_at + h * dims + d], (double)v_slack);
            }
        }
}

static void check_store(const shape *s, kernel_fn kv_store, kernel_fn both, int64_t n_tokens, int64_t n_past,
                        rng *random)
{
    int64_t q = s->n_heads * s->head_dim, kv = s->n_kv_heads * s->head_dim, stride = q + 2 * kv;
    float *x = random_floats(random, n_tokens * stride), *table = rotation_table(s->n_dims);
    float *y = filled_memory((size_t)(n_tokens * q * 4), 0x7f);
    unsigned char *blocks[N_BLOCKS]; // the table; they lie anywhere
    for (int i = N_BLOCKS; i-- > 0;) blocks[i] = filled_memory((size_t)(N_LAYERS * layer_bytes(s)), 0xff);
    const int64_t layer = LAYER * layer_bytes(s);
    float *gammas[] = {random_floats(random, s->head_dim), random_floats(random, s->head_dim)};
    run(both, (void *const[]){x, x + q, x + q + kv, table, y, blocks, blocks, gammas[0], gammas[1]},
        (const int64_t[]){n_tokens, n_past, layer, stride, stride, stride});
    for (int64_t i = 0; s->norm && i < n_tokens * (s->n_heads + s->n_kv_heads);
         i++) { // as the kernel should have seen it
        int64_t head = i % (s->n_heads + s->n_kv_heads), row = i / (s->n_heads + s->n_kv_heads);
        float *at = x + row * stride + head * s->head_dim;
        norm_head(at, gammas[head >= s->n_heads], s->head_dim, at);
    }
    free(gammas[0]), free(gammas[1]);
    check_caches(s, x, stride, q, q + kv, table, n_tokens, n_past, blocks);
    check_others(s, blocks);
    for (int64_t i = 0; i < n_tokens * s->n_heads; i++) {
        double want[256];
        int64_t t = i / s->n_heads, h = i % s->n_heads;
        rotate(x + t * stride + h * s->head_dim, table + (n_past + t) * s->n_dims, s->head_dim, s->n_dims,
               s->interleaved, want);
        for (int64_t d = 0; d < s->head_dim; d++)
            check_close("query", (double)y[t * q + h * s->head_dim + d], want[d], 0);
    }
    fill_blocks(s, blocks);
    run(kv_store, (void *const[]){x + q, x + q + kv, blocks, blocks},
        (const int64_t[]){n_tokens, n_past, layer, stride, stride});
    check_caches(s, x, stride, q, q + kv, NULL, n_tokens, n_past, blocks);
    check_others(s, blocks);
    free(x), free(y), free(table);
    for (int i = 0; i < N_BLOCKS; i++) free(blocks[i]);
}

static void test_store(void **state)
{
    code c = compile(*state);
    rng random = {2};
    for (int i = 0; i < N_SHAPES; i++)
        for (int j = 0; j < 16; j++)
            check_store(&SHAPES[i], c.functions[4 * i + 1], c.functions[4 * i + 2], CALLS[j % 4], PASTS[j / 4],
                        &random);
    harness_close(&c.h);
}

// Rows of ordinary size, of zeros, and of values whose squares leave f32.
static void test_head_norm(void **state)
{
    code c = compile(*state);
    rng random = {3};
    static const float factors[] = {1, 0, 1e30f, 1e-25f};
    for (int i = 0; i < N_SHAPES; i++) {
        const shape *s = &SHAPES[i];
        int64_t n_tokens = 5, features = s->n_heads * s->head_dim, stride = features + 24;
        float *x = random_floats(&random, n_tokens * stride), *gamma = random_floats(&random, s->head_dim), want[256];
        float *y = filled_memory((size_t)(n_tokens * features * 4), 0x7f);
        for (int64_t j = 0; j < n_tokens * stride; j++) x[j] *= factors[j / stride % 4];
        run(c.functions[4 * i + 3], (void *const[]){x, y, gamma}, (const int64_t[]){n_tokens, stride});
        for (int64_t h = 0; h < n_tokens * s->n_heads; h++) {
            norm_head(x + h / s->n_heads * stride + h % s->n_heads * s->head_dim, gamma, s->head_dim, want);
            for (int64_t d = 0; d < s->head_dim; d++)
                if (!(fabsf(y[h * s->head_dim + d] - want[d]) <= 4e-7f * fabsf(want[d])))
                    fail_msg("head %d, feature %d: %.9g instead of %.9g", (int)h, (int)d,
                             (double)y[h * s->head_dim + d], (double)want[d]);
        }
        assert_int_equal(float_bits(y[n_tokens * features]), 0x7f7f7f7f);
        free(x), free(y), free(gamma);
    }
    harness_close(&c.h);
}

int main(void)
{
    struct CMUnitTest tests[3 * N_TEST_CPUS];
    for (int i = 0; i < N_TEST_CPUS; i++) {
        void *cpu = (void *)(uintptr_t)TEST_CPUS[i];
        tests[3 * i] = (struct CMUnitTest)cmocka_unit_test_prestate(test_rope, cpu);
        tests[3 * i + 1] = (struct CMUnitTest)cmocka_unit_test_prestate(test_store, cpu);
        tests[3 * i + 2] = (struct CMUnitTest)cmocka_unit_test_prestate(test_head_norm, cpu);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
