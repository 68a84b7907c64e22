// The plan walker.
//
// Every thread goes through the calls in order: it waits until the call before is finished, takes tiles of this one
// while there are any, and goes on. There are no barriers: a thread that comes late finds calls that are finished
// already and passes them by. All of a call's tiles are finished before any tile of the next one starts.
//
// Every thread resolves pointers and sizes for itself, the next call's while it waits anyway: 60 ns a call.
#define _GNU_SOURCE
#include "runtime/execute.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "runtime/poison.h"

struct execute_trace {
    execute_observer *observer; // NULL: nobody watches
    void *context;
    bool poison; // WELFORD_POISON (runtime/poison.h)
    execute_span *spans;
    size_t capacity;
};

typedef struct walk {
    const program *prog;
    thread_pool *pool;
    unsigned char *const *bases;
    const int64_t *dims;
    execute_span *spans; // [n_threads][n_calls]; NULL: nobody watches
} walk;

// One call, ready to run.
typedef struct resolved {
    uint32_t index; // n_calls: no more
    int64_t n_tiles;
    void *buffers[PLAN_MAX_BUFFERS];
    int64_t dims[PLAN_MAX_DIMS];
} resolved;

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

// All that the call may touch.
static int64_t extent_bytes(const plan_call *call, const int64_t dims[DIM_COUNT])
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
    int64_t by_bytes = extent_bytes(call, dims) / 16, by_flops = affine_eval(&call->flops, dims) / 64;
    int64_t share = (n_tiles + n_threads - 1) / n_threads;
    bool is_short = (by_bytes > by_flops ? by_bytes : by_flops) / n_threads < short_ns;
    return is_short ? share : (share + PIECES - 1) / PIECES;
}

static void run_tiles(const walk *w, int thread, const resolved *r)
{
    const plan_call *call = &w->prog->plan.calls[r->index];
    kernel_fn kernel = w->prog->kernels[call->kernel];
    int64_t grain = choose_grain(call, w->dims, r->n_tiles, thread_pool_size(w->pool));
    execute_span *span = w->spans ? &w->spans[(uint32_t)thread * w->prog->plan.n_calls + r->index] : NULL;
    for (;;) {
        tile_range t = work_take(w->pool, r->index, thread, r->n_tiles, grain);
        if (t.begin == t.end) return;
        if (span && span->begin == 0) span->begin = clock_seconds();
        kernel(r->buffers, r->dims, t.begin, t.end);
        if (span) span->end = clock_seconds();
        work_finish(w->pool, r->index, t.end - t.begin, r->n_tiles);
    }
}

static void walk_plan(void *context, int thread)
{
    const walk *w = context;
    uint32_t n_calls = w->prog->plan.n_calls;
    resolved slots[2], *current = &slots[0], *next = &slots[1];
    resolve_next(w, 0, current);
    while (current->index < n_calls) {
        run_tiles(w, thread, current);
        resolve_next(w, current->index + 1, next);
        work_wait(w->pool, current->index, current->n_tiles);
        resolved *swap = current;
        current = next;
        next = swap;
    }
}

// One thread, with the arena's dead parts filled between calls.
static void walk_poisoned(const walk *w)
{
    const plan *p = &w->prog->plan;
    resolved r;
    poison_dead(p, UINT32_MAX, w->bases[BASE_ARENA], w->dims);
    for (resolve_next(w, 0, &r); r.index < p->n_calls; resolve_next(w, r.index + 1, &r)) {
        w->prog->kernels[p->calls[r.index].kernel](r.buffers, r.dims, 0, r.n_tiles);
        poison_dead(p, r.index, w->bases[BASE_ARENA], w->dims);
    }
}

// --- watching ------------------------------------------------------------------------------------------------------

double execute_call_end(const execute_record *record, uint32_t index)
{
    double end = 0;
    for (int t = 0; t < record->n_threads; t++) {
        const execute_span *span = &record->spans[(uint32_t)t * record->plan->n_calls + index];
        if (span->end > end) end = span->end;
    }
    return end;
}

execute_trace *execute_trace_create(execute_observer *observer, void *context)
{
    const char *poison = getenv("WELFORD_POISON");
    bool fill = poison && *poison && strcmp(poison, "0");
    if (!observer && !fill) return NULL;
    execute_trace *trace = calloc(1, sizeof *trace);
    if (trace) *trace = (execute_trace){.observer = observer, .context = context, .poison = fill};
    return trace;
}

void execute_trace_free(execute_trace *trace)
{
    if (!trace) return;
    free(trace->spans);
    free(trace);
}

// Room for the spans of a run, empty ones; NULL: out of memory, the run goes unwatched.
static execute_span *empty_spans(execute_trace *trace, size_t n)
{
    if (n > trace->capacity) {
        execute_span *spans = realloc(trace->spans, n * sizeof *spans);
        if (!spans) return NULL;
        trace->spans = spans;
        trace->capacity = n;
    }
    if (n) memset(trace->spans, 0, n * sizeof *trace->spans);
    return trace->spans;
}

bool execute_plan(const program *prog, thread_pool *pool, unsigned char *const bases[BASE_COUNT],
                  const int64_t dims[DIM_COUNT], execute_trace *trace)
{
    walk w = {.prog = prog, .pool = pool, .bases = bases, .dims = dims};
    if (trace && trace->poison) {
        walk_poisoned(&w);
        return true;
    }
    if (!work_begin(pool, prog->plan.n_calls)) return false;
    int n_threads = thread_pool_size(pool);
    if (trace) w.spans = empty_spans(trace, (size_t)n_threads * prog->plan.n_calls);
    execute_record record = {.plan = &prog->plan, .dims = dims, .n_threads = n_threads, .spans = w.spans};
    if (w.spans) record.begin = clock_seconds();
    thread_pool_run(pool, walk_plan, &w);
    if (!w.spans) return true;
    record.end = clock_seconds();
    trace->observer(trace->context, &record);
    return true;
}
