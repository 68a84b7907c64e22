// The function op by op. Every structured op becomes a nest (nest.h) with a kernel of its own, every wf op a call of
// its kernel.
//
// A root lives from the first call that writes it to the last that reads it, both rounded to whole chains of calls,
// within which threads do not wait for each other.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/codegen/context.h"
#include "compiler/dialect/wf.h"
#include "compiler/graph/constant.h"
#include "compiler/graph/schedule_parts.h"

// ---- ops

static wf_status schedule_assert(schedule *s)
{
    MlirOperation condition = defining_op(mlirOperationGetOperand(s->op, 0));
    MlirAttribute a = constant_attribute_of(condition);
    if (!a.ptr || !mlirAttributeIsABool(a))
        return schedule_refuse(s, "with a condition that is computed cannot be compiled");
    if (mlirBoolAttrGetValue(a)) return WF_OK;
    MlirStringRef message = op_string(s->op, "msg");
    buffer where = {0};
    print_location(mlirOperationGetLocation(s->op), &where);
    error_set(s->err, WF_ERROR_USAGE, "%s: the function does not take these shapes: %.*s", buffer_view(&where).data,
              (int)message.length, message.data);
    buffer_free(&where);
    return WF_ERROR_USAGE;
}

static const struct {
    const char *name;
    wf_status (*run)(schedule *s);
} OPS[] = {
    {"tensor.cast", schedule_alias},
    {"tensor.expand_shape", schedule_reshape},
    {"tensor.collapse_shape", schedule_reshape},
    {"tensor.reshape", schedule_reshape},
    {"tensor.extract_slice", schedule_extract_slice},
    {"tensor.insert_slice", schedule_insert_slice},
    {"tensor.concat", schedule_concat},
    {"tensor.pad", schedule_pad},
    {"tensor.from_elements", schedule_from_elements},
    {"linalg.generic", schedule_generic},
    {"wf.rms_norm", schedule_norm},
    {"wf.layer_norm", schedule_norm},
    {"wf.residual_norm", schedule_norm},
    {"wf.linear", schedule_linear},
    {"wf.attention", schedule_attention},
    {"cf.assert", schedule_assert},
};

static wf_status schedule_op(schedule *s)
{
    MlirOperation op = s->op;
    intptr_t n = mlirOperationGetNumResults(op);
    if (constant_attribute_of(op).ptr || op_is(op, "tosa.const_shape")) return WF_OK; // read where they are used
    for (size_t i = 0; i < sizeof OPS / sizeof *OPS; i++)
        if (op_is(op, OPS[i].name)) return OPS[i].run(s);
    if (op_is(op, "tensor.empty")) return schedule_splat(s, (MlirValue){0});
    if (op_is(op, "tensor.splat") || op_is(op, "linalg.fill")) return schedule_splat(s, mlirOperationGetOperand(op, 0));
    // scalars are computed by the kernels that use them
    bool scalar = n == 1 && is_scalar_value(mlirOperationGetResult(op, 0)) && mlirOperationGetNumRegions(op) == 0;
    if (scalar && (op_name_starts_with(op, "arith.") || op_name_starts_with(op, "math.") ||
                   op_name_starts_with(op, "index.") || op_is(op, "tensor.extract") || op_is(op, "affine.apply")))
        return WF_OK;
    return schedule_refuse(s, "cannot be compiled");
}

// ---- arguments, results

static wf_status read_shapes(schedule *s, MlirOperation end)
{
    uint32_t n = (uint32_t)mlirBlockGetNumArguments(s->entry), m = (uint32_t)mlirOperationGetNumOperands(end);
    array_shape *shapes = arena_alloc(&s->out->memory, n + m + 1, sizeof *shapes);
    if (!shapes) return error_memory(s->err, (n + m) * sizeof *shapes);
    s->out->n_arguments = n;
    s->out->n_results = m;
    s->shapes = shapes;
    s->op = end;
    for (uint32_t i = 0; i < n + m; i++) {
        MlirValue v = i < n ? mlirBlockGetArgument(s->entry, i) : mlirOperationGetOperand(end, i - n);
        tensor x;
        if (is_scalar_value(v))
            return schedule_refuse(s, "has a scalar as argument or result, where arrays are wanted");
        TRY(schedule_read_type(s, mlirValueGetType(v), &x));
        if (x.rank > ARRAY_MAX_DIMS) return schedule_refuse(s, "has an array of too many dimensions");
        if (mlirTypeIsAIndex(x.element)) return schedule_refuse(s, "has an array of index");
        constant_type(x.element, &shapes[i].type);
        shapes[i].n_dims = (uint32_t)x.rank;
        memcpy(shapes[i].dims, x.dims, sizeof shapes[i].dims);
        if (i >= n) continue;
        x.place = PLACE_MEMORY;
        TRY(schedule_add_root(s, FUNCTION_ARRAYS + i, 0, (size_t)tensor_count(&x) * tensor_element_bytes(&x), &x.root));
        TRY(schedule_add_tensor(s, v, &x));
    }
    return WF_OK;
}

// A result that is a whole buffer of the arena moves to the caller's array; else it is copied there.
static wf_status schedule_results(schedule *s, MlirOperation end)
{
    s->op = end;
    for (uint32_t i = 0; i < s->out->n_results; i++) {
        MlirValue v = mlirOperationGetOperand(end, i);
        uint32_t base = FUNCTION_ARRAYS + s->out->n_arguments + i;
        tensor x, y;
        TRY(schedule_read_tensor(s, v, &x));
        size_t bytes = (size_t)tensor_count(&x) * tensor_element_bytes(&x);
        if (x.place == PLACE_MEMORY && s->roots[x.root].base == FUNCTION_ARENA && !x.offset &&
            tensor_is_contiguous(&x) && s->roots[x.root].bytes == bytes) {
            s->roots[x.root].base = base;
            continue;
        }
        TRY(schedule_read_type(s, mlirValueGetType(v), &y));
        y.place = PLACE_MEMORY;
        TRY(schedule_add_root(s, base, 0, bytes, &y.root));
        if (x.place != PLACE_EMPTY) TRY(schedule_copy(s, &x, &y));
    }
    return WF_OK;
}

// ---- memory

// First fit: a root goes to the lowest place where no other root that lives at the same time lies.
static void place_roots(schedule *s, size_t *arena_bytes)
{
    for (size_t i = 0; i < s->n_roots; i++) {
        root *r = &s->roots[i];
        if (r->first < 0) continue;
        r->first = s->calls[r->first].chain;
        int last = r->last + 1;
        while (last < (int)s->n_calls && s->calls[last].chained) last++;
        r->last = last - 1;
    }
    size_t all = 0;
    for (size_t i = 0; i < s->n_roots; i++) {
        root *r = &s->roots[i];
        if (r->base != FUNCTION_ARENA || r->first < 0) continue;
        size_t at = 0;
        for (bool moved = true; moved;) {
            moved = false;
            for (size_t k = 0; k < i; k++) {
                const root *o = &s->roots[k];
                if (o->base != FUNCTION_ARENA || o->first < 0 || o->last < r->first || o->first > r->last) continue;
                if (o->offset >= at + r->bytes || o->offset + o->bytes <= at) continue;
                at = (o->offset + o->bytes + 63) / 64 * 64;
                moved = true;
            }
        }
        r->offset = at;
        if (at + r->bytes > all) all = at + r->bytes;
    }
    *arena_bytes = all;
}

// ---- the plan

static affine constant_form(size_t n) { return affine_of(DIM_ONE, (int64_t)n); }

static plan_buffer buffer_of(const schedule *s, const call *c, int k)
{
    if (c->roots[k] < 0) {
        uint32_t area = c->roots[k] == -1 ? FUNCTION_MATH : FUNCTION_FAULT;
        return (plan_buffer){.area = area, .bytes = constant_form(8), .written = c->written[k]};
    }
    const root *r = &s->roots[c->roots[k]];
    return (plan_buffer){.area = r->base,
                         .offset = constant_form(r->offset),
                         .bytes = constant_form(r->bytes),
                         .written = c->written[k],
                         .partly = c->partly[k]};
}

// Index of a kernel's name in the plan's table.
static uint32_t find_kernel(const char **names, uint32_t *n, const char *name)
{
    for (uint32_t i = 0; i < *n; i++)
        if (!strcmp(names[i], name)) return i;
    names[*n] = name;
    return (*n)++;
}

static bool write_call(schedule *s, const call *c, const char **names, plan_call *out)
{
    plan_buffer *buffers = arena_alloc(&s->out->memory, (size_t)c->n_buffers + 1, sizeof *buffers);
    affine *sizes = arena_alloc(&s->out->memory, (size_t)c->n_dims + 1, sizeof *sizes);
    if (!buffers || !sizes) return false;
    for (int k = 0; k < c->n_buffers; k++) buffers[k] = buffer_of(s, c, k);
    for (int k = 0; k < c->n_dims; k++) sizes[k] = affine_of(DIM_ONE, c->dims[k]);
    *out = (plan_call){.kernel = find_kernel(names, &s->out->n_kernels, c->kernel),
                       .label = c->label,
                       .n_buffers = (uint32_t)c->n_buffers,
                       .buffers = buffers,
                       .n_sizes = (uint32_t)c->n_dims,
                       .sizes = sizes,
                       .tiles = {.a = affine_of(DIM_ONE, c->n_tiles), .divisor = 1, .factor = 1},
                       .grain = c->grain,
                       .flops = affine_of(DIM_ONE, c->flops < 0x1p47 ? (int64_t)c->flops : INT64_C(1) << 47),
                       .chained = c->chained};
    return true;
}

static bool write_calls(schedule *s)
{
    plan_call *calls = arena_alloc(&s->out->memory, s->n_calls + 1, sizeof *calls);
    const char **names = arena_alloc(&s->out->memory, s->n_calls + 1, sizeof *names);
    if (!calls || !names) return false;
    s->out->n_calls = (uint32_t)s->n_calls;
    s->out->calls = calls;
    s->out->kernels = names;
    for (size_t i = 0; i < s->n_calls; i++)
        if (!write_call(s, &s->calls[i], names, &calls[i])) return false;
    return true;
}

static bool write_areas(schedule *s, size_t arena_bytes)
{
    static const plan_dim ONE = {.name = "1"};
    plan *p = s->out;
    uint32_t n_arrays = p->n_arguments + p->n_results;
    plan_area *areas = arena_alloc(&p->memory, FUNCTION_ARRAYS + n_arrays, sizeof *areas);
    plan_array *arrays = arena_alloc(&p->memory, n_arrays + 1, sizeof *arrays);
    if (!areas || !arrays) return false;
    areas[FUNCTION_ARENA] = (plan_area){"arena", AREA_ARENA, constant_form(arena_bytes)};
    areas[FUNCTION_CONSTANTS] = (plan_area){"constants", AREA_CONSTANTS, constant_form(s->blob->len)};
    areas[FUNCTION_MATH] = (plan_area){"math", AREA_MATH, constant_form(8)};
    areas[FUNCTION_FAULT] = (plan_area){"fault", AREA_FAULT, constant_form(8)};
    for (uint32_t i = 0; i < n_arrays; i++) {
        bool argument = i < p->n_arguments;
        char name[32];
        size_t bytes;
        snprintf(name, sizeof name, "%s%u", argument ? "argument" : "result", argument ? i : i - p->n_arguments);
        const char *copy = arena_strdup(&p->memory, view_of(name));
        if (!copy || !array_shape_bytes(&s->shapes[i], &bytes)) return false;
        areas[FUNCTION_ARRAYS + i] = (plan_area){copy, argument ? AREA_ARGUMENT : AREA_RESULT, constant_form(bytes)};
        arrays[i] = (plan_array){.type = s->shapes[i].type, .n_dims = s->shapes[i].n_dims};
        for (uint32_t d = 0; d < arrays[i].n_dims; d++) arrays[i].dims[d] = affine_of(DIM_ONE, s->shapes[i].dims[d]);
    }
    p->n_dims = 1;
    p->dims = &ONE;
    p->n_areas = FUNCTION_ARRAYS + n_arrays;
    p->areas = areas;
    p->arrays = arrays;
    return true;
}

static wf_status write_plan(schedule *s, MlirOperation function, size_t arena_bytes)
{
    plan *p = s->out;
    MlirStringRef name = op_string(function, "sym_name");
    p->name = arena_strdup(&p->memory, (view){name.data, name.length});
    const char **checks = arena_alloc(&p->memory, s->n_checks + 1, sizeof *checks);
    if (!p->name || !checks || s->blob->failed || !write_areas(s, arena_bytes) || !write_calls(s))
        return error_memory(s->err, s->n_calls * sizeof *p->calls);
    if (s->n_checks) memcpy(checks, s->checks, s->n_checks * sizeof *checks);
    p->n_checks = (uint32_t)s->n_checks;
    p->checks = checks;
    return plan_check(p, s->err);
}

static wf_status run_schedule(schedule *s, MlirOperation function)
{
    MlirRegion region = mlirOperationGetRegion(function, 0);
    s->entry = mlirRegionGetFirstBlock(region);
    MlirOperation end = mlirBlockGetTerminator(s->entry);
    s->op = function;
    if (mlirBlockGetNextInRegion(s->entry).ptr) return schedule_refuse(s, "with branches cannot be compiled");
    TRY(read_shapes(s, end));
    for (MlirOperation op = mlirBlockGetFirstOperation(s->entry); !mlirOperationEqual(op, end);
         op = mlirOperationGetNextInBlock(op)) {
        s->op = op;
        TRY(schedule_op(s));
    }
    TRY(schedule_results(s, end));
    size_t arena_bytes;
    place_roots(s, &arena_bytes);
    return write_plan(s, function, arena_bytes);
}

wf_status schedule_function(MlirOperation function, builder *kernels, bool chain, plan *out, buffer *constants,
                            wf_error *err)
{
    schedule s = {.b = kernels, .out = out, .blob = constants, .err = err, .chain = chain};
    wf_status status = run_schedule(&s, function);
    free(s.keys);
    free(s.tensors);
    free(s.roots);
    free(s.calls);
    free(s.constants);
    free(s.constant_roots);
    free((void *)s.checks);
    free(s.nests);
    return status;
}
