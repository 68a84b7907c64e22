// The end of the lowering: every piece of the arena gets its place, and the program its tables.
//
// A root lives from the first call that writes it to the last that reads it, both rounded to whole chains of calls,
// within which threads do not wait for each other. Roots whose lifetimes overlap never share memory, others may.
//
// The arena has a segment for each dim that sizes are multiples of, so that places are numbers within it:
//
//     [ fixed sizes | a number of bytes for each n_tokens | .. | what lies behind all others ]
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "compiler/lower/lowering.h"

enum { ALIGNMENT = 64 };

// ---- the arena

static void round_lifetimes(lowering *l)
{
    for (size_t i = 0; i < l->n_roots; i++) {
        root *r = &l->roots[i];
        if (r->first < 0) continue;
        r->first = l->calls[r->first].chain;
        int last = r->last + 1;
        while (last < (int)l->n_calls && l->calls[last].chained) last++;
        r->last = last - 1;
    }
}

static bool is_placed(const root *r) { return r->area == BASE_ARENA && r->first >= 0 && !r->at_end; }

// The dim of a root's segment: of a sequence there are never more outputs than tokens.
static uint32_t segment_of(const lowering *l, const root *r)
{
    for (uint32_t d = DIM_ONE + 1; d < DIM_COUNT; d++)
        if (r->bytes.c[d]) return is_sequence(l) && d == DIM_OUTPUTS ? DIM_TOKENS : d;
    return DIM_ONE;
}

static int64_t bytes_in_segment(const root *r)
{
    int64_t bytes = 0;
    for (int d = 0; d < DIM_COUNT; d++) bytes += r->bytes.c[d]; // one of them
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

// First fit: a root goes to the lowest place where no other root that lives at the same time lies. Returns the bytes of
// the segment, a unit of its dim.
static int64_t place_segment(lowering *l, uint32_t segment)
{
    int64_t all = 0;
    for (size_t i = 0; i < l->n_roots; i++) {
        root *r = &l->roots[i];
        if (!is_placed(r) || segment_of(l, r) != segment) continue;
        int64_t at = 0, bytes = bytes_in_segment(r);
        for (bool moved = true; moved;) {
            moved = false;
            for (size_t k = 0; k < i; k++) {
                const root *o = &l->roots[k];
                if (!is_placed(o) || segment_of(l, o) != segment || o->last < r->first || o->first > r->last) continue;
                int64_t begin = o->offset.c[segment], end = begin + bytes_in_segment(o);
                if (begin >= at + bytes || end <= at) continue;
                at = end;
                moved = true;
            }
        }
        r->offset = affine_of(segment, at);
        if (at + bytes > all) all = at + bytes;
    }
    return all;
}

static affine add_forms(affine a, const affine *b)
{
    for (int d = 0; d < DIM_COUNT; d++) a.c[d] += b->c[d];
    return a;
}

// Returns the bytes of the arena.
static affine place_roots(lowering *l)
{
    affine before = {{0}}, end_bytes = {{0}};
    round_lifetimes(l);
    for (uint32_t segment = DIM_ONE; segment < DIM_COUNT; segment++) {
        int64_t bytes = place_segment(l, segment);
        for (size_t i = 0; i < l->n_roots; i++) {
            root *r = &l->roots[i];
            if (is_placed(r) && segment_of(l, r) == segment) r->offset = add_forms(r->offset, &before);
        }
        before.c[segment] += bytes;
    }
    for (size_t i = 0; i < l->n_roots; i++) {
        root *r = &l->roots[i];
        if (!r->at_end) continue;
        r->offset = before;
        for (int d = 0; d < DIM_COUNT; d++)
            if (r->bytes.c[d] > end_bytes.c[d]) end_bytes.c[d] = r->bytes.c[d];
    }
    return add_forms(before, &end_bytes);
}

// ---- the program

static bool write_call(lowering *l, const call *c, program_call *out)
{
    program_buffer *buffers = arena_alloc(&l->out->memory, (size_t)c->n_operands + 1, sizeof *buffers);
    affine *sizes = arena_alloc(&l->out->memory, (size_t)c->n_sizes + 1, sizeof *sizes);
    if (!buffers || !sizes) return false;
    for (int k = 0; k < c->n_operands; k++) {
        const call_operand *o = &c->operands[k];
        const root *r = &l->roots[o->root];
        buffers[k] = (program_buffer){
            .area = r->area, .offset = r->offset, .bytes = r->bytes, .written = o->written, .partly = o->partly};
        buffers[k].offset.c[DIM_ONE] += o->skip_bytes;
        buffers[k].bytes.c[DIM_ONE] -= o->skip_bytes;
    }
    memcpy(sizes, c->sizes, (size_t)c->n_sizes * sizeof *sizes);
    *out = (program_call){.kernel = c->kernel,
                          .label = c->label,
                          .n_buffers = (uint32_t)c->n_operands,
                          .buffers = buffers,
                          .n_sizes = (uint32_t)c->n_sizes,
                          .sizes = sizes,
                          .tiles = c->tiles,
                          .grain = c->grain,
                          .chained = c->chained,
                          .flops = c->flops,
                          .pair_flops = c->pair_flops,
                          .window = c->window};
    return true;
}

// A copy of a table in the program's memory.
static bool copy_table(lowering *l, const void *items, size_t n, size_t size, const void *table, uint32_t *count)
{
    void *copy = arena_alloc(&l->out->memory, n + 1, size);
    if (!copy) return false;
    if (n) memcpy(copy, items, n * size);
    memcpy((void *)(uintptr_t)table, &copy, sizeof copy);
    *count = (uint32_t)n;
    return true;
}

static bool write_tables(lowering *l)
{
    program *p = l->out;
    program_call *calls = arena_alloc(&p->memory, l->n_calls + 1, sizeof *calls);
    if (!calls) return false;
    for (size_t i = 0; i < l->n_calls; i++)
        if (!write_call(l, &l->calls[i], &calls[i])) return false;
    p->n_calls = (uint32_t)l->n_calls;
    p->calls = calls;
    if (!is_sequence(l) && !copy_table(l, l->dims, l->n_dims, sizeof *l->dims, &p->dims, &p->n_dims)) return false;
    return copy_table(l, l->kernels, l->n_kernels, sizeof *l->kernels, &p->kernels, &p->n_kernels) &&
           copy_table(l, l->weights, l->n_weights, sizeof *l->weights, &p->weights, &p->n_weights) &&
           copy_table(l, l->checks, l->n_checks, sizeof *l->checks, &p->checks, &p->n_checks);
}

// ---- of a sequence

static bool write_facts(lowering *l)
{
    const model_facts *facts = l->o.facts;
    program *p = l->out;
    p->architecture = arena_strdup(&p->memory, view_of(facts->architecture));
    p->name = arena_strdup(&p->memory, view_of(facts->name));
    program_rope *ropes = arena_alloc(&p->memory, facts->n_ropes, sizeof *ropes);
    if (!p->architecture || !p->name || !ropes) return false;
    for (uint32_t i = 0; i < facts->n_ropes; i++) {
        size_t n = (size_t)facts->ropes[i].n_dims / 2;
        double *inv_freq = arena_alloc(&p->memory, n, sizeof *inv_freq);
        if (!inv_freq) return false;
        memcpy(inv_freq, facts->ropes[i].inv_freq, n * sizeof *inv_freq);
        ropes[i] = facts->ropes[i];
        ropes[i].inv_freq = inv_freq;
    }
    p->n_ropes = facts->n_ropes;
    p->ropes = ropes;
    p->n_vocab = facts->n_vocab;
    p->n_ctx_train = facts->n_ctx_train;
    p->n_embd = facts->n_embd;
    p->kv = facts_kv_layout(facts, l->o.kv);
    return true;
}

static bool write_sequence(lowering *l, affine arena_bytes)
{
    program_area *areas = arena_alloc(&l->out->memory, BASE_COUNT, sizeof *areas);
    if (!areas || !write_facts(l)) return false;
    program_set_sequence(l->out, arena_bytes, l->weights_bytes, areas);
    return true;
}

// ---- of a function

// Dims that turned out to be equal are one from here on.
static void settle_forms(lowering *l)
{
    for (size_t i = 0; i < l->n_roots; i++) lowering_settle_form(l, &l->roots[i].bytes);
    for (size_t i = 0; i < l->n_calls; i++) {
        call *c = &l->calls[i];
        for (int k = 0; k < c->n_sizes; k++) lowering_settle_form(l, &c->sizes[k]);
        lowering_settle_form(l, &c->tiles.a);
        lowering_settle_form(l, &c->flops);
    }
    for (uint32_t i = 0; i < l->n_arguments + l->n_results; i++)
        for (uint32_t d = 0; d < l->arrays[i].n_dims; d++) lowering_settle_form(l, &l->arrays[i].dims[d]);
}

// Of an argument or result: what its first root takes, which for a donor lies in its result.
static affine bytes_of_area(const lowering *l, uint32_t area)
{
    for (uint32_t r = 0; r < l->n_results; r++)
        if (l->donors && l->donors[r].root >= 0 && FUNCTION_ARRAYS + l->donors[r].index == area)
            return l->roots[l->donors[r].root].bytes;
    for (size_t i = 0; i < l->n_roots; i++)
        if (l->roots[i].area == area) return l->roots[i].bytes;
    return affine_of(DIM_ONE, 0);
}

static bool write_function(lowering *l, MlirOperation function, affine arena_bytes)
{
    program *p = l->out;
    MlirStringRef name = op_string(function, "sym_name");
    uint32_t n_arrays = l->n_arguments + l->n_results;
    program_area *areas = arena_alloc(&p->memory, FUNCTION_ARRAYS + n_arrays, sizeof *areas);
    p->name = arena_strdup(&p->memory, (view){name.data, name.length});
    if (!p->name || !areas) return false;
    areas[FUNCTION_ARENA] = (program_area){"arena", AREA_ARENA, arena_bytes};
    areas[FUNCTION_CONSTANTS] = (program_area){"constants", AREA_CONSTANTS, affine_of(DIM_ONE, (int64_t)l->blob->len)};
    areas[FUNCTION_MATH] = (program_area){"math", AREA_MATH, affine_of(DIM_ONE, 8)};
    areas[FUNCTION_FAULT] = (program_area){"fault", AREA_FAULT, affine_of(DIM_ONE, 8)};
    areas[FUNCTION_WEIGHTS] = (program_area){"weights", AREA_WEIGHTS, affine_of(DIM_ONE, (int64_t)l->weights_bytes)};
    for (uint32_t i = 0; i < n_arrays; i++) {
        bool argument = i < l->n_arguments;
        char text[32];
        snprintf(text, sizeof text, "%s%" PRIu32, argument ? "argument" : "result", argument ? i : i - l->n_arguments);
        const char *copy = arena_strdup(&p->memory, view_of(argument && l->names[i] ? l->names[i] : text));
        if (!copy) return false;
        areas[FUNCTION_ARRAYS + i] =
            (program_area){copy, argument ? AREA_ARGUMENT : AREA_RESULT, bytes_of_area(l, FUNCTION_ARRAYS + i)};
    }
    p->n_arguments = l->n_arguments;
    p->n_results = l->n_results;
    p->n_areas = FUNCTION_ARRAYS + n_arrays;
    p->areas = areas;
    p->arrays = l->arrays;
    return true;
}

wf_status lowering_finish(lowering *l, MlirOperation function)
{
    settle_forms(l);
    affine arena_bytes = place_roots(l);
    bool written = is_sequence(l) ? write_sequence(l, arena_bytes) : write_function(l, function, arena_bytes);
    if (!written || l->blob->failed || !write_tables(l)) return error_memory(l->err, l->n_calls * sizeof *l->calls);
    return program_check(l->out, l->err);
}
