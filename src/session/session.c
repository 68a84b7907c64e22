#include "session/session.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/checked.h"
#include "base/memory.h"
#include "runtime/execute.h"

enum { ALIGNMENT = 64 };

// A piece of reserved virtual memory, zero where it was never written.
typedef struct area {
    unsigned char *data;
    size_t bytes;
} area;

struct session {
    const compiled_model *m;
    thread_pool *pool;
    executor *executor;
    int64_t n_ctx;      // what the caller may use
    int64_t n_capacity; // kv_capacity(n_ctx): DIM_CONTEXT
    int64_t n_batch, n_past;
    int64_t n_rope;    // rows of the rotation tables that are filled
    int64_t n_outputs; // rows of logits
    area arena, kv, rope;
    area tokens;  // [n_batch] i32: input of one chunk
    area rows;    // [n_batch] i32
    area history; // [n_ctx] i32: ids in the cache
    area logits;  // [n_outputs, n_vocab] f32, grown on demand, with ALIGNMENT bytes of slack
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

static wf_status reserve_areas(session *s, wf_error *err)
{
    const program *p = &s->m->executable.program;
    area *const areas[] = {[BASE_ARENA] = &s->arena, [BASE_KV] = &s->kv, [BASE_ROPE] = &s->rope};
    static const int RESERVED[] = {BASE_ARENA, BASE_KV, BASE_ROPE};
    // Coefficients are not negative (program_check), so the largest call bounds every call.
    int64_t dims[DIM_COUNT], bytes;
    program_dims(s->n_batch, s->n_ctx, s->n_batch, s->n_capacity, dims);
    for (size_t i = 0; i < sizeof RESERVED / sizeof *RESERVED; i++) {
        if (!affine_eval_checked(&p->areas[RESERVED[i]].bytes, dims, &bytes)) return error_memory(err, SIZE_MAX);
        TRY(area_reserve(areas[RESERVED[i]], (size_t)bytes, err));
    }
    TRY(area_reserve(&s->tokens, (size_t)s->n_batch * sizeof(int32_t), err));
    TRY(area_reserve(&s->rows, (size_t)s->n_batch * sizeof(int32_t), err));
    return area_reserve(&s->history, (size_t)s->n_ctx * sizeof(int32_t), err);
}

// Puts defaults in the place of 0, and refuses what is out of range.
static wf_status choose_sizes(int64_t n_ctx_train, int64_t *n_ctx, int64_t *n_batch, wf_error *err)
{
    if (*n_ctx == 0) *n_ctx = n_ctx_train < SESSION_DEFAULT_CONTEXT ? n_ctx_train : SESSION_DEFAULT_CONTEXT;
    if (*n_ctx < 1 || *n_ctx > n_ctx_train)
        return error_set(err, WF_ERROR_USAGE, "a context of %" PRId64 " tokens: this model takes 1 to %" PRId64, *n_ctx,
                         n_ctx_train);
    if (*n_batch == 0) *n_batch = SESSION_DEFAULT_BATCH;
    if (*n_batch < 1) return error_set(err, WF_ERROR_USAGE, "a batch of %" PRId64 " tokens", *n_batch);
    if (*n_batch > *n_ctx) *n_batch = *n_ctx;
    return WF_OK;
}

wf_status session_check_sizes(const model_sizes *m, int64_t *n_ctx, int64_t n_batch, wf_error *err)
{
    size_t bytes, memory = memory_total();
    TRY(choose_sizes(m->n_ctx_train, n_ctx, &n_batch, err));
    if (!kv_bytes(&m->kv, *n_ctx, &bytes)) bytes = SIZE_MAX;
    if (bytes <= memory) return WF_OK;
    return error_set(err, WF_ERROR_MEMORY,
                     "a context of %" PRId64 " tokens needs %zu bytes of memory for keys and values, there are %zu",
                     *n_ctx, bytes, memory);
}

wf_status session_create(const compiled_model *m, thread_pool *pool, int64_t n_ctx, int64_t n_batch, session **out,
                         wf_error *err)
{
    *out = NULL;
    TRY(choose_sizes(m->executable.program.n_ctx_train, &n_ctx, &n_batch, err));
    session *s = calloc(1, sizeof *s);
    if (!s) return error_memory(err, sizeof *s);
    s->m = m;
    s->pool = pool;
    s->n_ctx = n_ctx;
    s->n_capacity = kv_capacity(n_ctx);
    s->n_batch = n_batch;
    wf_status status = reserve_areas(s, err);
    if (status == WF_OK) status = executor_create(&m->executable, pool, &s->executor, err);
    if (status == WF_OK)
        *out = s;
    else
        session_free(s);
    return status;
}

void session_free(session *s)
{
    if (!s) return;
    area *areas[] = {&s->arena, &s->kv, &s->rope, &s->tokens, &s->rows, &s->history, &s->logits};
    for (size_t i = 0; i < sizeof areas / sizeof *areas; i++) area_release(areas[i]);
    executor_free(s->executor);
    free(s);
}

// Rows [n_rope, n) of every table. Angles are taken in double: at position 100,000 a float angle is off by 0.004 rad.
static void fill_rope(session *s, int64_t n)
{
    const program *p = &s->m->executable.program;
    float *table = (float *)(void *)s->rope.data;
    for (uint32_t i = 0; i < p->n_ropes; i++) {
        const program_rope *rope = &p->ropes[i];
        int64_t half = rope->n_dims / 2;
        for (int64_t position = s->n_rope; position < n; position++) {
            float *row = table + position * rope->n_dims;
            for (int64_t d = 0; d < half; d++) {
                double angle = (double)position * rope->inv_freq[d];
                row[d] = (float)(cos(angle) * rope->magnitude);
                row[half + d] = (float)(sin(angle) * rope->magnitude);
            }
        }
        table += s->n_capacity * rope->n_dims;
    }
    if (n > s->n_rope) s->n_rope = n;
}

// Room for n rows of logits. What the area held before is lost.
static wf_status reserve_logits(session *s, int64_t n, wf_error *err)
{
    size_t bytes;
    if (!checked_mul((size_t)n * sizeof(float), (size_t)s->m->executable.program.n_vocab, &bytes) ||
        !checked_add(bytes, ALIGNMENT, &bytes))
        return error_memory(err, SIZE_MAX);
    if (bytes <= s->logits.bytes) return WF_OK;
    area larger;
    TRY(area_reserve(&larger, bytes, err));
    area_release(&s->logits);
    s->logits = larger;
    return WF_OK;
}

wf_status session_check(const session *s, const int32_t *tokens, int64_t n, wf_error *err)
{
    if (n < 1) return error_set(err, WF_ERROR_USAGE, "no tokens to evaluate");
    if (n > s->n_ctx - s->n_past)
        return error_set(err, WF_ERROR_LIMIT,
                         "the context is full: %" PRId64 " tokens in it and %" PRId64 " more, room for %" PRId64,
                         s->n_past, n, s->n_ctx);
    int64_t n_vocab = s->m->executable.program.n_vocab;
    for (int64_t i = 0; i < n; i++)
        if (tokens[i] < 0 || tokens[i] >= n_vocab)
            return error_set(err, WF_ERROR_USAGE,
                             "token %" PRId32 " at index %" PRId64 " is outside the vocabulary of %" PRId64, tokens[i],
                             i, n_vocab);
    return WF_OK;
}

// One walk over the program: n <= n_batch tokens, logits of tokens[first .. n) to rows from s->n_outputs on. Nothing
// has changed when it fails.
static wf_status eval_chunk(session *s, const int32_t *tokens, int64_t n, int64_t first, wf_error *err)
{
    int64_t n_outputs = n - first;
    int32_t *rows = (int32_t *)(void *)s->rows.data;
    for (int64_t i = 0; i < n_outputs; i++) rows[i] = (int32_t)(first + i);
    memcpy(s->tokens.data, tokens, (size_t)n * sizeof *tokens);
    fill_rope(s, s->n_past + n);

    // Kernels want aligned operands, but rows of logits follow each other without gaps: a chunk that would start
    // between lines is written up to 63 bytes further (the area's slack) and moved down.
    size_t row_bytes = (size_t)s->m->executable.program.n_vocab * sizeof(float);
    size_t at = (size_t)s->n_outputs * row_bytes, aligned = (at + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    unsigned char *const logits = s->logits.data;
    unsigned char *const bases[BASE_COUNT] = {
        [BASE_ARENA] = s->arena.data,
        [BASE_WEIGHTS] = (unsigned char *)s->m->pack.data, // read-only: no kernel writes here
        [BASE_KV] = s->kv.data,
        [BASE_ROPE] = s->rope.data,
        [BASE_TOKENS] = s->tokens.data,
        [BASE_ROWS] = s->rows.data,
        [BASE_LOGITS] = n_outputs ? logits + aligned : s->arena.data,
    };
    int64_t dims[DIM_COUNT];
    program_dims(n, s->n_past, n_outputs, s->n_capacity, dims);
    TRY(executor_run(s->executor, bases, dims, err));
    if (aligned != at && n_outputs) memmove(logits + at, logits + aligned, (size_t)n_outputs * row_bytes);

    memcpy(s->history.data + (size_t)s->n_past * sizeof *tokens, tokens, (size_t)n * sizeof *tokens);
    s->n_past += n;
    s->n_outputs += n_outputs;
    return WF_OK;
}

wf_status session_eval(session *s, const int32_t *tokens, int64_t n, int64_t first_logits, wf_error *err)
{
    TRY(session_check(s, tokens, n, err));
    if (first_logits < 0 || first_logits > n)
        return error_set(err, WF_ERROR_USAGE, "logits from token %" PRId64 " on of %" PRId64, first_logits, n);
    if (first_logits < n) TRY(reserve_logits(s, n - first_logits, err));
    s->n_outputs = 0;
    for (int64_t begin = 0; begin < n; begin += s->n_batch) {
        int64_t size = n - begin < s->n_batch ? n - begin : s->n_batch;
        int64_t first = first_logits - begin;
        TRY(eval_chunk(s, tokens + begin, size, first < 0 ? 0 : first > size ? size : first, err));
    }
    return WF_OK;
}

const float *session_logits(const session *s, int64_t row)
{
    if (row < 0 || row >= s->n_outputs) return NULL;
    return (const float *)(const void *)s->logits.data + row * s->m->executable.program.n_vocab;
}

int64_t session_logits_count(const session *s) { return s->n_outputs; }

wf_status session_truncate(session *s, int64_t n_past, wf_error *err)
{
    if (n_past < 0 || n_past > s->n_past)
        return error_set(err, WF_ERROR_USAGE, "cannot go back to %" PRId64 " tokens: the cache holds %" PRId64, n_past,
                         s->n_past);
    s->n_past = n_past;
    s->n_outputs = 0;
    return WF_OK;
}

static const kv_layout *layout_of(const session *s) { return &s->m->executable.program.kv; }

size_t session_state_bytes(const session *s, int64_t n) { return kv_state_bytes(layout_of(s), n); }

void session_get_state(const session *s, unsigned char *state)
{
    kv_copy_out(layout_of(s), s->kv.data, s->n_ctx, s->n_past, state);
}

wf_status session_set_state(session *s, const int32_t *tokens, int64_t n, const unsigned char *state, wf_error *err)
{
    int64_t n_past = s->n_past;
    s->n_past = 0;
    wf_status status = n ? session_check(s, tokens, n, err) : WF_OK;
    s->n_past = status == WF_OK ? n : n_past;
    if (status != WF_OK) return status;
    kv_copy_in(layout_of(s), s->kv.data, s->n_ctx, n, state);
    if (n) memcpy(s->history.data, tokens, (size_t)n * sizeof *tokens);
    s->n_outputs = 0;
    fill_rope(s, n);
    return WF_OK;
}

void session_observe(session *s, execute_observer *observer, void *context)
{
    executor_observe(s->executor, observer, context);
}

int64_t session_common_prefix(const session *s, const int32_t *tokens, int64_t n)
{
    const int32_t *history = session_tokens(s);
    int64_t limit = n < s->n_past ? n : s->n_past, i = 0;
    while (i < limit && history[i] == tokens[i]) i++;
    return i;
}

int64_t session_past(const session *s) { return s->n_past; }
int64_t session_context(const session *s) { return s->n_ctx; }
int64_t session_batch(const session *s) { return s->n_batch; }
int64_t session_vocabulary(const session *s) { return s->m->executable.program.n_vocab; }
const int32_t *session_tokens(const session *s) { return (const int32_t *)(const void *)s->history.data; }
