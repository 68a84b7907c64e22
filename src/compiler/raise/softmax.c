// In:  e / sum(e), e = exp(x - max(x)), over the last axis; or e times the reciprocal of the sum; linalg.softmax
//      select(all(x == -inf), 0, that): rows that a mask hides wholly give 0, not nan
// Out: wf.softmax x {zero_masked}
#include <math.h>

#include "compiler/raise/norm_parts.h"
#include "compiler/raise/split.h"

// The divisor in a / b, a * (1 / b).
static bool read_quotient(matcher *m, const node *n, ref *dividend, ref *divisor)
{
    if (n->kind == N_DIV) {
        *dividend = n->in[0];
        *divisor = n->in[1];
        return true;
    }
    for (int i = 0; i < 2 && n->kind == N_MUL; i++) {
        node inverse = read_uncast(&m->r, &n->in[i]);
        constant c;
        if (inverse.kind == N_RECIP)
            *divisor = inverse.in[0];
        else if (inverse.kind == N_DIV && read_constant(&m->r, &inverse.in[0], &c) && c.value == 1)
            *divisor = inverse.in[1];
        else
            continue;
        *dividend = n->in[1 - i];
        return true;
    }
    return false;
}

// Whether `from` reduces, with the given kind and over the one axis, what is `of` at the root; *axis is that axis.
static bool is_reduction_of(matcher *m, const norm_core *core, const ref *from, node_kind kind, const ref *of,
                            int *axis)
{
    node n = read_uncast(&m->r, from);
    if (n.kind != kind || n.n_bound != 1) return false;
    affine_sum sum = {.bound = {(signed char)(AXIS_BOUND + n.bound)}, .n_bound = 1};
    unsigned axes;
    if (!is_summed(m, core, of, &n.in[0], &sum, &axes) || !axes) return false;
    for (*axis = 0; !(axes >> *axis & 1); ++*axis) continue;
    return true;
}

// select(all(x == -inf), 0, softmax) around a result.
static bool is_guard(matcher *m, const norm_core *core, MlirOperation user, MlirValue softmax, const ref *x)
{
    ref root;
    constant zero, infinity;
    if (mlirOperationGetNumResults(user) != 1 || !root_ref(mlirOperationGetResult(user, 0), &root)) return false;
    node n = read_node(&m->r, &root);
    if (n.kind != N_SELECT || !mlirOperationEqual(n.op, user) || !mlirValueEqual(n.in[2].v, softmax)) return false;
    if (!read_constant(&m->r, &n.in[1], &zero) || zero.value != 0) return false;
    node all = read_node(&m->r, &n.in[0]);
    if (all.kind != N_REDUCE_AND || all.n_bound != 1) return false;
    node equal = read_node(&m->r, &all.in[0]);
    if (equal.kind != N_EQ || !read_constant(&m->r, &equal.in[1], &infinity) || infinity.value != -INFINITY)
        return false;
    affine_sum over = {.bound = {(signed char)(AXIS_BOUND + all.bound)}, .n_bound = 1};
    unsigned axes;
    return is_summed(m, core, x, &equal.in[0], &over, &axes) && axes == 1u << (core->rank - 1);
}

// x - max - log(sum(exp(x - max))): noted, no softmax.
static bool is_log_softmax(matcher *m, const node *difference)
{
    node log = read_uncast(&m->r, &difference->in[1]);
    node sum = log.kind == N_LOG ? read_uncast(&m->r, &log.in[0]) : (node){.kind = N_LEAF};
    if (sum.kind != N_SUM || read_uncast(&m->r, &sum.in[0]).kind != N_EXP) return false;
    return near_miss(m, "the logarithm of a softmax, for which there is no op");
}

static bool note_other_sum(matcher *m, const ref *divisor)
{
    node sum = read_uncast(&m->r, divisor);
    if (sum.kind != N_SUM || read_uncast(&m->r, &sum.in[0]).kind != N_EXP) return false;
    if (sum.n_bound != 1) return near_miss(m, "the sum is over %d axes, not the last alone", sum.n_bound);
    return near_miss(m, "the sum is of another value than the one divided by it");
}

// linalg.softmax
static bool raise_named(matcher *m, MlirOperation op)
{
    MlirValue x = mlirOperationGetOperand(op, 0), y = mlirOperationGetResult(op, 0);
    int64_t axis = op_int(op, "dimension", -1);
    if (axis != rank_of(x) - 1) return near_miss(m, "softmax over axis %d, not the last", (int)axis);
    if (!mlirTypeEqual(mlirValueGetType(x), mlirValueGetType(y)))
        return near_miss(m, "the result has another type than x");
    op_builder b = op_builder_before(op);
    replace_value(y, build_value(&b, "wf.softmax", mlirValueGetType(y), 1, &x, 0, NULL));
    return true;
}

bool raise_softmax(matcher *m, MlirOperation op)
{
    norm_core core = {0};
    ref e, sum;
    int sum_axis, max_axis;
    if (mlirOperationGetNumResults(op) != 1 || is_structured(op, NULL)) return false;
    if (!root_ref(mlirOperationGetResult(op, 0), &core.root)) return false;
    core.rank = rank_of(root_tensor(&core.root));
    node n = read_node(&m->r, &core.root);
    if (op_is(op, "linalg.softmax")) return raise_named(m, op);
    if (core.rank < 1 || !mlirOperationEqual(n.op, op)) return false;
    if (!read_quotient(m, &n, &e, &sum)) return n.kind == N_SUB && is_log_softmax(m, &n);
    node exponential = read_unwidened(&m->r, &e);
    if (exponential.kind != N_EXP) return false;
    if (!is_reduction_of(m, &core, &sum, N_SUM, &e, &sum_axis)) return note_other_sum(m, &sum);
    node shifted = read_unwidened(&m->r, &exponential.in[0]);
    if (shifted.kind != N_SUB || !is_reduction_of(m, &core, &shifted.in[1], N_REDUCE_MAX, &shifted.in[0], &max_axis))
        return near_miss(m, "no maximum is subtracted before exp");
    if (sum_axis != max_axis) return near_miss(m, "maximum over axis %d, sum over axis %d", max_axis, sum_axis);
    if (sum_axis != core.rank - 1) return near_miss(m, "softmax over axis %d, not the last", sum_axis);
    ref x = shifted.in[0];
    MlirValue operand = take_operand(&m->r, &core.root, &x);
    if (!operand.ptr) return near_miss(m, "x is not a tensor of the result's shape");

    MlirValue v = core.root.v, inner = v;
    MlirOperation user = primitive_user(&inner);
    bool guarded = user.ptr && is_guard(m, &core, user, inner, &x);
    if (guarded) v = mlirOperationGetResult(user, 0);
    ref last;
    MlirValue result = root_ref(v, &last) ? take_result(&last) : (MlirValue){0};
    if (!result.ptr) return near_miss(m, "the result is no tensor");
    op_builder b = op_builder_before(defining_op(result));
    MlirNamedAttribute zero_masked = named_bool(&b, "zero_masked", true);
    MlirType type = mlirValueGetType(result);
    mark_pattern(m, result, 1, &operand);
    replace_value(result, build_value(&b, "wf.softmax", type, 1, &operand, guarded, &zero_masked));
    return true;
}
