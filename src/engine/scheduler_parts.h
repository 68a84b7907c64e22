// What the files of the scheduler share.
#ifndef WELFORD_ENGINE_SCHEDULER_PARTS_H
#define WELFORD_ENGINE_SCHEDULER_PARTS_H

#include "engine/pace.h"
#include "engine/scheduler.h"

// A request's part in a step.
typedef struct share {
    request *r;
    int64_t n;                       // tokens of it: evaluated next
    int64_t n_rows;                  // of logits
    int32_t tokens[1 + GUESSES_MAX]; // of an answer: the last one, and guesses
} share;

struct scheduler {
    engine *e;
    scheduler_options options;
    request *first, *last; // of those that wait
    request **running;     // [n_running], the oldest first
    int64_t n_running;
    int64_t n_admitted;
    share *shares;    // [n_sequences] of the step
    step_part *parts; // [n_sequences]
    int64_t n_shares;
    sequence **leaving; // [n_leaving] of finished requests, on their way into the store
    size_t n_leaving, n_leaving_capacity;
    pace pace;
    scheduler_counts counts;
};

static inline int64_t count_tokens(const request *r) { return (int64_t)r->tokens.count; }
static inline int64_t count_ahead(const request *r) { return count_tokens(r) - sequence_past(r->q); } // to be evaluated
static inline bool is_answering(const request *r) { return count_ahead(r) == 1; }

// Lets requests begin that wait, as long as there are places and blocks.
void scheduler_admit(scheduler *s);
// Blocks for n more tokens of r, at the cost of the newest, which are put aside. False: r itself was.
bool scheduler_reserve(scheduler *s, const request *r, int64_t n);
// Ends a request that runs, or is about to.
void scheduler_finish(scheduler *s, request *r, wf_finish how);
void scheduler_fail(scheduler *s, request *r, const wf_error *err);
// Ends those that were cancelled, or all.
void scheduler_finish_cancelled(scheduler *s, bool all);
// Puts a block of a finished request into the store, if any is left.
void scheduler_store_next(scheduler *s);

#endif
