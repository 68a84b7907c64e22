#include "engine/session.h"

#include <inttypes.h>
#include <stdlib.h>

struct session {
    engine *e;
    sequence *q;
};

wf_status session_create(const compiled_model *m, thread_pool *pool, int64_t n_ctx, int64_t n_batch, session **out,
                         wf_error *err)
{
    *out = NULL;
    session *s = calloc(1, sizeof *s);
    if (!s) return error_memory(err, sizeof *s);
    const engine_options o = {.n_ctx = n_ctx, .n_batch = n_batch};
    wf_status status = engine_create(m, pool, &o, &s->e, err);
    if (status == WF_OK) status = sequence_create(s->e, &s->q, err);
    if (status == WF_OK)
        *out = s;
    else
        session_free(s);
    return status;
}

void session_free(session *s)
{
    if (!s) return;
    sequence_free(s->q);
    engine_free(s->e);
    free(s);
}

wf_status session_check(const session *s, const int32_t *tokens, int64_t n, wf_error *err)
{
    return sequence_check(s->q, tokens, n, err);
}

wf_status session_eval(session *s, const int32_t *tokens, int64_t n, int64_t first_logits, wf_error *err)
{
    TRY(session_check(s, tokens, n, err));
    if (first_logits < 0 || first_logits > n)
        return error_set(err, WF_ERROR_USAGE, "logits from token %" PRId64 " on of %" PRId64, first_logits, n);
    TRY(engine_begin_logits(s->e, n - first_logits, err));
    int64_t n_batch = engine_batch(s->e);
    for (int64_t begin = 0; begin < n; begin += n_batch) {
        int64_t size = n - begin < n_batch ? n - begin : n_batch, first = first_logits - begin;
        const step_part part = {s->q, tokens + begin, size, first < 0 ? 0 : first > size ? size : first};
        TRY(engine_step(s->e, &part, 1, err));
    }
    return WF_OK;
}

const float *session_logits(const session *s, int64_t row) { return engine_logits(s->e, row); }
int64_t session_logits_count(const session *s) { return engine_logits_count(s->e); }

wf_status session_truncate(session *s, int64_t n_past, wf_error *err)
{
    TRY(sequence_truncate(s->q, n_past, err));
    return engine_begin_logits(s->e, 0, err);
}

size_t session_state_bytes(const session *s, int64_t n) { return sequence_state_bytes(s->q, n); }

void session_get_state(const session *s, unsigned char *state) { sequence_get_state(s->q, state); }

wf_status session_set_state(session *s, const int32_t *tokens, int64_t n, const unsigned char *state, wf_error *err)
{
    TRY(sequence_set_state(s->q, tokens, n, state, err));
    return engine_begin_logits(s->e, 0, err);
}

void session_observe(session *s, execute_observer *observer, void *context) { engine_observe(s->e, observer, context); }

int64_t session_common_prefix(const session *s, const int32_t *tokens, int64_t n)
{
    return sequence_common_prefix(s->q, tokens, n);
}

void session_set_store(session *s, prefix_store *store) { engine_set_store(s->e, store); }

void session_store(session *s)
{
    while (sequence_store_next(s->q)) continue;
}

int64_t session_match(session *s, const int32_t *tokens, int64_t n) { return sequence_match(s->q, tokens, n); }

int64_t session_past(const session *s) { return sequence_past(s->q); }
int64_t session_context(const session *s) { return engine_context(s->e); }
int64_t session_batch(const session *s) { return engine_batch(s->e); }
int64_t session_vocabulary(const session *s) { return engine_vocabulary(s->e); }
const int32_t *session_tokens(const session *s) { return sequence_tokens(s->q); }
