// welford serve: models over HTTP, in the words of OpenAI's, Anthropic's and ollama's interfaces.
//
//     HTTP thread (libmicrohttpd)     http.c      connections, routes.c, guard.c: who may ask; body.c: what is asked
//        │  ask (ask.h)       ▲
//        ▼                    │ events (exchange.h)
//     exchange.c: one request in flight, the same for every flavour; openai_*.c, ...: JSON in, JSON out
//        │  wf_request        ▲
//        ▼                    │ wf_piece
//     an engine's thread (welford.h), one a model: models.c opens and frees them on a thread of its own
//
//     the first thread (serve.c)      signals, clients that leave, pings
//
// It is a library of its own (libwelford_server.so), opened by the verb: linking libmicrohttpd and what it needs would
// take longer than the start of `welford run`.
#ifndef WELFORD_SERVER_SERVER_H
#define WELFORD_SERVER_SERVER_H

#include "base/status.h"

typedef struct server_model {
    const char *name; // as clients say it
    const char *path;
    size_t bytes; // of the file
} server_model;

// Called with each model that may be served.
typedef void server_add_model(void *context, const server_model *model);

typedef struct server_options {
    const char *program; // begins each line on stderr
    // The model to serve; NULL: those that list_models names, opened when they are asked for.
    const char *path, *name;
    wf_status (*list_models)(void *context, server_add_model *add, void *add_context, wf_error *err);
    void *list_context;
    wf_model_options model;
    wf_engine_options engine;
    double keep_alive; // seconds that a model of list_models stays open unused
    const char *host;
    int64_t port; // 0: one that is free
    const char *api_key_file;
    bool no_auth;
    const char *cors_origin, *allow_host; // comma-separated; NULL: none
    const char *tls_cert, *tls_key;       // PEM files; NULL: plain HTTP
    int64_t n_queue;                      // requests that may wait
    int64_t max_body;                     // bytes of a request
    int64_t timeout;                      // seconds without a byte after which a connection is closed
    int64_t ping;                         // seconds without an event after which a stream gets a comment
} server_options;

// Serves until SIGTERM or SIGINT: then those who have asked are answered, and a second signal ends that too.
wf_status server_run(const server_options *options, wf_error *err);

// What libwelford_server.so exports: server_run.
typedef wf_status server_run_function(const server_options *options, wf_error *err);

#endif
