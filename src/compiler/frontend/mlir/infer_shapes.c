// Sizes of all tensors from those of the arguments (bind.h).
//
// TOSA ops know their results' sizes upstream. Here are the ops of linalg, tensor, arith and math, one walk in the
// order of the function: an op gets operands of fixed size as soon as one is known, its results follow. Between two
// walks upstream folds what has become constant. Every step leaves a function that verifies: an operand whose producer
// is not fixed yet is cast to the size that the op's other operands tell.
#include <mlir-c/AffineExpr.h>
#include <mlir-c/AffineMap.h>
#include <mlir-c/Dialect/Linalg.h>

#include "compiler/frontend/mlir/bind.h"
#include "compiler/mlir/build.h"

enum { MAX_RANK = 8, MAX_LOOPS = 16, MAX_OPERANDS = 64 };

typedef struct inference {
    bool changed;
} inference;

static bool is_tensor(MlirValue v)
{
    MlirType t = mlirValueGetType(v);
    return mlirTypeIsATensor(t) && mlirShapedTypeHasRank(t) && mlirShapedTypeGetRank(t) <= MAX_RANK;
}

static bool is_fixed(MlirValue v) { return is_tensor(v) && mlirShapedTypeHasStaticShape(mlirValueGetType(v)); }

static void set_dims(inference *f, MlirValue v, int rank, const int64_t *dims)
{
    if (!is_tensor(v) || is_fixed(v) || rank_of(v) != rank) return;
    for (int d = 0; d < rank; d++)
        if (dims[d] < 0) return;
    mlirValueSetType(v, tensor_of(rank, dims, element_type_of(v)));
    f->changed = true;
}

static int read_dims(MlirValue v, int64_t dims[MAX_RANK])
{
    int rank = rank_of(v);
    for (int d = 0; d < rank; d++) dims[d] = dim_of(v, d);
    return rank;
}

static void set_shape_of(inference *f, MlirValue v, MlirValue shape)
{
    int64_t dims[MAX_RANK];
    if (is_fixed(shape)) set_dims(f, v, read_dims(shape, dims), dims);
}

// Operand i, which is no tensor of fixed size, as one.
static void cast_operand(inference *f, MlirOperation op, intptr_t i, int rank, const int64_t *dims)
{
    MlirValue v = mlirOperationGetOperand(op, i);
    op_builder b = op_builder_before(op);
    MlirType fixed = tensor_of(rank, dims, element_type_of(v));
    mlirOperationSetOperand(op, i, build_value(&b, "tensor.cast", fixed, 1, &v, 0, NULL));
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

// ---- op by op

// The fixed type takes the place of the other, but in front of an expansion, which says its result's sizes itself, and
// of the end of a branch, which has the type of the other one.
static void infer_cast(inference *f, MlirOperation op)
{
    MlirValue from = mlirOperationGetOperand(op, 0), to = mlirOperationGetResult(op, 0);
    if (!is_fixed(from)) return;
    MlirOpOperand use = mlirValueGetFirstUse(to), next;
    for (; !mlirOpOperandIsNull(use); use = next) {
        next = mlirOpOperandGetNextUse(use);
        MlirOperation user = mlirOpOperandGetOwner(use);
        if (op_is(user, "tensor.expand_shape") || op_is(user, "scf.yield")) continue;
        mlirOperationSetOperand(user, mlirOpOperandGetOperandNumber(use), from);
        f->changed = true;
    }
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

// By a shape of constants.
static void infer_reshape(inference *f, MlirOperation op)
{
    int64_t dims[MAX_RANK];
    intptr_t rank = read_shape(defining_op(mlirOperationGetOperand(op, 1)), dims);
    if (rank >= 0) set_dims(f, mlirOperationGetResult(op, 0), (int)rank, dims);
}

static void infer_collapse(inference *f, MlirOperation op)
{
    MlirValue x = mlirOperationGetOperand(op, 0), y = mlirOperationGetResult(op, 0);
    MlirAttribute groups = op_attribute(op, "reassociation");
    intptr_t rank = mlirArrayAttrGetNumElements(groups);
    int64_t dims[MAX_RANK];
    if (!is_fixed(x) || rank > MAX_RANK) return;
    for (intptr_t g = 0; g < rank; g++) {
        MlirAttribute group = mlirArrayAttrGetElement(groups, g);
        dims[g] = 1;
        for (intptr_t i = 0; i < mlirArrayAttrGetNumElements(group); i++)
            dims[g] *= dim_of(x, (int)mlirIntegerAttrGetValueInt(mlirArrayAttrGetElement(group, i)));
    }
    set_dims(f, y, (int)rank, dims);
}

// Sizes of an expansion of x: each group has at most one that is not known, and x tells it.
static bool expanded_dims(MlirOperation op, MlirValue x, int64_t dims[MAX_RANK])
{
    MlirAttribute groups = op_attribute(op, "reassociation"), sizes = op_attribute(op, "static_output_shape");
    intptr_t rank = mlirDenseArrayGetNumElements(sizes), operand = 1;
    if (rank > MAX_RANK) return false;
    for (intptr_t i = 0; i < rank; i++) {
        dims[i] = mlirDenseI64ArrayGetElement(sizes, i);
        if (dims[i] < 0 && !constant_int(mlirOperationGetOperand(op, operand++), &dims[i])) dims[i] = -1;
    }
    for (intptr_t g = 0; g < mlirArrayAttrGetNumElements(groups); g++) {
        MlirAttribute group = mlirArrayAttrGetElement(groups, g);
        int64_t known = 1, unknown = -1, all = dim_of(x, (int)g);
        for (intptr_t i = 0; i < mlirArrayAttrGetNumElements(group); i++) {
            int64_t d = mlirIntegerAttrGetValueInt(mlirArrayAttrGetElement(group, i));
            if (dims[d] >= 0)
                known *= dims[d];
            else if (unknown >= 0)
                return false;
            else
                unknown = d;
        }
        if (unknown >= 0 && known > 0 && all % known == 0)
            dims[unknown] = all / known;
        else if (unknown >= 0 || known != all)
            return false;
    }
    return true;
}

// Replaces an expansion by one of fixed sizes.
static void infer_expand(inference *f, MlirOperation op)
{
    MlirValue x = mlirOperationGetOperand(op, 0), y = mlirOperationGetResult(op, 0);
    int64_t dims[MAX_RANK];
    if (op_is(defining_op(x), "tensor.cast")) x = mlirOperationGetOperand(defining_op(x), 0);
    if (!is_fixed(x) || (is_fixed(y) && is_fixed(mlirOperationGetOperand(op, 0))) || !expanded_dims(op, x, dims))
        return;
    int rank = rank_of(y);
    op_builder b = op_builder_before(op);
    MlirNamedAttribute attributes[] = {
        mlirNamedAttributeGet(mlirIdentifierGet(b.ctx, mlir_text("reassociation")), op_attribute(op, "reassociation")),
        mlirNamedAttributeGet(mlirIdentifierGet(b.ctx, mlir_text("static_output_shape")),
                              mlirDenseI64ArrayGet(b.ctx, rank, dims)),
    };
    MlirType type = tensor_of(rank, dims, element_type_of(y));
    replace_value(y, build_value(&b, "tensor.expand_shape", type, 1, &x, 2, attributes));
    mlirOperationDestroy(op);
    f->changed = true;
}

// What writes into an operand: results have the types of the last operands.
static void infer_destination(inference *f, MlirOperation op)
{
    intptr_t n = mlirOperationGetNumOperands(op), m = mlirOperationGetNumResults(op);
    for (intptr_t i = 0; i < m && m <= n; i++)
        set_shape_of(f, mlirOperationGetResult(op, i), mlirOperationGetOperand(op, n - m + i));
}

static bool has_maps(MlirOperation op)
{
    if (mlirOperationGetNumRegions(op) != 1) return false;
    MlirBlock body = mlirRegionGetFirstBlock(mlirOperationGetRegion(op, 0));
    return body.ptr && op_is(mlirBlockGetTerminator(body), "linalg.yield");
}

// Structured ops: whatever operand tells the size of a loop tells it to the others.
static void infer_structured(inference *f, MlirOperation op)
{
    MlirAttribute maps = has_maps(op) ? mlirLinalgGetIndexingMapsAttribute(op) : (MlirAttribute){0};
    intptr_t n = mlirOperationGetNumOperands(op);
    int64_t extent[MAX_LOOPS];
    if (maps.ptr && mlirAttributeIsAArray(maps) && mlirArrayAttrGetNumElements(maps) == n && n > 0) {
        for (int l = 0; l < MAX_LOOPS; l++) extent[l] = -1;
        for (int pass = 0; pass < 2; pass++) // first what is known, then who does not know it
            for (intptr_t i = 0; i < n; i++) {
                MlirValue v = mlirOperationGetOperand(op, i);
                MlirAffineMap map = mlirAffineMapAttrGetValue(mlirArrayAttrGetElement(maps, i));
                if (!is_tensor(v) || mlirAffineMapGetNumDims(map) > MAX_LOOPS || (pass && is_fixed(v))) continue;
                int64_t dims[MAX_RANK];
                int rank = read_dims(v, dims);
                bool known = true;
                for (int d = 0; d < rank; d++) {
                    MlirAffineExpr e = mlirAffineMapGetResult(map, d);
                    intptr_t l = mlirAffineExprIsADim(e) ? mlirAffineDimExprGetPosition(e) : -1;
                    if (!pass && dims[d] >= 0 && l >= 0) extent[l] = dims[d];
                    if (pass && dims[d] < 0 && l >= 0) dims[d] = extent[l];
                    known = known && dims[d] >= 0;
                }
                if (pass && known) cast_operand(f, op, i, rank, dims);
            }
    }
    infer_destination(f, op);
}

// All tensors have one shape; the first operand of a select may be a scalar.
static void infer_elementwise(inference *f, MlirOperation op)
{
    intptr_t n = mlirOperationGetNumOperands(op);
    MlirValue known = {0}, y = mlirOperationGetResult(op, 0);
    int64_t dims[MAX_RANK];
    for (intptr_t i = 0; i < n; i++)
        if (is_fixed(mlirOperationGetOperand(op, i))) known = mlirOperationGetOperand(op, i);
    if (!known.ptr) return;
    int rank = read_dims(known, dims);
    for (intptr_t i = 0; i < n; i++) {
        MlirValue v = mlirOperationGetOperand(op, i);
        if (is_tensor(v) && !is_fixed(v) && rank_of(v) == rank) cast_operand(f, op, i, rank, dims);
    }
    set_dims(f, y, rank, dims);
}

// The ops of wf work row by row: results have the leading sizes of the first operand.
static void infer_rows(inference *f, MlirOperation op)
{
    int64_t dims[MAX_RANK];
    if (mlirOperationGetNumOperands(op) < 1 || !is_fixed(mlirOperationGetOperand(op, 0))) return;
    int rank = read_dims(mlirOperationGetOperand(op, 0), dims);
    for (intptr_t i = 0; i < mlirOperationGetNumResults(op); i++) {
        MlirValue y = mlirOperationGetResult(op, i);
        if (!is_tensor(y) || rank < 1 || rank_of(y) != rank || dim_of(y, rank - 1) < 0) continue;
        dims[rank - 1] = dim_of(y, rank - 1);
        set_dims(f, y, rank, dims);
    }
}

static void infer_concat(inference *f, MlirOperation op)
{
    intptr_t n = mlirOperationGetNumOperands(op);
    int64_t dims[MAX_RANK], axis = op_int(op, "dim", -1), all = 0;
    int rank = 0;
    for (intptr_t i = 0; i < n; i++) {
        MlirValue x = mlirOperationGetOperand(op, i);
        if (!is_fixed(x) || axis < 0 || axis >= rank_of(x)) return;
        rank = read_dims(x, dims);
        all += dims[axis];
    }
    if (!n) return;
    dims[axis] = all;
    set_dims(f, mlirOperationGetResult(op, 0), rank, dims);
}

static void infer_pad(inference *f, MlirOperation op)
{
    MlirValue x = mlirOperationGetOperand(op, 0);
    MlirAttribute sides[] = {op_attribute(op, "static_low"), op_attribute(op, "static_high")};
    int64_t dims[MAX_RANK], width;
    if (!is_fixed(x)) return;
    int rank = read_dims(x, dims);
    intptr_t operand = 1;
    for (int side = 0; side < 2; side++)
        for (int d = 0; d < rank; d++) {
            width = mlirDenseI64ArrayGetElement(sides[side], d);
            if (width == INT64_MIN && !constant_int(mlirOperationGetOperand(op, operand++), &width)) return;
            if (__builtin_add_overflow(dims[d], width, &dims[d])) return;
        }
    set_dims(f, mlirOperationGetResult(op, 0), rank, dims);
}

static void infer_insert(inference *f, MlirOperation op)
{
    set_shape_of(f, mlirOperationGetResult(op, 0), mlirOperationGetOperand(op, 1));
}

// A size that is known by now. linalg.reduce compares its sizes strictly, so that its destination must not wait for the
// next round.
static void infer_size(inference *f, MlirOperation op)
{
    int64_t axis;
    MlirValue from = mlirOperationGetOperand(op, 0);
    if (!is_tensor(from) || has_no_use(mlirOperationGetResult(op, 0))) return;
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
    if (rank > MAX_RANK || is_fixed(y) || has_no_use(y)) return;
    for (intptr_t i = 0, next = 0; i < rank; i++) {
        dims[i] = dim_of(y, (int)i);
        if (dims[i] < 0 && (!constant_int(mlirOperationGetOperand(op, next++), &dims[i]) || dims[i] < 0)) return;
    }
    op_builder b = op_builder_before(op);
    replace_value(y, build_value(&b, "tensor.empty", tensor_of(rank, dims, element_type_of(y)), 0, NULL, 0, NULL));
    f->changed = true;
}

static const struct {
    const char *name;
    void (*infer)(inference *f, MlirOperation op);
} RULES[] = {
    {"tensor.cast", infer_cast},
    {"tensor.dim", infer_size},
    {"tensor.empty", infer_empty},
    {"tensor.reshape", infer_reshape},
    {"tensor.collapse_shape", infer_collapse},
    {"tensor.expand_shape", infer_expand},
    {"tensor.concat", infer_concat},
    {"tensor.pad", infer_pad},
    {"tensor.insert_slice", infer_insert},
    {"tensor.insert", infer_insert},
};

static void infer(MlirOperation op, void *context)
{
    inference *f = context;
    if (mlirOperationGetNumResults(op) < 1) return;
    for (size_t i = 0; i < sizeof RULES / sizeof *RULES; i++)
        if (op_is(op, RULES[i].name)) {
            RULES[i].infer(f, op);
            return;
        }
    if (op_name_starts_with(op, "linalg.") && !op_is(op, "linalg.index"))
        infer_structured(f, op);
    else if (op_name_starts_with(op, "tm_tensor."))
        infer_destination(f, op);
    else if (op_name_starts_with(op, "wf."))
        infer_rows(f, op);
    else if (op_name_starts_with(op, "arith.") || op_name_starts_with(op, "math."))
        infer_elementwise(f, op);
}

// ---- branches

static MlirValue behind_cast(MlirValue v)
{
    MlirOperation cast = defining_op(v);
    return op_is(cast, "tensor.cast") ? mlirOperationGetOperand(cast, 0) : v;
}

// A value that both ways of an scf.if give in one fixed type has that type. Else both are cast to the type that it has:
// a way that is not taken, such as the one that repeats an axis of size 1, may give another size.
static void infer_branch(inference *f, MlirOperation op, intptr_t i, const MlirOperation ends[2])
{
    MlirValue y = mlirOperationGetResult(op, i), from[2];
    MlirType type = mlirValueGetType(y);
    for (int way = 0; way < 2; way++) from[way] = behind_cast(mlirOperationGetOperand(ends[way], i));
    if (!is_tensor(y) || is_fixed(y)) return;
    bool agree = is_fixed(from[0]) && mlirTypeEqual(mlirValueGetType(from[0]), mlirValueGetType(from[1]));
    for (int way = 0; way < 2; way++) {
        MlirValue v = mlirOperationGetOperand(ends[way], i);
        op_builder b = op_builder_before(ends[way]);
        if (agree)
            mlirOperationSetOperand(ends[way], i, from[way]);
        else if (!mlirTypeEqual(mlirValueGetType(v), type))
            mlirOperationSetOperand(ends[way], i, build_value(&b, "tensor.cast", type, 1, &from[way], 0, NULL));
    }
    if (!agree) return;
    op_builder b = op_builder_before(mlirOperationGetNextInBlock(op));
    mlirValueSetType(y, mlirValueGetType(from[0]));
    MlirValue cast = build_value(&b, "tensor.cast", type, 1, &y, 0, NULL);
    mlirValueReplaceAllUsesExcept(y, cast, 1, (MlirOperation[]){defining_op(cast)});
    f->changed = true;
}

static void infer_branches(MlirOperation op, void *context)
{
    MlirOperation ends[2];
    if (!op_is(op, "scf.if") || mlirOperationGetNumResults(op) < 1) return;
    for (int way = 0; way < 2; way++)
        ends[way] = mlirBlockGetTerminator(mlirRegionGetFirstBlock(mlirOperationGetRegion(op, way)));
    for (intptr_t i = 0; i < mlirOperationGetNumResults(op); i++) infer_branch(context, op, i, ends);
}

// ---- all

// Upstream's inference changes the types of TOSA results under ops of other dialects, which then no longer verify; it
// keeps its hands off casts.
static void shield_users(MlirOperation op, void *context)
{
    (void)context;
    if (!op_name_starts_with(op, "tosa.")) return;
    for (intptr_t i = 0; i < mlirOperationGetNumResults(op); i++) {
        MlirValue y = mlirOperationGetResult(op, i), cast = {0};
        if (!is_tensor(y) || is_fixed(y)) continue;
        MlirOpOperand use = mlirValueGetFirstUse(y), next;
        for (; !mlirOpOperandIsNull(use); use = next) {
            next = mlirOpOperandGetNextUse(use);
            MlirOperation user = mlirOpOperandGetOwner(use);
            intptr_t operand = mlirOpOperandGetOperandNumber(use);
            if (op_name_starts_with(user, "tosa.") || op_is(user, "tensor.cast")) continue;
            if (!cast.ptr) {
                op_builder b = op_builder_before(mlirOperationGetNextInBlock(op));
                cast = build_value(&b, "tensor.cast", mlirValueGetType(y), 1, &y, 0, NULL);
            }
            mlirOperationSetOperand(user, operand, cast);
        }
    }
}

// Until nothing changes. Folding comes after that: upstream folds x ^ x to zeros of whatever type it has.
static wf_status infer_all(compiler_context *c, MlirModule module, MlirOperation function, bool *changed, wf_error *err)
{
    enum { ROUNDS = 64 }; // an op of TOSA after one of linalg takes a round
    for (int i = 0; i < ROUNDS; i++) {
        inference f = {0};
        for_each_op(function, shield_users, NULL);
        TRY(compiler_run_passes(c, module, "builtin.module(func.func(tosa-infer-shapes))", err));
        for_each_op(function, infer, &f);
        for_each_op(function, infer_branches, &f);
        update_function_type(function);
        if (!f.changed) break;
        *changed = true;
    }
    return WF_OK;
}

wf_status bind_propagate(compiler_context *c, MlirModule module, MlirOperation function, wf_error *err)
{
    enum { ROUNDS = 32 }; // each fixes at least one tensor; chains of sizes computed from sizes are short
    bool changed = true;
    for (int i = 0; i < ROUNDS && changed; i++) {
        changed = false;
        TRY(infer_all(c, module, function, &changed, err));
        TRY(compiler_run_passes(c, module, "builtin.module(func.func(canonicalize,cse))", err));
    }
    return WF_OK;
}
