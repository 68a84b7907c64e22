// The plan walker: runs every call of a plan for given dimensions, all threads together.
#ifndef WELFORD_RUNTIME_EXECUTE_H
#define WELFORD_RUNTIME_EXECUTE_H

#include "runtime/program.h"
#include "runtime/threads.h"

typedef struct execute_trace execute_trace;

// Runs the plan once. `bases` and `dims` as plan.h defines them; dims[DIM_ONE] must be 1. Calls with no tiles are
// skipped. `trace` may be NULL. False when memory is out: nothing was done.
bool execute_plan(const program *prog, thread_pool *pool, unsigned char *const bases[BASE_COUNT],
                  const int64_t dims[DIM_COUNT], execute_trace *trace);

// WELFORD_TRACE=1 (to stderr) or a file name: a line for each call: index, kernel, label, dimensions, tiles,
// microseconds, GFLOP/s, GB/s. WELFORD_POISON=1: one thread does it all, and dead memory is filled with NaN after every
// call (runtime/poison.h). NULL when neither variable is set.
execute_trace *execute_trace_from_environment(void);
void execute_trace_free(execute_trace *trace);

#endif
