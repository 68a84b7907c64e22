// Generation: a prompt's tokens in, an answer as a stream of whole characters out.
#ifndef WELFORD_ENGINE_GENERATE_H
#define WELFORD_ENGINE_GENERATE_H

#include "base/clock.h"
#include "engine/sampler.h"
#include "engine/session.h"
#include "engine/speculation.h"
#include "text/tokenizer/tokenizer.h"

typedef struct generate_request {
    session *s;
    speculation *ahead; // of that session; NULL: one evaluation a token
    sampler *choose;
    const tokenizer *t;
    const int32_t *prompt;
    int64_t n_prompt;  // >= 1
    int64_t n_max;     // tokens to make; < 0: until the model ends or the context is full
    const view *stops; // texts, none empty, that end the answer; what the callback gets ends before them
    size_t n_stops;
    bool ignore_end;                // go on after the model's end token
    wf_generate_callback *callback; // as in welford.h; may be NULL
    void *context;
} generate_request;

// Makes the session's sequence equal to the prompt, evaluating only what its cache does not hold (at least the last
// token, for its logits), then draws token after token. Appends the answer's ids, without the end token, to `answer`
// (may be NULL). The end token and the last token drawn are not in the cache afterwards.
wf_status generate(const generate_request *request, token_list *answer, wf_generation *result, wf_error *err);

// Of welford.h's options: n_max as above, and the stops, of which there may be GENERATE_MAX_STOPS, as views of them.
enum { GENERATE_MAX_STOPS = 64 };
static inline int64_t generate_most(int64_t n_max) { return n_max == 0 ? -1 : n_max < 0 ? 0 : n_max; }
wf_status generate_take_stops(const char *const *texts, size_t n, view stops[GENERATE_MAX_STOPS], wf_error *err);

// What generate refuses of a prompt's length: none at all (WF_ERROR_USAGE), more than n_ctx (WF_ERROR_LIMIT).
wf_status generate_check_prompt(int64_t n_prompt, int64_t n_ctx, wf_error *err);

#endif
