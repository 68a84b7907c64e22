// Single steps from a ref to what it is computed from (steps.h), and what ops of any dialect say about their layout.
#include "compiler/raise/normal/steps.h"

#include <mlir-c/AffineExpr.h>
#include <mlir-c/AffineMap.h>
#include <mlir-c/Dialect/Linalg.h>

int float_bits_of(MlirType t)
{
    if (mlirTypeIsABF16(t)) return 8;
    if (mlirTypeIsAF16(t)) return 11;
    if (mlirTypeIsAF32(t)) return 24;
    if (mlirTypeIsAF64(t)) return 53;
    return 0;
}

// ---- structured ops

bool is_structured(MlirOperation op, MlirBlock *body)
{
    if (!op.ptr || !op_name_starts_with(op, "linalg.") || mlirOperationGetNumRegions(op) != 1) return false;
    intptr_t n_results = mlirOperationGetNumResults(op), n_operands = mlirOperationGetNumOperands(op);
    if (n_results < 1 || n_operands < n_results) return false;
    MlirBlock block = mlirRegionGetFirstBlock(mlirOperationGetRegion(op, 0));
    if (mlirBlockIsNull(block) || !op_is(mlirBlockGetTerminator(block), "linalg.yield")) return false;
    MlirAttribute maps = mlirLinalgGetIndexingMapsAttribute(op);
    if (mlirAttributeIsNull(maps) || !mlirAttributeIsAArray(maps) || mlirArrayAttrGetNumElements(maps) != n_operands)
        return false;
    if (body) *body = block;
    return true;
}

MlirAffineMap indexing_map(MlirOperation op, intptr_t operand)
{
    return mlirAffineMapAttrGetValue(mlirArrayAttrGetElement(mlirLinalgGetIndexingMapsAttribute(op), operand));
}

// The structured op in whose body a block lies directly; null op when there is none.
MlirOperation step_body_owner(MlirBlock block)
{
    MlirOperation parent = mlirBlockGetParentOperation(block);
    return parent.ptr && is_structured(parent, NULL) ? parent : (MlirOperation){0};
}

bool step_is_tensor(MlirValue v) { return mlirTypeIsARankedTensor(mlirValueGetType(v)); }

// A dimension of size 1 has one index, unless a reduction runs over it.
void step_set_axis(ref *r, int i, signed char axis)
{
    bool one = step_is_tensor(r->v) && dim_of(r->v, i) == 1;
    r->axis[i] = one && axis < AXIS_BOUND ? AXIS_ZERO : axis;
}

bool step_start_ref(ref *r, MlirValue v)
{
    *r = (ref){.v = v};
    if (!step_is_tensor(v)) return true;
    r->n = rank_of(v);
    return r->n <= MAX_AXES;
}

// The tensor behind a block argument of a structured op, indexed as the body sees it.
bool step_enter_argument(const ref *from, MlirOperation op, ref *to)
{
    intptr_t i = mlirBlockArgumentGetArgNumber(from->v);
    if (i >= mlirOperationGetNumOperands(op) - mlirOperationGetNumResults(op)) return false; // an output's old value
    if (!step_start_ref(to, mlirOperationGetOperand(op, i))) return false;
    if (!step_is_tensor(to->v)) return true;
    MlirAffineMap map = indexing_map(op, i);
    if (mlirAffineMapGetNumResults(map) != to->n || mlirAffineMapGetNumDims(map) > from->n) return false;
    for (int j = 0; j < to->n; j++) {
        MlirAffineExpr e = mlirAffineMapGetResult(map, j);
        if (mlirAffineExprIsADim(e))
            step_set_axis(to, j, from->axis[mlirAffineDimExprGetPosition(e)]);
        else if (mlirAffineExprIsAConstant(e) && dim_of(to->v, j) == 1)
            to->axis[j] = AXIS_ZERO;
        else
            return false;
    }
    return true;
}

// The value that a structured op yields for `from`, indexed by its loops; *reduced says which loops no axis of the
// result drives: they are reductions.
bool step_enter_body(const ref *from, MlirOperation op, MlirBlock body, ref *to, bool reduced[MAX_AXES])
{
    intptr_t result = mlirOpResultGetResultNumber(from->v);
    intptr_t n_results = mlirOperationGetNumResults(op), n_inputs = mlirOperationGetNumOperands(op) - n_results;
    MlirAffineMap map = indexing_map(op, n_inputs + result);
    intptr_t loops = mlirAffineMapGetNumDims(map);
    if (loops > MAX_AXES || mlirAffineMapGetNumResults(map) != from->n) return false;
    MlirOperation yield = mlirBlockGetTerminator(body);
    if (mlirOperationGetNumOperands(yield) != n_results) return false;
    *to = (ref){.v = mlirOperationGetOperand(yield, result), .n = (int)loops};
    for (int d = 0; d < loops; d++) reduced[d] = true;
    for (int j = 0; j < from->n; j++) {
        MlirAffineExpr e = mlirAffineMapGetResult(map, j);
        if (mlirAffineExprIsADim(e)) {
            intptr_t d = mlirAffineDimExprGetPosition(e);
            to->axis[d] = from->axis[j];
            reduced[d] = false;
        } else if (!mlirAffineExprIsAConstant(e)) {
            return false;
        }
    }
    return true;
}

// ---- reshapes and transpositions

MlirValue reshape_input(MlirValue v)
{
    static const char *const names[] = {"tosa.reshape", "tensor.expand_shape", "tensor.collapse_shape",
                                        "tensor.reshape"};
    MlirOperation op = defining_op(v);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (op_is(op, names[i]) && step_is_tensor(mlirOperationGetOperand(op, 0)))
            return mlirOperationGetOperand(op, 0);
    return (MlirValue){0};
}

MlirValue transpose_input(MlirValue v, int perm[MAX_AXES])
{
    MlirOperation op = defining_op(v);
    MlirBlock body;
    if (!op.ptr || !step_is_tensor(v) || rank_of(v) > MAX_AXES) return (MlirValue){0};
    int rank = rank_of(v);
    if (op_is(op, "tosa.transpose")) {
        MlirAttribute perms = op_attribute(op, "perms");
        MlirValue input = mlirOperationGetOperand(op, 0);
        if (!perms.ptr || !mlirAttributeIsADenseI32Array(perms) || mlirDenseArrayGetNumElements(perms) != rank ||
            !step_is_tensor(input) || rank_of(input) != rank)
            return (MlirValue){0};
        for (int i = 0; i < rank; i++) {
            perm[i] = mlirDenseI32ArrayGetElement(perms, i);
            if (perm[i] < 0 || perm[i] >= rank) return (MlirValue){0};
        }
        return input;
    }
    // linalg.transpose, or a generic op that only moves one tensor
    if (!is_structured(op, &body) || mlirOperationGetNumOperands(op) != 2 || mlirOperationGetNumResults(op) != 1)
        return (MlirValue){0};
    MlirValue yielded = mlirOperationGetOperand(mlirBlockGetTerminator(body), 0);
    if (!mlirValueEqual(yielded, mlirBlockGetArgument(body, 0))) return (MlirValue){0};
    MlirAffineMap in = indexing_map(op, 0), out = indexing_map(op, 1);
    MlirValue input = mlirOperationGetOperand(op, 0);
    if (!mlirAffineMapIsPermutation(in) || !mlirAffineMapIsPermutation(out) || !step_is_tensor(input))
        return (MlirValue){0};
    for (int i = 0; i < rank; i++)
        for (int j = 0; j < rank; j++)
            if (mlirAffineExprEqual(mlirAffineMapGetResult(out, i), mlirAffineMapGetResult(in, j))) perm[i] = j;
    return input;
}

// Axes of a reshape's input, when the reshape only adds and drops dimensions of size 1.
bool step_enter_reshape(const ref *from, MlirValue input, ref *to)
{
    if (!step_start_ref(to, input)) return false;
    int dynamic = 0, j = 0;
    for (int i = 0; i < to->n; i++) {
        int64_t size = dim_of(input, i);
        dynamic += size < 0;
        if (size == 1) {
            to->axis[i] = AXIS_ZERO;
            continue;
        }
        while (j < from->n && dim_of(from->v, j) == 1) j++;
        if (j == from->n || dim_of(from->v, j) != size) return false;
        to->axis[i] = from->axis[j++];
    }
    while (j < from->n && dim_of(from->v, j) == 1) j++;
    // with two unknown sizes a general reshape may exchange them; expand and collapse keep the order
    bool ordered = op_name_starts_with(defining_op(from->v), "tensor.expand") ||
                   op_name_starts_with(defining_op(from->v), "tensor.collapse");
    return j == from->n && (dynamic < 2 || ordered);
}

int read_integers(MlirValue v, int64_t out[], int max)
{
    MlirOperation op = defining_op(v);
    MlirAttribute a = {0};
    if (op_is(op, "tosa.const_shape") || op_is(op, "tosa.const"))
        a = op_attribute(op, "values");
    else if (op_is(op, "arith.constant"))
        a = op_attribute(op, "value");
    if (!a.ptr || !mlirAttributeIsADenseElements(a)) return -1;
    MlirType element = mlirShapedTypeGetElementType(mlirAttributeGetType(a));
    int64_t n = mlirElementsAttrGetNumElements(a);
    if (n > max) return -1;
    bool index = mlirTypeIsAIndex(element);
    int width = mlirTypeIsAInteger(element) ? (int)mlirIntegerTypeGetWidth(element) : 0;
    for (int64_t i = 0; i < n; i++) {
        if (index)
            out[i] = (int64_t)mlirDenseElementsAttrGetIndexValue(a, i);
        else if (width == 64)
            out[i] = mlirDenseElementsAttrGetInt64Value(a, i);
        else if (width == 32)
            out[i] = mlirDenseElementsAttrGetInt32Value(a, i);
        else
            return -1;
    }
    return (int)n;
}

// ---- attributes

bool step_splat_value(MlirAttribute a, double *value)
{
    if (!a.ptr) return false;
    if (mlirAttributeIsADenseElements(a)) {
        if (!mlirDenseElementsAttrIsSplat(a)) return false;
        a = mlirDenseElementsAttrGetSplatValue(a);
    }
    if (mlirAttributeIsAFloat(a))
        *value = mlirFloatAttrGetValueDouble(a);
    else if (mlirAttributeIsAInteger(a)) {
        MlirType t = mlirAttributeGetType(a);
        if (mlirTypeIsAInteger(t) && mlirIntegerTypeGetWidth(t) > 64) return false;
        *value = (double)mlirIntegerAttrGetValueInt(a);
        if (mlirTypeIsAInteger(t) && mlirIntegerTypeGetWidth(t) == 1) *value = *value != 0;
    } else
        return false;
    return true;
}

bool step_index_value(MlirValue v, int64_t *value)
{
    double number;
    MlirOperation op = defining_op(v);
    if (!op_is(op, "arith.constant") || !step_splat_value(op_attribute(op, "value"), &number)) return false;
    *value = (int64_t)number;
    return true;
}

// Values of the predicate attributes of arith (ArithBase.td).
node_kind step_compare_kind(MlirOperation op)
{
    int64_t p = op_int(op, "predicate", -1);
    if (op_is(op, "arith.cmpf")) {
        switch (p) {
        case 1:
        case 8: return N_EQ; // oeq, ueq
        case 2:
        case 9: return N_GT; // ogt, ugt
        case 3:
        case 10: return N_GE;
        case 4:
        case 11: return N_LT;
        case 5:
        case 12: return N_LE;
        case 6:
        case 13: return N_NE; // one, une
        default: return N_LEAF;
        }
    }
    switch (p) { // of the unsigned ones none: indices are compared as signed
    case 0: return N_EQ;
    case 1: return N_NE;
    case 2: return N_LT;
    case 3: return N_LE;
    case 4: return N_GT;
    case 5: return N_GE;
    default: return N_LEAF;
    }
}
