// What a client asks for, in no flavour's words: the prompts, and how they are to be answered.
#ifndef WELFORD_SERVER_ASK_H
#define WELFORD_SERVER_ASK_H

#include "server/body.h"
#include "welford.h"

enum {
    ASK_MAX_STOPS = 16,
    ASK_MAX_CHOICES = 128, // prompts times n
};

typedef struct ask_prompt {
    int32_t *ids; // owned (wf_free)
    size_t n_ids;
} ask_prompt;

typedef struct ask {
    wf_sampler_options sampler;
    int64_t n_max; // as of wf_request_options
    const char *stops[ASK_MAX_STOPS];
    size_t n_stops;
    bool ignore_end, logprobs, stream, include_usage;
    bool split;   // the reasoning is to be told apart
    size_t n_top; // of logprobs
    ask_prompt *prompts;
    size_t n_prompts;
    int64_t n; // answers to each prompt
    bool echo; // the prompt's text comes before the answer
} ask;

// Room for n_prompts prompts. False: memory is out, or they are too many.
bool ask_reserve(ask *a, size_t n_prompts, api_error *err);
void ask_free(ask *a);

// What is left out of `a` is what the model recommends.
bool ask_begin(ask *a, const wf_model *m, api_error *err);
// Fields that all flavours spell alike: temperature, top_p, top_k, min_p, seed, repeat_penalty, repeat_last_n, ignore_eos.
void ask_read_sampler(ask *a, const fields *f);
// A string or an array of strings.
void ask_read_stops(ask *a, const fields *f, const char *name);

// Appends a prompt: a text, special tokens parsed; or a conversation.
bool ask_add_text(ask *a, const wf_model *m, const char *field, view text, api_error *err);
bool ask_add_ids(ask *a, const wf_model *m, const char *field, const json_t *ids, api_error *err);

// Messages as OpenAI, ollama and Anthropic write them: [{"role", "content": TEXT or [{"type": "text", "text"}, ...]}, ...].
// `system` comes first, where it is not NULL.
bool ask_add_messages(ask *a, const wf_model *m, const char *system, const json_t *messages, api_error *err);

#endif
