// A conversation: the messages so far, and the session that answers them.
//
// Each turn renders the whole conversation by the model's template and evaluates only what is new: the session keeps
// the tokens that the new prompt begins with. Where the model has no chat template a turn is plain completion of its
// text.
#ifndef WELFORD_ENGINE_CONVERSATION_H
#define WELFORD_ENGINE_CONVERSATION_H

#include "engine/generate.h"
#include "engine/model.h"

typedef struct conversation {
    const wf_model *model;
    session *s;
    sampler *choose;
    json_t *messages; // array of {"role", "content"}
    bool text_lost;   // the prompt of the last turn does not hold what the user said
} conversation;

// `system` may be NULL. What it points to must outlive it.
wf_status conversation_create(const wf_model *m, session *s, sampler *choose, const char *system, conversation *c,
                              wf_error *err);
void conversation_free(conversation *c);

// Forgets all but the system message.
void conversation_reset(conversation *c);

typedef struct conversation_turn {
    view text; // what the user says
    bool raw;  // send it as it is, special tokens parsed, without what was said before
    int64_t n_max;
    const view *stops; // n_max, stops and ignore_end: generate.h
    size_t n_stops;
    bool ignore_end;
    speculation *ahead; // of the conversation's session; may be NULL
    wf_generate_callback *callback;
    void *context;
} conversation_turn;

// Before a model is loaded: whether a conversation in a context of n_ctx tokens can begin with `turn`.
wf_status conversation_check(const wf_model *m, const char *system, const conversation_turn *turn, int64_t n_ctx,
                             wf_error *err);

// Says `text` and generates the answer; both join the messages, the answer also when it was stopped half-way. On
// failure the messages are as before. `answer` (may be NULL) receives the answer's ids.
wf_status conversation_say(conversation *c, const conversation_turn *turn, token_list *answer, wf_generation *result,
                           wf_error *err);

#endif
