#include "compiler/graph/bind.h"

#include <mlir-c/BuiltinAttributes.h>
#include <mlir-c/BuiltinTypes.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/dialect/wf.h"
#include "compiler/graph/constant.h"

// ---- arguments

static wf_status wrong_argument(uint32_t i, const char *name, const graph_shape *given, MlirType declared,
                                const char *what, wf_error *err)
{
    buffer want = {0}, have = {0};
    graph_shape shape = {0};
    shape.n_dims = mlirTypeIsAShaped(declared) ? (uint32_t)mlirShapedTypeGetRank(declared) : 0;
    for (uint32_t d = 0; d < shape.n_dims; d++)
        shape.dims[d] = mlirShapedTypeIsDynamicDim(declared, d) ? -1 : mlirShapedTypeGetDimSize(declared, d);
    constant_type(mlirTypeIsAShaped(declared) ? mlirShapedTypeGetElementType(declared) : declared, &shape.type);
    graph_shape_print(&shape, &want);
    graph_shape_print(given, &have);
    error_set(err, WF_ERROR_USAGE, "argument %u%s%s%s: %s: it is %s, the function takes %s", i, name ? " (" : "",
              name ? name : "", name ? ")" : "", what, buffer_view(&have).data, buffer_view(&want).data);
    buffer_free(&want);
    buffer_free(&have);
    return WF_ERROR_USAGE;
}

static wf_status check_argument(uint32_t i, const char *name, const graph_shape *given, MlirType declared,
                                wf_error *err)
{
    graph_type type;
    bool tensor = mlirTypeIsATensor(declared) && mlirShapedTypeHasRank(declared);
    if (!tensor || mlirShapedTypeGetRank(declared) > GRAPH_MAX_DIMS ||
        !constant_type(mlirShapedTypeGetElementType(declared), &type))
        return error_set(err, WF_ERROR_UNSUPPORTED, "argument %u of the function is no tensor that an array can be", i);
    if (given->type != type) return wrong_argument(i, name, given, declared, "wrong type", err);
    if (given->n_dims != mlirShapedTypeGetRank(declared))
        return wrong_argument(i, name, given, declared, "wrong number of dimensions", err);
    for (uint32_t d = 0; d < given->n_dims; d++)
        if (!mlirShapedTypeIsDynamicDim(declared, d) && mlirShapedTypeGetDimSize(declared, d) != given->dims[d])
            return wrong_argument(i, name, given, declared, "wrong size", err);
    return WF_OK;
}

// The function's type follows its arguments and what it returns.
static void update_function_type(MlirOperation function)
{
    MlirBlock entry = mlirRegionGetFirstBlock(mlirOperationGetRegion(function, 0));
    MlirOperation end = mlirBlockGetTerminator(entry);
    intptr_t n = mlirBlockGetNumArguments(entry), m = mlirOperationGetNumOperands(end);
    MlirType *types = calloc((size_t)(n + m + 1), sizeof *types);
    if (!types) return;
    for (intptr_t i = 0; i < n; i++) types[i] = mlirValueGetType(mlirBlockGetArgument(entry, i));
    for (intptr_t i = 0; i < m; i++) types[n + i] = mlirValueGetType(mlirOperationGetOperand(end, i));
    MlirType type = mlirFunctionTypeGet(mlirOperationGetContext(function), n, types, m, types + n);
    mlirOperationSetAttributeByName(function, mlir_text("function_type"), mlirTypeAttrGet(type));
    free(types);
}

wf_status bind_arguments(MlirOperation function, uint32_t n, const graph_shape *shapes, const char *const *names,
                         wf_error *err)
{
    MlirBlock entry = mlirRegionGetFirstBlock(mlirOperationGetRegion(function, 0));
    intptr_t wanted = mlirBlockGetNumArguments(entry);
    MlirOperation first = mlirBlockGetFirstOperation(entry);
    if (n != wanted)
        return error_set(err, WF_ERROR_USAGE, "the function takes %zd argument%s, %u %s given", wanted,
                         wanted == 1 ? "" : "s", n, n == 1 ? "is" : "are");
    for (uint32_t i = 0; i < n; i++) {
        MlirValue argument = mlirBlockGetArgument(entry, i);
        TRY(check_argument(i, names ? names[i] : NULL, &shapes[i], mlirValueGetType(argument), err));
        MlirType declared = mlirValueGetType(argument);
        mlirValueSetType(argument, tensor_of((int)shapes[i].n_dims, shapes[i].dims, element_type_of(argument)));
        if (mlirTypeEqual(declared, mlirValueGetType(argument)) || !first.ptr) continue;
        // users keep the type that they were written for, until bind_propagate knows the sizes of all their operands
        op_builder b = op_builder_before(first);
        MlirValue cast = build_value(&b, "tensor.cast", declared, 1, &argument, 0, NULL);
        mlirValueReplaceAllUsesExcept(argument, cast, 1, (MlirOperation[]){defining_op(cast)});
    }
    update_function_type(function);
    return WF_OK;
}

// ---- inference

enum { MAX_RANK = 8 }; // of tensor_of

typedef struct inference {
    bool changed;
    MlirOperation function;
} inference;

static bool is_fixed(MlirType t)
{
    return mlirTypeIsATensor(t) && mlirShapedTypeHasRank(t) && mlirShapedTypeHasStaticShape(t);
}

// `t` with the shape of `shape`.
static MlirType reshaped(MlirType t, MlirType shape)
{
    int64_t dims[MAX_RANK];
    int rank = (int)mlirShapedTypeGetRank(shape);
    for (int i = 0; i < rank; i++) dims[i] = mlirShapedTypeGetDimSize(shape, i);
    return tensor_of(rank, dims, mlirShapedTypeGetElementType(t));
}

static void set_shape(inference *f, MlirValue v, MlirType shape)
{
    MlirType t = mlirValueGetType(v);
    if (is_fixed(t) || !is_fixed(shape) || !mlirTypeIsATensor(t) || mlirShapedTypeGetRank(shape) > MAX_RANK) return;
    mlirValueSetType(v, reshaped(t, shape));
    f->changed = true;
}

static bool constant_int(MlirValue v, int64_t *n)
{
    MlirOperation op = defining_op(v);
    if (op_is(op, "arith.index_cast")) return constant_int(mlirOperationGetOperand(op, 0), n);
    MlirAttribute a = op_is(op, "arith.constant") ? op_attribute(op, "value") : (MlirAttribute){0};
    if (!a.ptr || !mlirAttributeIsAInteger(a)) return false;
    *n = mlirIntegerAttrGetValueInt(a);
    return true;
}

// The numbers that a shape tensor holds; -1: it is computed.
static intptr_t read_shape(MlirOperation shape, int64_t dims[MAX_RANK])
{
    if (op_is(shape, "tensor.from_elements")) {
        intptr_t rank = mlirOperationGetNumOperands(shape);
        if (rank > MAX_RANK) return -1;
        for (intptr_t i = 0; i < rank; i++)
            if (!constant_int(mlirOperationGetOperand(shape, i), &dims[i])) return -1;
        return rank;
    }
    MlirAttribute a = op_is(shape, "arith.constant") ? op_attribute(shape, "value") : (MlirAttribute){0};
    if (!a.ptr || !mlirAttributeIsADenseElements(a) || mlirElementsAttrGetNumElements(a) > MAX_RANK) return -1;
    MlirType element = mlirShapedTypeGetElementType(mlirAttributeGetType(a));
    intptr_t rank = mlirElementsAttrGetNumElements(a);
    for (intptr_t i = 0; i < rank; i++) {
        if (mlirTypeIsAIndex(element))
            dims[i] = (int64_t)mlirDenseElementsAttrGetIndexValue(a, i);
        else if (mlirIntegerTypeGetWidth(element) == 64)
            dims[i] = mlirDenseElementsAttrGetInt64Value(a, i);
        else if (mlirIntegerTypeGetWidth(element) == 32)
            dims[i] = mlirDenseElementsAttrGetInt32Value(a, i);
        else
            return -1;
    }
    return rank;
}

// tensor.reshape by a shape of constants.
static void infer_reshape(inference *f, MlirOperation op)
{
    int64_t dims[MAX_RANK];
    intptr_t rank = read_shape(defining_op(mlirOperationGetOperand(op, 1)), dims);
    for (intptr_t i = 0; i < rank; i++)
        if (dims[i] < 0) return;
    MlirValue y = mlirOperationGetResult(op, 0);
    if (rank >= 0 && rank == mlirShapedTypeGetRank(mlirValueGetType(y)))
        set_shape(f, y, tensor_of((int)rank, dims, element_type_of(y)));
}

static void infer_collapse(inference *f, MlirOperation op)
{
    MlirType from = mlirValueGetType(mlirOperationGetOperand(op, 0));
    MlirAttribute groups = op_attribute(op, "reassociation");
    MlirValue y = mlirOperationGetResult(op, 0);
    intptr_t rank = mlirArrayAttrGetNumElements(groups);
    int64_t dims[MAX_RANK];
    if (!is_fixed(from) || rank > MAX_RANK || is_fixed(mlirValueGetType(y))) return;
    for (intptr_t g = 0; g < rank; g++) {
        MlirAttribute group = mlirArrayAttrGetElement(groups, g);
        dims[g] = 1;
        for (intptr_t i = 0; i < mlirArrayAttrGetNumElements(group); i++)
            dims[g] *=
                mlirShapedTypeGetDimSize(from, (intptr_t)mlirIntegerAttrGetValueInt(mlirArrayAttrGetElement(group, i)));
    }
    set_shape(f, y, tensor_of((int)rank, dims, element_type_of(y)));
}

// Replaces an expansion by one with fixed sizes: each group has at most one that is not known, and the source tells it.
static void infer_expand(inference *f, MlirOperation op)
{
    MlirType from = mlirValueGetType(mlirOperationGetOperand(op, 0));
    MlirValue y = mlirOperationGetResult(op, 0), source = mlirOperationGetOperand(op, 0);
    MlirAttribute groups = op_attribute(op, "reassociation"), sizes = op_attribute(op, "static_output_shape");
    intptr_t rank = mlirDenseArrayGetNumElements(sizes), operand = 1;
    int64_t dims[MAX_RANK];
    if (!is_fixed(from) || rank > MAX_RANK || is_fixed(mlirValueGetType(y))) return;
    for (intptr_t i = 0; i < rank; i++) {
        dims[i] = mlirDenseI64ArrayGetElement(sizes, i);
        if (dims[i] >= 0) continue;
        if (!constant_int(mlirOperationGetOperand(op, operand++), &dims[i])) dims[i] = -1;
    }
    for (intptr_t g = 0; g < mlirArrayAttrGetNumElements(groups); g++) {
        MlirAttribute group = mlirArrayAttrGetElement(groups, g);
        int64_t known = 1, unknown = -1;
        for (intptr_t i = 0; i < mlirArrayAttrGetNumElements(group); i++) {
            int64_t d = mlirIntegerAttrGetValueInt(mlirArrayAttrGetElement(group, i));
            if (dims[d] >= 0)
                known *= dims[d];
            else if (unknown >= 0)
                return;
            else
                unknown = d;
        }
        int64_t all = mlirShapedTypeGetDimSize(from, g);
        if (unknown >= 0 && known > 0 && all % known == 0)
            dims[unknown] = all / known;
        else if (unknown >= 0 || known != all)
            return;
    }
    op_builder b = op_builder_before(op);
    MlirNamedAttribute attributes[] = {
        mlirNamedAttributeGet(mlirIdentifierGet(b.ctx, mlir_text("reassociation")), groups),
        mlirNamedAttributeGet(mlirIdentifierGet(b.ctx, mlir_text("static_output_shape")),
                              mlirDenseI64ArrayGet(b.ctx, rank, dims)),
    };
    MlirType type = tensor_of((int)rank, dims, element_type_of(y));
    replace_value(y, build_value(&b, "tensor.expand_shape", type, 1, &source, 2, attributes));
    f->changed = true;
}

// linalg ops, and what else writes into an operand: results have the types of the last operands.
static void infer_destination(inference *f, MlirOperation op)
{
    intptr_t n = mlirOperationGetNumOperands(op), m = mlirOperationGetNumResults(op);
    for (intptr_t i = 0; i < m && m <= n; i++)
        set_shape(f, mlirOperationGetResult(op, i), mlirValueGetType(mlirOperationGetOperand(op, n - m + i)));
}

// A size that is known by now. linalg.reduce compares its sizes strictly, so that its destination must not wait for the
// next round.
static void infer_size(inference *f, MlirOperation op)
{
    int64_t axis;
    MlirValue from = mlirOperationGetOperand(op, 0);
    if (!constant_int(mlirOperationGetOperand(op, 1), &axis) || axis < 0 || axis >= rank_of(from)) return;
    if (dim_of(from, (int)axis) < 0) return;
    op_builder b = op_builder_before(op);
    MlirType index = mlirIndexTypeGet(b.ctx);
    MlirNamedAttribute value = mlirNamedAttributeGet(mlirIdentifierGet(b.ctx, mlir_text("value")),
                                                     mlirIntegerAttrGet(index, dim_of(from, (int)axis)));
    replace_value(mlirOperationGetResult(op, 0), build_value(&b, "arith.constant", index, 0, NULL, 1, &value));
    f->changed = true;
}

static void infer_empty(inference *f, MlirOperation op)
{
    MlirValue y = mlirOperationGetResult(op, 0);
    int64_t dims[MAX_RANK];
    int rank = rank_of(y);
    if (rank > MAX_RANK || is_fixed(mlirValueGetType(y)) || has_no_use(y)) return;
    for (intptr_t i = 0, next = 0; i < rank; i++) {
        dims[i] = dim_of(y, (int)i);
        if (dims[i] < 0 && (!constant_int(mlirOperationGetOperand(op, next++), &dims[i]) || dims[i] < 0)) return;
    }
    op_builder b = op_builder_before(op);
    replace_value(y, build_value(&b, "tensor.empty", tensor_of(rank, dims, element_type_of(y)), 0, NULL, 0, NULL));
    f->changed = true;
}

static void infer(MlirOperation op, void *context)
{
    inference *f = context;
    if (mlirOperationGetNumResults(op) < 1) return;
    if (op_is(op, "tensor.cast")) {
        MlirValue from = mlirOperationGetOperand(op, 0), to = mlirOperationGetResult(op, 0);
        if (!is_fixed(mlirValueGetType(from)) || has_no_use(to)) return;
        replace_value(to, from);
        f->changed = true;
    } else if (op_name_starts_with(op, "linalg.") && !op_is(op, "linalg.index")) {
        infer_destination(f, op);
    } else if (op_is(op, "tensor.reshape")) {
        infer_reshape(f, op);
    } else if (op_is(op, "tensor.dim") && !has_no_use(mlirOperationGetResult(op, 0))) {
        infer_size(f, op);
    } else if (op_is(op, "tensor.empty")) {
        infer_empty(f, op);
    } else if (op_is(op, "tensor.collapse_shape")) {
        infer_collapse(f, op);
    } else if (op_is(op, "tensor.expand_shape")) {
        infer_expand(f, op);
    } else if (op_is(op, "tensor.insert_slice") || op_is(op, "tensor.insert")) {
        set_shape(f, mlirOperationGetResult(op, 0), mlirValueGetType(mlirOperationGetOperand(op, 1)));
    } else if ((op_name_starts_with(op, "arith.") || op_name_starts_with(op, "math.")) &&
               mlirTypeIsATensor(mlirValueGetType(mlirOperationGetResult(op, 0)))) {
        intptr_t n = mlirOperationGetNumOperands(op); // elementwise; the first operand of a select may be a scalar
        for (intptr_t i = 0; i < n; i++)
            set_shape(f, mlirOperationGetResult(op, 0), mlirValueGetType(mlirOperationGetOperand(op, i)));
    }
}

wf_status bind_propagate(compiler_context *c, MlirModule module, MlirOperation function, wf_error *err)
{
    enum { ROUNDS = 32 }; // each fixes at least one tensor; chains of sizes computed from sizes are short
    for (int i = 0; i < ROUNDS; i++) {
        inference f = {.function = function};
        TRY(compiler_run_passes(c, module, "builtin.module(func.func(tosa-infer-shapes,canonicalize,cse))", err));
        for_each_op(function, infer, &f);
        update_function_type(function);
        if (!f.changed) break;
    }
    return WF_OK;
}
