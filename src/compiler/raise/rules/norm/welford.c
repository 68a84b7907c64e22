// In:  mean and M2 of an axis by recurrence, as a structured op of several results or an scf.for over slices:
//      n' = n + 1, mean' = mean + (x - mean) / n', M2' = M2 + (x - mean) (x - mean')
// Out: the sums that they are: mean = sum(x) / N, M2 = sum((x - mean)^2), n = N
//
// B. P. Welford, Note on a method for calculating corrected sums of squares and products, Technometrics 4 (1962). The
// norm rules know the sums.
#include <mlir-c/AffineExpr.h>
#include <mlir-c/AffineMap.h>

#include "compiler/mlir/text.h"
#include "compiler/raise/normal/layout.h"
#include "compiler/raise/normal/parts.h"
#include "compiler/raise/normal/steps.h"
#include "compiler/raise/raise.h"

enum { MAX_STATES = 4, NONE = -1 };

typedef struct recurrence {
    MlirOperation op;
    int n; // results
    struct {
        MlirValue old, init;
        ref next; // what the body yields for it
    } state[MAX_STATES];
    int count, mean, m2;          // which results they are; the count may be the loop's index instead: NONE
    MlirValue iv;                 // of scf.for; null value: a structured op
    int loop;                     // of a structured op, that runs over the axis; NONE: several do
    ref x;                        // what is added to the mean
    MlirValue tensor;             // of which x is the elements
    MlirAttribute x_map, out_map; // by loops
    int n_loops, kept_axis;       // kept_axis: where the results have size 1 for the axis; NONE: they lack it
    bool reduces[MAX_AXES];
    double size; // N
} recurrence;

// ---- reading the step

static node read_uncounted(matcher *m, const ref *from) // through casts of any kind: a count becomes a float
{
    node n = read_node(&m->r, from);
    for (int step = 0; n.kind == N_CAST && step < 4; step++) n = read_node(&m->r, &n.in[0]);
    return n;
}

static bool is_old(matcher *m, const recurrence *w, const ref *from, int i)
{
    node n = read_uncounted(m, from);
    return n.kind == N_LEAF && mlirValueEqual(n.self.v, w->state[i].old);
}

// Which operand of a sum or product is the old state i; -1: none.
static int old_operand(matcher *m, const recurrence *w, const node *n, int i)
{
    for (int k = 0; k < n->n_in; k++)
        if (is_old(m, w, &n->in[k], i)) return k;
    return -1;
}

// x - mean, the old one; *x is what is left of it.
static bool is_delta(matcher *m, const recurrence *w, const ref *from, int mean, ref *x)
{
    node n = read_uncast(&m->r, from);
    if (n.kind != N_SUB || !is_old(m, w, &n.in[1], mean)) return false;
    *x = n.in[0];
    return true;
}

// What the old state i grows by; false when it is no sum of that and something.
static bool read_growth(matcher *m, const recurrence *w, int i, node *growth, ref *by)
{
    node n = read_node(&m->r, &w->state[i].next);
    int at = n.kind == N_ADD ? old_operand(m, w, &n, i) : -1;
    if (at < 0) return false;
    *by = n.in[1 - at];
    *growth = read_uncounted(m, by);
    return true;
}

// The divisor of a product with a reciprocal, or of a quotient; *above is what is divided.
static bool read_quotient(matcher *m, const node *n, int above_at, ref *above, ref *below)
{
    constant one;
    *above = n->in[above_at];
    *below = n->in[1];
    if (n->kind == N_DIV) return above_at == 0;
    node inverse = read_uncast(&m->r, &n->in[1 - above_at]);
    *below = inverse.in[inverse.kind == N_DIV ? 1 : 0];
    return inverse.kind == N_RECIP ||
           (inverse.kind == N_DIV && read_constant(&m->r, &inverse.in[0], &one) && one.value == 1);
}

// Tells which result is which, by what they grow by. False: no such recurrence.
static bool find_roles(matcher *m, recurrence *w, ref *divisor)
{
    node growth;
    ref by, delta;
    w->count = w->mean = w->m2 = NONE;
    for (int i = 0; i < w->n; i++) {
        if (!read_growth(m, w, i, &growth, &by)) continue;
        for (int k = 0; k < 2 && (growth.kind == N_DIV || growth.kind == N_MUL) && w->mean == NONE; k++)
            if (read_quotient(m, &growth, k, &delta, divisor) && is_delta(m, w, &delta, i, &w->x)) w->mean = i;
        if (growth.kind == N_CONST) w->count = i;
    }
    for (int i = 0; i < w->n && w->mean != NONE; i++) {
        ref x;
        if (i == w->mean || !read_growth(m, w, i, &growth, &by) || growth.kind != N_MUL) continue;
        for (int k = 0; k < 2; k++)
            if (is_delta(m, w, &growth.in[k], w->mean, &x)) w->m2 = i;
    }
    return w->mean != NONE && w->m2 != NONE;
}

static bool is_zero(matcher *m, MlirValue v)
{
    ref from;
    constant c;
    if (!step_start_ref(&from, v)) return false;
    node n = read_node(&m->r, &from);
    return (n.kind == N_CONST && n.value == 0) || (read_constant(&m->r, &from, &c) && c.value == 0);
}

// Whether it is the count with this value: n + 1, or one more than the loop's index.
static bool is_count(matcher *m, const recurrence *w, const ref *from)
{
    node n = read_uncounted(m, from);
    for (int k = 0; k < 2 && n.kind == N_ADD; k++) {
        node one = read_uncounted(m, &n.in[1 - k]), before = read_uncounted(m, &n.in[k]);
        if (one.kind != N_CONST || one.value != 1) continue;
        if (w->count != NONE && mlirValueEqual(before.self.v, w->state[w->count].old)) return true;
        if (w->iv.ptr && mlirValueEqual(before.self.v, w->iv)) return true;
        if (before.kind == N_INDEX && w->loop != NONE && op_int(before.op, "dim", -1) == w->loop) return true;
    }
    return false;
}

static bool check_step(matcher *m, recurrence *w, const ref *divisor)
{
    node growth, last;
    ref by, x;
    if (w->count != NONE) {
        read_growth(m, w, w->count, &growth, &by);
        if (growth.value != 1) return near_miss(m, "the count grows by %g a value, not by 1", growth.value);
        if (!is_zero(m, w->state[w->count].init)) return near_miss(m, "the count does not start at 0");
    }
    if (!is_count(m, w, divisor)) return near_miss(m, "the mean grows by (x - mean) / n, where n is not the new count");
    if (!is_zero(m, w->state[w->mean].init) || !is_zero(m, w->state[w->m2].init))
        return near_miss(m, "mean or M2 do not start at 0");
    read_growth(m, w, w->m2, &growth, &by);
    for (int k = 0; k < 2; k++) {
        if (!is_delta(m, w, &growth.in[k], w->mean, &x) || !same_value(&m->r, &x, &w->x)) continue;
        last = read_uncast(&m->r, &growth.in[1 - k]);
        if (last.kind == N_SUB && same_value(&m->r, &last.in[0], &w->x) &&
            same_value(&m->r, &last.in[1], &w->state[w->mean].next))
            return true;
    }
    return near_miss(m, "M2 grows by another product than (x - old mean) (x - new mean)");
}

// ---- reading the loop

static bool read_structured(MlirOperation op, MlirBlock body, recurrence *w)
{
    intptr_t inputs = mlirOperationGetNumOperands(op) - w->n;
    MlirOperation yield = mlirBlockGetTerminator(body);
    MlirAffineMap out = indexing_map(op, inputs);
    w->n_loops = (int)mlirAffineMapGetNumDims(out);
    if (w->n_loops > MAX_AXES || mlirOperationGetNumOperands(yield) != w->n ||
        !mlirAffineMapIsProjectedPermutation(out))
        return false;
    for (int d = 0; d < w->n_loops; d++) w->reduces[d] = true;
    for (intptr_t i = 0; i < mlirAffineMapGetNumResults(out); i++)
        w->reduces[mlirAffineDimExprGetPosition(mlirAffineMapGetResult(out, i))] = false;
    w->loop = NONE;
    int n_reduced = 0;
    for (int d = 0; d < w->n_loops; d++)
        if (w->reduces[d] && n_reduced++ == 0) w->loop = d;
    if (n_reduced > 1) w->loop = NONE;
    for (int i = 0; i < w->n; i++) {
        if (!mlirAffineMapEqual(indexing_map(op, inputs + i), out)) return false;
        w->state[i].old = mlirBlockGetArgument(body, inputs + i);
        w->state[i].init = mlirOperationGetOperand(op, inputs + i);
        w->state[i].next = (ref){.v = mlirOperationGetOperand(yield, i), .n = w->n_loops};
        for (int d = 0; d < w->n_loops; d++) w->state[i].next.axis[d] = (signed char)d;
    }
    w->out_map = mlirAffineMapAttrGet(out);
    return n_reduced > 0;
}

// The tensor whose elements x is, with its map, and how many of them each mean is of.
static bool read_structured_x(matcher *m, recurrence *w)
{
    node n = read_unwidened(&m->r, &w->x);
    w->tensor = n.first.v;
    w->size = 1;
    for (intptr_t i = 0; w->tensor.ptr && i < mlirOperationGetNumOperands(w->op) - w->n; i++) {
        if (!mlirValueEqual(mlirOperationGetOperand(w->op, i), w->tensor)) continue;
        MlirAffineMap map = indexing_map(w->op, i);
        bool met[MAX_AXES] = {false};
        w->x_map = mlirAffineMapAttrGet(map);
        if (!mlirAffineMapIsPermutation(map)) break;
        for (intptr_t k = 0; k < mlirAffineMapGetNumResults(map); k++) {
            int d = (int)mlirAffineDimExprGetPosition(mlirAffineMapGetResult(map, k));
            int64_t size = dim_of(w->tensor, (int)k);
            met[d] = true;
            if (w->reduces[d] && size < 0) return near_miss(m, "the size of the axis is not known");
            if (w->reduces[d]) w->size *= (double)size;
        }
        for (int d = 0; d < w->n_loops; d++)
            if (!met[d]) return near_miss(m, "a loop runs over no axis of x");
        return w->size > 0;
    }
    return near_miss(m, "what is added to the mean is computed within the loop");
}

static bool read_loop(MlirOperation op, recurrence *w)
{
    MlirBlock body = mlirRegionGetFirstBlock(mlirOperationGetRegion(op, 0));
    MlirOperation yield = mlirBlockGetTerminator(body);
    if (mlirBlockGetNumArguments(body) != w->n + 1 || mlirOperationGetNumOperands(yield) != w->n) return false;
    w->iv = mlirBlockGetArgument(body, 0);
    w->loop = NONE;
    for (int i = 0; i < w->n; i++) {
        w->state[i].old = mlirBlockGetArgument(body, i + 1);
        w->state[i].init = mlirOperationGetOperand(op, i + 3);
        MlirValue next = mlirOperationGetOperand(yield, i);
        if (!root_ref(next, &w->state[i].next)) w->state[i].next = (ref){.v = next}; // a scalar count
    }
    return true;
}

// x as the slice at the loop's index along one axis, from the first to the last.
static bool read_loop_x(matcher *m, recurrence *w)
{
    MlirOperation cut = read_unwidened(&m->r, &w->x).op;
    slice_window window;
    int64_t first, from, to, step;
    if (!op_is(cut, "tensor.extract_slice"))
        return near_miss(m, "what is added to the mean is no slice at the loop's index");
    w->tensor = mlirOperationGetOperand(cut, 0);
    MlirValue part = mlirOperationGetResult(cut, 0), mean = w->state[w->mean].init;
    int rank = rank_of(w->tensor), axis = NONE;
    if (!read_window(cut, rank, &window)) return false;
    for (int i = 0; i < rank; i++) {
        int64_t size = dim_of(w->tensor, i);
        bool all = window.start[i] == 0 && window.size[i] == size && size >= 0 && window.stride[i] == 1;
        if (all) continue;
        if (axis != NONE || window.start[i] >= 0 || window.size[i] != 1) return false;
        axis = i;
    }
    bool at_index = op_segment(cut, 1, &first) == 1 && mlirValueEqual(mlirOperationGetOperand(cut, first), w->iv);
    if (axis == NONE || !at_index || !step_is_tensor(mean) || rank_of(mean) != rank_of(part)) return false;
    bool whole = step_index_value(mlirOperationGetOperand(w->op, 0), &from) &&
                 step_index_value(mlirOperationGetOperand(w->op, 1), &to) &&
                 step_index_value(mlirOperationGetOperand(w->op, 2), &step) && from == 0 && step == 1;
    if (!whole || to < 1 || to != dim_of(w->tensor, axis))
        return near_miss(m, "the loop does not run over all of the axis");
    MlirContext ctx = mlirOperationGetContext(w->op);
    MlirAffineExpr kept[MAX_AXES];
    int n_kept = 0;
    for (int i = 0; i < rank; i++)
        if (i != axis) kept[n_kept++] = mlirAffineDimExprGet(ctx, i);
    w->n_loops = rank;
    w->reduces[axis] = true;
    w->kept_axis = rank_of(part) == rank ? axis : NONE;
    if (w->kept_axis != NONE && rank < 2) return false;
    w->x_map = mlirAffineMapAttrGet(mlirAffineMapMultiDimIdentityGet(ctx, rank));
    w->out_map = mlirAffineMapAttrGet(mlirAffineMapGet(ctx, rank, 0, n_kept, kept));
    w->size = (double)to;
    return true;
}

// ---- writing the sums

static MlirValue build_number(op_builder *b, MlirType type, double value)
{
    bool is_float = float_bits_of(type) > 0;
    MlirAttribute a = is_float ? mlirFloatAttrDoubleGet(b->ctx, type, value) : mlirIntegerAttrGet(type, (int64_t)value);
    MlirNamedAttribute named = mlirNamedAttributeGet(mlirIdentifierGet(b->ctx, mlir_text("value")), a);
    return build_value(b, "arith.constant", type, 0, NULL, 1, &named);
}

static MlirBlock start_body(op_builder *b, int n, const MlirValue *operands, op_builder *in)
{
    MlirType types[3];
    MlirLocation places[3];
    for (int i = 0; i < n; i++) {
        types[i] = element_type_of(operands[i]);
        places[i] = b->loc;
    }
    MlirBlock body = mlirBlockCreate(n, types, places);
    *in = op_builder_at_end(body, b->loc);
    return body;
}

static MlirValue widen(op_builder *in, MlirValue v, MlirType type)
{
    return mlirTypeEqual(mlirValueGetType(v), type) ? v : build_value(in, "arith.extf", type, 1, &v, 0, NULL);
}

// zeros + sum(x), or with a mean zeros + sum((x - mean)^2)
static MlirValue build_sum(op_builder *b, const recurrence *w, MlirValue mean, MlirValue zeros)
{
    MlirValue operands[3] = {w->tensor, mean};
    MlirAttribute maps[3] = {w->x_map, w->out_map, w->out_map};
    int n = mean.ptr ? 3 : 2;
    operands[n - 1] = zeros;
    op_builder in;
    MlirBlock body = start_body(b, n, operands, &in);
    MlirType type = element_type_of(zeros);
    MlirValue term = widen(&in, mlirBlockGetArgument(body, 0), type);
    if (mean.ptr) {
        MlirValue difference[] = {term, mlirBlockGetArgument(body, 1)};
        MlirValue d = build_value(&in, "arith.subf", type, 2, difference, 0, NULL), square[] = {d, d};
        term = build_value(&in, "arith.mulf", type, 2, square, 0, NULL);
    }
    MlirValue sum[] = {mlirBlockGetArgument(body, n - 1), term};
    MlirValue y = build_value(&in, "arith.addf", type, 2, sum, 0, NULL);
    build_op(&in, "linalg.yield", 0, NULL, 1, &y, 0, NULL);
    return build_generic(b, n, operands, maps, w->n_loops, w->reduces, body);
}

// v / N; or N itself in the shape of v.
static MlirValue build_of_count(op_builder *b, const recurrence *w, MlirValue v, bool divides)
{
    MlirValue operands[] = {v, build_empty_like(b, v)};
    MlirAttribute map = mlirAffineMapAttrGet(mlirAffineMapMultiDimIdentityGet(b->ctx, rank_of(v))), maps[] = {map, map};
    op_builder in;
    MlirBlock body = start_body(b, 2, operands, &in);
    MlirType type = element_type_of(v);
    MlirValue n = build_number(&in, type, w->size), quotient[] = {mlirBlockGetArgument(body, 0), n};
    MlirValue y = divides ? build_value(&in, "arith.divf", type, 2, quotient, 0, NULL) : n;
    build_op(&in, "linalg.yield", 0, NULL, 1, &y, 0, NULL);
    return build_generic(b, 2, operands, maps, rank_of(v), NULL, body);
}

static void write_sums(const recurrence *w)
{
    op_builder b = op_builder_before(w->op);
    MlirValue zeros = w->state[w->m2].init;
    MlirType type = mlirValueGetType(zeros);
    int first = w->kept_axis > 0 ? w->kept_axis - 1 : 0;
    if (w->kept_axis != NONE) zeros = build_collapse(&b, zeros, first, 2);
    MlirValue mean = build_of_count(&b, w, build_sum(&b, w, (MlirValue){0}, zeros), true);
    MlirValue m2 = build_sum(&b, w, mean, zeros);
    if (w->kept_axis != NONE) {
        mean = build_expand(&b, mean, first, 2, type);
        m2 = build_expand(&b, m2, first, 2, type);
    }
    replace_value(mlirOperationGetResult(w->op, w->mean), mean);
    replace_value(mlirOperationGetResult(w->op, w->m2), m2);
    if (w->count == NONE) return;
    MlirValue count = mlirOperationGetResult(w->op, w->count), init = w->state[w->count].init;
    replace_value(count, step_is_tensor(count) ? build_of_count(&b, w, init, false)
                                               : build_number(&b, mlirValueGetType(count), w->size));
}

bool raise_welford(matcher *m, MlirOperation op)
{
    MlirBlock body;
    ref divisor;
    recurrence w = {.op = op, .n = (int)mlirOperationGetNumResults(op), .kept_axis = NONE};
    bool loops = op_is(op, "scf.for");
    if (w.n < 2 || w.n > MAX_STATES || (!loops && !is_structured(op, &body))) return false;
    if (!(loops ? read_loop(op, &w) : read_structured(op, body, &w)) || !find_roles(m, &w, &divisor)) return false;
    if (w.n > 2 + (w.count != NONE)) return near_miss(m, "the loop computes more than count, mean and M2");
    MlirValue mean = w.state[w.mean].init, m2 = w.state[w.m2].init;
    if (!step_is_tensor(mean) || !mlirTypeEqual(mlirValueGetType(mean), mlirValueGetType(m2)) ||
        !float_bits_of(element_type_of(m2)))
        return near_miss(m, "mean and M2 are no tensors of one type");
    if (!check_step(m, &w, &divisor) || !(loops ? read_loop_x(m, &w) : read_structured_x(m, &w))) return false;
    if (float_bits_of(element_type_of(w.tensor)) > float_bits_of(element_type_of(m2)))
        return near_miss(m, "mean and M2 are of a narrower type than x");
    write_sums(&w);
    return true;
}
