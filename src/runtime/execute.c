// The walker.
//
// Every thread goes through the calls in order: it waits until the call before is finished, takes tiles of this one
// while there are any, and goes on. There are no barriers: a thread that comes late finds calls that are finished
// already and passes them by. All of a call's tiles are finished before any tile of the next one starts.
//
// Calls that are chained are walked by a thread piece by piece: call 0, 1, 2 over the tiles of one piece, then over
// those of the next. All pieces of a chain are finished before any piece of the next chain starts. A call that is
// chained to no other is a chain of one.
//
//   thread 0   pieces of chain 0 │ wait │ pieces of chain 1 │ wait │ the only piece of chain 2 │ pieces of chain 3
//   thread 1   pieces of chain 0 │ wait │ pieces of chain 1 │ ───────────────────────── wait │ pieces of chain 3
//
// In a batch of several sequences a call that looks at positions is a chain of its own. Its tiles are those of all
// segments, one after the other, and a piece is cut where a segment ends.
//
// Every thread resolves pointers and sizes for itself, the next chain's while it waits anyway: 60 ns a call.
#include "runtime/execute.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "runtime/math_table.h"
#include "runtime/program/poison.h"

// One chain, ready to run. Pointers and sizes of its calls lie one after the other.
typedef struct resolved {
    uint32_t first, end; // calls; first == n_calls: no more
    int64_t n_tiles, grain, n_pieces;
    void **buffers;
    int64_t *sizes;
    // of a call by segment: where each segment's tiles end; its pointers and sizes follow those of the one before
    bool by_segment;
    int64_t *ends;
} resolved;

struct executor {
    const executable *exe;
    thread_pool *pool;
    bool poison;     // WELFORD_POISON (runtime/program/poison.h)
    resolved *slots; // [n_threads][2], with memory in
    void **buffers;
    int64_t *sizes;
    int64_t *ends;
    uint32_t n_reserved; // segments that there is memory for
    affine largest;      // of every form of the program, coefficient by coefficient: bounds them all

    void *math[MATH_COUNT];
    int64_t fault;
    unsigned char **areas; // [n_areas] of the run
    const int64_t *dims;
    const execute_segment *segments; // of a batch
    uint32_t n_segments;             // 0: one sequence, or a function

    execute_observer *observer; // NULL: nobody watches
    void *context;
    execute_span *spans; // [n_threads][n_calls] where somebody watches
};

// ---- chains

// Whether a call looks at positions: in a batch it is called for each segment.
static bool is_positional(const program_call *call)
{
    bool looks = call->tiles.when.max_tokens > 0 || call->tiles.a.c[DIM_PAST];
    for (uint32_t i = 0; i < call->n_sizes && !looks; i++) looks = call->sizes[i].c[DIM_PAST] != 0;
    return looks;
}

static uint32_t chain_end(const program *p, uint32_t first, bool apart, bool batch)
{
    uint32_t end = first + 1;
    if (apart || (batch && is_positional(&p->calls[first]))) return end;
    while (end < p->n_calls && p->calls[end].chained && !(batch && is_positional(&p->calls[end]))) end++;
    return end;
}

// All that the call may touch.
static int64_t extent_bytes(const program_call *call, const int64_t dims[DIM_COUNT])
{
    int64_t bytes = 0;
    for (uint32_t i = 0; i < call->n_buffers; i++) bytes += affine_eval(&call->buffers[i].bytes, dims);
    return bytes;
}

// How many tiles are handed out at once. A long chain in about 8 pieces a thread, so that the last piece, for which the
// others wait, is short; one of a few µs in one, since a piece costs 20 to 100 ns when threads meet at a cursor. Never
// more pieces than can be counted (base/threads.h).
static int64_t choose_grain(const executor *e, const resolved *r)
{
    enum { PIECES = 8 };
    // By a core's usual speed, 16 bytes or 64 operations a nanosecond: a bound from below on the time of the whole
    // chain.
    const int64_t short_ns = 4000;
    int64_t by_bytes = 0, by_flops = 0, least = r->n_tiles / INT32_MAX + 1, n_threads = thread_pool_size(e->pool);
    for (uint32_t i = r->first; i < r->end; i++) {
        const program_call *call = &e->exe->program.calls[i];
        by_bytes += extent_bytes(call, e->dims) / 16;
        by_flops += affine_eval(&call->flops, e->dims) / 64;
        if (call->grain > least) least = call->grain;
    }
    int64_t share = (r->n_tiles + n_threads - 1) / n_threads;
    bool is_short = (by_bytes > by_flops ? by_bytes : by_flops) / n_threads < short_ns;
    int64_t grain = is_short ? share : (share + PIECES - 1) / PIECES;
    if (grain < least) grain = least;
    return grain < share || share == 0 ? grain : share;
}

// The dims of one segment.
static void segment_dims(const executor *e, const execute_segment *segment, int64_t dims[DIM_COUNT])
{
    program_dims(segment->n_tokens, segment->n_past, 0, e->dims[DIM_CONTEXT], dims);
}

// Tiles of a call for one segment. Where few tokens may share out their positions, a batch never does: there are tiles
// enough, and the parts of one sequence would lie where those of the next do.
static int64_t segment_tiles(const program_call *call, const int64_t dims[DIM_COUNT])
{
    program_count tiles = call->tiles;
    if (tiles.when.max_tokens > 0 && !tiles.when.otherwise) return 0;
    tiles.when = (program_condition){0};
    return program_count_eval(&tiles, dims);
}

// Bytes before the segment's rows.
static int64_t skipped_bytes(const program_buffer *b, const execute_segment *segment)
{
    bool rows = b->area != BASE_KV && b->area != BASE_ROPE && b->area != BASE_WEIGHTS;
    return rows ? segment->first * b->bytes.c[DIM_TOKENS] : 0;
}

// What a kernel gets for an operand, in an area that begins at `base`: of the cache the table of blocks, which is `base`.
static unsigned char *operand_at(const executor *e, const program_buffer *b, unsigned char *base)
{
    return e->exe->program.areas[b->area].kind == AREA_STATE ? base : base + affine_eval(&b->offset, e->dims);
}

static void resolve_segments(const executor *e, resolved *r)
{
    const program_call *call = &e->exe->program.calls[r->first];
    void **buffers = r->buffers;
    int64_t *sizes = r->sizes, dims[DIM_COUNT];
    r->n_tiles = 0;
    for (uint32_t s = 0; s < e->n_segments; s++) {
        const execute_segment *segment = &e->segments[s];
        segment_dims(e, segment, dims);
        r->n_tiles += segment_tiles(call, dims);
        r->ends[s] = r->n_tiles;
        for (uint32_t i = 0; i < call->n_buffers; i++) {
            const program_buffer *b = &call->buffers[i];
            unsigned char *base = b->area == BASE_KV ? (unsigned char *)(uintptr_t)segment->blocks : e->areas[b->area];
            *buffers++ = operand_at(e, b, base) + skipped_bytes(b, segment);
        }
        for (uint32_t i = 0; i < call->n_sizes; i++) *sizes++ = affine_eval(&call->sizes[i], dims);
    }
}

static void resolve(const executor *e, resolved *r)
{
    void **buffers = r->buffers;
    int64_t *sizes = r->sizes;
    for (uint32_t k = r->first; k < r->end; k++) {
        const program_call *call = &e->exe->program.calls[k];
        for (uint32_t i = 0; i < call->n_buffers; i++)
            *buffers++ = operand_at(e, &call->buffers[i], e->areas[call->buffers[i].area]);
        for (uint32_t i = 0; i < call->n_sizes; i++) *sizes++ = affine_eval(&call->sizes[i], e->dims);
    }
}

// The first chain from call `index` on that has tiles.
static void resolve_next(const executor *e, uint32_t index, resolved *r)
{
    const program *p = &e->exe->program;
    for (r->first = index; r->first < p->n_calls; r->first = r->end) {
        r->end = chain_end(p, r->first, e->spans || e->poison, e->n_segments > 0);
        r->by_segment = e->n_segments > 0 && is_positional(&p->calls[r->first]);
        if (r->by_segment)
            resolve_segments(e, r);
        else
            r->n_tiles = program_count_eval(&p->calls[r->first].tiles, e->dims);
        if (r->n_tiles <= 0) continue;
        r->grain = choose_grain(e, r);
        r->n_pieces = (r->n_tiles + r->grain - 1) / r->grain; // NOLINT: a grain is at least 1
        if (!r->by_segment) resolve(e, r);
        return;
    }
}

static void run_segments(const executor *e, const resolved *r, int64_t begin, int64_t end)
{
    const program_call *call = &e->exe->program.calls[r->first];
    kernel_fn kernel = e->exe->kernels[call->kernel];
    for (uint32_t s = 0; begin < end; s++) {
        int64_t first = s ? r->ends[s - 1] : 0, stop = end < r->ends[s] ? end : r->ends[s];
        if (stop <= begin) continue;
        kernel(r->buffers + s * call->n_buffers, r->sizes + s * call->n_sizes, begin - first, stop - first);
        begin = stop;
    }
}

static void run_piece(const executor *e, const resolved *r, int64_t begin, int64_t end)
{
    if (r->by_segment) {
        run_segments(e, r, begin, end);
        return;
    }
    void **buffers = r->buffers;
    int64_t *sizes = r->sizes;
    for (uint32_t k = r->first; k < r->end; k++) {
        const program_call *call = &e->exe->program.calls[k];
        e->exe->kernels[call->kernel](buffers, sizes, begin, end);
        buffers += call->n_buffers;
        sizes += call->n_sizes;
    }
}

// ---- walking

static void run_pieces(const executor *e, int thread, const resolved *r)
{
    execute_span *span = e->spans ? &e->spans[(uint32_t)thread * e->exe->program.n_calls + r->first] : NULL;
    for (;;) {
        tile_range pieces = work_take(e->pool, r->first, thread, r->n_pieces, 1);
        if (pieces.begin == pieces.end) return;
        int64_t begin = pieces.begin * r->grain, end = pieces.end * r->grain;
        if (span && span->begin == 0) span->begin = clock_seconds();
        run_piece(e, r, begin, end < r->n_tiles ? end : r->n_tiles);
        if (span) span->end = clock_seconds();
        work_finish(e->pool, r->first, pieces.end - pieces.begin, r->n_pieces);
    }
}

// A chain of one piece is thread 0's, so that small calls behind each other stay on one core; the others pass it by and
// wait for it only when there is something for them to do.
static void walk(void *context, int thread)
{
    const executor *e = context;
    uint32_t n_calls = e->exe->program.n_calls;
    resolved *current = &e->slots[2 * thread], *next = current + 1, before = {0};
    resolve_next(e, 0, current);
    while (current->first < n_calls) {
        bool takes_part = current->n_pieces > 1 || thread == 0;
        if (takes_part && before.n_pieces) work_wait(e->pool, before.first, before.n_pieces);
        if (takes_part) run_pieces(e, thread, current);
        before = *current;
        resolve_next(e, current->end, next);
        resolved *swap = current;
        current = next;
        next = swap;
    }
}

// One thread, with the arena's dead parts filled between calls.
static void walk_poisoned(const executor *e)
{
    const program *p = &e->exe->program;
    unsigned char *memory = e->areas[program_find_area(p, AREA_ARENA)];
    resolved *r = e->slots;
    poison_dead(p, UINT32_MAX, memory, e->dims);
    for (resolve_next(e, 0, r); r->first < p->n_calls; resolve_next(e, r->end, r)) {
        run_piece(e, r, 0, r->n_tiles);
        poison_dead(p, r->first, memory, e->dims);
    }
}

// ---- the executor

static void note_form(affine *largest, const affine *form)
{
    for (int d = 0; d < DIM_COUNT; d++)
        if (llabs(form->c[d]) > largest->c[d]) largest->c[d] = llabs(form->c[d]);
}

static void note_forms(executor *e)
{
    const program *p = &e->exe->program;
    for (uint32_t i = 0; i < p->n_areas; i++) note_form(&e->largest, &p->areas[i].bytes);
    for (uint32_t i = 0; i < p->n_calls; i++) {
        const program_call *call = &p->calls[i];
        note_form(&e->largest, &call->tiles.a);
        note_form(&e->largest, &call->flops);
        for (uint32_t k = 0; k < call->n_sizes; k++) note_form(&e->largest, &call->sizes[k]);
    }
}

static void free_slots(executor *e)
{
    free(e->slots);
    free(e->buffers);
    free(e->sizes);
    free(e->ends);
    e->slots = NULL, e->buffers = NULL, e->sizes = NULL, e->ends = NULL;
    e->n_reserved = 0;
}

// Memory for runs of up to `n_segments`. On failure there is none.
static wf_status reserve_slots(executor *e, uint32_t n_segments, wf_error *err)
{
    const program *p = &e->exe->program;
    size_t n_slots = 2 * (size_t)thread_pool_size(e->pool), n_buffers = 1, n_sizes = 1; // of the longest chain
    if (e->slots && n_segments <= e->n_reserved) return WF_OK;
    free_slots(e);
    for (uint32_t first = 0, end; first < p->n_calls; first = end) {
        size_t buffers = 0, sizes = 0;
        end = chain_end(p, first, false, false);
        for (uint32_t i = first; i < end; i++) buffers += p->calls[i].n_buffers, sizes += p->calls[i].n_sizes;
        if (buffers > n_buffers) n_buffers = buffers;
        if (sizes > n_sizes) n_sizes = sizes;
    }
    for (uint32_t i = 0; i < p->n_calls && n_segments; i++) {
        size_t buffers = (size_t)n_segments * p->calls[i].n_buffers, sizes = (size_t)n_segments * p->calls[i].n_sizes;
        if (buffers > n_buffers) n_buffers = buffers;
        if (sizes > n_sizes) n_sizes = sizes;
    }
    e->slots = calloc(n_slots, sizeof *e->slots);
    e->buffers = calloc(n_slots * n_buffers, sizeof *e->buffers);
    e->sizes = calloc(n_slots * n_sizes, sizeof *e->sizes);
    e->ends = calloc(n_slots * (n_segments + 1), sizeof *e->ends);
    if (!e->slots || !e->buffers || !e->sizes || !e->ends) {
        free_slots(e);
        return error_memory(err, n_slots * n_buffers);
    }
    for (size_t i = 0; i < n_slots; i++) {
        e->slots[i].buffers = e->buffers + i * n_buffers;
        e->slots[i].sizes = e->sizes + i * n_sizes;
        e->slots[i].ends = e->ends + i * n_segments;
    }
    e->n_reserved = n_segments;
    return WF_OK;
}

wf_status executor_create(const executable *exe, thread_pool *pool, executor **out, wf_error *err)
{
    const char *poison = getenv("WELFORD_POISON");
    *out = NULL;
    executor *e = calloc(1, sizeof *e);
    if (!e) return error_memory(err, sizeof *e);
    e->exe = exe;
    e->pool = pool;
    e->poison = poison && *poison && strcmp(poison, "0");
    math_table(e->math);
    note_forms(e);
    e->areas = calloc(exe->program.n_areas + 1, sizeof *e->areas);
    wf_status status = e->areas ? reserve_slots(e, 0, err) : error_memory(err, exe->program.n_areas);
    if (status != WF_OK) {
        executor_free(e);
        return status;
    }
    *out = e;
    return WF_OK;
}

void executor_free(executor *e)
{
    if (!e) return;
    free_slots(e);
    free(e->areas);
    free(e->spans);
    free(e);
}

static void place_areas(executor *e, unsigned char *const *areas)
{
    const program *p = &e->exe->program;
    for (uint32_t i = 0; i < p->n_areas; i++) {
        e->areas[i] = areas[i];
        if (p->areas[i].kind == AREA_MATH) e->areas[i] = (unsigned char *)e->math;
        if (p->areas[i].kind == AREA_FAULT) e->areas[i] = (unsigned char *)&e->fault;
    }
}

// ---- running

void executor_observe(executor *e, execute_observer *observer, void *context)
{
    e->observer = observer;
    e->context = context;
    free(e->spans);
    e->spans = NULL;
}

// Empty spans for the run; where memory is out, it goes unwatched.
static void clear_spans(executor *e)
{
    size_t n = (size_t)thread_pool_size(e->pool) * e->exe->program.n_calls;
    if (!e->observer || e->poison) return;
    if (e->spans)
        memset(e->spans, 0, n * sizeof *e->spans);
    else
        e->spans = calloc(n + 1, sizeof *e->spans);
}

static void report(executor *e, double begin)
{
    if (!e->spans) return;
    const execute_record record = {.program = &e->exe->program,
                                   .dims = e->dims,
                                   .n_threads = thread_pool_size(e->pool),
                                   .begin = begin,
                                   .end = clock_seconds(),
                                   .spans = e->spans};
    e->observer(e->context, &record);
}

bool executor_can_batch(const executor *e)
{
    const program *p = &e->exe->program;
    for (uint32_t i = 0; i < p->n_calls; i++) {
        const program_call *call = &p->calls[i];
        bool runs = is_positional(call) && (call->tiles.when.max_tokens == 0 || call->tiles.when.otherwise);
        for (uint32_t b = 0; b < call->n_buffers && runs; b++)
            if (call->buffers[b].area == BASE_ARENA && call->buffers[b].bytes.c[DIM_CONTEXT]) return false;
    }
    return program_is_sequence(p);
}

// In the pool's turn.
static wf_status run_calls(executor *e, unsigned char *const *areas, const int64_t dims[DIM_COUNT], wf_error *err)
{
    const program *p = &e->exe->program;
    if (!work_begin(e->pool, p->n_calls)) return error_memory(err, p->n_calls);
    place_areas(e, areas);
    e->dims = dims;
    e->fault = 0;
    clear_spans(e);
    double begin = e->spans ? clock_seconds() : 0;
    if (e->poison)
        walk_poisoned(e);
    else
        thread_pool_run(e->pool, walk, e);
    report(e, begin);
    return WF_OK;
}

static wf_status run(executor *e, unsigned char *const *areas, const int64_t dims[DIM_COUNT], wf_error *err)
{
    const program *p = &e->exe->program;
    int64_t bound;
    if (!affine_eval_checked(&e->largest, dims, &bound) || bound < 0)
        return error_set(err, WF_ERROR_LIMIT, "%s: sizes that large cannot be computed", p->name);
    thread_pool_take_turn(e->pool);
    wf_status status = run_calls(e, areas, dims, err);
    thread_pool_end_turn(e->pool);
    TRY(status);
    if (!e->fault) return WF_OK;
    uint64_t check = (uint64_t)e->fault - 1;
    return error_set(err, WF_ERROR_USAGE, "%s", check < p->n_checks ? p->checks[check] : "a check failed");
}

wf_status executor_run(executor *e, unsigned char *const *areas, const int64_t dims[DIM_COUNT], wf_error *err)
{
    e->n_segments = 0;
    TRY(reserve_slots(e, 0, err));
    return run(e, areas, dims, err);
}

wf_status executor_run_batch(executor *e, unsigned char *const *areas, const int64_t dims[DIM_COUNT],
                             const execute_segment *segments, uint32_t n_segments, wf_error *err)
{
    TRY(reserve_slots(e, n_segments, err));
    e->segments = segments;
    e->n_segments = n_segments;
    return run(e, areas, dims, err);
}

double execute_call_end(const execute_record *record, uint32_t index)
{
    double end = 0;
    for (int t = 0; t < record->n_threads; t++) {
        const execute_span *span = &record->spans[(uint32_t)t * record->program->n_calls + index];
        if (span->end > end) end = span->end;
    }
    return end;
}
