// In:  a row-wise op of a reshape that leaves the rows whole: linear(reshape(x)), glu(reshape(g), reshape(u))
// Out: the reshape behind the op: reshape(linear(x)), reshape(glu(g, u))
//
// Frontends compute in two dimensions and write the graph's shape around each step (PyTorch's view, mm, view). Here the
// reshapes sink until they meet and undo each other, so that fusions see op behind op.
#include "compiler/mlir/text.h"
#include "compiler/raise/normal/layout.h"
#include "compiler/raise/normal/steps.h"
#include "compiler/raise/normal/strided.h"
#include "compiler/raise/raise.h"

enum { MAX_RANK = 8 };

// Row-wise wf ops, and sums.
static bool read_row_op(MlirOperation op, rows_op *r)
{
    if (rows_read(op, r)) return true;
    if (!op_is(op, "arith.addf")) return false;
    MlirValue y = mlirOperationGetResult(op, 0);
    *r = (rows_op){{mlirOperationGetOperand(op, 0), mlirOperationGetOperand(op, 1)}, 2, 0, {mlirValueGetType(y), y}};
    return true;
}

static MlirValue write_row_op(op_builder *b, MlirOperation like, rows_op *r)
{
    if (!op_is(like, "arith.addf")) return rows_write(b, like, r);
    MlirOperation sum = mlirOperationClone(like);
    for (int i = 0; i < 2; i++) mlirOperationSetOperand(sum, i, r->rows[i]);
    mlirValueSetType(mlirOperationGetResult(sum, 0), r->y.type);
    mlirBlockInsertOwnedOperationBefore(b->block, b->before, sum);
    return mlirOperationGetResult(sum, 0);
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
// would be reshaped for nothing, or cannot be. A new reshape takes axes away and never adds any: else two computed
// values of different shapes would be reshaped to each other's for ever.
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
    if (!computed || !rows || rank >= rank_of(other) || (rank > 2 && !splits_rows(input))) return none;
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

// The op on what is behind its reshaped rows `at`, the reshape after it; null op when that cannot be.
static MlirOperation sink(MlirOperation op, const rows_op *old, int at)
{
    MlirValue reshaped = old->rows[at], input = reshape_input(reshaped), result = old->y.value;
    MlirOperation none = {0};
    rows_op r = *old;
    int rank = input.ptr ? rank_of(input) : 0;
    if (rank < 2 || rank > MAX_RANK || r.axes >= rank || (r.axes && !keeps_last(reshaped, r.axes))) return none;
    op_builder b = op_builder_before(op);
    r.rows[at] = input;
    if (r.n_rows == 2) r.rows[1 - at] = follow(&b, r.rows[1 - at], input);
    if (r.n_rows == 2 && !r.rows[1 - at].ptr) return none;
    int64_t shape[MAX_RANK];
    for (int i = 0; i < rank; i++) shape[i] = dim_of(input, i);
    if (r.axes) shape[rank - 1] = dim_of(result, rank_of(result) - 1);
    r.y.type = tensor_of(rank, shape, element_type_of(result));
    MlirValue sunk = write_row_op(&b, op, &r), after = reshape_again(&b, reshaped, sunk, old->y.type);
    if (!after.ptr) return none; // nobody uses it
    replace_value(result, after);
    return defining_op(sunk);
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
    rows_op r;
    if (!read_row_op(op, &r) || !step_is_tensor(v)) return false;
    bool changed = false;
    for (int at = 0; at < r.n_rows;) {
        MlirOperation sunk = reshape_input(r.rows[at]).ptr ? sink(op, &r, at) : (MlirOperation){0};
        at = sunk.ptr ? 0 : at + 1;
        if (sunk.ptr) read_row_op(op = sunk, &r);
        changed = changed || sunk.ptr;
    }
    return changed;
}
