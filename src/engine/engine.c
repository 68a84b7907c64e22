#include "engine/engine.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "engine/engine_parts.h" // IWYU pragma: keep (engine, sequence)

enum { ALIGNMENT = AREA_ALIGNMENT };

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
static wf_status choose_sizes(int64_t n_ctx_train, engine_options *o, wf_error *err)
{
    if (o->n_sequences == 0) o->n_sequences = 1;
    if (o->n_sequences < 1 || o->n_sequences > ENGINE_MOST_SEQUENCES)
        return error_set(err, WF_ERROR_USAGE, "%" PRId64 " sequences: there may be 1 to %d", o->n_sequences,
                         ENGINE_MOST_SEQUENCES);
    if (o->n_blocks < 0 || o->n_blocks > INT32_MAX)
        return error_set(err, WF_ERROR_USAGE, "a cache of %" PRId64 " blocks", o->n_blocks);
    int64_t room = o->n_blocks ? o->n_blocks * KV_BLOCK : INT64_MAX; // positions of all blocks
    if (o->n_ctx == 0) {
        o->n_ctx = n_ctx_train < ENGINE_DEFAULT_CONTEXT ? n_ctx_train : ENGINE_DEFAULT_CONTEXT;
        if (o->n_ctx > room) o->n_ctx = room;
    }
    if (o->n_ctx < 1 || o->n_ctx > n_ctx_train)
        return error_set(err, WF_ERROR_USAGE, "a context of %" PRId64 " tokens: this model takes 1 to %" PRId64,
                         o->n_ctx, n_ctx_train);
    if (o->n_ctx > room)
        return error_set(err, WF_ERROR_USAGE,
                         "a context of %" PRId64 " tokens: the cache has %" PRId64 " blocks of %d tokens", o->n_ctx,
                         o->n_blocks, KV_BLOCK);
    if (o->n_blocks == 0) o->n_blocks = o->n_sequences * kv_blocks(o->n_ctx);
    if (o->n_batch == 0) o->n_batch = ENGINE_DEFAULT_BATCH;
    if (o->n_batch < 1) return error_set(err, WF_ERROR_USAGE, "a batch of %" PRId64 " tokens", o->n_batch);
    int64_t most = o->n_sequences * o->n_ctx;
    if (o->n_batch > most) o->n_batch = most;
    return WF_OK;
}

wf_status engine_check_sizes(const model_sizes *m, engine_options *o, wf_error *err)
{
    size_t bytes, memory = memory_total();
    TRY(choose_sizes(m->n_ctx_train, o, err));
    if (!kv_block_bytes(&m->kv, &bytes) || !checked_mul(bytes, (size_t)o->n_blocks, &bytes)) bytes = SIZE_MAX;
    if (bytes <= memory) return WF_OK;
    if (o->n_blocks == kv_blocks(o->n_ctx))
        return error_set(err, WF_ERROR_MEMORY,
                         "a context of %" PRId64 " tokens needs %zu bytes of memory for keys and values, there are %zu",
                         o->n_ctx, bytes, memory);
    return error_set(err, WF_ERROR_MEMORY,
                     "%" PRId64 " blocks of %d tokens need %zu bytes of memory for keys and values, there are %zu",
                     o->n_blocks, KV_BLOCK, bytes, memory);
}

wf_status engine_create(const compiled_model *m, thread_pool *pool, const engine_options *options, engine **out,
                        wf_error *err)
{
    engine_options o = *options;
    size_t block_bytes;
    *out = NULL;
    TRY(choose_sizes(m->executable.program.n_ctx_train, &o, err));
    if (!kv_block_bytes(&m->executable.program.kv, &block_bytes)) return error_memory(err, SIZE_MAX);
    engine *e = calloc(1, sizeof *e);
    if (!e) return error_memory(err, sizeof *e);
    *e = (engine){.m = m, .pool = pool, .n_ctx = o.n_ctx, .n_capacity = kv_capacity(o.n_ctx), .n_batch = o.n_batch};
    wf_status status = reserve(e, BASE_ARENA, &e->arena, err);
    if (status == WF_OK) status = reserve(e, BASE_ROPE, &e->rope, err);
    if (status == WF_OK) status = area_reserve(&e->tokens, (size_t)o.n_batch * sizeof(int32_t), err);
    if (status == WF_OK) status = area_reserve(&e->rows, (size_t)o.n_batch * sizeof(int32_t), err);
    if (status == WF_OK) status = executor_create(&m->executable, pool, &e->executor, err);
    if (status == WF_OK) status = block_pool_create(block_bytes, o.n_blocks, &e->blocks, err);
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
    block_pool_free(e->blocks);
    executor_free(e->executor);
    free(e->segments);
    free(e);
}

int64_t engine_context(const engine *e) { return e->n_ctx; }
int64_t engine_batch(const engine *e) { return e->n_batch; }
void engine_set_store(engine *e, prefix_store *store) { e->store = store; }
bool engine_has_store(const engine *e) { return e->store != NULL; }
block_pool_counts engine_blocks(const engine *e) { return block_pool_count(e->blocks); }
int64_t engine_vocabulary(const engine *e) { return program_of(e)->n_vocab; }

void engine_observe(engine *e, execute_observer *observer, void *context)
{
    executor_observe(e->executor, observer, context);
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
        [BASE_KV] = (unsigned char *)(uintptr_t)segments[0].blocks,
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
            .first = n_tokens, .n_tokens = part->n, .n_past = part->q->n_past, .blocks = part->q->table};
        memcpy(tokens + n_tokens, part->tokens, (size_t)part->n * sizeof *tokens);
        for (int64_t k = part->first_logits; k < part->n; k++) rows[n_outputs++] = (int32_t)(n_tokens + k);
        n_tokens += part->n;
        fill_rope(e, part->q->n_past + part->n);
    }
    TRY(run(e, e->segments, n_parts, n_tokens, n_outputs, err));
    for (uint32_t i = 0; i < n_parts; i++) {
        sequence *q = parts[i].q;
        memcpy(q->history + q->n_past, parts[i].tokens, (size_t)parts[i].n * sizeof *tokens);
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
    for (uint32_t i = 0; i < n_parts; i++)
        if (!sequence_reserve(parts[i].q, parts[i].n))
            return error_set(err, WF_ERROR_LIMIT, "the cache is full: all of its %" PRId64 " blocks are in use",
                             engine_blocks(e).n_blocks);
    if (n_parts == 1 || e->batches) return walk(e, parts, n_parts, err);
    for (uint32_t i = 0; i < n_parts; i++) {
        wf_status status = walk(e, &parts[i], 1, err);
        if (status == WF_OK) continue;
        for (uint32_t k = 0; k < i; k++) parts[k].q->n_past -= parts[k].n;
        return status;
    }
    return WF_OK;
}
