// In:  a row-wise op of a reshape that leaves the rows whole: linear(reshape(x)), swiglu(reshape(g), reshape(u))
// Out: the reshape behind the op: reshape(linear(x)), reshape(swiglu(g, u))
//
// Frontends compute in two dimensions and write the graph's shape around each step (PyTorch's view, mm, view). Here the
// reshapes sink until they meet and undo each other, so that fusions see op behind op.
#include "compiler/codegen/context.h"
#include "compiler/raise/layout.h"
#include "compiler/raise/raise.h"
#include "compiler/raise/steps.h"
#include "compiler/raise/strided.h"

enum { MAX_RANK = 8, MAX_OPERANDS = 8, MAX_ATTRIBUTES = 8 };

// Ops that compute each row on its own, of the rows of their first operands. Of elementwise ones a row is an element.
static const struct {
    const char *name;
    int n_rows;
    bool elementwise;
} ROW_OPS[] = {
    {"wf.linear", 1, false},  {"wf.rms_norm", 1, false}, {"wf.layer_norm", 1, false},
    {"wf.softmax", 1, false}, {"wf.swiglu", 2, true},    {"arith.addf", 2, true},
};

static int find_row_op(MlirOperation op)
{
    int n = (int)(sizeof ROW_OPS / sizeof *ROW_OPS);
    for (int i = 0; i < n; i++)
        if (op_is(op, ROW_OPS[i].name)) return i;
    return -1;
}

static bool has_shape_of(MlirValue v, MlirValue like)
{
    bool same = rank_of(v) == rank_of(like);
    for (int i = 0; same && i < rank_of(v); i++) same = dim_of(v, i) == dim_of(like, i);
    return same;
}

// Whether one axis of rows can be split into the first axes of v: their sizes are known, or all but one of them are 1.
static bool splits_rows(MlirValue v)
{
    int n_dynamic = 0, n_more = 0;
    for (int i = 0; i + 1 < rank_of(v); i++) {
        n_dynamic += dim_of(v, i) < 0;
        n_more += dim_of(v, i) > 1;
    }
    return n_dynamic == 0 || (n_dynamic == 1 && n_more == 0);
}

// The other operand of an elementwise op, in the shape that the reshaped one has before its reshape; null value: it
// would be reshaped for nothing, or cannot be.
static MlirValue follow(op_builder *b, MlirValue other, MlirValue input)
{
    MlirValue behind = reshape_input(other), none = {0};
    MlirOperation producer = defining_op(input);
    int rank = rank_of(input), n_dynamic = 0;
    int64_t shape[MAX_RANK];
    for (int i = 0; i < rank; i++) {
        shape[i] = dim_of(input, i);
        n_dynamic += shape[i] < 0;
    }
    // with two sizes that are not known, equal types are not yet equal shapes
    if (behind.ptr && n_dynamic < 2 && has_shape_of(behind, input)) return behind;
    bool computed = op_name_starts_with(producer, "wf.") || op_is(producer, "arith.addf");
    bool rows = rank_of(other) >= 2 && shape[rank - 1] > 0 && dim_of(other, rank_of(other) - 1) == shape[rank - 1];
    if (!computed || !rows || (rank > 2 && !splits_rows(input))) return none;
    MlirValue v = rank_of(other) > 2 ? build_collapse(b, other, 0, rank_of(other) - 1) : other;
    if (rank > 2) v = build_expand(b, v, 0, rank - 1, tensor_of(rank, shape, element_type_of(other)));
    return has_shape_of(v, input) ? v : none;
}

// The reshape of v with that input, whose last dimension may be another than that of the old one; null value when it
// cannot be written.
static MlirValue reshape_again(op_builder *b, MlirValue v, MlirValue input, MlirType result)
{
    MlirOperation old = defining_op(v);
    int rank = rank_of(v);
    int64_t features = mlirShapedTypeIsDynamicDim(result, rank - 1) ? -1 : mlirShapedTypeGetDimSize(result, rank - 1);
    int64_t sizes[MAX_AXES];
    MlirValue shape = {0};
    MlirAttribute listed = op_attribute(old, "static_output_shape");
    if (features != dim_of(v, rank - 1)) {
        if (features < 0 || op_is(old, "tensor.reshape")) return (MlirValue){0};
        if (op_is(old, "tosa.reshape")) {
            MlirOperation given = defining_op(mlirOperationGetOperand(old, 1));
            MlirAttribute elements[MAX_AXES];
            if (read_integers(mlirOperationGetOperand(old, 1), sizes, MAX_AXES) != rank) return (MlirValue){0};
            sizes[rank - 1] = features;
            for (int i = 0; i < rank; i++) elements[i] = mlirIntegerAttrGet(mlirIndexTypeGet(b->ctx), sizes[i]);
            MlirType type = mlirAttributeGetType(op_attribute(given, "values"));
            MlirNamedAttribute values = mlirNamedAttributeGet(mlirIdentifierGet(b->ctx, mlir_text("values")),
                                                              mlirDenseElementsAttrGet(type, rank, elements));
            shape = build_value(b, "tosa.const_shape", mlirValueGetType(mlirOperationGetOperand(old, 1)), 0, NULL, 1,
                                &values);
        }
    }
    MlirOperation op = mlirOperationClone(old);
    mlirOperationSetOperand(op, 0, input);
    if (shape.ptr) mlirOperationSetOperand(op, 1, shape);
    if (listed.ptr) {
        for (int i = 0; i < rank; i++) sizes[i] = mlirDenseI64ArrayGetElement(listed, i);
        sizes[rank - 1] = features < 0 ? sizes[rank - 1] : features;
        mlirOperationSetAttributeByName(op, mlir_text("static_output_shape"),
                                        mlirDenseI64ArrayGet(b->ctx, rank, sizes));
    }
    mlirValueSetType(mlirOperationGetResult(op, 0), result);
    mlirBlockInsertOwnedOperationBefore(b->block, b->before, op);
    return mlirOperationGetResult(op, 0);
}

// The op on what is behind its reshaped operand `at`, the reshape after it; null op when that cannot be.
static MlirOperation sink(MlirOperation op, int which, int at)
{
    MlirValue reshaped = mlirOperationGetOperand(op, at), input = reshape_input(reshaped);
    MlirValue result = mlirOperationGetResult(op, 0), operands[MAX_OPERANDS];
    MlirOperation none = {0};
    int n = (int)mlirOperationGetNumOperands(op), n_attributes = (int)mlirOperationGetNumAttributes(op);
    int kept = ROW_OPS[which].elementwise ? 0 : (int)op_int(op, "axes", 1), rank = input.ptr ? rank_of(input) : 0;
    if (rank < 2 || rank > MAX_RANK || n > MAX_OPERANDS || n_attributes > MAX_ATTRIBUTES || kept >= rank ||
        (kept && !keeps_last(reshaped, kept)))
        return none;
    op_builder b = op_builder_before(op);
    for (int i = 0; i < n; i++) operands[i] = mlirOperationGetOperand(op, i);
    operands[at] = input;
    if (ROW_OPS[which].n_rows == 2) operands[1 - at] = follow(&b, operands[1 - at], input);
    if (ROW_OPS[which].n_rows == 2 && !operands[1 - at].ptr) return none;
    int64_t shape[MAX_RANK];
    for (int i = 0; i < rank; i++) shape[i] = dim_of(input, i);
    if (kept) shape[rank - 1] = dim_of(result, rank_of(result) - 1);
    MlirNamedAttribute attributes[MAX_ATTRIBUTES];
    for (int i = 0; i < n_attributes; i++) attributes[i] = mlirOperationGetAttribute(op, i);
    MlirType type = tensor_of(rank, shape, element_type_of(result));
    MlirStringRef name = mlirIdentifierStr(mlirOperationGetName(op));
    MlirOperation sunk = build_op(&b, name.data, 1, &type, n, operands, n_attributes, attributes);
    MlirValue after = reshape_again(&b, reshaped, mlirOperationGetResult(sunk, 0), mlirValueGetType(result));
    if (!after.ptr) return none; // nobody uses it
    replace_value(result, after);
    return sunk;
}

bool raise_rows(matcher *m, MlirOperation op)
{
    (void)m;
    if (mlirOperationGetNumResults(op) != 1) return false;
    MlirValue v = mlirOperationGetResult(op, 0);
    if (reshape_input(v).ptr) {
        MlirValue same = behind_moves(v);
        if (same.ptr) replace_value(v, same);
        return same.ptr;
    }
    int which = find_row_op(op);
    if (which < 0 || !step_is_tensor(v)) return false;
    bool changed = false;
    for (int at = 0; at < ROW_OPS[which].n_rows;) {
        MlirOperation sunk =
            reshape_input(mlirOperationGetOperand(op, at)).ptr ? sink(op, which, at) : (MlirOperation){0};
        at = sunk.ptr ? 0 : at + 1;
        if (sunk.ptr) op = sunk;
        changed = changed || sunk.ptr;
    }
    return changed;
}
