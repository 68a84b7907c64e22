// The plan walker: runs every call of a plan for given dimensions, all threads together.
#ifndef WELFORD_RUNTIME_EXECUTE_H
#define WELFORD_RUNTIME_EXECUTE_H

#include "runtime/program.h"
#include "runtime/threads.h"

// When a thread worked at a call: seconds of CLOCK_MONOTONIC; begin 0: it had none of its tiles.
typedef struct execute_span {
    double begin, end;
} execute_span;

// What a run of a plan looked like. Valid while the observer is called.
typedef struct execute_record {
    const plan *plan;
    const int64_t *dims;
    int n_threads;
    double begin, end;
    const execute_span *spans; // [n_threads][n_calls]
} execute_record;

typedef void execute_observer(void *context, const execute_record *record);

// When the last thread finished call `index`; 0: it had no tiles.
double execute_call_end(const execute_record *record, uint32_t index);

typedef struct execute_trace execute_trace;

// `observer` is called after every run. WELFORD_POISON=1: one thread does it all, and dead memory is filled with NaN
// after every call (runtime/poison.h); nothing is observed then. NULL: out of memory, or without observer nothing to
// do.
execute_trace *execute_trace_create(execute_observer *observer, void *context);
void execute_trace_free(execute_trace *trace);

// Runs the plan once. `bases` and `dims` as plan.h defines them; dims[DIM_ONE] must be 1. Calls with no tiles are
// skipped. `trace` may be NULL. False when memory is out: nothing was done.
bool execute_plan(const program *prog, thread_pool *pool, unsigned char *const bases[BASE_COUNT],
                  const int64_t dims[DIM_COUNT], execute_trace *trace);

#endif
