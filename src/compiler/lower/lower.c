// The function op by op: every structured op becomes a nest (nest.h) with a kernel of its own, every wf op calls of its
// kernel.
#include "compiler/lower/lower.h"

#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "compiler/lower/lowering.h"
#include "compiler/mlir/constant.h"
#include "compiler/mlir/text.h"

// ---- ops

// Sizes that are compared become one dim, and are compared when the function is called.
static bool equates_sizes(lowering *l, MlirOperation condition)
{
    enum { EQ = 0 };
    size_code a, b;
    return l->o.any_size && op_is(condition, "arith.cmpi") && op_int(condition, "predicate", -1) == EQ &&
           lowering_read_size(l, mlirOperationGetOperand(condition, 0), &a) &&
           lowering_read_size(l, mlirOperationGetOperand(condition, 1), &b) && (a == b || lowering_equate(l, a, b));
}

static wf_status lower_assert(lowering *l)
{
    MlirOperation condition = defining_op(mlirOperationGetOperand(l->op, 0));
    if (condition.ptr && equates_sizes(l, condition)) return WF_OK;
    MlirAttribute a = constant_attribute_of(condition);
    if (!a.ptr || !mlirAttributeIsABool(a))
        return lowering_refuse(l, "with a condition that is computed cannot be compiled");
    if (mlirBoolAttrGetValue(a)) return WF_OK;
    MlirStringRef message = op_string(l->op, "msg");
    buffer where = {0};
    print_location(mlirOperationGetLocation(l->op), &where);
    error_set(l->err, WF_ERROR_USAGE, "%s: the function does not take these shapes: %.*s", buffer_view(&where).data,
              (int)message.length, message.data);
    buffer_free(&where);
    return WF_ERROR_USAGE;
}

static wf_status lower_empty(lowering *l) { return lower_splat(l, (MlirValue){0}); }
static wf_status lower_fill(lowering *l) { return lower_splat(l, mlirOperationGetOperand(l->op, 0)); }

static wf_status lower_nothing(lowering *l) // read where it is used
{
    (void)l;
    return WF_OK;
}

typedef struct lower_rule {
    const char *name;
    wf_status (*run)(lowering *l);
    const char *(*why_not)(MlirOperation op, graph_kind kind); // NULL: runs in a sequence, not on arrays
} lower_rule;

static const lower_rule RULES[] = {
    {"wf.weight", lower_nothing, NULL},
    {"wf.rope_table", lower_nothing, NULL},
    {"wf.embed", lower_embed, NULL},
    {"wf.select_rows", lower_select_rows, NULL},
    {"wf.store_rows", lower_store_rows, why_not_store_rows},
    {"wf.rms_norm", lower_norm, why_not_norm},
    {"wf.layer_norm", lower_norm, why_not_norm},
    {"wf.residual_norm", lower_norm, why_not_norm},
    {"wf.linear", lower_linear, why_not_linear},
    {"wf.blocks", lower_nothing, why_not_blocks},
    {"wf.columns", lower_columns, NULL},
    {"wf.rope", lower_rope, NULL},
    {"wf.rope_store", lower_rope_store, NULL},
    {"wf.attention", lower_attention, why_not_attention},
    {"wf.cached_attention", lower_cached_attention, NULL},
    {"wf.glu", lower_glu, why_not_glu},
    {"wf.softcap", lower_softcap, NULL},
    {"wf.quantize", lower_quantize, why_not_quantize},
    {"arith.addf", lower_add, NULL},
    {"tensor.cast", lower_alias, NULL},
    {"tensor.expand_shape", lower_reshape, NULL},
    {"tensor.collapse_shape", lower_reshape, NULL},
    {"tensor.reshape", lower_reshape, NULL},
    {"tensor.extract_slice", lower_extract_slice, NULL},
    {"tensor.insert_slice", lower_insert_slice, NULL},
    {"tensor.concat", lower_concat, NULL},
    {"tensor.pad", lower_pad, NULL},
    {"tensor.from_elements", lower_from_elements, NULL},
    {"tensor.empty", lower_empty, NULL},
    {"tensor.splat", lower_fill, NULL},
    {"linalg.fill", lower_fill, NULL},
    {"linalg.generic", lower_generic, NULL},
    {"scf.for", lower_routine, NULL},
    {"scf.if", lower_routine, NULL},
    {"scf.while", lower_routine, NULL},
    {"cf.assert", lower_assert, NULL},
    {"tosa.const_shape", lower_nothing, NULL},
};

static const lower_rule *find_rule(MlirOperation op) // NULL: there is none
{
    for (size_t i = 0; i < sizeof RULES / sizeof *RULES; i++)
        if (op_is(op, RULES[i].name)) return &RULES[i];
    return NULL;
}

// Scalars are computed by the kernels that use them.
static bool is_scalar_op(MlirOperation op)
{
    bool scalar = mlirOperationGetNumResults(op) == 1 && is_scalar_value(mlirOperationGetResult(op, 0)) &&
                  mlirOperationGetNumRegions(op) == 0;
    return scalar && (op_name_starts_with(op, "arith.") || op_name_starts_with(op, "math.") ||
                      op_name_starts_with(op, "index.") || op_is(op, "tensor.extract") || op_is(op, "tensor.dim") ||
                      op_is(op, "affine.apply"));
}

// Whether an op whose sizes are dims of the program can be lowered: what is missing here takes all sizes as numbers.
static bool takes_any_size(MlirOperation op)
{
    static const char *const NAMES[] = {
        "wf.rms_norm",           "wf.layer_norm", "wf.residual_norm", "wf.linear",    "tensor.expand_shape",
        "tensor.collapse_shape", "tensor.cast",   "tensor.empty",     "tensor.splat", "linalg.fill",
        "linalg.generic",        "cf.assert",     "wf.quantize"};
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        if (op_is(op, NAMES[i])) return true;
    return false;
}

static bool has_open_size(MlirValue v)
{
    MlirType t = mlirValueGetType(v);
    return mlirTypeIsAShaped(t) && !(mlirShapedTypeHasRank(t) && mlirShapedTypeHasStaticShape(t));
}

static bool has_open_sizes(MlirOperation op)
{
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); i++)
        if (has_open_size(mlirOperationGetOperand(op, i))) return true;
    for (intptr_t i = 0; i < mlirOperationGetNumResults(op); i++)
        if (has_open_size(mlirOperationGetResult(op, i))) return true;
    return false;
}

static wf_status lower_op(lowering *l)
{
    if (constant_attribute_of(l->op).ptr || is_scalar_op(l->op)) return WF_OK;
    if (!is_sequence(l) && attention_reads_through(l, l->op)) return WF_OK;
    if (!is_sequence(l) && has_open_sizes(l->op) && !takes_any_size(l->op))
        return lowering_refuse(l, "needs its sizes");
    const lower_rule *r = find_rule(l->op);
    return r ? r->run(l) : lowering_refuse(l, "cannot be compiled");
}

const char *lower_why_not(MlirOperation op, graph_kind kind)
{
    if (kind != GRAPH_OF_SEQUENCE && !op_is(mlirOperationGetParentOperation(op), "func.func"))
        return "it stands in a loop or a branch"; // lower/routine_call.c
    const lower_rule *r = find_rule(op);
    if (r && r->why_not) return r->why_not(op, kind);
    return r && kind == GRAPH_OF_SEQUENCE ? NULL : "no kernel takes it";
}

// ---- arguments, results

// Where argument or result i of the function lies.
static uint32_t area_of_array(const lowering *l, uint32_t i)
{
    return is_sequence(l) ? BASE_TOKENS + i : FUNCTION_ARRAYS + i;
}

static wf_status read_argument(lowering *l, MlirValue v, uint32_t i, tensor *x)
{
    static const uint32_t ROWS[] = {DIM_TOKENS, DIM_OUTPUTS}; // of a sequence: ids, which
    size_code open[MAX_RANK] = {0};
    MlirType t = mlirValueGetType(v);
    if (is_scalar_value(v)) return lowering_refuse(l, "has a scalar as argument or result, where arrays are wanted");
    for (int d = 0; d < rank_of(v) && d < MAX_RANK; d++) {
        if (!mlirShapedTypeIsDynamicDim(t, d)) continue;
        uint32_t dim = is_sequence(l) ? ROWS[i] : l->o.any_size ? lowering_add_dim(l) : DIM_ONE;
        if (dim == DIM_ONE && l->o.signature) dim = DIM_COUNT - 1;
        if (dim == DIM_ONE)
            return lowering_refuse(l, l->o.any_size ? "has more open sizes than a program has dims"
                                                    : "has a shape that the arguments do not fix");
        open[d] = size_of(dim, 1);
    }
    return lowering_read_type(l, t, open, x);
}

// What the caller sees of an argument or result.
static wf_status note_array(lowering *l, const tensor *x, program_array *a)
{
    if (x->rank > ARRAY_MAX_DIMS) return lowering_refuse(l, "has an array of too many dimensions");
    constant_type(x->element, &a->type);
    a->n_dims = (uint32_t)x->rank;
    for (int d = 0; d < x->rank; d++) a->dims[d] = form_of(x->dims[d], 1);
    return WF_OK;
}

// An array of the call. That of a donated argument lies where its result will, which starts with its values.
static wf_status add_argument(lowering *l, MlirValue v, const graph_argument *a)
{
    uint32_t i = l->n_arguments++;
    tensor x;
    affine bytes;
    l->names[i] = a->name;
    TRY(read_argument(l, v, i, &x));
    TRY(note_array(l, &x, &l->arrays[i]));
    if (l->o.signature) return WF_OK;
    TRY(tensor_bytes(l, &x, &bytes));
    x.place = PLACE_MEMORY;
    x.root = lowering_add_root(l, area_of_array(l, i), affine_of(DIM_ONE, 0), bytes);
    if (x.root < 0) return error_memory(l->err, sizeof *l->roots);
    if (a->donates_to) l->donors[a->donates_to - 1] = (donor){v, x.root, i};
    return lowering_add_tensor(l, v, &x);
}

static wf_status add_packed(lowering *l, MlirValue v, const char *name)
{
    tensor x;
    TRY(lowering_bind_plain(l, name, mlirValueGetType(v), &x));
    return lowering_add_tensor(l, v, &x);
}

static wf_status read_arguments(lowering *l, MlirOperation end)
{
    uint32_t n = (uint32_t)mlirBlockGetNumArguments(l->entry), m = (uint32_t)mlirOperationGetNumOperands(end);
    if (is_sequence(l) && (n != 2 || m != 1)) return lowering_refuse(l, "is no function from ids and rows to logits");
    l->arrays = arena_alloc(&l->out->memory, n + m + 1, sizeof *l->arrays);
    l->names = arena_alloc(&l->out->memory, n + m + 1, sizeof *l->names);
    l->donors = arena_alloc(&l->out->memory, m + 1, sizeof *l->donors);
    if (!l->arrays || !l->names || !l->donors) return error_memory(l->err, (n + m) * sizeof *l->arrays);
    for (uint32_t r = 0; r < m; r++) l->donors[r].root = -1;
    l->n_results = m;
    l->n_dims = is_sequence(l) ? N_SEQUENCE_DIMS : 1;
    for (uint32_t d = 0; d < DIM_COUNT; d++) l->same[d] = d;
    memcpy(l->dims, program_sequence_dims, l->n_dims * sizeof *l->dims);
    l->op = end;
    for (uint32_t i = 0; i < n; i++) {
        MlirValue v = mlirBlockGetArgument(l->entry, i);
        const graph_argument *a = l->o.arguments ? &l->o.arguments[i] : &(graph_argument){NULL, ARGUMENT_OF_CALL, 0};
        if (a->kind != ARGUMENT_OF_CALL && (l->o.signature || has_no_use(v))) continue;
        TRY(a->kind == ARGUMENT_PACKED ? add_packed(l, v, a->name) : add_argument(l, v, a));
    }
    for (uint32_t r = 0; r < m; r++) // all arguments are counted now
        if (l->donors[r].root >= 0) l->roots[l->donors[r].root].area = area_of_array(l, l->n_arguments + r);
    l->math_root = lowering_add_root(l, FUNCTION_MATH, affine_of(DIM_ONE, 0), affine_of(DIM_ONE, 8));
    l->fault_root = lowering_add_root(l, FUNCTION_FAULT, affine_of(DIM_ONE, 0), affine_of(DIM_ONE, 8));
    return l->math_root < 0 || l->fault_root < 0 ? error_memory(l->err, sizeof *l->roots) : WF_OK;
}

static bool same_form(const affine *a, const affine *b) { return !memcmp(a, b, sizeof *a); }

// A result that is a whole piece of the arena moves to the caller's array; else it is copied there.
static wf_status place_result(lowering *l, uint32_t i)
{
    MlirValue v = mlirOperationGetOperand(l->op, i);
    uint32_t area = area_of_array(l, l->n_arguments + i);
    tensor x, y;
    affine bytes;
    TRY(lowering_read_tensor(l, v, &x));
    TRY(tensor_bytes(l, &x, &bytes));
    TRY(note_array(l, &x, &l->arrays[l->n_arguments + i]));
    if (x.place == PLACE_MEMORY && l->roots[x.root].area == BASE_ARENA && !x.offset && tensor_is_contiguous(&x) &&
        same_form(&l->roots[x.root].bytes, &bytes)) {
        l->roots[x.root].area = area;
        return WF_OK;
    }
    TRY(lowering_read_type(l, mlirValueGetType(v), x.dims, &y));
    y.place = PLACE_MEMORY;
    y.root = lowering_add_root(l, area, affine_of(DIM_ONE, 0), bytes);
    if (y.root < 0) return error_memory(l->err, sizeof *l->roots);
    return x.place == PLACE_EMPTY ? WF_OK : lowering_copy(l, &x, &y);
}

// What a donated array is to hold, unless it is there: *x. What lies in another's memory is moved out of the way.
static wf_status read_donated(lowering *l, uint32_t i, tensor *x, bool *there)
{
    const donor *d = &l->donors[i];
    MlirValue v = mlirOperationGetOperand(l->op, i);
    tensor given, moved;
    TRY(lowering_read_tensor(l, d->argument, &given));
    TRY(lowering_read_tensor(l, v, x));
    bool same = given.rank == x->rank;
    for (int k = 0; k < x->rank && same; k++)
        same = given.dims[k] == x->dims[k] || lowering_equate(l, given.dims[k], x->dims[k]);
    if (!same) return lowering_refuse(l, "has a result of another shape than the argument that is donated to it");
    TRY(note_array(l, x, &l->arrays[l->n_arguments + i]));
    l->arrays[l->n_arguments + i].donor = d->index + 1;
    *there = x->place == PLACE_MEMORY && x->root == d->root && !x->offset && tensor_is_contiguous(x);
    bool elsewhere = x->place == PLACE_MEMORY && !*there;
    for (uint32_t r = 0; r < l->n_results && elsewhere; r++) {
        if (l->donors[r].root != x->root) continue;
        TRY(lowering_new_tensor(l, mlirValueGetType(v), x->dims, &moved));
        TRY(lowering_copy(l, x, &moved));
        *x = moved;
        break;
    }
    return WF_OK;
}

// What is a whole piece of the arena moves to donated memory that nobody has read; else it is copied there.
static wf_status fill_donated(lowering *l, uint32_t i, const tensor *x)
{
    root *to = &l->roots[l->donors[i].root], *from = x->place == PLACE_MEMORY ? &l->roots[x->root] : NULL;
    tensor y;
    if (x->place == PLACE_EMPTY) return WF_OK;
    if (from && from->area == BASE_ARENA && !x->offset && tensor_is_contiguous(x) && to->first < 0 &&
        same_form(&from->bytes, &to->bytes)) {
        from->area = to->area;
        return WF_OK;
    }
    TRY(lowering_read_tensor(l, l->donors[i].argument, &y));
    return lowering_copy(l, x, &y);
}

// Donated memory last: until then it may hold what others are copied from.
static wf_status place_results(lowering *l, MlirOperation end)
{
    wf_status status = WF_OK;
    tensor *donated = calloc((size_t)l->n_results + 1, sizeof *donated);
    bool *there = calloc((size_t)l->n_results + 1, sizeof *there);
    if (!donated || !there) status = error_memory(l->err, l->n_results * sizeof *donated);
    l->op = end;
    for (uint32_t i = 0; i < l->n_results && status == WF_OK; i++)
        if (is_scalar_value(mlirOperationGetOperand(end, i)))
            status = lowering_refuse(l, "has a scalar as argument or result, where arrays are wanted");
    for (uint32_t i = 0; i < l->n_results && status == WF_OK; i++)
        if (l->donors[i].root < 0) status = place_result(l, i);
    for (uint32_t i = 0; i < l->n_results && status == WF_OK; i++)
        if (l->donors[i].root >= 0) status = read_donated(l, i, &donated[i], &there[i]);
    for (uint32_t i = 0; i < l->n_results && status == WF_OK; i++) {
        if (l->donors[i].root >= 0 && !there[i]) status = fill_donated(l, i, &donated[i]);
    }
    free(donated);
    free(there);
    return status;
}

// As declared, whatever computes them.
static wf_status note_results(lowering *l, MlirOperation end)
{
    l->op = end;
    for (uint32_t i = 0; i < l->n_results; i++) {
        tensor x;
        TRY(read_argument(l, mlirOperationGetOperand(end, i), i, &x));
        TRY(note_array(l, &x, &l->arrays[l->n_arguments + i]));
    }
    return WF_OK;
}

// ---- the function

static wf_status run(lowering *l, MlirOperation function)
{
    l->entry = mlirRegionGetFirstBlock(mlirOperationGetRegion(function, 0));
    MlirOperation end = mlirBlockGetTerminator(l->entry);
    l->op = function;
    if (mlirBlockGetNextInRegion(l->entry).ptr) return lowering_refuse(l, "with branches cannot be compiled");
    TRY(read_arguments(l, end));
    if (l->o.signature) {
        TRY(note_results(l, end));
        return lowering_finish(l, function);
    }
    for (MlirOperation op = mlirBlockGetFirstOperation(l->entry); !mlirOperationEqual(op, end);
         op = mlirOperationGetNextInBlock(op)) {
        l->op = op;
        TRY(lower_op(l));
    }
    TRY(place_results(l, end));
    return lowering_finish(l, function);
}

wf_status lower_function(MlirOperation function, const lower_options *options, builder *kernels, program *out,
                         buffer *constants, wf_error *err)
{
    lowering l = {.o = *options, .b = kernels, .out = out, .blob = constants, .err = err};
    wf_status status = run(&l, function);
    free(l.keys);
    free(l.tensors);
    free(l.roots);
    free(l.calls);
    free((void *)l.kernels);
    free((void *)l.kernel_keys);
    free(l.weights);
    free(l.constants);
    free(l.constant_roots);
    free((void *)l.checks);
    return status;
}
