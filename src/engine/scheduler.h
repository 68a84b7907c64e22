// The scheduler: requests in, steps of an engine, answers out. One thread; api_engine.c puts a lock and a thread around it.
//
//              admitted                    its prompt is in the cache               end, stop, length, full, cancelled
//     waiting ──────────▶ running: prompt ───────────────────────────▶ answer ─────────────────────────────▶ finished
//        ▲                          │                                     │
//        └──────────────────────────┴─────────────────────────────────────┘ put aside: there are no more blocks
//
// A request is a sequence of tokens, prompt and answer, of which some are in the cache. Each step evaluates the next ones:
// the last token of every answer, and guesses behind it where that pays; then of prompts, the oldest first, as many tokens
// as pace.h allows. Behind the last token the sampler draws the next.
//
// Where blocks run out, the newest running request gives up its own and waits again, before all others, with the tokens
// that it has: what it computes later is what it would have computed now. A request alone always has blocks enough.
#ifndef WELFORD_ENGINE_SCHEDULER_H
#define WELFORD_ENGINE_SCHEDULER_H

#include "engine/engine.h"
#include "engine/request.h"

typedef struct scheduler scheduler;

typedef struct scheduler_options {
    int64_t n_sequences; // running at the same time, 1 .. the engine's n_batch
    bool speculate;
    double (*clock)(void); // seconds
    // A request is finished, and the scheduler has let go of it.
    void (*finished)(void *context, request *r);
    void *context;
} scheduler_options;

// The engine must outlive it.
wf_status scheduler_create(engine *e, const scheduler_options *options, scheduler **s, wf_error *err);
void scheduler_free(scheduler *s); // NULL is fine; after scheduler_finish_all, or when it is empty

// Takes a request until it is finished.
void scheduler_add(scheduler *s, request *r);

// One step. *idle: there is no request. What fails, fails in the requests.
void scheduler_step(scheduler *s, bool *idle);

void scheduler_finish_all(scheduler *s); // as if they were cancelled

typedef struct scheduler_counts {
    int64_t n_waiting, n_running, n_finished, n_put_aside, n_steps, n_prompt, n_reused, n_generated, n_guesses, n_right;
    double busy_seconds;
} scheduler_counts;

scheduler_counts scheduler_count(const scheduler *s);

#endif
