// A pool of threads that walks a sequence of calls inside one parallel region.
//
// Waiting spins for some microseconds, then yields, then sleeps on a futex: short gaps cost nothing, an idle pool uses
// no CPU, and an oversubscribed machine does not collapse. The calling thread is thread 0 and works too.
#ifndef WELFORD_BASE_THREADS_H
#define WELFORD_BASE_THREADS_H

#include "base/status.h"

typedef struct wf_pool thread_pool;

// n_threads >= 1 in all, the caller included.
wf_status thread_pool_create(int n_threads, thread_pool **pool, wf_error *err);
void thread_pool_free(thread_pool *pool);
int thread_pool_size(const thread_pool *pool);

// A pool runs one body at a time: callers that share it take turns, each from work_begin to the end of thread_pool_run.
void thread_pool_take_turn(thread_pool *pool);
void thread_pool_end_turn(thread_pool *pool);

// Runs body(context, thread) once on every thread and returns when all are done.
void thread_pool_run(thread_pool *pool, void (*body)(void *context, int thread), void *context);

typedef struct tile_range {
    int64_t begin, end;
} tile_range; // empty: begin == end

// A sequence of calls whose tiles are handed out and counted. A thread that finds nothing left to do in a call waits
// for its tiles to be finished, not for other threads to come by: a thread that the system has taken off its core holds
// nobody up, unless it holds a tile. It catches up with the others when it runs again.
//
// Starts a sequence of `n_calls` calls, before thread_pool_run; false when memory is out.
bool work_begin(thread_pool *pool, size_t n_calls);
// Inside a body: the next tiles of a call, at most `grain`, first from the thread's own contiguous share (one stream of
// weights a thread), then from others'. Every thread must give the same n_tiles and grain, both below 2^31. Tiles taken
// must be finished.
tile_range work_take(thread_pool *pool, size_t call, int thread, int64_t n_tiles, int64_t grain);
// `n` tiles of the call are done. True for the one that finished the call: what all of its tiles wrote is visible then.
bool work_finish(thread_pool *pool, size_t call, int64_t n, int64_t n_tiles);
// Waits until all tiles of the call are done.
void work_wait(thread_pool *pool, size_t call, int64_t n_tiles);

#endif
