// A request: a prompt's tokens and how to go on from there (wf_request_options), and how far it has come.
#ifndef WELFORD_ENGINE_REQUEST_H
#define WELFORD_ENGINE_REQUEST_H

#include <stdatomic.h>

#include "engine/engine.h"
#include "engine/guesses.h"
#include "engine/model.h"
#include "engine/text_stream.h"

typedef struct request {
    // how to go on
    int64_t n_max; // tokens to make; < 0: until the model ends or the context is full
    bool ignore_end, logprobs;
    size_t n_top;
    wf_piece_callback *callback; // may be NULL
    void *context;
    sampler *choose;
    char *stop_bytes; // what the stops are views of
    view *stops;
    text_stream text;

    token_list tokens; // prompt, then answer
    int64_t n_prompt;
    atomic_bool cancelled; // from any thread

    // of the scheduler
    struct request *next; // of those that wait
    int64_t number;       // of its first admission; 0: none yet
    sequence *q;          // NULL: it waits
    guesses *ahead;       // NULL: none
    double submitted, began, first_token;
    wf_generation result;
    wf_error error;
} request;

// Everything that can be refused: what makes no sense (WF_ERROR_USAGE), a prompt longer than n_ctx (WF_ERROR_LIMIT).
wf_status request_create(const wf_model *m, const wf_request_options *options, int64_t n_ctx, request *r,
                         wf_error *err);
void request_free(request *r); // what it owns; an empty one is fine

// Tells the callback: a token with its logits, the text that is ready, or the end. False: it wants no more.
bool request_tell(request *r, int32_t token, const float *logits, int64_t n_vocab);
void request_tell_end(request *r);

#endif
