// Connections: libmicrohttpd in, routes called, answers out.
#ifndef WELFORD_SERVER_HTTP_H
#define WELFORD_SERVER_HTTP_H

#include "server/flavour.h"
#include "server/state.h"

// An answer that needs no engine's work: fills `out`, and says of what type it is. NULL: `err` says why not.
typedef const char *route_answer(exchange *x, const char *path, buffer *out, api_error *err);

// Where a request goes: to `answer`, or without one to an engine.
struct route {
    const char *method, *path; // a path that ends in '*' stands for all that begin so
    bool open;                 // without a key
    bool needs_model;          // of an `answer`: x->model, which the body or `?model=` names
    const flavour *flavour;    // of the answer, or of its errors; NULL: OpenAI's
    route_answer *answer;
};

extern const char TYPE_JSON[];

// answers about the server and its models (about.c), and about text (texts.c)
route_answer answer_health, answer_models, answer_props, answer_metrics;
route_answer answer_tokenize, answer_detokenize, answer_template, answer_count_tokens;
route_answer answer_ollama_tags, answer_ollama_show, answer_ollama_ps, answer_ollama_version;

const route *route_find(const char *method, const char *path, bool *other_method);

// the files of the page (page.c)
route_answer answer_page;

#endif
