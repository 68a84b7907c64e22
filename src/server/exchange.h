// One request in flight: from its first header to its last byte.
//
//     RECEIVING ──▶ WAITING ──▶ GENERATING ──▶ ENDED        WAITING: for its model to be opened
//         └────────────┴────────────┴────────────▲          an error, or an answer that needs no engine
//
// The HTTP thread owns an exchange, makes and frees it. An engine's thread adds events to it, under its lock, and wakes the
// connection, which libmicrohttpd does not look at while there is nothing to send. Text is formatted when the socket takes
// it: what waits for a slow reader are its tokens, which the context bounds, and EXCHANGE_MAX_BYTES.
#ifndef WELFORD_SERVER_EXCHANGE_H
#define WELFORD_SERVER_EXCHANGE_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

#include "server/ask.h"
#include "server/models.h"

enum { EXCHANGE_MAX_BYTES = 16 << 20 }; // of events that nobody has taken

typedef enum exchange_state {
    EXCHANGE_RECEIVING,
    EXCHANGE_WAITING,
    EXCHANGE_GENERATING,
    EXCHANGE_ENDED
} exchange_state;

typedef struct event { // of one choice; text and top lie behind it
    uint32_t choice;
    int32_t token; // -1: none
    size_t bytes;  // of text
    const char *text;
    double logprob;
    const wf_logprob *top; // [n_top]
    size_t n_top;
    bool last;
} event;

// An answer in the making. What is new is in `text` and `logprobs`: of a stream since the last event that was written,
// else since the beginning.
typedef struct choice {
    struct exchange *owner;
    size_t index;
    wf_request *request;
    wf_splitter *splitter; // NULL: reasoning is not told apart
    buffer text[2];        // by wf_part
    json_t *logprobs;      // [{"token", "logprob", "bytes", "top_logprobs": [{...}, ...]}, ...]; NULL: not asked for
    bool ended;            // the HTTP thread has seen its last event
    bool began;            // the flavour's: something of it has been written
    size_t n_chars;        // the flavour's
    // written by the engine's thread, before the last event
    wf_generation result;
    wf_error error;
} choice;

typedef struct server server;
typedef struct flavour flavour;
typedef struct route route;

typedef struct exchange {
    server *s;
    struct MHD_Connection *connection;
    uint64_t serial;
    struct exchange *newer, *older; // of all there are; the server's lock
    const route *route;
    buffer body;
    bool too_large;
    exchange_state state;
    double started;  // clock_seconds
    int64_t created; // seconds since the epoch
    char id[25];

    json_t *json; // of the body
    served_model *model;
    double keep_alive; // after it, of its model; negative: as before
    ask ask;
    choice *choices; // [n_choices]: n of the first prompt, n of the second, ...
    size_t n_choices, n_ended;

    pthread_mutex_t lock;
    buffer events;  // what came, newest last
    bool suspended; // the connection waits to be woken
    bool ping;      // it is to say something
    bool gone;      // the client has left
    bool lost;      // too much was waiting, or memory was out
    size_t n_done;  // choices whose last event has come

    buffer taken; // events that are being written
    size_t taken_at;
    buffer out; // bytes for the socket
    size_t out_at;
    atomic_bool quiet; // nothing was written since the last tick of the clock
    bool closed;       // all is in `out`
} exchange;

exchange *exchange_create(server *s, struct MHD_Connection *c);
// Cancels what still runs. Waits for callbacks that are under way.
void exchange_free(exchange *x);

// Submits the choices of x->ask to the model's engine.
bool exchange_submit(exchange *x, api_error *err);

// From any thread but an engine's: the client is gone.
void exchange_cancel(exchange *x);
// From any thread: makes the HTTP thread look at it again.
void exchange_wake(exchange *x);
void exchange_ping(exchange *x);
// On the HTTP thread: lets the connection sleep, unless there is something to do already: false then.
bool exchange_sleep(exchange *x);

// The next event, until the next call; false: none has come. Its text is not yet part of its choice.
bool exchange_next(exchange *x, event *e);
// Adds an event to its choice.
void exchange_take(exchange *x, const event *e);
void choice_clear(choice *c);

// ---- sums over the choices

int64_t exchange_prompt_tokens(const exchange *x);
int64_t exchange_cached_tokens(const exchange *x);
int64_t exchange_answer_tokens(const exchange *x);
// The error of a choice, or that text was lost; NULL: none.
const char *exchange_failure(const exchange *x);

#endif
