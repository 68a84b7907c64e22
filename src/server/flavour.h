// How an interface words requests and answers: the only part that differs between OpenAI's, Anthropic's and ollama's.
#ifndef WELFORD_SERVER_FLAVOUR_H
#define WELFORD_SERVER_FLAVOUR_H

#include "server/exchange.h"

struct flavour {
    const char *stream_type; // "text/event-stream"
    const char *ping;        // what a stream says when there is nothing to say; NULL: nothing
    // Fills x->ask from the body. x->model is there.
    bool (*read)(exchange *x, const fields *f, api_error *err);
    void (*begin)(exchange *x, buffer *out);                // of a stream: before the first event; may be NULL
    void (*write)(exchange *x, choice *c, buffer *out);     // of a stream: what is new of a choice, and its end
    void (*end)(exchange *x, buffer *out);                  // of a stream: after all choices
    void (*whole)(exchange *x, buffer *out);                // all of an answer
    void (*fail)(const api_error *err, buffer *out);        // the body of an error
    void (*stream_fail)(const api_error *err, buffer *out); // an error in the middle of a stream
};

extern const flavour flavour_openai_chat, flavour_openai_completion, flavour_anthropic, flavour_ollama_chat,
    flavour_ollama_generate;

// OpenAI's, which serves all paths that belong to no flavour.
void openai_fail(const api_error *err, buffer *out);

// llama-server's `timings` of a choice.
json_t *describe_timings(const wf_generation *g);

#endif
