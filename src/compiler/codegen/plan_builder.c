#include "compiler/codegen/plan_builder.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

enum { ALIGNMENT = 64 };

void plan_builder_init(plan_builder *p, plan *out) { *p = (plan_builder){.plan = out}; }

void plan_builder_free(plan_builder *p)
{
    free(p->values);
    free(p->calls);
    free(p->operands);
    free(p->sizes);
    free(p->weights);
    free(p->names);
}

// Room for one more item; false when memory is out.
static bool grow(plan_builder *p, void *items, int n, int *max, size_t size)
{
    if (n < *max) return true;
    int bigger = *max ? 2 * *max : 64;
    void **array = items, *moved = realloc(*array, (size_t)bigger * size);
    if (!moved) return p->failed = true, false;
    *array = moved;
    *max = bigger;
    return true;
}

int plan_add_value(plan_builder *p, uint32_t area, uint32_t rows, int64_t row_bytes)
{
    if (!grow(p, &p->values, p->n_values, &p->max_values, sizeof *p->values)) return 0;
    p->values[p->n_values] = (plan_value){.area = area, .rows = rows, .row_bytes = row_bytes, .first = -1, .last = -1};
    return p->n_values++;
}

static bool same_weight(const plan_weight *a, const plan_weight *b)
{
    if (a->layout != b->layout || a->n_sources != b->n_sources || a->cols != b->cols ||
        a->interleave != b->interleave || a->plus_one != b->plus_one)
        return false;
    for (uint32_t i = 0; i < a->n_sources; i++)
        if (strcmp(a->sources[i], b->sources[i])) return false;
    return true;
}

wf_status plan_add_weight(plan_builder *p, const plan_weight *w, int *index, wf_error *err)
{
    for (*index = 0; *index < p->n_weights; ++*index)
        if (same_weight(&p->weights[*index], w)) return WF_OK;
    if (!grow(p, &p->weights, p->n_weights, &p->max_weights, sizeof *p->weights)) return error_memory(err, 0);
    plan_weight *added = &p->weights[p->n_weights];
    *added = *w;
    size_t end;
    // vectors are read in whole registers: their last one may reach beyond the values, never beyond the pack
    if (!plan_weight_bytes(w, &added->bytes) || !checked_align(p->weights_bytes, ALIGNMENT, &added->offset) ||
        !checked_add(added->offset, added->bytes, &end) || !checked_align(end, ALIGNMENT, &end))
        return error_set(err, WF_ERROR_UNSUPPORTED, "tensor %s is too large or no whole number of blocks",
                         w->sources[0]);
    p->weights_bytes = end;
    for (uint32_t i = 0; i < w->n_sources; i++) {
        added->sources[i] = arena_strdup(&p->plan->memory, view_of(w->sources[i]));
        if (!added->sources[i]) return error_memory(err, 0);
    }
    p->n_weights++;
    return WF_OK;
}

uint32_t plan_add_kernel(plan_builder *p, const char *name, bool *is_new)
{
    *is_new = false;
    for (int i = 0; i < p->n_names; i++)
        if (!strcmp(p->names[i], name)) return (uint32_t)i;
    if (!grow(p, &p->names, p->n_names, &p->max_names, sizeof *p->names)) return 0;
    const char *copy = arena_strdup(&p->plan->memory, view_of(name));
    if (!copy) p->failed = true;
    p->names[p->n_names] = copy ? copy : "";
    *is_new = true;
    return (uint32_t)p->n_names++;
}

plan_call *plan_add_call(plan_builder *p, uint32_t kernel, const char *label)
{
    static plan_call nowhere; // what calls go to when memory ran out: plan_finish reports it
    int max_operands = p->max_calls, max_sizes = p->max_calls;
    if (!grow(p, &p->operands, p->n_calls, &max_operands, sizeof *p->operands) ||
        !grow(p, &p->sizes, p->n_calls, &max_sizes, sizeof *p->sizes) ||
        !grow(p, &p->calls, p->n_calls, &p->max_calls, sizeof *p->calls))
        return &nowhere;
    plan_call *call = &p->calls[p->n_calls++];
    const char *copy = arena_strdup(&p->plan->memory, view_of(label));
    if (!copy) p->failed = true;
    *call = (plan_call){.kernel = kernel, .label = copy ? copy : "", .tiles = {.divisor = 1, .factor = 1}, .grain = 1};
    return call;
}

static plan_operand *add_operand(plan_builder *p)
{
    static plan_operand nowhere;
    if (p->failed) return &nowhere;
    plan_call *call = &p->calls[p->n_calls - 1];
    if (call->n_buffers == BUILDER_MAX_OPERANDS) return p->failed = true, &nowhere;
    return &p->operands[p->n_calls - 1][call->n_buffers++];
}

static void use_value(plan_builder *p, int index, int64_t skip_bytes, bool written)
{
    if (p->failed) return;
    plan_value *v = &p->values[index];
    int call = p->n_calls - 1;
    if (v->first < 0) v->first = call;
    v->last = call;
    *add_operand(p) = (plan_operand){.value = index, .skip_bytes = skip_bytes, .fixed = {.written = written}};
}

void plan_reads(plan_builder *p, int index) { use_value(p, index, 0, false); }
void plan_reads_part(plan_builder *p, int index, int64_t skip_bytes) { use_value(p, index, skip_bytes, false); }
void plan_writes(plan_builder *p, int index) { use_value(p, index, 0, true); }

void plan_uses_area(plan_builder *p, uint32_t area, affine offset, affine bytes, bool written)
{
    *add_operand(p) =
        (plan_operand){.value = -1, .fixed = {.area = area, .offset = offset, .bytes = bytes, .written = written}};
}

void plan_uses_end(plan_builder *p, affine bytes, bool written)
{
    *add_operand(p) = (plan_operand){.value = -2, .fixed = {.area = BASE_ARENA, .bytes = bytes, .written = written}};
    for (int d = 0; d < DIM_COUNT; d++)
        if (bytes.c[d] > p->end_bytes.c[d]) p->end_bytes.c[d] = bytes.c[d];
}

void plan_uses_weight(plan_builder *p, int weight)
{
    if (p->failed) return;
    const plan_weight *w = &p->weights[weight];
    plan_uses_area(p, BASE_WEIGHTS, affine_of(DIM_ONE, (int64_t)w->offset), affine_of(DIM_ONE, (int64_t)w->bytes),
                   false);
}

void plan_size(plan_builder *p, affine size)
{
    if (p->failed) return;
    plan_call *call = &p->calls[p->n_calls - 1];
    if (call->n_sizes == PLAN_MAX_SIZES)
        p->failed = true;
    else
        p->sizes[p->n_calls - 1][call->n_sizes++] = size;
}

// Gives every arena value the lowest place where it overlaps no value that lives at the same time. Values come in the
// order of their first call, so all that matters is already placed. Returns the arena's bytes a token.
static int64_t place_values(plan_builder *p)
{
    int64_t arena_bytes = 0;
    for (int i = 0; i < p->n_values; i++) {
        plan_value *v = &p->values[i];
        if (v->area != BASE_ARENA || v->first < 0) continue;
        int64_t size = (v->row_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        v->place = 0;
        for (int j = 0; j < i; j++) {
            const plan_value *w = &p->values[j];
            if (w->area != BASE_ARENA || w->first < 0 || w->last < v->first || v->last < w->first) continue;
            int64_t w_end = w->place + (w->row_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
            if (w->place >= v->place + size || w_end <= v->place) continue;
            v->place = w_end;
            j = -1; // moved: compare with all again
        }
        if (v->place + size > arena_bytes) arena_bytes = v->place + size;
    }
    return arena_bytes;
}

static void *copy_items(plan_builder *p, const void *items, int n, size_t size)
{
    void *copy = arena_alloc(&p->plan->memory, (size_t)n, size);
    if (!copy)
        p->failed = true;
    else if (n)
        memcpy(copy, items, (size_t)n * size);
    return copy;
}

static plan_buffer resolve_operand(const plan_builder *p, const plan_operand *o, int64_t values_bytes)
{
    plan_buffer b = o->fixed;
    if (o->value == -2) b.offset = affine_of(DIM_TOKENS, values_bytes);
    if (o->value < 0) return b;
    const plan_value *v = &p->values[o->value];
    b.area = v->area;
    b.offset = affine_of(DIM_TOKENS, v->area == BASE_ARENA ? v->place : 0);
    b.offset.c[DIM_ONE] = o->skip_bytes;
    b.bytes = affine_of(v->rows, v->row_bytes);
    b.bytes.c[DIM_ONE] = -o->skip_bytes;
    return b;
}

static void resolve_operands(plan_builder *p, int64_t values_bytes)
{
    for (int i = 0; i < p->n_calls; i++) {
        plan_call *call = &p->calls[i];
        plan_buffer *buffers = arena_alloc(&p->plan->memory, call->n_buffers, sizeof *buffers);
        call->buffers = buffers;
        call->sizes = copy_items(p, p->sizes[i], (int)call->n_sizes, sizeof **p->sizes);
        if (!buffers) p->failed = true;
        for (uint32_t j = 0; j < call->n_buffers && buffers; j++)
            buffers[j] = resolve_operand(p, &p->operands[i][j], values_bytes);
    }
}

wf_status plan_finish(plan_builder *p, wf_error *err)
{
    if (p->failed) return error_memory(err, 0);
    int64_t values_bytes = place_values(p);
    affine arena_bytes = p->end_bytes;
    arena_bytes.c[DIM_TOKENS] += values_bytes;
    plan_area *areas = arena_alloc(&p->plan->memory, BASE_COUNT, sizeof *areas);
    if (!areas) return error_memory(err, 0);
    plan_set_sequence(p->plan, arena_bytes, p->kv_bytes, p->weights_bytes, areas);
    resolve_operands(p, values_bytes);
    p->plan->n_weights = (uint32_t)p->n_weights;
    p->plan->weights = copy_items(p, p->weights, p->n_weights, sizeof *p->weights);
    p->plan->n_kernels = (uint32_t)p->n_names;
    p->plan->kernels = copy_items(p, p->names, p->n_names, sizeof *p->names);
    p->plan->n_calls = (uint32_t)p->n_calls;
    p->plan->calls = copy_items(p, p->calls, p->n_calls, sizeof *p->calls);
    if (p->failed) return error_memory(err, 0);
    return plan_check(p->plan, err);
}
