// The walker: runs every call of a program for given dims, all threads together.
#ifndef WELFORD_RUNTIME_EXECUTE_H
#define WELFORD_RUNTIME_EXECUTE_H

#include "base/threads.h"
#include "runtime/program/executable.h"

typedef struct executor executor;

// `exe` and `pool` must outlive the executor, which runs one call at a time. With WELFORD_POISON=1 one thread does it
// all, and dead memory is filled with NaN after every call (runtime/program/poison.h); nothing is observed then.
wf_status executor_create(const executable *exe, thread_pool *pool, executor **e, wf_error *err);
void executor_free(executor *e); // NULL is fine

// Runs the program once. `areas`: where each of the program's areas lies, or of kind AREA_STATE the table of its blocks;
// those of kind AREA_MATH and AREA_FAULT are the executor's own. `dims` as program.h defines them, products included; dims[DIM_ONE] must be 1.
// Calls without tiles are skipped. WF_ERROR_MEMORY: nothing was done. WF_ERROR_USAGE: a check of a kernel failed,
// results are unspecified.
wf_status executor_run(executor *e, unsigned char *const *areas, const int64_t dims[DIM_COUNT], wf_error *err);

// A segment: one sequence's rows of a batch, [first, first + n_tokens), and what it brings.
typedef struct execute_segment {
    int64_t first, n_tokens, n_past;
    unsigned char *const *blocks; // its own BASE_KV: the table
} execute_segment;

// Runs a sequence program once for the tokens of several sequences. What looks at positions is called for each segment
// with its own sizes and cache; everything else sees rows. `dims` are the batch's: all tokens, all outputs, DIM_PAST
// unused; DIM_CONTEXT is one for all. Segments follow each other and have tokens. Otherwise as executor_run.
wf_status executor_run_batch(executor *e, unsigned char *const *areas, const int64_t dims[DIM_COUNT],
                             const execute_segment *segments, uint32_t n_segments, wf_error *err);

// Whether the program can: not where attention keeps its scores in memory (without its fusion).
bool executor_can_batch(const executor *e);

// When a thread worked at a call: seconds of CLOCK_MONOTONIC; begin 0: it had none of its tiles.
typedef struct execute_span {
    double begin, end;
} execute_span;

// What a run of a program looked like. Valid while the observer is called.
typedef struct execute_record {
    const program *program;
    const int64_t *dims;
    int n_threads;
    double begin, end;
    const execute_span *spans; // [n_threads][n_calls]
} execute_record;

typedef void execute_observer(void *context, const execute_record *record);

// `observer` is called after every run, whose chained calls are then walked one by one; NULL: no more.
void executor_observe(executor *e, execute_observer *observer, void *context);

// When the last thread finished call `index`; 0: it had no tiles.
double execute_call_end(const execute_record *record, uint32_t index);

#endif
