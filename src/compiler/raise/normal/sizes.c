// Sizes that are not known before run time: whether two of them are one, by what the tensors were made with.
#include "compiler/raise/normal/parts.h"
#include "compiler/raise/normal/steps.h"

// What made the size of v along `axis`: the index that its tensor.empty was given; null value when that is not seen.
MlirValue step_made_size(MlirValue v, int axis)
{
    enum { MAX_STEPS = 8 };
    MlirOperation op = defining_op(v);
    for (int step = 0; step < MAX_STEPS && is_structured(op, NULL) && mlirOperationGetNumResults(op) == 1; step++) {
        op = defining_op(mlirOperationGetOperand(op, mlirOperationGetNumOperands(op) - 1)); // as large as the result
    }
    MlirOperation sizes =
        op_is(op, "tensor.reshape") ? defining_op(mlirOperationGetOperand(op, 1)) : (MlirOperation){0};
    if (op_is(sizes, "tensor.from_elements") && axis < mlirOperationGetNumOperands(sizes))
        return mlirOperationGetOperand(sizes, axis);
    if (!op_is(op, "tensor.empty")) return (MlirValue){0};
    MlirValue made = mlirOperationGetResult(op, 0);
    int dynamic = 0;
    if (axis >= rank_of(made) || dim_of(made, axis) >= 0) return (MlirValue){0};
    for (int i = 0; i < axis; i++) dynamic += dim_of(made, i) < 0;
    return dynamic < mlirOperationGetNumOperands(op) ? mlirOperationGetOperand(op, dynamic) : (MlirValue){0};
}

// A size behind casts of integers and the test for -1, which no size of a tensor is.
MlirValue step_strip_size(MlirValue v)
{
    enum { MAX_STEPS = 16 };
    for (int step = 0; step < MAX_STEPS; step++) {
        MlirOperation op = defining_op(v);
        int64_t zero;
        if (op_is(op, "arith.index_cast")) {
            v = mlirOperationGetOperand(op, 0);
        } else if (op_is(op, "arith.select")) {
            MlirOperation test = defining_op(mlirOperationGetOperand(op, 0));
            if (!op_is(test, "arith.cmpi") || step_compare_kind(test) != N_LT ||
                !step_index_value(mlirOperationGetOperand(test, 1), &zero) || zero != 0 ||
                !op_is(defining_op(step_strip_size(mlirOperationGetOperand(test, 0))), "tensor.dim"))
                return v;
            v = mlirOperationGetOperand(op, 2);
        } else {
            return v;
        }
    }
    return v;
}

// The one dimension of a collapse_shape's input whose size is that of the result's `axis`; -1: there are more.
static int collapsed_axis(MlirOperation op, int axis)
{
    MlirAttribute groups = op_attribute(op, "reassociation");
    MlirValue in = mlirOperationGetOperand(op, 0);
    int found = -1;
    if (!groups.ptr || !mlirAttributeIsAArray(groups) || axis >= mlirArrayAttrGetNumElements(groups)) return -1;
    MlirAttribute group = mlirArrayAttrGetElement(groups, axis);
    for (intptr_t i = 0; i < mlirArrayAttrGetNumElements(group); i++) {
        int from = (int)mlirIntegerAttrGetValueInt(mlirArrayAttrGetElement(group, i));
        if (dim_of(in, from) == 1) continue;
        if (found >= 0) return -1;
        found = from;
    }
    return found;
}

// The size that an expand_shape was given for `axis`.
static MlirValue expanded_size(MlirOperation op, int axis)
{
    MlirValue out = mlirOperationGetResult(op, 0);
    int dynamic = 0;
    for (int i = 0; i < axis; i++) dynamic += dim_of(out, i) < 0;
    return dynamic + 1 < mlirOperationGetNumOperands(op) ? mlirOperationGetOperand(op, dynamic + 1) : (MlirValue){0};
}

// Where a size comes from: the size of a tensor that nothing is known about, or a number.
typedef struct origin {
    MlirValue v;
    int axis; // -1: v is the number
} origin;

// The operand whose size along the same axis an op passes on; null value when it is none.
static MlirValue passes_size(MlirOperation op, int axis)
{
    MlirValue none = {0};
    rope_op rope;
    rows_op r;
    bool rows = rows_read(op, &r), rotates = rope_read(op, &rope);
    if (op_is(op, "tensor.insert_slice")) return mlirOperationGetOperand(op, 1);
    if (op_is(op, "tensor.concat") ? op_int(op, "dim", axis) == axis : !rows && !rotates) return none;
    MlirValue first = rows      ? r.rows[0]
                      : rotates ? rope.x
                                : mlirOperationGetOperand(op, 0),
              result = mlirOperationGetResult(op, 0);
    bool last = (rows || rotates) && axis + 1 == rank_of(result);
    return last || rank_of(first) != rank_of(result) || dim_of(first, axis) >= 0 ? none : first;
}

// The size that an extract_slice of all axes was given.
static MlirValue sliced_size(MlirOperation op, int axis)
{
    slice_window w;
    MlirValue none = {0};
    if (!op_is(op, "tensor.extract_slice")) return none;
    int rank = rank_of(mlirOperationGetOperand(op, 0));
    if (rank != rank_of(mlirOperationGetResult(op, 0)) || !read_window(op, rank, &w)) return none;
    return window_size(op, &w, axis);
}

static origin size_origin(MlirValue v, int axis)
{
    enum { MAX_STEPS = 32 };
    for (int step = 0; step < MAX_STEPS; step++) {
        if (axis < 0) {
            int64_t index;
            v = step_strip_size(v);
            MlirOperation dim = defining_op(v);
            if (!op_is(dim, "tensor.dim") || !step_index_value(mlirOperationGetOperand(dim, 1), &index) || index < 0 ||
                !step_is_tensor(mlirOperationGetOperand(dim, 0)) || index >= rank_of(mlirOperationGetOperand(dim, 0)))
                break;
            v = mlirOperationGetOperand(dim, 0);
            axis = (int)index;
        }
        MlirOperation op = defining_op(v);
        MlirValue made =
            op_is(op, "tensor.expand_shape") && dim_of(v, axis) < 0 ? expanded_size(op, axis) : step_made_size(v, axis);
        if (!made.ptr) made = sliced_size(op, axis);
        if (made.ptr) {
            v = made;
            axis = -1;
        } else if (op_is(op, "tensor.collapse_shape") && collapsed_axis(op, axis) >= 0) {
            axis = collapsed_axis(op, axis);
            v = mlirOperationGetOperand(op, 0);
        } else if (passes_size(op, axis).ptr) {
            v = passes_size(op, axis);
        } else {
            break;
        }
    }
    return (origin){v, axis};
}

static bool same_origin(origin a, origin b) { return a.axis == b.axis && mlirValueEqual(a.v, b.v); }

bool step_is_sized_by(MlirValue v, int axis, MlirValue size)
{
    MlirValue made = step_made_size(v, axis);
    return size.ptr && made.ptr && mlirValueEqual(step_strip_size(made), step_strip_size(size));
}

bool step_is_size(MlirValue size, MlirValue v, int axis)
{
    return size.ptr && same_origin(size_origin(size, -1), size_origin(v, axis));
}

bool keeps_last_axes(MlirValue reshaped)
{
    MlirOperation op = defining_op(reshaped), sizes;
    MlirValue in = mlirOperationGetOperand(op, 0);
    int from = rank_of(in), to = rank_of(reshaped);
    if (!op_is(op, "tensor.reshape") || from < 2 || to < 2) return false;
    sizes = defining_op(mlirOperationGetOperand(op, 1));
    if (!op_is(sizes, "tensor.from_elements") || mlirOperationGetNumOperands(sizes) != to) return false;
    origin had[2], has[2];
    for (int i = 0; i < 2; i++) {
        had[i] = size_origin(in, from - 1 - i);
        has[i] = size_origin(mlirOperationGetOperand(sizes, to - 1 - i), -1);
    }
    if (same_origin(had[0], has[0]) && same_origin(had[1], has[1])) return true;
    // two squares of as many elements are the same
    return same_origin(had[0], had[1]) && same_origin(has[0], has[1]);
}
