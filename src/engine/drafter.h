// A drafter: a smaller model with the same tokens, whose likeliest tokens are guesses at what the larger one says
// (https://arxiv.org/abs/2211.17192, with the draw of the larger model alone: what it says does not change).
//
// It drafts a token at a time, as long as that promises more tokens a second than to evaluate what there is: by what it
// takes itself, what the larger model takes for more rows, and how often tokens that it was that sure of were right. Where
// drafts have not paid lately it drafts now and then only, to learn whether they do again.
#ifndef WELFORD_ENGINE_DRAFTER_H
#define WELFORD_ENGINE_DRAFTER_H

#include "engine/guesses.h"
#include "engine/session.h"

typedef struct drafter drafter;

// A session of the smaller model, of at most n_ctx tokens, which must have the larger one's ids. `clock`: seconds.
wf_status drafter_create(const compiled_model *m, thread_pool *pool, int64_t n_ctx, double (*clock)(void), drafter **d,
                         wf_error *err);
void drafter_free(drafter *d); // NULL is fine

// Guesses what follows tokens [n]; *count of them are worth evaluating, 0 .. max. `cost`: seconds, as of guesses_make.
wf_status drafter_make(drafter *d, const int32_t *tokens, int64_t n, int64_t max, guesses_cost *cost,
                       const void *context, int64_t *count, wf_error *err);
const int32_t *drafter_tokens(const drafter *d); // [*count]

// As guesses_note.
bool drafter_note(drafter *d, int64_t i, int32_t token);

#endif
