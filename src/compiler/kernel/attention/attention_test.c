// Attention against float64 on the same cache, whose blocks lie anywhere: head sizes, groups, call sizes, caches of every type, q8 output, windows,
// soft caps; NaN wherever nothing was written; any division into tiles or calls, split at spans and merged or not, gives
// the same bytes. All of it again by the three kernels that compute it unfused (attention_apart.h), which must also be
// within 1e-5 of the fused.
#include "compiler/kernel/attention/attention.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/half.h"
#include "compiler/kernel/attention/attention_apart.h"
#include "compiler/kernel/harness.h"
#include "compiler/kernel/rows/q8.h"
#include "compiler/kernel/testing.h"
#include "runtime/program/kv.h"

enum { CONTEXT = 320, N_LAYERS = 2, LAYER = 1 };
enum { WHOLE, MERGE, SCORES, SOFTMAX, VALUES, N_FUNCTIONS };

static const kernel_kind *const KINDS[N_FUNCTIONS] = {
    [WHOLE] = &ATTENTION_KERNEL,           [MERGE] = &ATTENTION_MERGE_KERNEL,   [SCORES] = &ATTENTION_SCORES_KERNEL,
    [SOFTMAX] = &ATTENTION_SOFTMAX_KERNEL, [VALUES] = &ATTENTION_VALUES_KERNEL,
};

// One call: its inputs, and what a reference needs.
typedef struct call {
    attention_kernel k;
    const kernel_fn *functions;
    kernel_target target;
    int64_t n_tokens, n_past;
    float *q;                                  // [n_tokens, n_heads * head_dim]
    float *keys, *vals;                        // [n_kv_heads, n_past + n_tokens, head_dim], as the cache rounds them
    unsigned char *blocks[CONTEXT / KV_BLOCK]; // in the order of their places, of N_LAYERS layers
    unsigned char *table[CONTEXT / KV_BLOCK + 1];
} call;

static int64_t positions(const call *c) { return c->n_past + c->n_tokens; }

static int64_t layer_bytes(const call *c)
{
    return KV_BLOCK * kv_bytes_per_position(c->k.n_kv_heads, c->k.head_dim, c->k.kv);
}

// Puts a row of values into the cache, feature d at first + d * stride elements, scales (of q8) at scales + their number
// * scale_stride; `row` becomes what the cache holds.
static void put(const call *c, unsigned char *first, int64_t stride, unsigned char *scales, int64_t scale_stride,
                float *row)
{
    int64_t dims = c->k.head_dim;
    float scale = 0;
    for (int64_t d = 0; d < dims; d++) {
        if (c->k.kv == KV_F32) {
            memcpy(first + 4 * d * stride, &row[d], 4);
        } else if (c->k.kv == KV_F16) {
            uint16_t h = half_from_float(row[d]);
            memcpy(first + 2 * d * stride, &h, 2);
            row[d] = half_to_float(h);
        } else {
            for (int64_t i = d; i < d + KV_SCALED && i < dims && d % KV_SCALED == 0; i++)
                scale = i == d ? fabsf(row[i]) / 127 : fmaxf(scale, fabsf(row[i]) / 127);
            if (d % KV_SCALED == 0) memcpy(scales + d / KV_SCALED * scale_stride, &scale, 4);
            int8_t q = (int8_t)lrintf(row[d] / scale);
            memcpy(first + d * stride, &q, 1);
            row[d] = scale * (float)q;
        }
    }
}

static call make_call(const attention_kernel *k, const kernel_fn *functions, const kernel_target *target,
                      int64_t n_tokens, int64_t n_past, float sharpness, rng *r)
{
    call c = {.k = *k, .functions = functions, .target = *target, .n_tokens = n_tokens, .n_past = n_past};
    int64_t dims = k->head_dim, n = positions(&c), n_q = n_tokens * k->n_heads * dims, n_kv = k->n_kv_heads * n * dims;
    assert_true(n <= CONTEXT);
    c.q = filled_memory((size_t)n_q * 4, 0xff);
    c.keys = malloc((size_t)n_kv * 4);
    c.vals = malloc((size_t)n_kv * 4);
    assert_true(c.keys && c.vals);
    for (int i = 0; i < CONTEXT / KV_BLOCK; i++) {
        c.blocks[i] = filled_memory((size_t)(N_LAYERS * layer_bytes(&c)), 0xff);
        if (i < (n + KV_BLOCK - 1) / KV_BLOCK) c.table[i] = c.blocks[i]; // no more than there are positions
    }
    for (int64_t i = 0; i < n_q; i++) c.q[i] = sharpness * random_normal(r);
    int64_t row = kv_row(dims), row_bytes = kv_row_bytes(dims, k->kv), element = kv_element_bytes(k->kv);
    for (int64_t h = 0; h < k->n_kv_heads; h++)
        for (int64_t p = 0; p < n; p++) {
            float *key = c.keys + (h * n + p) * dims, *val = c.vals + (h * n + p) * dims;
            int64_t at = p % KV_BLOCK, lane = at % KV_GROUP;
            unsigned char *keys = c.table[p / KV_BLOCK] + LAYER * layer_bytes(&c) + h * KV_BLOCK * row_bytes;
            unsigned char *group = keys + (at - lane) * row_bytes;
            unsigned char *own = keys + layer_bytes(&c) / 2 + at * row_bytes;
            for (int64_t d = 0; d < dims; d++) key[d] = random_normal(r), val[d] = random_normal(r);
            put(&c, group + lane * element, KV_GROUP, group + KV_GROUP * row + 4 * lane, 4 * KV_GROUP, key);
            put(&c, own, 1, own + row, 4, val);
        }
    return c;
}

static void free_call(call *c)
{
    free(c->q);
    free(c->keys);
    free(c->vals);
    for (int i = 0; i < CONTEXT / KV_BLOCK; i++) free(c->blocks[i]);
}

static int64_t row_bytes(const call *c)
{
    int64_t features = c->k.n_heads * c->k.head_dim;
    return c->k.out_q8 ? q8_row_bytes(features) : 4 * features;
}

static int64_t n_tiles(const call *c)
{
    int64_t tokens = attention_tiles_for(&c->k, &c->target).tokens;
    return c->k.n_kv_heads * ((c->n_tokens + tokens - 1) / tokens);
}

static void run(const call *c, unsigned char *y, int64_t begin, int64_t end)
{
    void *table = (void *)(uintptr_t)c->table, *buffers[] = {c->q, table, table, y};
    int64_t dims[] = {c->n_tokens, c->n_past, CONTEXT, 0, LAYER * layer_bytes(c)};
    c->functions[WHOLE](buffers, dims, begin, end);
}

// Spans that the call's tokens see some of.
static int64_t n_spans(const call *c)
{
    int64_t span = c->k.span;
    int64_t first = c->k.window && c->n_past + 1 > c->k.window ? c->n_past + 1 - c->k.window : 0;
    return (positions(c) - 1) / span + 1 - first / span;
}

// The same in parts: tiles from the last to the first, one more span than there are; then the merge.
static void run_split(const call *c, unsigned char *y)
{
    size_t part_bytes = (size_t)attention_part_bytes(c->k.head_dim), span_parts = (size_t)(c->n_tokens * c->k.n_heads);
    size_t parts_bytes = (size_t)(n_spans(c) + 1) * span_parts * part_bytes;
    unsigned char *parts = filled_memory(parts_bytes, 0xff);
    void *table = (void *)(uintptr_t)c->table, *buffers[] = {c->q, table, table, parts}, *merge_buffers[] = {parts, y};
    int64_t dims[] = {c->n_tokens, c->n_past, CONTEXT, 1, LAYER * layer_bytes(c)};
    for (int64_t t = (n_spans(c) + 1) * n_tiles(c); t-- > 0;) c->functions[WHOLE](buffers, dims, t, t + 1);
    for (size_t i = 0; i < 64; i++) assert_int_equal(parts[parts_bytes + i], 0xff);
    memset(parts + parts_bytes - span_parts * part_bytes, 0xff, span_parts * part_bytes);
    for (int64_t t = c->n_tokens * c->k.n_kv_heads; t-- > 0;) c->functions[MERGE](merge_buffers, dims, t, t + 1);
    free(parts);
}

// The same by three kernels, tiles from the last to the first, over scores that are NaN before.
static void run_apart(const call *c, unsigned char *y)
{
    size_t bytes = (size_t)(c->n_tokens * CONTEXT * attention_scores_pair_bytes(&c->k) +
                            CONTEXT * attention_scores_context_bytes(&c->k, &c->target));
    unsigned char *s = filled_memory(bytes, 0xff);
    void *table = (void *)(uintptr_t)c->table, *buffers[3][3] = {{c->q, table, s}, {s, s}, {s, table, y}};
    int64_t dims[] = {c->n_tokens, c->n_past, CONTEXT, 0, LAYER * layer_bytes(c)};
    for (int i = 0; i < 3; i++)
        for (int64_t t = n_tiles(c); t-- > 0;) c->functions[SCORES + i](buffers[i], dims, t, t + 1);
    for (size_t i = 0; i < 64; i++) assert_int_equal(s[bytes + i], 0xff);
    free(s);
}

// out [head_dim] of one token and head; returns the largest score's magnitude.
static double reference(const call *c, int64_t token, int64_t head, double *out)
{
    const attention_kernel *k = &c->k;
    int64_t dims = k->head_dim, last = c->n_past + token, first = 0, n = positions(c);
    if (k->window && last - k->window + 1 > 0) first = last - k->window + 1;
    const float *q = c->q + (token * k->n_heads + head) * dims;
    const float *keys = c->keys + head / (k->n_heads / k->n_kv_heads) * n * dims;
    const float *vals = c->vals + head / (k->n_heads / k->n_kv_heads) * n * dims;
    double scores[CONTEXT], most = -INFINITY, sum = 0, largest = 0;
    for (int64_t p = first; p <= last; p++) {
        double s = 0;
        for (int64_t d = 0; d < dims; d++) s += (double)q[d] * (double)keys[p * dims + d];
        s *= k->scale;
        if (k->softcap != 0) s = k->softcap * tanh(s / k->softcap);
        scores[p] = s;
        most = fmax(most, s);
        largest = fmax(largest, fabs(s));
    }
    for (int64_t d = 0; d < dims; d++) out[d] = 0;
    for (int64_t p = first; p <= last; p++) {
        double w = exp(scores[p] - most);
        sum += w;
        for (int64_t d = 0; d < dims; d++) out[d] += w * (double)vals[p * dims + d];
    }
    for (int64_t d = 0; d < dims; d++) out[d] /= sum;
    return largest;
}

// What y says about a feature, and how far off that may be for its form.
static double read_output(const call *c, const unsigned char *y, int64_t token, int64_t feature, double *slack)
{
    const unsigned char *row = y + token * row_bytes(c);
    float x;
    *slack = 0;
    if (!c->k.out_q8) {
        memcpy(&x, row + 4 * feature, 4);
        return (double)x;
    }
    memcpy(&x, row + q8_scale_offset(c->k.n_heads * c->k.head_dim) + feature / Q8_BLOCK * 4, 4);
    *slack = 0.501 * (double)x;
    return (double)x * (int8_t)row[feature];
}

static void check_token(const call *c, const char *what, const unsigned char *y, int64_t token)
{
    double want[256];
    int64_t dims = c->k.head_dim;
    for (int64_t head = 0; head < c->k.n_heads; head++) {
        double largest = reference(c, token, head, want);
        // a score's error is an error of its weight's logarithm; values are below 6
        double bound = 6 * (1e-6 + 3e-7 * largest);
        for (int64_t d = 0; d < dims; d++) {
            double slack, got = read_output(c, y, token, head * dims + d, &slack), error = fabs(got - want[d]);
            if (!(error <= bound + slack))
                fail_msg("%s, n_tokens %d, n_past %d: token %d, head %d, feature %d is %.9g, not %.9g", what,
                         (int)c->n_tokens, (int)c->n_past, (int)token, (int)head, (int)d, got, want[d]);
        }
    }
}

typedef enum how { IN_ONE, SPLIT, APART } how;

static void run_how(const call *c, unsigned char *y, how way)
{
    if (way == APART)
        run_apart(c, y);
    else if (way == SPLIT)
        run_split(c, y);
    else
        run(c, y, 0, n_tiles(c));
}

// The token alone, as the decode step that it could have been.
static void check_alone(const call *c, const char *what, const unsigned char *y, int64_t token, how way)
{
    call one = *c;
    one.n_tokens = 1;
    one.n_past = c->n_past + token;
    one.q = c->q + token * c->k.n_heads * c->k.head_dim;
    size_t bytes = (size_t)row_bytes(c);
    unsigned char *alone = filled_memory(bytes, 0x7f),
                  *q = filled_memory((size_t)(4 * c->k.n_heads * c->k.head_dim), 0);
    memcpy(q, one.q, (size_t)(4 * c->k.n_heads * c->k.head_dim));
    one.q = (float *)(void *)q;
    run_how(&one, alone, way);
    if (memcmp(alone, y + (size_t)token * bytes, bytes))
        fail_msg("%s, n_tokens %d, n_past %d: token %d differs when computed alone", what, (int)c->n_tokens,
                 (int)c->n_past, (int)token);
    free(q);
    free(alone);
}

static void check_tokens(const call *c, const char *what, const unsigned char *y, how way)
{
    int64_t step = 1 + c->n_tokens / 8; // with the first and the last token
    for (int64_t t = 0; t < c->n_tokens; t += step) check_token(c, what, y, t);
    check_token(c, what, y, c->n_tokens - 1);
    check_alone(c, what, y, 0, way);
    check_alone(c, what, y, c->n_tokens / 2, way);
    check_alone(c, what, y, c->n_tokens - 1, way);
}

static void check_apart(const call *c, const char *what, const unsigned char *whole)
{
    size_t bytes = (size_t)(c->n_tokens * row_bytes(c));
    unsigned char *y = filled_memory(bytes, 0x7f);
    char where[200];
    snprintf(where, sizeof where, "%s, unfused", what);
    run_apart(c, y);
    for (size_t i = 0; i < 64; i++) assert_int_equal(y[bytes + i], 0x7f);
    check_tokens(c, where, y, APART);
    for (size_t i = 0; i < bytes / 4 && !c->k.out_q8; i++) {
        float a, b;
        memcpy(&a, y + 4 * i, 4);
        memcpy(&b, whole + 4 * i, 4);
        if (!(fabsf(a - b) <= 1e-5f)) fail_msg("%s: %.9g at %zu, %.9g fused", where, (double)a, i, (double)b);
    }
    free(y);
}

static void check_call(const call *c, const char *what)
{
    size_t bytes = (size_t)(c->n_tokens * row_bytes(c));
    unsigned char *y = filled_memory(bytes, 0x7f), *split = filled_memory(bytes, 0x7f);
    run(c, y, 0, n_tiles(c));
    for (int i = 0; i < 64; i++) assert_int_equal(y[bytes + (size_t)i], 0x7f);
    for (int64_t t = n_tiles(c); t-- > 0;) run(c, split, t, t + 1);
    if (memcmp(y, split, bytes)) fail_msg("%s: the split of tiles shows", what);
    check_tokens(c, what, y, IN_ONE);
    if (c->k.span) {
        memset(split, 0x7f, bytes + 64);
        run_split(c, split);
        if (memcmp(y, split, bytes + 64)) fail_msg("%s: the split at spans shows", what);
        check_tokens(c, what, y, SPLIT);
    }
    if (c->functions[SCORES]) check_apart(c, what, y);
    free(y);
    free(split);
}

static const int64_t CALLS[] = {1, 7, 16, 33, 200}, PASTS[] = {0, 1, 15, 62, 63, 64, 100};
enum { N_CALLS = sizeof CALLS / sizeof *CALLS, N_PASTS = sizeof PASTS / sizeof *PASTS, ALL_SIZES = N_CALLS * N_PASTS };

static attention_kernel basic(int64_t group, int64_t n_kv_heads, int64_t head_dim)
{
    return (attention_kernel){.n_heads = group * n_kv_heads,
                              .n_kv_heads = n_kv_heads,
                              .head_dim = head_dim,
                              .span = 64,
                              .scale = 1 / sqrt((double)head_dim)};
}

// Adds the kernels of one attention; returns how many.
static int build_kernels(harness *h, const attention_kernel *k, bool apart, const char **names)
{
    int n = apart ? N_FUNCTIONS : SCORES;
    for (int i = 0; i < n; i++) names[i] = harness_add(h, KINDS[i], k);
    return n;
}

// Compiles kernels, every `apart`-th also unfused, and calls each in `n_sizes` of the ALL_SIZES sizes, starting where
// the kernel before ended.
static void check_kernels(const char *cpu, const attention_kernel *kernels, int n, int apart, int n_sizes,
                          float sharpness)
{
    enum { MOST = 96 };
    harness h;
    wf_error err = {0};
    const char *names[MOST];
    kernel_fn compiled[MOST], functions[N_FUNCTIONS];
    int n_names = 0;
    if (harness_open(&h, cpu, &err) != WF_OK) fail_msg("%s", err.message);
    for (int i = 0; i < n; i++) n_names += build_kernels(&h, &kernels[i], i % apart == 0, &names[n_names]);
    kernel_target target = h.builder.target;
    if (harness_compile(&h, names, n_names, compiled, &err) != WF_OK) fail_msg("%s", err.message);
    rng r = {42};
    int size = 0, at = 0;
    for (int i = 0; i < n; i++) {
        int n_built = i % apart ? SCORES : N_FUNCTIONS;
        for (int f = 0; f < N_FUNCTIONS; f++) functions[f] = f < n_built ? compiled[at + f] : NULL;
        for (int j = 0; j < n_sizes; j++, size++) {
            int64_t n_tokens = CALLS[size % N_CALLS], n_past = PASTS[size % N_PASTS]; // coprime: all pairs in turn
            call c = make_call(&kernels[i], functions, &target, n_tokens, n_past, sharpness, &r);
            char what[160];
            snprintf(what, sizeof what, "%s, %.120s", cpu, names[at]);
            check_call(&c, what);
            free_call(&c);
        }
        at += n_built;
    }
    harness_close(&h);
}

static void test_shapes(void **state)
{
    static const int64_t groups[] = {1, 3, 4, 6, 8}, dims[] = {64, 80, 96, 128, 256};
    attention_kernel kernels[25];
    for (int i = 0; i < 25; i++) kernels[i] = basic(groups[i % 5], 2, dims[i / 5]);
    check_kernels(*state, kernels, 25, 6, 3, 1);
}

// Heads that fill no whole vectors: rows of the cache are longer, and NaN behind them.
static void test_odd_heads(void **state)
{
    static const struct {
        int64_t group, dims;
        kv_type kv;
        bool q8;
    } shapes[] = {{1, 8, KV_F16, false},  {4, 8, KV_F32, true},    {3, 100, KV_F16, false}, {8, 100, KV_Q8, true},
                  {2, 112, KV_F16, true}, {1, 192, KV_F32, true},  {5, 15, KV_Q8, false},   {1, 1, KV_F32, false},
                  {2, 250, KV_Q8, false}, {16, 20, KV_F16, false}, {1, 36, KV_Q8, false},   {6, 72, KV_F16, false}};
    enum { N = sizeof shapes / sizeof *shapes };
    attention_kernel kernels[N];
    for (int i = 0; i < N; i++) {
        kernels[i] = basic(shapes[i].group, 2, shapes[i].dims);
        kernels[i].kv = shapes[i].kv;
        kernels[i].out_q8 = shapes[i].q8;
        assert_true(!shapes[i].q8 || attention_can_q8(&kernels[i]));
    }
    check_kernels(*state, kernels, N, 3, 4, 1);
}

static void test_all_sizes(void **state)
{
    attention_kernel kernels[] = {basic(3, 2, 64), basic(7, 1, 32)};
    check_kernels(*state, kernels, 2, 2, ALL_SIZES, 1);
}

static void test_forms(void **state)
{
    attention_kernel kernels[8];
    for (int i = 0; i < 8; i++) {
        kernels[i] = basic(i % 2 ? 1 : 3, 2, i % 2 ? 64 : 80);
        kernels[i].kv = (kv_type)(i % 3);
        kernels[i].out_q8 = i & 4;
        kernels[i].span = i % 3 ? 128 : ATTENTION_SPAN;
        if (!attention_can_q8(&kernels[i])) kernels[i].n_heads = 2 * kernels[i].n_kv_heads;
    }
    check_kernels(*state, kernels, 8, 2, 5, 1);
}

static void test_windows_and_caps(void **state)
{
    attention_kernel kernels[6];
    static const int64_t windows[] = {1, 16, 50, 64, 100, 0};
    for (int i = 0; i < 6; i++) {
        kernels[i] = basic(1 + i % 3, 2, 64);
        kernels[i].window = windows[i];
        if (i % 2) kernels[i].softcap = 5;
        if (i % 3 == 2) kernels[i].span = 128;
    }
    check_kernels(*state, kernels, 6, 3, ALL_SIZES, 4);
}

// Scores of hundreds: one position takes all, maxima move by more than floats can tell exponentials apart.
static void test_sharp(void **state)
{
    attention_kernel kernels[] = {basic(3, 1, 64), basic(1, 2, 128)};
    check_kernels(*state, kernels, 2, 2, 10, 100);
}

static void test_can_q8(void **state)
{
    (void)state;
    attention_kernel k = basic(1, 2, 80);
    assert_false(attention_can_q8(&k));
    k = basic(2, 2, 80);
    assert_true(attention_can_q8(&k));
    k = basic(1, 3, 64);
    assert_true(attention_can_q8(&k));
}

// A split call of many heads a group has more than one block of tokens: there are tiles for all.
static void test_split_tiles(void **state)
{
    (void)state;
    const kernel_target target = {.lanes = 8, .registers = 16};
    for (int64_t group = 1; group <= 64; group++) {
        attention_kernel k = basic(group, 2, 64);
        call c = {.k = k, .target = target, .n_tokens = ATTENTION_SPLIT_TOKENS};
        assert_true(attention_split_tiles(&k, &target) >= n_tiles(&c));
    }
}

// A NaN in one query spoils that head of that token and no other.
static void test_nan_query(void **state)
{
    harness h;
    wf_error err = {0};
    attention_kernel k = basic(3, 2, 64);
    const char *names[N_FUNCTIONS];
    kernel_fn functions[N_FUNCTIONS];
    if (harness_open(&h, *state, &err) != WF_OK) fail_msg("%s", err.message);
    int n = build_kernels(&h, &k, true, names);
    if (harness_compile(&h, names, n, functions, &err) != WF_OK) fail_msg("%s", err.message);
    rng r = {7};
    call c = make_call(&k, functions, &h.builder.target, 20, 50, 1, &r);
    int64_t features = k.n_heads * k.head_dim, token = 9, head = 4;
    c.q[token * features + head * k.head_dim + 13] = NAN;
    float *y = filled_memory((size_t)(20 * features * 4), 0);
    for (how way = IN_ONE; way <= APART; way++) {
        run_how(&c, (unsigned char *)y, way);
        for (int64_t i = 0; i < 20 * features; i++)
            assert_true(isnan(y[i]) == (i / features == token && i % features / k.head_dim == head));
    }
    free(y);
    free_call(&c);
    harness_close(&h);
}

// Wherever the window lies, no call that may be split touches more spans than are provided for.
static void test_window_spans(void **state)
{
    (void)state;
    attention_kernel k = basic(1, 1, 64);
    k.span = ATTENTION_SPAN;
    assert_int_equal(attention_window_spans(&k), 0);
    for (k.window = 1; k.window < 1500; k.window += 7) {
        int64_t most = 0;
        for (int64_t past = 0; past < 3 * ATTENTION_SPAN + k.window; past++) {
            call c = {.k = k, .n_tokens = ATTENTION_SPLIT_TOKENS, .n_past = past};
            if (n_spans(&c) > most) most = n_spans(&c);
        }
        assert_int_equal(attention_window_spans(&k), most);
    }
}

int main(void)
{
    static const CMUnitTestFunction tests[] = {test_shapes,           test_odd_heads, test_all_sizes, test_forms,
                                               test_windows_and_caps, test_sharp,     test_nan_query};
    static const char *const names[] = {"shapes",           "odd_heads", "all_sizes", "forms",
                                        "windows_and_caps", "sharp",     "nan_query"};
    enum { N = sizeof tests / sizeof *tests };
    struct CMUnitTest all[N * N_TEST_CPUS + 3];
    static char labels[N * N_TEST_CPUS][64];
    for (int i = 0; i < N * N_TEST_CPUS; i++) {
        snprintf(labels[i], sizeof labels[i], "%s@%s", names[i % N], TEST_CPUS[i / N]);
        all[i] = (struct CMUnitTest){labels[i], tests[i % N], NULL, NULL, (void *)(uintptr_t)TEST_CPUS[i / N]};
    }
    all[N * N_TEST_CPUS] = (struct CMUnitTest)cmocka_unit_test(test_can_q8);
    all[N * N_TEST_CPUS + 1] = (struct CMUnitTest)cmocka_unit_test(test_window_spans);
    all[N * N_TEST_CPUS + 2] = (struct CMUnitTest)cmocka_unit_test(test_split_tiles);
    return cmocka_run_group_tests(all, NULL, NULL);
}
