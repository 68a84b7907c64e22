// For tests: a model whose every logit can be computed by hand, so that caching, chunking and truncation show in them.
//
// Its program has three calls. `store` writes a hash of token, position and rotation row to the KV cache. `sum` adds the
// cache up to each token's position: both look at positions. `logits` makes of these sums a row for each token that wants
// one. A token that was forgotten, misplaced, stored twice or mixed up with another sequence's changes every later logit.
// The weights are a script: [n_ctx] i32, the token that stands out after each position, FAKE_NAN for logits that are not
// numbers, FAKE_NOISE for none.
#ifndef WELFORD_ENGINE_FAKE_MODEL_H
#define WELFORD_ENGINE_FAKE_MODEL_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/session.h"
#include "format/gguf.h"

// A row of logits, 4 * 261 bytes, is no multiple of 64.
enum { FAKE_VOCAB = 261, FAKE_CTX = 300, FAKE_CAPACITY = 320, FAKE_ROPE_DIMS = 4, FAKE_NOISE = -1, FAKE_NAN = -2 };

static const double FAKE_INV_FREQ[FAKE_ROPE_DIMS / 2] = {1.0, 0.01};

static inline uint64_t fake_hash(int64_t token, int64_t position)
{
    uint64_t h = (uint64_t)token * 0x9e3779b97f4a7c15 + (uint64_t)position * 0xd1342543de82ef95;
    return (h ^ h >> 29) * 0xbf58476d1ce4e5b9;
}

// Noise in [0, 1), which depends on all that came before.
static inline float fake_logit(uint64_t sum, int64_t token, int32_t script)
{
    uint64_t h = fake_hash((int64_t)sum, token);
    if (script == FAKE_NAN) return NAN;
    return (float)(h >> 40) * 0x1p-24f + (token == script ? 10.0f : 0.0f);
}

static inline void fake_check_aligned(void *const *buffers, int n)
{
    for (int i = 0; i < n; i++) assert_int_equal((uintptr_t)buffers[i] % 64, 0);
}

// A position's number: the first bytes of each block of the cache are those of its positions.
static inline uint64_t *fake_cached(void *table, int64_t position)
{
    return (uint64_t *)((void **)table)[position / KV_BLOCK] + position % KV_BLOCK;
}

// buffers: tokens [n_tokens] i32, rope, table of blocks; dims: n_past; tiles: n_tokens
static void fake_store(void *const *buffers, const int64_t *dims, int64_t begin, int64_t end)
{
    const int32_t *tokens = buffers[0];
    const float *rope = buffers[1];
    fake_check_aligned(buffers + 1, 2);
    for (int64_t i = begin; i < end; i++) {
        int64_t position = dims[0] + i;
        const float *row = rope + position * FAKE_ROPE_DIMS;
        for (int d = 0; d < FAKE_ROPE_DIMS / 2; d++) {
            assert_true(row[d] == (float)(2 * cos((double)position * FAKE_INV_FREQ[d])));
            assert_true(row[FAKE_ROPE_DIMS / 2 + d] == (float)(2 * sin((double)position * FAKE_INV_FREQ[d])));
        }
        *fake_cached(buffers[2], position) = fake_hash(tokens[i], position);
    }
}

// buffers: table of blocks, arena [n_tokens][8] u64: sum, position; dims: n_past; tiles: n_tokens
static void fake_sum(void *const *buffers, const int64_t *dims, int64_t begin, int64_t end)
{
    uint64_t *rows = buffers[1];
    fake_check_aligned(buffers, 2);
    for (int64_t i = begin; i < end; i++) {
        uint64_t sum = 0;
        for (int64_t k = 0; k <= dims[0] + i; k++) sum += *fake_cached(buffers[0], k);
        rows[8 * i] = sum;
        rows[8 * i + 1] = (uint64_t)(dims[0] + i);
    }
}

// buffers: script [n_ctx] i32, arena, rows [n_outputs] i32, logits [n_outputs, n_vocab] f32; tiles: n_outputs
static void fake_logits(void *const *buffers, const int64_t *dims, int64_t begin, int64_t end)
{
    (void)dims;
    const int32_t *script = buffers[0], *rows = buffers[2];
    const uint64_t *sums = buffers[1];
    float *logits = buffers[3];
    fake_check_aligned(buffers, 4);
    for (int64_t o = begin; o < end; o++) {
        const uint64_t *row = sums + 8 * (size_t)rows[o];
        for (int64_t v = 0; v < FAKE_VOCAB; v++) logits[o * FAKE_VOCAB + v] = fake_logit(row[0], v, script[row[1]]);
    }
}

enum { FAKE_CALLS = 3 };

typedef struct fake_model {
    compiled_model m;
    thread_pool *pool;
    program_call calls[FAKE_CALLS];
    program_buffer buffers[FAKE_CALLS][4];
    affine n_past;
    program_area areas[BASE_COUNT];
    program_rope rope;
    kernel_fn kernels[FAKE_CALLS];
    const char *names[FAKE_CALLS];
    _Alignas(64) int32_t script[FAKE_CAPACITY];
} fake_model;

static inline program_buffer fake_buffer(uint32_t area, int dim, int64_t unit, bool written)
{
    program_buffer b = {.area = area, .written = written};
    b.bytes.c[dim] = unit;
    return b;
}

static inline void fake_model_create(fake_model *f, int n_threads)
{
    *f = (fake_model){0};
    f->rope = (program_rope){FAKE_ROPE_DIMS, FAKE_INV_FREQ, 2.0};
    const int64_t rope_unit = FAKE_ROPE_DIMS * sizeof(float), logits_unit = FAKE_VOCAB * sizeof(float);
    const program_buffer buffers[FAKE_CALLS][4] = {
        {fake_buffer(BASE_TOKENS, DIM_TOKENS, 4, false), fake_buffer(BASE_ROPE, DIM_CONTEXT, rope_unit, false),
         fake_buffer(BASE_KV, DIM_CONTEXT, 8, true)},
        {fake_buffer(BASE_KV, DIM_CONTEXT, 8, false), fake_buffer(BASE_ARENA, DIM_TOKENS, 64, true)},
        {fake_buffer(BASE_WEIGHTS, DIM_ONE, sizeof f->script, false), fake_buffer(BASE_ARENA, DIM_TOKENS, 64, false),
         fake_buffer(BASE_ROWS, DIM_OUTPUTS, 4, false), fake_buffer(BASE_LOGITS, DIM_OUTPUTS, logits_unit, true)}};
    static const char *const NAMES[FAKE_CALLS] = {"store", "sum", "logits"};
    static const kernel_fn KERNELS[FAKE_CALLS] = {fake_store, fake_sum, fake_logits};
    static const uint32_t N_BUFFERS[FAKE_CALLS] = {3, 2, 4};
    memcpy(f->buffers, buffers, sizeof buffers);
    f->n_past = affine_of(DIM_PAST, 1);
    for (int i = 0; i < FAKE_CALLS; i++) {
        bool rows = i == 2;
        f->names[i] = NAMES[i];
        f->kernels[i] = KERNELS[i];
        f->calls[i] =
            (program_call){.kernel = (uint32_t)i,
                           .label = NAMES[i],
                           .n_buffers = N_BUFFERS[i],
                           .buffers = f->buffers[i],
                           .n_sizes = !rows,
                           .sizes = &f->n_past,
                           .tiles = {.a = affine_of(rows ? DIM_OUTPUTS : DIM_TOKENS, 1), .divisor = 1, .factor = 1},
                           .grain = 1};
    }
    f->m.executable.program = (program){
        .architecture = "fake",
        .name = "fake",
        .n_vocab = FAKE_VOCAB,
        .n_ctx_train = FAKE_CTX,
        .n_embd = 8,
        .kv = {.n_layer = 1, .n_kv_heads = 1, .head_dim = 1, .type = KV_F32},
        .n_ropes = 1,
        .ropes = &f->rope,
        .n_kernels = FAKE_CALLS,
        .kernels = f->names,
        .n_calls = FAKE_CALLS,
        .calls = f->calls,
    };
    program_set_sequence(&f->m.executable.program, affine_of(DIM_TOKENS, 64), sizeof f->script, f->areas);
    f->m.executable.kernels = f->kernels;
    f->m.pack.data = (const unsigned char *)f->script;
    for (int i = 0; i < FAKE_CAPACITY; i++) f->script[i] = FAKE_NOISE;
    assert_int_equal(thread_pool_create(n_threads, &f->pool, NULL), WF_OK);
}

// As if it came from a checkpoint with nothing in it.
static inline void fake_model_add_file(fake_model *f)
{
    static const char GGUF[24] = "GGUF\3"; // no tensors, no values
    assert_int_equal(gguf_parse((const unsigned char *)GGUF, sizeof GGUF, "fake", &f->m.file, NULL), WF_OK);
    f->m.sizes = (model_sizes){FAKE_VOCAB, FAKE_CTX, f->m.executable.program.kv};
}

// Its file too.
static inline void fake_model_free(fake_model *f)
{
    thread_pool_free(f->pool);
    checkpoint_close(f->m.file);
}

// The logit after tokens[0 .. n) by definition, without session or program.
static inline float fake_expected(const fake_model *f, const int32_t *tokens, int64_t n, int64_t v)
{
    uint64_t sum = 0;
    for (int64_t i = 0; i < n; i++) sum += fake_hash(tokens[i], i);
    return fake_logit(sum, v, f->script[n - 1]);
}

#endif
