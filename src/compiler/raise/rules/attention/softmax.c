// In:  e / sum(e), e = exp(x - max(x)), over the last axis; or e times the reciprocal of the sum; linalg.softmax
//      exp(x - max(x) - log(sum(e))), exp(x - (max(x) + log(sum(e)))): the exponential of x less its logsumexp
//      with a sink s, a logit of each row: e / (sum(e) + exp(s - max)), max that of x or of x and s; the softmax of
//      x with s put behind it, all but the last
//      select(all(x == -inf), 0, that): rows that a mask hides wholly give 0, not nan
// Out: wf.softmax x, sink {zero_masked}
#include <math.h>

#include "compiler/raise/normal/layout.h"
#include "compiler/raise/normal/parts.h"
#include "compiler/raise/rules/norm/norm_parts.h"
#include "compiler/raise/rules/split.h"

// exp(x - max) / (sum over the last axis of that, and exp(sink - max)).
typedef struct weights {
    ref e;           // exp(x - max), at the root
    ref x;           // that of e
    ref sum, sink;   // sink: null value: none
    MlirValue value; // what the op replaces
} weights;

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

// A value within a reduction over one axis, as it is at the root, along the root's last axis there.
static ref at_root(const norm_core *core, const node *reduction)
{
    ref r = reduction->in[0];
    for (int i = 0; i < r.n; i++)
        if (r.axis[i] == AXIS_BOUND + reduction->bound) r.axis[i] = (signed char)(core->rank - 1);
    return r;
}

// The maximum that is subtracted from x: of x, or of x and the sink; or 0 in its place where it is infinite.
static bool is_maximum(matcher *m, const norm_core *core, const ref *from, const ref *x, const ref *sink, int *axis)
{
    node n = read_uncast(&m->r, from);
    constant c;
    for (int i = 1; n.kind == N_SELECT && i <= 2; i++)
        if (read_constant(&m->r, &n.in[i], &c) && c.value == 0) {
            node test = read_node(&m->r, &n.in[0]), size = read_node(&m->r, &test.in[0]);
            bool infinite = test.kind == N_EQ && i == 1 && size.kind == N_ABS &&
                            read_constant(&m->r, &test.in[1], &c) && c.value == INFINITY &&
                            same_value(&m->r, &size.in[0], &n.in[2]);
            return infinite && is_reduction_of(m, core, &n.in[2], N_REDUCE_MAX, x, axis);
        }
    ref both[2];
    bool larger = sink->v.ptr && read_larger(&m->r, &n, both);
    for (int i = 0; i < 2 && larger; i++)
        if (same_value(&m->r, &both[i], sink)) return is_reduction_of(m, core, &both[1 - i], N_REDUCE_MAX, x, axis);
    return is_reduction_of(m, core, from, N_REDUCE_MAX, x, axis);
}

// sum, or sum + exp(sink - max).
static void read_sink(matcher *m, const ref *from, const ref *max, weights *w)
{
    node n = read_uncast(&m->r, from);
    w->sum = *from;
    for (int i = 0; i < 2 && n.kind == N_ADD; i++) {
        node e = read_unwidened(&m->r, &n.in[i]);
        node shifted = e.kind == N_EXP ? read_unwidened(&m->r, &e.in[0]) : (node){.kind = N_LEAF};
        if (shifted.kind != N_SUB || !same_value(&m->r, &shifted.in[1], max)) continue;
        w->sink = shifted.in[0];
        w->sum = n.in[1 - i];
        return;
    }
}

// e / sum. False when the op is no quotient of an exponential.
static bool read_division(matcher *m, const node *n, weights *w)
{
    ref divisor;
    if (!read_quotient(m, n, &w->e, &divisor)) return false;
    node e = read_unwidened(&m->r, &w->e);
    if (e.kind != N_EXP) return false;
    node shifted = read_unwidened(&m->r, &e.in[0]);
    w->sum = divisor;
    if (shifted.kind == N_SUB) read_sink(m, &divisor, &shifted.in[1], w);
    return true;
}

// The sum under a logarithm, and the exponential that is summed, as it is at the root.
static bool read_log_sum(matcher *m, const norm_core *core, const ref *from, const ref *max, weights *w)
{
    node log = read_uncast(&m->r, from);
    if (log.kind != N_LOG) return false;
    read_sink(m, &log.in[0], max, w);
    node sum = read_uncast(&m->r, &w->sum);
    if (sum.kind != N_SUM || sum.n_bound != 1) return false;
    w->e = at_root(core, &sum);
    return read_unwidened(&m->r, &w->e).kind == N_EXP;
}

// x - (max + log(sum)), or x - max - log(sum), of which the root is the exponential.
static bool read_less_logsumexp(matcher *m, const norm_core *core, const ref *from, weights *w)
{
    node n = read_unwidened(&m->r, from);
    ref x = {0}, max = {0};
    if (n.kind != N_SUB) return false;
    node shifted = read_unwidened(&m->r, &n.in[0]), lse = read_uncast(&m->r, &n.in[1]);
    bool found = false;
    if (shifted.kind == N_SUB) {
        x = shifted.in[0];
        max = shifted.in[1];
        found = read_log_sum(m, core, &n.in[1], &max, w);
    }
    for (int i = 0; i < 2 && !found && lse.kind == N_ADD; i++) {
        x = n.in[0];
        max = lse.in[1 - i];
        found = read_log_sum(m, core, &lse.in[i], &max, w);
    }
    if (!found) return false;
    node e = read_unwidened(&m->r, &w->e), inner = read_unwidened(&m->r, &e.in[0]);
    return (inner.kind == N_SUB && same_value(&m->r, &inner.in[0], &x) && same_value(&m->r, &inner.in[1], &max)) ||
           near_miss(m, "under the logarithm stands another sum than that of exp(x - max) over the last axis");
}

// ---- around it

// A boolean without what negates it.
static node read_unnegated(matcher *m, const ref *from, bool *negated)
{
    node n = read_node(&m->r, from);
    for (ref x; read_not(&m->r, &n, &x); *negated = !*negated) n = read_node(&m->r, &x);
    return n;
}

// Whether a condition is that all of x along the last axis is -inf, or, `negated`, that it is not so.
static bool is_all_hidden(matcher *m, const norm_core *core, const ref *from, const ref *x, bool negated)
{
    constant infinity;
    node all = read_unnegated(m, from, &negated);
    if (all.kind != (negated ? N_REDUCE_OR : N_REDUCE_AND) || all.n_bound != 1) return false;
    affine_sum over = {.bound = {(signed char)(AXIS_BOUND + all.bound)}, .n_bound = 1};
    unsigned axes;
    node n = read_unnegated(m, &all.in[0], &negated);
    return n.kind == (negated ? N_NE : N_EQ) && read_constant(&m->r, &n.in[1], &infinity) &&
           infinity.value == -INFINITY && is_summed(m, core, x, &n.in[0], &over, &axes) &&
           axes == 1u << (core->rank - 1);
}

// select(all(x == -inf), 0, softmax) around a result, or the other way round.
static bool is_guard(matcher *m, const norm_core *core, MlirOperation user, MlirValue softmax, const ref *x)
{
    ref root;
    constant zero;
    if (mlirOperationGetNumResults(user) != 1 || !root_ref(mlirOperationGetResult(user, 0), &root)) return false;
    node n = read_node(&m->r, &root);
    if (n.kind != N_SELECT || !mlirOperationEqual(n.op, user)) return false;
    int kept = mlirValueEqual(n.in[2].v, softmax) ? 2 : 1;
    return mlirValueEqual(n.in[kept].v, softmax) && read_constant(&m->r, &n.in[3 - kept], &zero) && zero.value == 0 &&
           is_all_hidden(m, core, &n.in[0], x, kept == 1);
}

// x less its logsumexp, of which no exponential is taken: noted, no softmax.
static bool note_log_softmax(matcher *m, const norm_core *core)
{
    weights w;
    MlirValue v = core->root.v;
    MlirOperation user = primitive_user(&v);
    if (op_is(user, "math.exp") || op_is(user, "tosa.exp") || !read_less_logsumexp(m, core, &core->root, &w))
        return false;
    return near_miss(m, "the logarithm of a softmax, for which there is no op");
}

static bool note_other_sum(matcher *m, const ref *divisor)
{
    node sum = read_uncast(&m->r, divisor);
    for (int i = 0; i < 2 && sum.kind == N_ADD; i++) {
        node one = read_uncast(&m->r, &sum.in[i]);
        if (one.kind == N_SUM && read_uncast(&m->r, &one.in[0]).kind == N_EXP)
            return near_miss(m, "what joins the sum of exp(x - max) is not exp(sink - max), of the same maximum");
    }
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
    softmax_op softmax = {.x = x, .y = {.type = mlirValueGetType(y)}};
    replace_value(y, softmax_write(&b, &softmax));
    return true;
}

// x without its own maximum subtracted, which is done once more.
static ref drop_maximum(matcher *m, const norm_core *core, ref x)
{
    enum { MAX_STEPS = 4 };
    for (int step = 0, axis; step < MAX_STEPS; step++) {
        node n = read_unwidened(&m->r, &x);
        if (n.kind != N_SUB || !is_reduction_of(m, core, &n.in[1], N_REDUCE_MAX, &n.in[0], &axis) ||
            axis != core->rank - 1)
            break;
        x = n.in[0];
    }
    return x;
}

// The sum, the maximum and their axis. False with a note where they are not those of a softmax over the last axis.
static bool check_weights(matcher *m, const norm_core *core, weights *w)
{
    int sum_axis, max_axis;
    if (!is_reduction_of(m, core, &w->sum, N_SUM, &w->e, &sum_axis)) return note_other_sum(m, &w->sum);
    node e = read_unwidened(&m->r, &w->e), shifted = read_unwidened(&m->r, &e.in[0]);
    if (shifted.kind != N_SUB || !is_maximum(m, core, &shifted.in[1], &shifted.in[0], &w->sink, &max_axis))
        return near_miss(m, "no maximum is subtracted before exp");
    if (sum_axis != max_axis) return near_miss(m, "maximum over axis %d, sum over axis %d", max_axis, sum_axis);
    if (sum_axis != core->rank - 1) return near_miss(m, "softmax over axis %d, not the last", sum_axis);
    w->x = drop_maximum(m, core, shifted.in[0]);
    return true;
}

// The sink as a tensor of the root's rank, of size 1 along its last axis; null value: it is none.
static MlirValue take_sink(matcher *m, op_builder *b, const norm_core *core, const ref *sink)
{
    node n = read_unwidened(&m->r, sink);
    const ref *t = n.tensor.v.ptr ? &n.tensor : &n.first;
    int axis = -1, n_axes = 0;
    bool plain = t->v.ptr && t->n == core->rank;
    for (int i = 0; t->v.ptr && i < t->n; i++) {
        plain = plain && (t->axis[i] == AXIS_ZERO || t->axis[i] == i);
        if (t->axis[i] == AXIS_ZERO) continue;
        axis = t->axis[i];
        n_axes++;
    }
    if (plain && dim_of(t->v, t->n - 1) == 1) return t->v;
    if (!t->v.ptr || n_axes != 1 || axis >= core->rank - 1 || rank_of(t->v) < 1) return (MlirValue){0};
    MlirValue v = build_squeeze(b, t->v, 1);
    int64_t shape[MAX_AXES];
    for (int i = 0; i < core->rank; i++) shape[i] = i == axis ? dim_of(v, 0) : 1;
    return build_expand(b, v, 0, core->rank, tensor_of(core->rank, shape, element_type_of(v)));
}

// The weights of the first positions, where x is these and a sink behind them: what is cut off was its weight.
static bool take_appended(matcher *m, const norm_core *core, weights *w)
{
    MlirValue x = operand_at_root(&m->r, &core->root, &w->x), y = tensor_of_value(w->value), parts[2];
    slice cut;
    if (w->sink.v.ptr || !x.ptr || !y.ptr || !has_one_use(y) || !read_appended(x, parts)) return false;
    MlirOperation user = mlirOpOperandGetOwner(mlirValueGetFirstUse(y));
    if (mlirOperationGetNumResults(user) != 1) return false;
    MlirValue kept = mlirOperationGetResult(user, 0);
    if (!read_slice(kept, &cut) || cut.axis != core->rank - 1 || cut.start != 0 || cut.stride != 1 ||
        !mlirTypeEqual(mlirValueGetType(kept), mlirValueGetType(parts[0])))
        return false;
    w->value = kept;
    return root_ref(parts[0], &w->x) && root_ref(parts[1], &w->sink);
}

static bool read_weights(matcher *m, norm_core *core, const node *n, weights *w)
{
    *w = (weights){.value = core->root.v};
    if (n->kind == N_SUB) return note_log_softmax(m, core);
    if (n->kind == N_EXP) return read_less_logsumexp(m, core, &n->in[0], w);
    return read_division(m, n, w);
}

bool raise_softmax(matcher *m, MlirOperation op)
{
    norm_core core = {0};
    weights w;
    if (mlirOperationGetNumResults(op) != 1 || is_structured(op, NULL)) return false;
    if (!root_ref(mlirOperationGetResult(op, 0), &core.root)) return false;
    core.rank = rank_of(root_tensor(&core.root));
    if (op_is(op, "linalg.softmax")) return raise_named(m, op);
    node n = read_node(&m->r, &core.root);
    if (core.rank < 1 || !mlirOperationEqual(n.op, op) || !read_weights(m, &core, &n, &w)) return false;
    if (!check_weights(m, &core, &w)) return false;
    if (take_appended(m, &core, &w)) core.root = w.x;
    MlirValue operands[] = {take_operand(&m->r, &core.root, &w.x), {0}};
    if (!operands[0].ptr) return near_miss(m, "x is not a tensor of the result's shape");
    MlirValue inner = w.value;
    MlirOperation user = primitive_user(&inner);
    bool guarded = user.ptr && is_guard(m, &core, user, inner, &w.x);
    ref last;
    MlirValue v = guarded ? mlirOperationGetResult(user, 0) : w.value;
    MlirValue result = root_ref(v, &last) ? take_result(&last) : (MlirValue){0};
    if (!result.ptr) return near_miss(m, "the result is no tensor");
    op_builder b = op_builder_before(defining_op(result));
    if (w.sink.v.ptr) operands[1] = take_sink(m, &b, &core, &w.sink);
    if (w.sink.v.ptr && !operands[1].ptr)
        return near_miss(m, "a logit joins the sum, but not one for each row that is a tensor of its own");
    softmax_op softmax = {
        .x = operands[0], .sink = operands[1], .zero_masked = guarded, .y = {.type = mlirValueGetType(result)}};
    mark_pattern(m, result, operands[1].ptr ? 2 : 1, operands);
    replace_value(result, softmax_write(&b, &softmax));
    return true;
}
