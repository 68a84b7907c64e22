// Attention of graphs, against float64: masks in every broadcast form, positions that all see, several sequences,
// sinks, rows that a mask hides wholly, keys and values in rows. NaN behind the last position of the cache and of the
// mask.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/kernel/attention/attention.h"
#include "compiler/kernel/harness.h"
#include "compiler/kernel/testing.h"
#include "runtime/program/kv.h"

enum { CONTEXT = 192 };

// How numbers of the mask are chosen.
typedef enum mask_kind { RANDOM, HIDING, LOWEST, BLOCKS, N_MASK_KINDS } mask_kind;

// Sizes of a call; of the mask 1 where it is the same for all.
typedef struct sizes {
    int64_t sequences, tokens, positions;
    int64_t mask_sequences, mask_heads, mask_tokens;
} sizes;

typedef struct call {
    attention_kernel k;
    sizes n;
    float *q, *keys, *vals, *mask; // [sequences, tokens or positions, heads, dims]; [.., .., .., CONTEXT]
    float *sink;                   // [heads]
    unsigned char *k_cache, *v_cache;
    float *rows; // keys, then values, of heads as rows [sequences, heads, positions, dims]
    float *y;
} call;

static float choose_mask(mask_kind kind, int64_t row, int64_t position, rng *r)
{
    if (kind == RANDOM) return 3 * random_normal(r);
    // blocks that nobody sees; of the first one sees a little
    if (kind == BLOCKS) return position / 64 == 1 || (position < 64 && (row || position < 60)) ? -INFINITY : 0.5f;
    float hidden = kind == LOWEST ? -3.40282347e38f : -INFINITY;
    if (row % 5 == 3) return hidden; // the whole row
    if (row % 5 == 1) return position == 70 || position == 3 ? 0.5f : hidden;
    if (row % 5 == 2) return position < 64 ? hidden : 0; // the whole first block, if there are more
    return random_bits(r) % 3 ? 0 : hidden;
}

static float *random_array(int64_t n, rng *r)
{
    float *x = filled_memory((size_t)n * 4, 0xff);
    for (int64_t i = 0; i < n; i++) x[i] = random_normal(r);
    return x;
}

static call make_call(const attention_kernel *k, const sizes *n, mask_kind kind, rng *r)
{
    call c = {.k = *k, .n = *n};
    int64_t dims = k->head_dim, n_kv = n->sequences * n->positions * k->n_kv_heads * dims,
            n_q = n->sequences * n->tokens * k->n_heads * dims,
            mask_rows = n->mask_sequences * n->mask_heads * n->mask_tokens;
    size_t cache_bytes = (size_t)(n->sequences * k->n_kv_heads * CONTEXT * kv_row(dims)) * 4;
    c.q = random_array(n_q, r);
    c.keys = random_array(n_kv, r);
    c.vals = random_array(n_kv, r);
    c.sink = random_array(k->n_heads, r);
    c.sink[0] = 40;        // takes all of the weight,
    c.sink[1] = -INFINITY; // none of it
    c.y = filled_memory((size_t)n_q * 4, 0x7f);
    c.mask = filled_memory((size_t)(mask_rows * CONTEXT) * 4, 0xff);
    c.k_cache = filled_memory(cache_bytes, 0xff);
    c.v_cache = filled_memory(cache_bytes, 0xff);
    c.rows = filled_memory((size_t)n_kv * 8, 0xff);
    for (int64_t i = 0; i < mask_rows; i++)
        for (int64_t p = 0; p < n->positions; p++) c.mask[i * CONTEXT + p] = choose_mask(kind, i, p, r);
    for (int64_t i = 0; i < n_kv; i++) {
        int64_t d = i % dims, head = i / dims % k->n_kv_heads, row = i / dims / k->n_kv_heads, p = row % n->positions;
        int64_t padded = kv_row(dims), at = (row / n->positions * k->n_kv_heads + head) * CONTEXT * padded;
        memcpy(c.k_cache + 4 * (at + (p / KV_GROUP * padded + d) * KV_GROUP + p % KV_GROUP), &c.keys[i], 4);
        memcpy(c.v_cache + 4 * (at + p * padded + d), &c.vals[i], 4);
        c.rows[((row / n->positions * k->n_kv_heads + head) * n->positions + p) * dims + d] = c.keys[i];
    }
    return c;
}

static void free_call(call *c)
{
    void *all[] = {c->q, c->keys, c->vals, c->mask, c->sink, c->k_cache, c->v_cache, c->y, c->rows};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static void run(call *c, kernel_fn f, const kernel_target *target)
{
    const sizes *n = &c->n;
    void *buffers[] = {c->q, c->k_cache, c->v_cache, c->y, c->k.mask ? c->mask : c->sink, c->sink};
    if (c->k.rows) { // keys by heads, values by positions
        buffers[1] = c->rows;
        buffers[2] = c->vals;
    }
    int64_t heads_apart = n->mask_heads > 1 ? n->mask_tokens * CONTEXT : 0;
    int64_t dims[] = {n->tokens,
                      n->positions - n->tokens,
                      CONTEXT,
                      0,
                      n->sequences,
                      n->mask_sequences > 1 ? n->mask_heads * n->mask_tokens * CONTEXT : 0,
                      heads_apart,
                      n->mask_tokens > 1 ? CONTEXT : 0,
                      c->k.head_dim,
                      n->positions * c->k.head_dim,
                      c->k.n_kv_heads * n->positions * c->k.head_dim,
                      c->k.n_kv_heads * c->k.head_dim,
                      c->k.head_dim,
                      n->positions * c->k.n_kv_heads * c->k.head_dim};
    int64_t block = attention_tiles_for(&c->k, target).tokens;
    int64_t n_tiles = n->sequences * c->k.n_kv_heads * ((n->tokens + block - 1) / block);
    for (int64_t t = n_tiles; t-- > 0;) f(buffers, dims, t, t + 1);
}

// want [head_dim] of a row; false: it sees nothing.
static bool reference(const call *c, int64_t sequence, int64_t token, int64_t head, double *want)
{
    const attention_kernel *k = &c->k;
    const sizes *n = &c->n;
    int64_t dims = k->head_dim, kv_head = head / (k->n_heads / k->n_kv_heads);
    const float *q = c->q + ((sequence * n->tokens + token) * k->n_heads + head) * dims;
    int64_t mask_row = (n->mask_sequences > 1 ? sequence : 0) * n->mask_heads + (n->mask_heads > 1 ? head : 0);
    const float *mask = c->mask + (mask_row * n->mask_tokens + (n->mask_tokens > 1 ? token : 0)) * CONTEXT;
    double sink = k->sink ? (double)c->sink[head] : -INFINITY, scores[CONTEXT], most = sink, sum = 0;
    int64_t end = k->full ? n->positions : n->positions - n->tokens + token + 1;
    int64_t begin = k->window && end > k->window ? end - k->window : 0;
    for (int64_t p = begin; p < end; p++) {
        const float *key = c->keys + ((sequence * n->positions + p) * k->n_kv_heads + kv_head) * dims;
        double s = 0;
        for (int64_t d = 0; d < dims; d++) s += (double)q[d] * (double)key[d];
        s *= k->scale;
        if (k->softcap != 0) s = k->softcap * tanh(s / k->softcap);
        // a sum with the lowest float is rounded to it: then all that is hidden weighs the same
        scores[p] = k->mask ? (double)(float)(s + (double)mask[p]) : s;
        most = fmax(most, scores[p]);
    }
    for (int64_t d = 0; d < dims; d++) want[d] = 0;
    if (most == -INFINITY) return false;
    sum = exp(sink - most);
    for (int64_t p = begin; p < end; p++) {
        const float *val = c->vals + ((sequence * n->positions + p) * k->n_kv_heads + kv_head) * dims;
        double w = exp(scores[p] - most);
        sum += w;
        for (int64_t d = 0; d < dims; d++) want[d] += w * (double)val[d];
    }
    for (int64_t d = 0; d < dims; d++) want[d] /= sum;
    return true;
}

// How many rows saw nothing.
static int check_call(const call *c, const char *what)
{
    const attention_kernel *k = &c->k;
    int blind = 0;
    const float *y = c->y;
    for (int64_t row = 0; row < c->n.sequences * c->n.tokens * k->n_heads; row++, y += k->head_dim) {
        double want[256];
        int64_t token = row / k->n_heads;
        bool sees = reference(c, token / c->n.tokens, token % c->n.tokens, row % k->n_heads, want);
        blind += !sees;
        for (int64_t d = 0; d < k->head_dim; d++) {
            bool good = sees || k->zero_masked ? fabs((double)y[d] - want[d]) <= 2e-5 : isnan(y[d]);
            if (!good)
                fail_msg("%s: row %d, feature %d is %.9g, not %.9g", what, (int)row, (int)d, (double)y[d],
                         sees || k->zero_masked ? want[d] : (double)NAN);
        }
    }
    assert_int_equal((unsigned char)((const unsigned char *)y)[0], 0x7f); // nothing behind the end
    return blind;
}

static const sizes SIZES[] = {
    {2, 33, 70, 2, 6, 33},  {1, 1, 130, 1, 1, 1}, {3, 7, 64, 1, 6, 1},      {1, 65, 65, 1, 1, 65},
    {2, 20, 129, 2, 1, 20}, {1, 5, 5, 1, 1, 1},   {1, 130, 192, 1, 1, 130},
};
// Without causality there may be fewer positions than tokens.
static const sizes FULL_SIZES[] = {{2, 40, 3, 2, 1, 40}, {1, 100, 65, 1, 6, 100}, {2, 1, 1, 1, 1, 1}};

static void check_sizes(const attention_kernel *k, const char *what, kernel_fn f, const kernel_target *target,
                        const sizes *n, int *blind)
{
    if (n->sequences > 1 && !k->batched) return;
    rng r = {5};
    for (int kind = 0; kind < (k->mask ? N_MASK_KINDS : 1); kind++) {
        char where[200];
        call c = make_call(k, n, (mask_kind)kind, &r);
        run(&c, f, target);
        snprintf(where, sizeof where, "%.120s, %d tokens, %d positions, mask %d", what, (int)n->tokens,
                 (int)n->positions, kind);
        *blind += check_call(&c, where);
        free_call(&c);
    }
}

// Bits: 1 full, 2 mask, 4 batched, 8 zero_masked, 16 softcap, 32 sink, 64 window, 128 rows.
static void test_forms(void **state)
{
    static const int FORMS[] = {
        1,           2,       3,      4 | 1,  4 | 2,          4 | 3, 4 | 4,   2 | 8,    4 | 3 | 8,       3 | 16,
        32,          32 | 64, 32 | 1, 32 | 2, 32 | 4 | 3 | 8, 128,   128 | 3, 128 | 64, 128 | 4 | 3 | 8, 128 | 4 | 2,
        128 | 32 | 1};
    enum { N = sizeof FORMS / sizeof *FORMS, N_SIZES = sizeof SIZES / sizeof *SIZES };
    harness h;
    wf_error err = {0};
    attention_kernel kernels[N];
    const char *names[N];
    kernel_fn functions[N];
    int blind = 0;
    if (harness_open(&h, *state, &err) != WF_OK) fail_msg("%s", err.message);
    for (int i = 0; i < N; i++) {
        int form = FORMS[i];
        kernels[i] = (attention_kernel){.n_heads = 6,
                                        .n_kv_heads = i % 2 ? 2 : 6,
                                        .head_dim = i % 3 == 1 ? 32
                                                    : i % 3    ? 20
                                                               : 80};
        kernels[i].scale = 0.25;
        kernels[i].kv = KV_F32;
        kernels[i].full = form & 1;
        kernels[i].mask = form & 2;
        kernels[i].batched = form & 4;
        kernels[i].zero_masked = form & 8;
        kernels[i].softcap = form & 16 ? 2 : 0;
        kernels[i].sink = form & 32;
        kernels[i].window = form & 64 ? 9 : 0;
        kernels[i].rows = form & 128;
        if (kernels[i].rows && kernels[i].head_dim == 20) kernels[i].head_dim = 48;
        names[i] = harness_add(&h, &ATTENTION_KERNEL, &kernels[i]);
    }
    kernel_target target = h.builder.target;
    if (harness_compile(&h, names, N, functions, &err) != WF_OK) fail_msg("%s", err.message);
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N_SIZES; j++) check_sizes(&kernels[i], names[i], functions[i], &target, &SIZES[j], &blind);
        for (int j = 0; j < 3 && kernels[i].full; j++)
            check_sizes(&kernels[i], names[i], functions[i], &target, &FULL_SIZES[j], &blind);
    }
    assert_true(blind > 100);
    harness_close(&h);
}

int main(void)
{
    struct CMUnitTest tests[N_TEST_CPUS];
    for (int i = 0; i < N_TEST_CPUS; i++)
        tests[i] = (struct CMUnitTest){TEST_CPUS[i], test_forms, NULL, NULL, (void *)(uintptr_t)TEST_CPUS[i]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
