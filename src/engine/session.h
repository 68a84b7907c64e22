// A session: one sequence of tokens on an engine of its own, with its KV cache and its logits.
//
//     cache      [0 .. n_past)           tokens already evaluated; session_tokens gives their ids
//     context    n_past + n <= n_ctx     checked before anything is computed
//     chunk      n <= n_batch            one step of the engine; longer inputs are cut, the result is the same
#ifndef WELFORD_ENGINE_SESSION_H
#define WELFORD_ENGINE_SESSION_H

#include "engine/engine.h"

typedef struct session session;

// Sizes and their defaults as of engine_create.
wf_status session_create(const compiled_model *m, thread_pool *pool, int64_t n_ctx, int64_t n_batch, session **s,
                         wf_error *err);
void session_free(session *s); // NULL is fine

// What session_eval would refuse: an id outside the vocabulary (WF_ERROR_USAGE), more tokens than the context has room
// for (WF_ERROR_LIMIT).
wf_status session_check(const session *s, const int32_t *tokens, int64_t n, wf_error *err);

// Appends `n` >= 1 tokens to the sequence and computes the logits that follow each of tokens[first_logits .. n):
// first_logits = 0 means all, n - 1 the last, n none. On a refusal (see session_check) nothing has changed.
wf_status session_eval(session *s, const int32_t *tokens, int64_t n, int64_t first_logits, wf_error *err);

// Row `row` of the last session_eval's logits, [n_vocab] f32, row 0 belonging to tokens[first_logits]; NULL when there
// is no such row. Owned by the session; valid until the next session_eval.
const float *session_logits(const session *s, int64_t row);
int64_t session_logits_count(const session *s);

// Forgets all but the first n_past tokens (and the logits). WF_ERROR_USAGE when there are fewer.
wf_status session_truncate(session *s, int64_t n_past, wf_error *err);

// How many of `tokens` equal the start of the sequence.
int64_t session_common_prefix(const session *s, const int32_t *tokens, int64_t n);
// Becomes the longest beginning of `tokens` that the cache holds (sequence_match); returns its length.
int64_t session_match(session *s, const int32_t *tokens, int64_t n);

// As engine_set_store. session_store puts there what is whole of the sequence.
void session_set_store(session *s, prefix_store *store);
void session_store(session *s);

// `observer` is called after every walk over the program; NULL: no more.
void session_observe(session *s, execute_observer *observer, void *context);

// The state: ids and keys and values of the tokens in the cache, to be kept for later (session_file.h). That of n
// tokens is the same whatever the context's size.
size_t session_state_bytes(const session *s, int64_t n);        // of the keys and values of n tokens
void session_get_state(const session *s, unsigned char *state); // [session_state_bytes(s, n_past)]
// Replaces the sequence. WF_ERROR_LIMIT when the context is smaller, WF_ERROR_USAGE for an id that is none: nothing has
// changed then.
wf_status session_set_state(session *s, const int32_t *tokens, int64_t n, const unsigned char *state, wf_error *err);

int64_t session_past(const session *s); // tokens in the cache
int64_t session_context(const session *s);
int64_t session_batch(const session *s);
int64_t session_vocabulary(const session *s);
const int32_t *session_tokens(const session *s); // [n_past]

#endif
