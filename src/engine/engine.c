#include "engine/engine.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/checked.h"
#include "base/memory.h"

enum { ALIGNMENT = 64 };

// A piece of reserved virtual memory, zero where it was never written.
typedef struct area {
    unsigned char *data;
    size_t bytes;
} area;

struct engine {
    const compiled_model *m;
    thread_pool *pool;
    executor *executor;
    int64_t n_ctx;      // what the caller may use
    int64_t n_capacity; // kv_capacity(n_ctx): DIM_CONTEXT
    int64_t n_batch;
    int64_t n_rope;    // rows of the rotation tables that are filled
    int64_t n_outputs; // rows of logits
    area arena, rope;
    area tokens;  // [n_batch] i32: input of one step
    area rows;    // [n_batch] i32
    area logits;  // [n_outputs, n_vocab] f32, grown on demand, with ALIGNMENT bytes of slack
    bool batches; // a step of several sequences is one walk
    execute_segment *segments;
    size_t n_segments;
};

struct sequence {
    engine *e;
    int64_t n_past;
    area kv;
    area history; // [n_ctx] i32: ids in the cache
};

static wf_status area_reserve(area *a, size_t bytes, wf_error *err)
{
    if (bytes == 0) bytes = ALIGNMENT; // kernels get a valid pointer even for an area that the program does not use
    void *data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data == MAP_FAILED) return error_memory(err, bytes);
    *a = (area){data, bytes};
    return WF_OK;
}

static void area_release(area *a)
{
    if (a->data) munmap(a->data, a->bytes);
    *a = (area){0};
}

static const program *program_of(const engine *e) { return &e->m->executable.program; }

// Reserves an area of the program. Coefficients are not negative (program_check), so the largest call bounds every call.
static wf_status reserve(const engine *e, int base, area *a, wf_error *err)
{
    int64_t dims[DIM_COUNT], bytes;
    program_dims(e->n_batch, e->n_ctx, e->n_batch, e->n_capacity, dims);
    if (!affine_eval_checked(&program_of(e)->areas[base].bytes, dims, &bytes)) return error_memory(err, SIZE_MAX);
    return area_reserve(a, (size_t)bytes, err);
}

// Puts defaults in the place of 0, and refuses what is out of range.
static wf_status choose_sizes(int64_t n_ctx_train, int64_t *n_ctx, int64_t *n_batch, wf_error *err)
{
    if (*n_ctx == 0) *n_ctx = n_ctx_train < ENGINE_DEFAULT_CONTEXT ? n_ctx_train : ENGINE_DEFAULT_CONTEXT;
    if (*n_ctx < 1 || *n_ctx > n_ctx_train)
        return error_set(err, WF_ERROR_USAGE, "a context of %" PRId64 " tokens: this model takes 1 to %" PRId64, *n_ctx,
                         n_ctx_train);
    if (*n_batch == 0) *n_batch = ENGINE_DEFAULT_BATCH;
    if (*n_batch < 1) return error_set(err, WF_ERROR_USAGE, "a batch of %" PRId64 " tokens", *n_batch);
    if (*n_batch > *n_ctx) *n_batch = *n_ctx;
    return WF_OK;
}

wf_status engine_check_sizes(const model_sizes *m, int64_t *n_ctx, int64_t n_batch, wf_error *err)
{
    size_t bytes, memory = memory_total();
    TRY(choose_sizes(m->n_ctx_train, n_ctx, &n_batch, err));
    if (!kv_bytes(&m->kv, *n_ctx, &bytes)) bytes = SIZE_MAX;
    if (bytes <= memory) return WF_OK;
    return error_set(err, WF_ERROR_MEMORY,
                     "a context of %" PRId64 " tokens needs %zu bytes of memory for keys and values, there are %zu",
                     *n_ctx, bytes, memory);
}

wf_status engine_create(const compiled_model *m, thread_pool *pool, int64_t n_ctx, int64_t n_batch, engine **out,
                        wf_error *err)
{
    *out = NULL;
    TRY(choose_sizes(m->executable.program.n_ctx_train, &n_ctx, &n_batch, err));
    engine *e = calloc(1, sizeof *e);
    if (!e) return error_memory(err, sizeof *e);
    *e = (engine){.m = m, .pool = pool, .n_ctx = n_ctx, .n_capacity = kv_capacity(n_ctx), .n_batch = n_batch};
    wf_status status = reserve(e, BASE_ARENA, &e->arena, err);
    if (status == WF_OK) status = reserve(e, BASE_ROPE, &e->rope, err);
    if (status == WF_OK) status = area_reserve(&e->tokens, (size_t)n_batch * sizeof(int32_t), err);
    if (status == WF_OK) status = area_reserve(&e->rows, (size_t)n_batch * sizeof(int32_t), err);
    if (status == WF_OK) status = executor_create(&m->executable, pool, &e->executor, err);
    if (status != WF_OK) {
        engine_free(e);
        return status;
    }
    e->batches = executor_can_batch(e->executor);
    *out = e;
    return WF_OK;
}

void engine_free(engine *e)
{
    if (!e) return;
    area *areas[] = {&e->arena, &e->rope, &e->tokens, &e->rows, &e->logits};
    for (size_t i = 0; i < sizeof areas / sizeof *areas; i++) area_release(areas[i]);
    executor_free(e->executor);
    free(e->segments);
    free(e);
}

int64_t engine_context(const engine *e) { return e->n_ctx; }
int64_t engine_batch(const engine *e) { return e->n_batch; }
int64_t engine_vocabulary(const engine *e) { return program_of(e)->n_vocab; }

void engine_observe(engine *e, execute_observer *observer, void *context)
{
    executor_observe(e->executor, observer, context);
}

// ---- sequences

wf_status sequence_create(engine *e, sequence **out, wf_error *err)
{
    *out = NULL;
    sequence *q = calloc(1, sizeof *q);
    if (!q) return error_memory(err, sizeof *q);
    q->e = e;
    wf_status status = reserve(e, BASE_KV, &q->kv, err);
    if (status == WF_OK) status = area_reserve(&q->history, (size_t)e->n_ctx * sizeof(int32_t), err);
    if (status == WF_OK)
        *out = q;
    else
        sequence_free(q);
    return status;
}

void sequence_free(sequence *q)
{
    if (!q) return;
    area_release(&q->kv);
    area_release(&q->history);
    free(q);
}

int64_t sequence_past(const sequence *q) { return q->n_past; }
const int32_t *sequence_tokens(const sequence *q) { return (const int32_t *)(const void *)q->history.data; }

wf_status sequence_check(const sequence *q, const int32_t *tokens, int64_t n, wf_error *err)
{
    if (n < 1) return error_set(err, WF_ERROR_USAGE, "no tokens to evaluate");
    if (n > q->e->n_ctx - q->n_past)
        return error_set(err, WF_ERROR_LIMIT,
                         "the context is full: %" PRId64 " tokens in it and %" PRId64 " more, room for %" PRId64,
                         q->n_past, n, q->e->n_ctx);
    int64_t n_vocab = engine_vocabulary(q->e);
    for (int64_t i = 0; i < n; i++)
        if (tokens[i] < 0 || tokens[i] >= n_vocab)
            return error_set(err, WF_ERROR_USAGE,
                             "token %" PRId32 " at index %" PRId64 " is outside the vocabulary of %" PRId64, tokens[i],
                             i, n_vocab);
    return WF_OK;
}

wf_status sequence_truncate(sequence *q, int64_t n_past, wf_error *err)
{
    if (n_past < 0 || n_past > q->n_past)
        return error_set(err, WF_ERROR_USAGE, "cannot go back to %" PRId64 " tokens: the cache holds %" PRId64, n_past,
                         q->n_past);
    q->n_past = n_past;
    return WF_OK;
}

int64_t sequence_common_prefix(const sequence *q, const int32_t *tokens, int64_t n)
{
    const int32_t *history = sequence_tokens(q);
    int64_t limit = n < q->n_past ? n : q->n_past, i = 0;
    while (i < limit && history[i] == tokens[i]) i++;
    return i;
}

static const kv_layout *layout_of(const sequence *q) { return &program_of(q->e)->kv; }

size_t sequence_state_bytes(const sequence *q, int64_t n) { return kv_state_bytes(layout_of(q), n); }

void sequence_get_state(const sequence *q, unsigned char *state)
{
    kv_copy_out(layout_of(q), q->kv.data, q->e->n_ctx, q->n_past, state);
}

static void set_tokens(sequence *q, const int32_t *tokens, int64_t n)
{
    if (n) memcpy(q->history.data, tokens, (size_t)n * sizeof *tokens);
    q->n_past = n;
}

wf_status sequence_set_state(sequence *q, const int32_t *tokens, int64_t n, const unsigned char *state, wf_error *err)
{
    int64_t n_past = q->n_past;
    q->n_past = 0;
    wf_status status = n ? sequence_check(q, tokens, n, err) : WF_OK;
    q->n_past = n_past;
    if (status != WF_OK) return status;
    kv_copy_in(layout_of(q), q->kv.data, q->e->n_ctx, n, state);
    set_tokens(q, tokens, n);
    return WF_OK;
}

wf_status sequence_copy(sequence *q, const sequence *from, int64_t n, wf_error *err)
{
    if (n < 0 || n > from->n_past)
        return error_set(err, WF_ERROR_USAGE, "cannot copy %" PRId64 " tokens: the cache holds %" PRId64, n,
                         from->n_past);
    size_t bytes = kv_state_bytes(layout_of(q), n);
    unsigned char *state = malloc(bytes ? bytes : 1);
    if (!state) return error_memory(err, bytes);
    kv_copy_out(layout_of(q), from->kv.data, q->e->n_ctx, n, state);
    kv_copy_in(layout_of(q), q->kv.data, q->e->n_ctx, n, state);
    free(state);
    set_tokens(q, sequence_tokens(from), n);
    return WF_OK;
}

// ---- steps

// Rows [n_rope, n) of every table. Angles are taken in double: at position 100,000 a float angle is off by 0.004 rad.
static void fill_rope(engine *e, int64_t n)
{
    const program *p = program_of(e);
    float *table = (float *)(void *)e->rope.data;
    for (uint32_t i = 0; i < p->n_ropes; i++) {
        const program_rope *rope = &p->ropes[i];
        int64_t half = rope->n_dims / 2;
        for (int64_t position = e->n_rope; position < n; position++) {
            float *row = table + position * rope->n_dims;
            for (int64_t d = 0; d < half; d++) {
                double angle = (double)position * rope->inv_freq[d];
                row[d] = (float)(cos(angle) * rope->magnitude);
                row[half + d] = (float)(sin(angle) * rope->magnitude);
            }
        }
        table += e->n_capacity * rope->n_dims;
    }
    if (n > e->n_rope) e->n_rope = n;
}

wf_status engine_begin_logits(engine *e, int64_t n, wf_error *err)
{
    size_t bytes;
    if (!checked_mul((size_t)n * sizeof(float), (size_t)engine_vocabulary(e), &bytes) ||
        !checked_add(bytes, ALIGNMENT, &bytes))
        return error_memory(err, SIZE_MAX);
    if (bytes > e->logits.bytes) {
        area larger;
        TRY(area_reserve(&larger, bytes, err));
        area_release(&e->logits);
        e->logits = larger;
    }
    e->n_outputs = 0;
    return WF_OK;
}

int64_t engine_logits_count(const engine *e) { return e->n_outputs; }

const float *engine_logits(const engine *e, int64_t row)
{
    if (row < 0 || row >= e->n_outputs) return NULL;
    return (const float *)(const void *)e->logits.data + row * engine_vocabulary(e);
}

// Kernels want aligned operands, but rows of logits follow each other without gaps: a step whose rows would start between
// lines writes them up to 63 bytes further (the area's slack), and they are moved down.
static wf_status run(engine *e, const execute_segment *segments, uint32_t n, int64_t n_tokens, int64_t n_outputs,
                     wf_error *err)
{
    size_t row_bytes = (size_t)engine_vocabulary(e) * sizeof(float);
    size_t at = (size_t)e->n_outputs * row_bytes, aligned = (at + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    unsigned char *const logits = e->logits.data;
    unsigned char *const bases[BASE_COUNT] = {
        [BASE_ARENA] = e->arena.data,
        [BASE_WEIGHTS] = (unsigned char *)e->m->pack.data, // read-only: no kernel writes here
        [BASE_KV] = segments[0].kv,
        [BASE_ROPE] = e->rope.data,
        [BASE_TOKENS] = e->tokens.data,
        [BASE_ROWS] = e->rows.data,
        [BASE_LOGITS] = n_outputs ? logits + aligned : e->arena.data,
    };
    int64_t dims[DIM_COUNT];
    program_dims(n_tokens, n == 1 ? segments[0].n_past : 0, n_outputs, e->n_capacity, dims);
    TRY(n == 1 ? executor_run(e->executor, bases, dims, err)
               : executor_run_batch(e->executor, bases, dims, segments, n, err));
    if (aligned != at && n_outputs) memmove(logits + at, logits + aligned, (size_t)n_outputs * row_bytes);
    e->n_outputs += n_outputs;
    return WF_OK;
}

static wf_status reserve_segments(engine *e, uint32_t n, wf_error *err)
{
    if (n <= e->n_segments) return WF_OK;
    execute_segment *segments = realloc(e->segments, n * sizeof *segments);
    if (!segments) return error_memory(err, n * sizeof *segments);
    e->segments = segments;
    e->n_segments = n;
    return WF_OK;
}

// Everything checked: one walk over the program.
static wf_status walk(engine *e, const step_part *parts, uint32_t n_parts, wf_error *err)
{
    int32_t *tokens = (int32_t *)(void *)e->tokens.data, *rows = (int32_t *)(void *)e->rows.data;
    int64_t n_tokens = 0, n_outputs = 0;
    TRY(reserve_segments(e, n_parts, err));
    for (uint32_t i = 0; i < n_parts; i++) {
        const step_part *part = &parts[i];
        e->segments[i] = (execute_segment){
            .first = n_tokens, .n_tokens = part->n, .n_past = part->q->n_past, .kv = part->q->kv.data};
        memcpy(tokens + n_tokens, part->tokens, (size_t)part->n * sizeof *tokens);
        for (int64_t k = part->first_logits; k < part->n; k++) rows[n_outputs++] = (int32_t)(n_tokens + k);
        n_tokens += part->n;
        fill_rope(e, part->q->n_past + part->n);
    }
    TRY(run(e, e->segments, n_parts, n_tokens, n_outputs, err));
    for (uint32_t i = 0; i < n_parts; i++) {
        sequence *q = parts[i].q;
        memcpy(q->history.data + (size_t)q->n_past * sizeof *tokens, parts[i].tokens,
               (size_t)parts[i].n * sizeof *tokens);
        q->n_past += parts[i].n;
    }
    return WF_OK;
}

static wf_status check_parts(const engine *e, const step_part *parts, uint32_t n_parts, wf_error *err)
{
    int64_t n_tokens = 0;
    if (n_parts == 0) return error_set(err, WF_ERROR_USAGE, "a step of no sequence");
    for (uint32_t i = 0; i < n_parts; i++) {
        TRY(sequence_check(parts[i].q, parts[i].tokens, parts[i].n, err));
        if (parts[i].first_logits < 0 || parts[i].first_logits > parts[i].n)
            return error_set(err, WF_ERROR_USAGE, "logits from token %" PRId64 " on of %" PRId64, parts[i].first_logits,
                             parts[i].n);
        n_tokens += parts[i].n;
        for (uint32_t k = 0; k < i; k++)
            if (parts[k].q == parts[i].q) return error_set(err, WF_ERROR_USAGE, "a sequence is twice in a step");
    }
    if (n_tokens <= e->n_batch) return WF_OK;
    return error_set(err, WF_ERROR_USAGE, "a step of %" PRId64 " tokens, there may be %" PRId64, n_tokens, e->n_batch);
}

wf_status engine_step(engine *e, const step_part *parts, uint32_t n_parts, wf_error *err)
{
    TRY(check_parts(e, parts, n_parts, err));
    if (n_parts == 1 || e->batches) return walk(e, parts, n_parts, err);
    for (uint32_t i = 0; i < n_parts; i++) {
        wf_status status = walk(e, &parts[i], 1, err);
        if (status == WF_OK) continue;
        for (uint32_t k = 0; k < i; k++) parts[k].q->n_past -= parts[k].n;
        return status;
    }
    return WF_OK;
}
