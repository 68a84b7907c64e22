// The plan walker.
//
//   thread 0   reset queue 1 │ tiles of call 0 │ barrier │ reset queue 0 │ tiles of call 1 │ barrier │ …
//   others                   │ tiles of call 0 │ barrier │               │ tiles of call 1 │ barrier │ …
//
// Call i uses queue i % 2. While it runs, nobody looks at the other queue any more (all have passed the barrier after
// call i-1), so thread 0 fills it for call i+1, and one barrier a call is enough. Calls of a single tile run on thread
// 0, and between two of them there is no barrier at all: the other threads go straight to the next one.
//
// Every thread resolves pointers and sizes for itself, and for the next call before the barrier: 60 ns a call, which a
// thread that has to wait anyway does for nothing. Thread 0 doing it for all would take as long, and the others would
// then fetch the result from its cache. A call with two threads costs 0.23 to 0.28 µs around its kernel in all.
#define _GNU_SOURCE
#include "runtime/execute.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/poison.h"

struct execute_trace {
    FILE *out;       // NULL: nothing is printed
    bool owned;      // out is ours to close
    bool poison;     // WELFORD_POISON (runtime/poison.h)
    double *seconds; // [n_calls] of the run being traced
    size_t capacity;
};

typedef struct walk {
    const program *prog;
    thread_pool *pool;
    int n_threads;
    unsigned char *const *bases;
    const int64_t *dims;
    double *seconds; // NULL: no trace
    bool poison;
} walk;

// One call, ready to run.
typedef struct resolved {
    uint32_t index; // n_calls: no more
    int64_t n_tiles;
    void *buffers[PLAN_MAX_BUFFERS];
    int64_t dims[PLAN_MAX_DIMS];
} resolved;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

// The first call from `index` on that has tiles.
static void resolve_next(const walk *w, uint32_t index, resolved *r)
{
    const plan *p = &w->prog->plan;
    for (r->index = index; r->index < p->n_calls; r->index++) {
        const plan_call *call = &p->calls[r->index];
        r->n_tiles = plan_count_eval(&call->tiles, w->dims);
        if (r->n_tiles <= 0) continue;
        for (uint32_t i = 0; i < call->n_buffers; i++)
            r->buffers[i] = w->bases[call->buffers[i].base] + affine_eval(&call->buffers[i].offset, w->dims);
        for (uint32_t i = 0; i < call->n_dims; i++) r->dims[i] = affine_eval(&call->dims[i], w->dims);
        return;
    }
}

static int64_t call_bytes(const plan_call *call, const int64_t dims[DIM_COUNT])
{
    int64_t bytes = 0;
    for (uint32_t i = 0; i < call->n_buffers; i++) bytes += affine_eval(&call->buffers[i].bytes, dims);
    return bytes;
}

// How many tiles are handed out at once. A long call in about 8 pieces a thread, so that the last piece, for which the
// others wait, is short; a call of a few µs in one, since a piece costs 20 to 100 ns when threads meet at a cursor.
static int64_t choose_grain(const plan_call *call, const int64_t dims[DIM_COUNT], int64_t n_tiles, int n_threads)
{
    enum { PIECES = 8 };
    // By a core's usual speed, 16 bytes or 64 operations a nanosecond: a bound from below on the time of the whole
    // call.
    const int64_t short_ns = 4000;
    int64_t by_bytes = call_bytes(call, dims) / 16, by_flops = affine_eval(&call->flops, dims) / 64;
    int64_t share = (n_tiles + n_threads - 1) / n_threads;
    bool is_short = (by_bytes > by_flops ? by_bytes : by_flops) / n_threads < short_ns;
    return is_short ? share : (share + PIECES - 1) / PIECES;
}

static void fill_queue(const walk *w, int which, const resolved *r)
{
    const plan *p = &w->prog->plan;
    if (r->index >= p->n_calls || r->n_tiles == 1) return;
    int64_t grain = choose_grain(&p->calls[r->index], w->dims, r->n_tiles, w->n_threads);
    tiles_reset(thread_pool_queue(w->pool, which), w->n_threads, r->n_tiles, grain);
}

static void run_tiles(const walk *w, int thread, int which, const resolved *r)
{
    kernel_fn kernel = w->prog->kernels[w->prog->plan.calls[r->index].kernel];
    if (r->n_tiles == 1) {
        if (thread == 0) kernel(r->buffers, r->dims, 0, 1);
        return;
    }
    tile_queue *queue = thread_pool_queue(w->pool, which);
    for (tile_range t = tiles_take(queue, thread); t.begin < t.end; t = tiles_take(queue, thread))
        kernel(r->buffers, r->dims, t.begin, t.end);
}

static void walk_plan(void *context, int thread)
{
    const walk *w = context;
    uint32_t n_calls = w->prog->plan.n_calls;
    resolved slots[2], *current = &slots[0], *next = &slots[1], *swap;
    resolve_next(w, 0, current);
    if (thread == 0) fill_queue(w, 0, current);
    bool wait = current->index < n_calls && current->n_tiles > 1; // for the first queue
    double started = 0;
    for (int which = 0; current->index < n_calls; which = !which) {
        if (wait) thread_pool_barrier(w->pool, thread);
        if (thread == 0 && w->seconds) started = now();
        resolve_next(w, current->index + 1, next);
        if (thread == 0) fill_queue(w, !which, next);
        run_tiles(w, thread, which, current);
        if (w->seconds) { // the call ends when its last thread does
            thread_pool_barrier(w->pool, thread);
            if (thread == 0) w->seconds[current->index] = now() - started;
        }
        if (w->poison) { // nobody may write before it is done: the next call waits
            if (thread == 0) poison_dead(&w->prog->plan, current->index, w->bases[BASE_ARENA], w->dims);
            thread_pool_barrier(w->pool, thread);
        }
        wait = next->index < n_calls && (current->n_tiles > 1 || next->n_tiles > 1);
        swap = current, current = next, next = swap;
    }
}

// --- trace ---------------------------------------------------------------------------------------------------------

static void print_call(FILE *out, const plan *p, uint32_t index, const int64_t dims[DIM_COUNT], double seconds)
{
    const plan_call *call = &p->calls[index];
    fprintf(out, "%4" PRIu32 " %-24s %-24s", index, p->kernels[call->kernel], call->label);
    for (uint32_t i = 0; i < call->n_dims; i++)
        fprintf(out, "%s%" PRId64, i ? "," : " dims ", affine_eval(&call->dims[i], dims));
    fprintf(out, " tiles %" PRId64 " %.2f us", plan_count_eval(&call->tiles, dims), seconds * 1e6);
    if (seconds > 0)
        fprintf(out, " %.2f GFLOP/s %.2f GB/s", (double)affine_eval(&call->flops, dims) / seconds * 1e-9,
                (double)call_bytes(call, dims) / seconds * 1e-9);
    fputc('\n', out);
}

static void print_run(execute_trace *trace, const plan *p, const int64_t dims[DIM_COUNT], double seconds)
{
    fprintf(trace->out, "run: n_tokens %" PRId64 " n_past %" PRId64 " n_outputs %" PRId64 " %.2f us\n",
            dims[DIM_TOKENS], dims[DIM_PAST], dims[DIM_OUTPUTS], seconds * 1e6);
    for (uint32_t i = 0; i < p->n_calls; i++)
        if (plan_count_eval(&p->calls[i].tiles, dims) > 0) print_call(trace->out, p, i, dims, trace->seconds[i]);
    fflush(trace->out);
}

// Room for the times of a run; without memory the run goes untraced.
static bool reserve_seconds(execute_trace *trace, size_t n_calls)
{
    if (n_calls <= trace->capacity) return true;
    double *seconds = realloc(trace->seconds, n_calls * sizeof *seconds);
    if (!seconds) return false;
    trace->seconds = seconds;
    trace->capacity = n_calls;
    return true;
}

execute_trace *execute_trace_from_environment(void)
{
    const char *name = getenv("WELFORD_TRACE"), *poison = getenv("WELFORD_POISON");
    bool print = name && *name && strcmp(name, "0"), fill = poison && *poison && strcmp(poison, "0");
    if (!print && !fill) return NULL;
    execute_trace *trace = calloc(1, sizeof *trace);
    if (!trace) return NULL;
    trace->poison = fill;
    if (!print) return trace;
    trace->owned = strcmp(name, "1") != 0;
    trace->out = trace->owned ? fopen(name, "we") : stderr;
    if (trace->out) return trace;
    fprintf(stderr, "WELFORD_TRACE: %s cannot be written, no trace\n", name);
    trace->owned = false;
    return trace;
}

void execute_trace_free(execute_trace *trace)
{
    if (!trace) return;
    if (trace->owned) fclose(trace->out);
    free(trace->seconds);
    free(trace);
}

void execute_plan(const program *prog, thread_pool *pool, unsigned char *const bases[BASE_COUNT],
                  const int64_t dims[DIM_COUNT], execute_trace *trace)
{
    if (!prog->plan.n_calls) return;
    walk w = {.prog = prog, .pool = pool, .n_threads = thread_pool_size(pool), .bases = bases, .dims = dims};
    if (trace && reserve_seconds(trace, prog->plan.n_calls)) w.seconds = trace->seconds;
    // filling happens between barriers that only a timed run has
    w.poison = w.seconds && trace->poison && poison_dead(&prog->plan, UINT32_MAX, bases[BASE_ARENA], dims);
    double started = w.seconds ? now() : 0;
    thread_pool_run(pool, walk_plan, &w);
    if (w.seconds && trace->out) print_run(trace, &prog->plan, dims, now() - started);
}
