// Runs compiled functions. Calls that are chained are walked by a thread piece by piece: call 0, 1, 2 over the tiles of
// one piece, then over those of the next. All pieces of a chain are finished before any piece of the next chain starts.
//
//   thread 0   pieces of chain 0 │ wait │ pieces of chain 1 │ wait │ the only tile of chain 2 │ pieces of chain 3
//   thread 1   pieces of chain 0 │ wait │ pieces of chain 1 │ ──────────────────────── wait │ pieces of chain 3
#define _GNU_SOURCE
#include "runtime/graph.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/checked.h"
#include "runtime/program.h"

// --- shapes --------------------------------------------------------------------------------------------------------

static const struct {
    const char *name;
    size_t bytes;
} TYPES[GRAPH_TYPE_COUNT] = {
    [GRAPH_F32] = {"f32", 4},   [GRAPH_F64] = {"f64", 8}, [GRAPH_F16] = {"f16", 2},
    [GRAPH_BF16] = {"bf16", 2}, [GRAPH_BOOL] = {"i1", 1}, [GRAPH_I8] = {"i8", 1},
    [GRAPH_I16] = {"i16", 2},   [GRAPH_I32] = {"i32", 4}, [GRAPH_I64] = {"i64", 8},
};

size_t graph_type_bytes(graph_type type) { return TYPES[type].bytes; }
const char *graph_type_name(graph_type type) { return TYPES[type].name; }

bool graph_shape_bytes(const graph_shape *shape, size_t *bytes)
{
    *bytes = TYPES[shape->type].bytes;
    bool fits = true, empty = false;
    for (uint32_t i = 0; i < shape->n_dims; i++) {
        if (shape->dims[i] < 0) return false;
        empty = empty || shape->dims[i] == 0;
        fits = fits && checked_mul(*bytes, (size_t)shape->dims[i], bytes);
    }
    if (empty) *bytes = 0;
    return fits || empty;
}

void graph_shape_print(const graph_shape *shape, buffer *out)
{
    for (uint32_t i = 0; i < shape->n_dims; i++) {
        if (shape->dims[i] < 0)
            buffer_printf(out, "?x");
        else
            buffer_printf(out, "%" PRId64 "x", shape->dims[i]);
    }
    buffer_printf(out, "%s", TYPES[shape->type].name);
}

// --- functions that kernels call -----------------------------------------------------------------------------------

typedef double math_function(double, double);

#define MATH1(name) {#name, 1, (math_function *)(uintptr_t)(double (*)(double))name}
#define MATH2(name) {#name, 2, (math_function *)(uintptr_t)(double (*)(double, double))name}

static const struct {
    const char *name;
    int n_arguments;
    math_function *function;
} MATH[GRAPH_MATH_COUNT] = {
    MATH1(exp),  MATH1(exp2),  MATH1(expm1), MATH1(log),   MATH1(log2),  MATH1(log10), MATH1(log1p),
    MATH1(sin),  MATH1(cos),   MATH1(tan),   MATH1(asin),  MATH1(acos),  MATH1(atan),  MATH1(sinh),
    MATH1(cosh), MATH1(tanh),  MATH1(asinh), MATH1(acosh), MATH1(atanh), MATH1(erf),   MATH1(erfc),
    MATH1(cbrt), MATH1(round), MATH2(pow),   MATH2(atan2), MATH2(fmod),  MATH2(hypot),
};

int graph_math_find(const char *name)
{
    for (int i = 0; i < GRAPH_MATH_COUNT; i++)
        if (!strcmp(MATH[i].name, name)) return i;
    return -1;
}

int graph_math_arguments(int index) { return MATH[index].n_arguments; }

// --- programs ------------------------------------------------------------------------------------------------------

void graph_program_free(graph_program *p)
{
    free(p->constants);
    for (uint32_t i = 0; i < p->n_objects; i++) free((void *)(uintptr_t)p->objects[i].data);
    arena_free(&p->memory);
    *p = (graph_program){0};
}

static void print_place(const graph_program *p, const graph_buffer *b, buffer *out)
{
    static const char *const AREAS[] = {"arena", "constants", "math", "fault"};
    buffer_printf(out, b->written ? " -> " : " ");
    if (b->base < GRAPH_ARRAYS)
        buffer_printf(out, "%s", AREAS[b->base]);
    else if (b->base < GRAPH_ARRAYS + p->n_arguments)
        buffer_printf(out, "argument%" PRIu32, b->base - GRAPH_ARRAYS);
    else
        buffer_printf(out, "result%" PRIu32, b->base - GRAPH_ARRAYS - p->n_arguments);
    if (b->offset) buffer_printf(out, "+%zu", b->offset);
}

void graph_program_print(const graph_program *p, buffer *out)
{
    buffer_printf(out, "arena %zu bytes, constants %zu bytes\n", p->arena_bytes, p->constants_bytes);
    for (uint32_t i = 0; i < p->n_calls; i++) {
        const graph_call *c = &p->calls[i];
        buffer_printf(out, "%c%4" PRIu32 " %-34s tiles %-7" PRId64, c->chained ? '+' : ' ', i, c->kernel, c->n_tiles);
        for (uint32_t k = 0; k < c->n_buffers; k++) print_place(p, &c->buffers[k], out);
        buffer_printf(out, "   %s\n", c->label);
    }
}

// --- running -------------------------------------------------------------------------------------------------------

struct graph_run {
    const graph_program *program;
    thread_pool *pool;
    kernel_fn *kernels; // [n_calls]
    void *code;
    size_t code_bytes;
    unsigned char *arena;
    void ***buffers; // [n_calls] pointers of each call
    void *math[GRAPH_MATH_COUNT];
    int64_t fault;
    graph_time *times; // NULL: no profile
    double started;
};

static wf_status load_kernels(graph_run *run, wf_error *err)
{
    const graph_program *p = run->program;
    const char **names = calloc(p->n_calls + 1, sizeof *names);
    run->kernels = calloc(p->n_calls + 1, sizeof *run->kernels);
    if (!names || !run->kernels) {
        free(names);
        return error_memory(err, p->n_calls * sizeof *names);
    }
    for (uint32_t i = 0; i < p->n_calls; i++) names[i] = p->calls[i].kernel;
    wf_error inner = {0};
    wf_status status = WF_OK;
    if (p->n_calls)
        status = objects_load(p->objects, p->n_objects, "compiled function", names, p->n_calls, run->kernels,
                              &run->code, &run->code_bytes, &inner);
    if (status != WF_OK) status = error_set(err, WF_ERROR_COMPILE, "%s", inner.message);
    free(names);
    return status;
}

static wf_status allocate(graph_run *run, wf_error *err)
{
    const graph_program *p = run->program;
    size_t n_pointers = 0, bytes;
    for (uint32_t i = 0; i < p->n_calls; i++) n_pointers += p->calls[i].n_buffers;
    if (!checked_align(p->arena_bytes + 64, 64, &bytes)) return error_memory(err, p->arena_bytes);
    run->arena = aligned_alloc(64, bytes);
    run->buffers = calloc(p->n_calls + 1, sizeof *run->buffers);
    void **pointers = calloc(n_pointers + 1, sizeof *pointers);
    if (!run->arena || !run->buffers || !pointers) {
        free(pointers);
        return error_memory(err, bytes);
    }
    run->buffers[0] = pointers; // what is freed
    for (uint32_t i = 0; i < p->n_calls; i++) {
        run->buffers[i] = pointers;
        pointers += p->calls[i].n_buffers;
    }
    return WF_OK;
}

wf_status graph_run_create(const graph_program *p, int n_threads, graph_run **out, wf_error *err)
{
    *out = NULL;
    graph_run *run = calloc(1, sizeof *run);
    if (!run) return error_memory(err, sizeof *run);
    run->program = p;
    for (int i = 0; i < GRAPH_MATH_COUNT; i++) run->math[i] = (void *)(uintptr_t)MATH[i].function;
    wf_status status;
    TRY_GOTO(allocate(run, err), failed);
    TRY_GOTO(load_kernels(run, err), failed);
    TRY_GOTO(thread_pool_create(n_threads, &run->pool, err), failed);
    *out = run;
    return WF_OK;
failed:
    graph_run_free(run);
    return status;
}

void graph_run_free(graph_run *run)
{
    if (!run) return;
    if (run->pool) thread_pool_free(run->pool);
    if (run->code) objects_unload(run->code, run->code_bytes);
    if (run->buffers) free(run->buffers[0]);
    free(run->buffers);
    free(run->kernels);
    free(run->arena);
    free(run);
}

static void resolve(graph_run *run, void *const *arrays)
{
    const graph_program *p = run->program;
    for (uint32_t i = 0; i < p->n_calls; i++) {
        const graph_call *c = &p->calls[i];
        for (uint32_t k = 0; k < c->n_buffers; k++) {
            const graph_buffer *b = &c->buffers[k];
            unsigned char *base;
            switch (b->base) {
            case GRAPH_ARENA: base = run->arena; break;
            case GRAPH_CONSTANTS: base = p->constants; break;
            case GRAPH_MATH: base = (unsigned char *)run->math; break;
            case GRAPH_FAULT: base = (unsigned char *)&run->fault; break;
            default: base = arrays[b->base - GRAPH_ARRAYS]; break;
            }
            run->buffers[i][k] = base + b->offset;
        }
    }
}

// Calls first .. end - 1, whose tiles are handed out in pieces.
typedef struct chain {
    uint32_t first, end;
    int64_t grain, n_pieces; // tiles of a piece; pieces of the chain
} chain;

// Few pieces for short calls, since handing one out costs up to 0.1 µs; enough for even shares otherwise. Never more
// than can be counted (runtime/threads.h).
static int64_t choose_grain(const graph_program *p, uint32_t first, uint32_t end, int n_threads)
{
    int64_t n = p->calls[first].n_tiles, grain = n / INT32_MAX + 1, share = (n + n_threads - 1) / n_threads;
    for (uint32_t i = first; i < end; i++)
        if (p->calls[i].grain > grain) grain = p->calls[i].grain;
    return grain < share ? grain : share > 0 ? share : 1;
}

// The first chain from call `first` on that has tiles; n_pieces is 0 where there is none.
static chain find_chain(const graph_run *run, uint32_t first)
{
    const graph_program *p = run->program;
    for (chain c = {.first = first}; c.first < p->n_calls; c.first = c.end) {
        c.end = c.first + 1;
        while (!run->times && c.end < p->n_calls && p->calls[c.end].chained) c.end++;
        if (p->calls[c.first].n_tiles <= 0) continue;
        c.grain = choose_grain(p, c.first, c.end, thread_pool_size(run->pool));
        c.n_pieces = (p->calls[c.first].n_tiles + c.grain - 1) / c.grain;
        return c;
    }
    return (chain){0};
}

static void run_chain(const graph_run *run, int thread, const chain *c)
{
    const graph_call *calls = run->program->calls;
    for (;;) {
        tile_range pieces = work_take(run->pool, c->first, thread, c->n_pieces, 1);
        if (pieces.begin == pieces.end) return;
        int64_t begin = pieces.begin * c->grain, end = pieces.end * c->grain, n = calls[c->first].n_tiles;
        if (end > n) end = n;
        for (uint32_t i = c->first; i < c->end; i++) run->kernels[i](run->buffers[i], calls[i].dims, begin, end);
        work_finish(run->pool, c->first, pieces.end - pieces.begin, c->n_pieces);
    }
}

// A chain of one piece is thread 0's, so that small calls behind each other stay on one core.
static void walk(void *context, int thread)
{
    graph_run *run = context;
    chain before = {0};
    for (chain c = find_chain(run, 0); c.n_pieces; c = find_chain(run, c.end)) {
        if (c.n_pieces > 1 || thread == 0) {
            if (before.n_pieces) work_wait(run->pool, before.first, before.n_pieces);
            double start = run->times && thread == 0 ? clock_seconds() - run->started : 0;
            run_chain(run, thread, &c);
            if (run->times && thread == 0) {
                work_wait(run->pool, c.first, c.n_pieces);
                run->times[c.first] = (graph_time){start, clock_seconds() - run->started};
            }
        }
        before = c;
    }
}

static wf_status compute(graph_run *run, void *const *arrays, wf_error *err)
{
    if (!work_begin(run->pool, run->program->n_calls)) return error_memory(err, run->program->n_calls);
    resolve(run, arrays);
    run->fault = 0;
    run->started = clock_seconds();
    thread_pool_run(run->pool, walk, run);
    if (!run->fault) return WF_OK;
    uint64_t check = (uint64_t)run->fault - 1;
    return error_set(err, WF_ERROR_USAGE, "%s",
                     check < run->program->n_checks ? run->program->checks[check] : "a check failed");
}

wf_status graph_run_compute(graph_run *run, void *const *arrays, wf_error *err)
{
    run->times = NULL;
    return compute(run, arrays, err);
}

wf_status graph_run_profile(graph_run *run, void *const *arrays, graph_time *times, wf_error *err)
{
    run->times = times;
    return compute(run, arrays, err);
}
