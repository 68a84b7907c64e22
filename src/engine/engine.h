// An engine: what computes on a model for any number of sequences: the arena, the rotation tables, the logits, and the
// blocks of the KV cache.
//
//     sequence 0  [blocks 0 1 4 5, 212 tokens] ── 1 token ───┐
//     sequence 1  [block  2,        31 tokens] ── 1 token ───┼──▶ one walk over the program ──▶ rows of logits
//     sequence 2  [blocks 0 1,     128 tokens] ── 64 tokens ─┘
//
// A step reads the weights once for all of them; only what looks at positions is computed a sequence at a time. What a
// sequence's tokens give does not depend on what else is in the step. Sequences that begin alike share blocks, and what
// a sequence leaves behind is found again as long as its place is not needed (block_pool.h). All areas are reserved once
// as virtual memory; pages that no call touches cost nothing.
#ifndef WELFORD_ENGINE_ENGINE_H
#define WELFORD_ENGINE_ENGINE_H

#include "engine/block_pool.h"
#include "engine/prefix_store.h"
#include "runtime/compiled_model.h"
#include "runtime/execute.h"

typedef struct engine engine;

enum { ENGINE_DEFAULT_BATCH = 512, ENGINE_DEFAULT_CONTEXT = 4096, ENGINE_MOST_SEQUENCES = 4096 };

typedef struct engine_options {
    int64_t n_ctx;       // tokens that fit into a sequence, 1 .. n_ctx_train; 0: the smaller of n_ctx_train and 4096
    int64_t n_batch;     // tokens of one step; 0: 512
    int64_t n_sequences; // that the cache has room for at full length; 0: 1
    int64_t n_blocks;    // of the cache, for n_ctx tokens at least; 0: what n_sequences need
} engine_options;

// Before a model is loaded: what engine_create would refuse, and a cache that is larger than all memory there is
// (WF_ERROR_MEMORY). Sizes of 0 become what they stand for.
wf_status engine_check_sizes(const model_sizes *m, engine_options *options, wf_error *err);

// `m` and `pool` must outlive the engine; a pool serves one call at a time. WF_ERROR_USAGE for sizes out of range.
wf_status engine_create(const compiled_model *m, thread_pool *pool, const engine_options *options, engine **e,
                        wf_error *err);
void engine_free(engine *e); // NULL is fine; after its sequences

// ---- sequences

typedef struct sequence sequence; // tokens with their keys and values, [0 .. n_past)

wf_status sequence_create(engine *e, sequence **q, wf_error *err);
void sequence_free(sequence *q); // NULL is fine

// What a step would refuse: an id outside the vocabulary (WF_ERROR_USAGE), more tokens than the context has room for
// (WF_ERROR_LIMIT), none.
wf_status sequence_check(const sequence *q, const int32_t *tokens, int64_t n, wf_error *err);

// Forgets all but the first n_past tokens. WF_ERROR_USAGE when there are fewer.
wf_status sequence_truncate(sequence *q, int64_t n_past, wf_error *err);

// How many of `tokens` equal the start of the sequence.
int64_t sequence_common_prefix(const sequence *q, const int32_t *tokens, int64_t n);

// Becomes the longest beginning of `tokens` that the cache holds, in memory or in the engine's store, whoever computed it:
// at least its own common prefix, else whole blocks. Returns its length.
int64_t sequence_match(sequence *q, const int32_t *tokens, int64_t n);

// Becomes the first n tokens of another sequence of the engine, whose blocks it shares. WF_ERROR_USAGE when it has fewer.
wf_status sequence_copy(sequence *q, const sequence *from, int64_t n, wf_error *err);

int64_t sequence_past(const sequence *q);
const int32_t *sequence_tokens(const sequence *q); // [n_past]

// Puts the first whole block into the engine's store that is not there yet. False: there is none, or no store, or it could
// not be written.
bool sequence_store_next(sequence *q);

// Takes what blocks n more tokens need, n within the context; false: there are not as many, and it has taken none. A step
// does so itself.
bool sequence_reserve(sequence *q, int64_t n);

// The state: keys and values of the tokens, to be kept for later. That of n tokens is the same whatever the context's
// size.
size_t sequence_state_bytes(const sequence *q, int64_t n);
void sequence_get_state(const sequence *q, unsigned char *state); // [sequence_state_bytes(q, n_past)]
// Replaces the sequence. WF_ERROR_LIMIT when the context is smaller or blocks are lacking, WF_ERROR_USAGE for an id that
// is none: nothing has changed then.
wf_status sequence_set_state(sequence *q, const int32_t *tokens, int64_t n, const unsigned char *state, wf_error *err);

// ---- steps

// A sequence's part of a step: n >= 1 tokens, of which tokens[first_logits .. n) give a row of logits each.
typedef struct step_part {
    sequence *q;
    const int32_t *tokens;
    int64_t n, first_logits;
} step_part;

// Room for the rows of the steps that follow; the rows of those before are lost. WF_ERROR_MEMORY: they are not.
wf_status engine_begin_logits(engine *e, int64_t n_rows, wf_error *err);

// Appends each part's tokens to its sequence, all in one walk over the program, and their rows of logits, part by part, to
// the engine's. No sequence twice; n_batch tokens at most in all (WF_ERROR_USAGE). WF_ERROR_LIMIT: a context is full, or
// the cache. On a failure nothing has changed.
wf_status engine_step(engine *e, const step_part *parts, uint32_t n_parts, wf_error *err);

// [n_vocab] f32; NULL: there is no such row. Valid until engine_begin_logits.
const float *engine_logits(const engine *e, int64_t row);
int64_t engine_logits_count(const engine *e);

// `observer` is called after every walk over the program; NULL: no more.
void engine_observe(engine *e, execute_observer *observer, void *context);

int64_t engine_context(const engine *e); // tokens that fit into a sequence
int64_t engine_batch(const engine *e);
int64_t engine_vocabulary(const engine *e);
block_pool_counts engine_blocks(const engine *e);

// Where whole blocks are looked for that memory does not hold, and put by sequence_store_next; NULL: nowhere, as at first.
// It must outlive the engine's sequences.
void engine_set_store(engine *e, prefix_store *store);
bool engine_has_store(const engine *e);

#endif
