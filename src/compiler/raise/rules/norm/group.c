// In:  x * a + b, where a and b are reshapes of factors that stand beside a reshape of x in other groups
// Out: reshape(reshape(x) * a + b) in those groups
//
// So PyTorch decomposes a group norm: statistics over [batch, group, channel of the group, place], then factors that
// are reshaped to [batch, channel, 1, 1], and between the two gathered, at indices that are constants.
#include "compiler/raise/normal/constant.h"
#include "compiler/raise/normal/layout.h"
#include "compiler/raise/normal/steps.h"
#include "compiler/raise/raise.h"
#include "compiler/raise/rules/split.h"

// ---- gathers of all elements in their order

static bool counts_up(const const_tensor *t, int64_t period)
{
    for (int64_t i = 0; t && i < t->count; i++)
        if (t->data[i] != (double)(i % period)) return false;
    return t != NULL;
}

// The value whose elements v gathers, all of them in their order; null value: v is no gather, or another.
static MlirValue gathered_in_order(MlirValue v)
{
    MlirOperation op = defining_op(v);
    MlirBlock body;
    MlirValue from = {0};
    evaluator e = evaluator_start();
    int64_t size = 1;
    for (int i = 0; i < rank_of(v); i++) size = dim_of(v, i) < 0 ? -1 : size < 0 ? -1 : size * dim_of(v, i);
    if (op_is(op, "tosa.gather")) {
        MlirValue values = mlirOperationGetOperand(op, 0);
        if (mlirTypeEqual(mlirValueGetType(values), mlirValueGetType(v)) && size > 0 &&
            counts_up(evaluate(&e, mlirOperationGetOperand(op, 1)), dim_of(v, 1)))
            from = values;
    } else if (size > 0 && is_structured(op, &body)) {
        const const_tensor *places = evaluate_places(&e, op);
        if (counts_up(places, size))
            from = mlirOperationGetOperand(defining_op(mlirOperationGetOperand(mlirBlockGetTerminator(body), 0)), 0);
        int64_t all = 1;
        for (int i = 0; from.ptr && i < rank_of(from); i++) all *= dim_of(from, i);
        if (from.ptr && all != size) from.ptr = NULL;
    }
    evaluator_free(&e);
    return from;
}

// ---- factors and x by groups

// What v is a reshape of, through gathers of everything in order too.
static MlirValue behind_reshapes(MlirValue v)
{
    enum { MAX_STEPS = 8 };
    for (int step = 0; step < MAX_STEPS && step_is_tensor(v); step++) {
        MlirValue next = reshape_input(v);
        if (!next.ptr) next = gathered_in_order(v);
        if (!next.ptr) return v;
        v = next;
    }
    return v;
}

// The elements of `whole` that share one of v's: v is whole's first dimensions, then dimensions of size 1. 0: it is
// not.
static int64_t shared_by(MlirValue v, MlirValue whole)
{
    int64_t count = 1;
    int rank = rank_of(whole), end = rank;
    if (rank_of(v) != rank) return 0;
    while (end > 0 && dim_of(v, end - 1) == 1) count *= dim_of(whole, --end);
    for (int i = 0; i < end; i++)
        if (dim_of(v, i) != dim_of(whole, i)) return 0;
    for (int i = 0; i < rank; i++)
        if (dim_of(whole, i) < 1) return 0;
    return count;
}

// What x is reshaped to, directly or in steps, so that `factor` stands beside it as each of its values is shared by
// `count` elements; null value: there is no such.
static MlirValue find_groups(MlirValue x, MlirValue factor, int64_t count, int depth)
{
    enum { MAX_DEPTH = 3 };
    for (MlirOpOperand use = mlirValueGetFirstUse(x); depth < MAX_DEPTH && !mlirOpOperandIsNull(use);
         use = mlirOpOperandGetNextUse(use)) {
        MlirOperation user = mlirOpOperandGetOwner(use);
        if (mlirOperationGetNumResults(user) != 1) continue;
        MlirValue v = mlirOperationGetResult(user, 0);
        if (!mlirValueEqual(reshape_input(v), x)) continue;
        MlirValue further = shared_by(factor, v) == count ? v : find_groups(v, factor, count, depth + 1);
        if (further.ptr) return further;
    }
    return (MlirValue){0};
}

// ---- the op

static MlirValue build_reshape(op_builder *b, MlirValue v, MlirType type)
{
    int rank = rank_of(v), to = (int)mlirShapedTypeGetRank(type);
    MlirValue flat = rank > 1 ? build_collapse(b, v, 0, rank) : v;
    return to > 1 ? build_expand(b, flat, 0, to, type) : flat;
}

// v with the axes of x, of which it has some and size 1 for the others.
static ref beside(MlirValue v, MlirValue x)
{
    ref r;
    step_start_ref(&r, v);
    for (int i = 0; i < r.n; i++) r.axis[i] = dim_of(v, i) == dim_of(x, i) ? (signed char)i : AXIS_ZERO;
    return r;
}

// Whether v gathers from factors of an inverse root: near a group norm.
static bool gathers_root(matcher *m, MlirValue v)
{
    MlirBlock body;
    MlirOperation op = defining_op(v);
    MlirValue from = {0};
    ref at;
    if (op_is(op, "tosa.gather")) from = mlirOperationGetOperand(op, 0);
    if (is_structured(op, &body)) {
        MlirOperation extract = defining_op(mlirOperationGetOperand(mlirBlockGetTerminator(body), 0));
        if (op_is(extract, "tensor.extract")) from = mlirOperationGetOperand(extract, 0);
    }
    if (!from.ptr || !root_ref(behind_reshapes(from), &at)) return false;
    node n = read_uncast(&m->r, &at);
    bool found = n.kind == N_RSQRT;
    for (int i = 0; i < 2 && n.kind == N_MUL; i++) found = found || read_uncast(&m->r, &n.in[i]).kind == N_RSQRT;
    return found;
}

bool raise_group(matcher *m, MlirOperation op)
{
    ref root;
    if (mlirOperationGetNumResults(op) != 1 || is_structured(op, NULL) ||
        !root_ref(mlirOperationGetResult(op, 0), &root))
        return false;
    MlirValue result = tensor_of_value(root.v);
    node sum = read_node(&m->r, &root);
    if (sum.kind != N_ADD || !mlirOperationEqual(sum.op, op) || !result.ptr) return false;
    for (int i = 0; i < 4; i++) {
        node product = read_node(&m->r, &sum.in[i & 1]);
        if (product.kind != N_MUL) continue;
        MlirValue x = operand_at_root(&m->r, &root, &product.in[i >> 1]);
        MlirValue a = read_node(&m->r, &product.in[1 - (i >> 1)]).first.v;
        MlirValue b = read_node(&m->r, &sum.in[1 - (i & 1)]).first.v;
        if (!x.ptr || !a.ptr || !b.ptr || !mlirTypeEqual(mlirValueGetType(x), mlirValueGetType(result))) continue;
        int64_t count = shared_by(a, x);
        if (count < 1 || shared_by(b, x) != count) continue;
        MlirValue factor = behind_reshapes(a), addend = behind_reshapes(b), grouped = find_groups(x, factor, count, 0);
        MlirType element = element_type_of(x);
        if (gathers_root(m, factor)) return near_miss(m, "the factors are gathered in another order than they have");
        if (!grouped.ptr || mlirValueEqual(factor, a) || shared_by(addend, grouped) != count ||
            !mlirTypeEqual(element_type_of(factor), element) || !mlirTypeEqual(element_type_of(addend), element))
            continue;
        MlirOperation place = defining_op(result), reshape = defining_op(grouped);
        if (!mlirBlockEqual(mlirOperationGetBlock(place), mlirOperationGetBlock(reshape)) ||
            !mlirOperationIsBeforeInBlock(reshape, place))
            continue;
        op_builder at = op_builder_before(place);
        ref scale = beside(factor, grouped), shift = beside(addend, grouped);
        MlirValue y = build_affine(&at, grouped, &scale, &shift);
        replace_value(result, build_reshape(&at, y, mlirValueGetType(result)));
        return true;
    }
    return false;
}
