// Broadcasts over sizes that are not known before run time, as lowerings from TOSA and torch write them:
//
//     scf.if (dim(x, a) == 1) { repeat x along a } else { x }
//     linalg.generic { yield tensor.extract x[i, dim(x, a) == 1 ? 0 : j] }
//
// Both are x, if dimensions of unknown size are taken as the same where ops join them, as in the TOSA op itself. What
// is tested has to be shown to be x's own size.
#include "compiler/raise/normal/steps.h"

#include <mlir-c/AffineExpr.h>
#include <mlir-c/AffineMap.h>

static MlirValue yielded_by_region(MlirOperation op, intptr_t region)
{
    MlirBlock block = mlirRegionGetFirstBlock(mlirOperationGetRegion(op, region));
    MlirOperation yield = mlirBlockIsNull(block) ? (MlirOperation){0} : mlirBlockGetTerminator(block);
    return yield.ptr && mlirOperationGetNumOperands(yield) == 1 ? mlirOperationGetOperand(yield, 0) : (MlirValue){0};
}

// Where a size comes from: the tensor and axis that every op on the way takes it from, broadcasts left out. True when
// it comes by an op that has `size`.
static bool trace_size(MlirValue *v, int *axis, MlirValue size)
{
    enum { MAX_STEPS = 64 };
    for (int step = 0; step < MAX_STEPS && step_is_tensor(*v) && *axis < rank_of(*v) && rank_of(*v) <= MAX_AXES;
         step++) {
        MlirOperation op = defining_op(*v);
        MlirBlock body;
        if (op_is(op, "scf.if") && mlirOperationGetNumResults(op) == 1) {
            *v = yielded_by_region(op, 1);
            if (!v->ptr) return false;
            continue;
        }
        if (step_is_sized_by(*v, *axis, size)) return true;
        softmax_op softmax;
        if (softmax_read(op, &softmax)) { // of a rule that ran before
            *v = softmax.x;
            continue;
        }
        ref from = {.v = *v, .n = rank_of(*v)}, to;
        for (int i = 0; i < from.n; i++) from.axis[i] = (signed char)(i == *axis ? 1 : 0);
        bool reduced[MAX_AXES];
        MlirValue input = reshape_input(*v);
        if (input.ptr) {
            if (!step_enter_reshape(&from, input, &to)) return false;
        } else if (is_structured(op, &body)) {
            if (!step_enter_body(&from, op, body, &to, reduced) || mlirBlockGetNumArguments(body) == 0) return false;
            ref argument = to;
            argument.v = mlirBlockGetArgument(body, 0);
            if (!step_enter_argument(&argument, op, &to)) return false;
        } else {
            return false;
        }
        int found = -1;
        for (int i = 0; i < to.n; i++)
            if (to.axis[i] == 1) found = i;
        if (found < 0) return false;
        *v = to.v;
        *axis = found;
    }
    return false;
}

void step_size_origin(MlirValue *v, int *axis)
{
    enum { MAX_STEPS = 8 };
    MlirValue none = {0};
    int64_t index;
    for (int step = 0; step < MAX_STEPS; step++) {
        trace_size(v, axis, none);
        MlirValue made = step_is_tensor(*v) && *axis < rank_of(*v) ? step_made_size(*v, *axis) : none;
        MlirOperation size = made.ptr ? defining_op(step_strip_size(made)) : (MlirOperation){0};
        if (!op_is(size, "tensor.dim") || !step_index_value(mlirOperationGetOperand(size, 1), &index)) return;
        MlirValue of = mlirOperationGetOperand(size, 0);
        if (!step_is_tensor(of) || index < 0 || index >= rank_of(of)) return;
        *v = of;
        *axis = (int)index;
    }
}

// Whether v is `size == 1`, of a size that x has along `axis`: dim(y, a) of a y as large, or what x was made with.
static bool tests_for_one(MlirValue v, MlirValue x, int axis)
{
    MlirOperation test = defining_op(v);
    int64_t index, one;
    if (!op_is(test, "arith.cmpi") || step_compare_kind(test) != N_EQ ||
        !step_index_value(mlirOperationGetOperand(test, 1), &one) || one != 1)
        return false;
    MlirValue tested = mlirOperationGetOperand(test, 0);
    if (step_is_size(tested, x, axis)) return true;
    if (trace_size(&x, &axis, tested)) return true;
    MlirOperation size = defining_op(tested);
    if (!op_is(size, "tensor.dim") || !step_index_value(mlirOperationGetOperand(size, 1), &index)) return false;
    MlirValue y = mlirOperationGetOperand(size, 0);
    if (!step_is_tensor(y) || index < 0 || index >= rank_of(y)) return false;
    int y_axis = (int)index;
    step_size_origin(&y, &y_axis);
    return y.ptr && x.ptr && mlirValueEqual(x, y) && axis == y_axis;
}

// The tensor that a structured op repeats along axes whose index into it is 0, its size along them perhaps unknown.
static bool enter_broadcast(ref *r)
{
    MlirValue input = reshape_input(r->v);
    ref next;
    if (input.ptr) {
        if (!step_enter_reshape(r, input, &next)) return false;
        *r = next;
    }
    MlirOperation op = defining_op(r->v);
    MlirBlock body;
    if (!is_structured(op, &body) || mlirOperationGetNumOperands(op) != 2 || mlirOperationGetNumResults(op) != 1)
        return false;
    MlirAffineMap in = indexing_map(op, 0);
    if (!mlirValueEqual(mlirOperationGetOperand(mlirBlockGetTerminator(body), 0), mlirBlockGetArgument(body, 0)) ||
        !mlirAffineMapIsIdentity(indexing_map(op, 1)) || mlirAffineMapGetNumDims(in) != r->n ||
        !step_start_ref(&next, mlirOperationGetOperand(op, 0)) || mlirAffineMapGetNumResults(in) != next.n)
        return false;
    for (int i = 0; i < next.n; i++) {
        MlirAffineExpr e = mlirAffineMapGetResult(in, i);
        if (mlirAffineExprIsADim(e))
            step_set_axis(&next, i, r->axis[mlirAffineDimExprGetPosition(e)]);
        else if (mlirAffineExprIsAConstant(e) && mlirAffineConstantExprGetValue(e) == 0)
            next.axis[i] = AXIS_ZERO;
        else
            return false;
    }
    *r = next;
    return true;
}

// The x of `scf.if (dim(x, a) == 1) { broadcast x along a } else { x }`: how upstream lowers a TOSA operand whose size
// along a is not known. Dimensions of unknown size are taken as the same, as in the TOSA op itself.
MlirValue step_unless_broadcast(reader *r, const ref *from, MlirOperation op)
{
    MlirValue none = {0};
    if (!op_is(op, "scf.if") || mlirOperationGetNumResults(op) != 1 || mlirOperationGetNumRegions(op) != 2) return none;
    ref then = *from, otherwise = *from;
    then.v = yielded_by_region(op, 0);
    otherwise.v = yielded_by_region(op, 1);
    if (!then.v.ptr || !otherwise.v.ptr || !step_is_tensor(then.v) || !step_is_tensor(otherwise.v)) return none;
    // each axis by a name of its own
    for (int i = 0; i < from->n; i++)
        then.axis[i] = otherwise.axis[i] = (signed char)(dim_of(from->v, i) == 1 ? AXIS_ZERO : i);
    if (!enter_broadcast(&then)) return none;
    node a = read_node(r, &then), b = read_node(r, &otherwise);
    if (!mlirValueEqual(a.self.v, b.self.v) || a.self.n != b.self.n) return none;
    for (int i = 0; i < a.self.n; i++) {
        int axis = b.self.axis[i];
        if (a.self.axis[i] == axis) continue;
        if (a.self.axis[i] != AXIS_ZERO || axis >= from->n ||
            !tests_for_one(mlirOperationGetOperand(op, 0), otherwise.v, axis))
            return none;
    }
    return otherwise.v;
}

// The axis that an index into x runs along: that of the loop it is, or of `size == 1 ? 0 : loop`.
static bool read_index(const ref *from, MlirValue index, const ref *x, int axis, signed char *result)
{
    int64_t zero;
    MlirOperation op = defining_op(index);
    if (step_index_value(index, &zero)) {
        *result = AXIS_ZERO;
        return zero == 0 && dim_of(x->v, axis) == 1;
    }
    if (op_is(op, "arith.select") && step_index_value(mlirOperationGetOperand(op, 1), &zero) && zero == 0 &&
        tests_for_one(mlirOperationGetOperand(op, 0), x->v, axis))
        op = defining_op(mlirOperationGetOperand(op, 2));
    int64_t d = op_is(op, "linalg.index") ? op_int(op, "dim", -1) : -1;
    if (d < 0 || d >= from->n) return false;
    *result = from->axis[d];
    return true;
}

bool step_enter_extract(const ref *from, MlirOperation op, ref *to)
{
    if (!op_is(op, "tensor.extract") || !step_start_ref(to, mlirOperationGetOperand(op, 0)) ||
        mlirOperationGetNumOperands(op) != to->n + 1)
        return false;
    for (int i = 0; i < to->n; i++) {
        signed char axis;
        if (!read_index(from, mlirOperationGetOperand(op, i + 1), to, i, &axis)) return false;
        step_set_axis(to, i, axis);
    }
    return true;
}

// ---- folding

// arith and math on tensors: operands and result have one shape.
static bool is_elementwise_on_tensors(MlirOperation op)
{
    return op.ptr && (op_name_starts_with(op, "arith.") || op_name_starts_with(op, "math.")) &&
           mlirOperationGetNumOperands(op) > 0;
}

// The size of an expand_shape's result, if it was given one.
static MlirValue expanded_size(MlirOperation op, int axis)
{
    MlirValue v = mlirOperationGetResult(op, 0);
    int dynamic = 1; // the operand before them is what is expanded
    for (int i = 0; i < axis; i++) dynamic += dim_of(v, i) < 0;
    return dim_of(v, axis) < 0 && dynamic < mlirOperationGetNumOperands(op) ? mlirOperationGetOperand(op, dynamic)
                                                                            : (MlirValue){0};
}

static void fold_size(MlirOperation op)
{
    int64_t axis;
    MlirValue v = mlirOperationGetOperand(op, 0), size = mlirOperationGetResult(op, 0);
    if (!step_index_value(mlirOperationGetOperand(op, 1), &axis)) return;
    if (!step_is_tensor(v) || axis < 0 || axis >= rank_of(v)) return;
    MlirOperation from = defining_op(v);
    for (; is_elementwise_on_tensors(from); from = defining_op(v)) {
        MlirValue operand = mlirOperationGetOperand(from, mlirOperationGetNumOperands(from) - 1);
        if (!step_is_tensor(operand) || rank_of(operand) != rank_of(v)) break;
        v = operand;
    }
    mlirOperationSetOperand(op, 0, v);
    MlirValue made = op_is(from, "tensor.expand_shape") ? expanded_size(from, (int)axis) : step_made_size(v, (int)axis);
    if (made.ptr && mlirTypeIsAIndex(mlirValueGetType(made))) replace_value(size, made);
}

// A broadcast that repeats what has size 1 to size 1, and leaves all else.
static void fold_broadcast(MlirOperation op)
{
    if (mlirOperationGetNumResults(op) != 1) return;
    reader r = {0};
    ref from;
    MlirValue result = mlirOperationGetResult(op, 0);
    if (!step_is_tensor(result) || !step_start_ref(&from, result)) return;
    MlirValue x = step_unless_broadcast(&r, &from, op), then = x.ptr ? yielded_by_region(op, 0) : x;
    if (!x.ptr || !mlirTypeEqual(mlirValueGetType(x), mlirValueGetType(result))) return;
    for (int i = 0; i < rank_of(x); i++) {
        if (dim_of(x, i) >= 0) continue;
        MlirValue size = step_made_size(then, i), of = then, origin = x;
        int of_axis = i, axis = i;
        if (step_is_sized_by(x, i, size)) continue;
        step_size_origin(&of, &of_axis);
        step_size_origin(&origin, &axis);
        if (!mlirValueEqual(of, origin) || of_axis != axis) return;
    }
    replace_value(result, x);
}

void step_fold_sizes(MlirOperation op, void *context)
{
    (void)context;
    if (op_is(op, "tensor.dim"))
        fold_size(op);
    else if ((op_is(op, "arith.maxui") || op_is(op, "arith.maxsi")) &&
             mlirValueEqual(mlirOperationGetOperand(op, 0), mlirOperationGetOperand(op, 1)))
        replace_value(mlirOperationGetResult(op, 0), mlirOperationGetOperand(op, 0));
    else if (op_is(op, "scf.if"))
        fold_broadcast(op);
}
