// Masks of attention (scores.h): what is constant and hides just what comes later, or is long past, becomes {causal,
// window}; all others become one operand.
#include <math.h>

#include "compiler/raise/normal/constant.h"
#include "compiler/raise/normal/layout.h"
#include "compiler/raise/rules/attention/scores.h"
#include "compiler/raise/rules/split.h"

#include <mlir-c/AffineExpr.h>
#include <mlir-c/AffineMap.h>

// Whether a constant mask shows, for every head, just the last `window` positions up to the query's own; INT64_MAX: all
// of them. 0: it is another, or does not hide by at most `hidden`.
static int64_t causal_window(const mask_term *s, MlirValue tensor, int64_t length, double most)
{
    evaluator e = evaluator_start();
    const const_tensor *t = evaluate(&e, tensor);
    bool causal =
        t && t->rank >= 2 && t->shape[t->rank - 1] == length && t->shape[t->rank - 2] == length && t->count > 0;
    int64_t window = 0; // of the last row
    for (int64_t i = 0; causal && i < length; i++) {
        double last = t->data[length * length - 1 - i];
        if (s->selects ? (last != 0) == s->hides : last != 0) break;
        window++;
    }
    for (int64_t i = 0; causal && i < t->count; i++) {
        int64_t column = i % length, row = i / length % length;
        bool visible = s->selects ? (t->data[i] != 0) != s->hides : t->data[i] == 0;
        bool hidden = s->selects ? !visible && s->hidden <= most : t->data[i] <= most;
        causal = column <= row && row - column < window ? visible : hidden;
    }
    evaluator_free(&e);
    return !causal || !window ? 0 : window == length ? INT64_MAX : window;
}

// A mask as an operand: its axes are the scores' last ones, of size 1 where it does not vary.
static bool is_aligned(const ref *t, int rank)
{
    if (!t->v.ptr) return false;
    for (int i = 0; i < t->n; i++)
        if (t->axis[i] != AXIS_ZERO && t->axis[i] != rank - t->n + i) return false;
    return t->n >= 2;
}

// Whether the mask broadcasts to [batch, heads, queries, keys].
static bool has_lead_of(MlirValue v, const heads *q)
{
    const int64_t lead[] = {q->batch, q->n};
    int rank = rank_of(v);
    for (int i = 0; i < rank - 2; i++) {
        int64_t size = dim_of(v, rank - 3 - i);
        if (i > 1 || (size != 1 && size != lead[1 - i])) return false;
    }
    return true;
}

// The tensor that a mask is, its axes those of the scores; null value, with a note: it is none.
static MlirValue find_mask(matcher *m, const mask_term *term, const heads *q)
{
    MlirValue none = {0};
    int rank = rank_of(term->masked);
    node n = read_unwidened(&m->r, &term->mask);
    ref computed;
    const ref *t = is_aligned(&n.first, rank) ? &n.first : is_aligned(&n.tensor, rank) ? &n.tensor : NULL;
    if (!t && scalar_as_tensor(&term->mask, &computed) && is_aligned(&computed, rank)) t = &computed;
    if (!t) return near_miss(m, "the mask is not laid out by queries and keys"), none;
    if (rank == 3 && rank_of(t->v) == 3 && dim_of(t->v, 0) != 1) {
        if (q->layout == HEADS_FLAT || q->batch == 1) return t->v;
        return near_miss(m, "heads are merged with the batch, the mask is not the same for all of them"), none;
    }
    if (q->layout != HEADS_FLAT && !has_lead_of(t->v, q))
        return near_miss(m, "the mask does not lie by batch and heads"), none;
    return t->v;
}

// ---- as an operand

// A number as a tensor that broadcasts to any mask.
static MlirValue build_number(op_builder *b, double number, MlirType element)
{
    const int64_t ones[] = {1, 1};
    MlirType type = tensor_of(2, ones, element);
    MlirAttribute splat = mlirDenseElementsAttrSplatGet(type, mlirFloatAttrDoubleGet(b->ctx, element, number));
    MlirNamedAttribute value =
        mlirNamedAttributeGet(mlirIdentifierGet(b->ctx, mlirStringRefCreateFromCString("value")), splat);
    return build_value(b, "arith.constant", type, 0, NULL, 1, &value);
}

// Sizes of the tensors broadcast to each other, their last axes being the same ones; -1: not known before run time.
static int broadcast_sizes(int n, const MlirValue *v, int64_t sizes[MAX_AXES])
{
    int rank = 0;
    for (int i = 0; i < n; i++) rank = rank_of(v[i]) > rank ? rank_of(v[i]) : rank;
    for (int d = 0; d < rank; d++) {
        sizes[d] = 1;
        for (int i = 0; i < n; i++) {
            int axis = d - (rank - rank_of(v[i]));
            int64_t size = axis < 0 ? 1 : dim_of(v[i], axis);
            if (sizes[d] == 1 || (sizes[d] < 0 && size > 1)) sizes[d] = size;
        }
    }
    return rank;
}

// The scalar op of that name for each element of tensors that are broadcast to each other.
static MlirValue build_pointwise(op_builder *b, const char *name, int n, const MlirValue *in, MlirType element)
{
    enum { MOST = 3 };
    int64_t sizes[MAX_AXES];
    MlirValue operands[MOST + 1], arguments[MOST], dynamic[MAX_AXES];
    MlirAttribute maps[MOST + 1];
    MlirType types[MOST + 1];
    MlirLocation places[MOST + 1];
    int rank = broadcast_sizes(n, in, sizes), n_dynamic = 0;
    for (int i = 0; i < n; i++) {
        MlirAffineExpr at[MAX_AXES];
        int first = rank - rank_of(in[i]);
        for (int d = first; d < rank; d++)
            at[d - first] = dim_of(in[i], d - first) == 1 && sizes[d] != 1 ? mlirAffineConstantExprGet(b->ctx, 0)
                                                                           : mlirAffineDimExprGet(b->ctx, d);
        operands[i] = in[i];
        maps[i] = mlirAffineMapAttrGet(mlirAffineMapGet(b->ctx, rank, 0, rank - first, at));
        types[i] = element_type_of(in[i]);
    }
    for (int d = 0; d < rank; d++)
        for (int i = 0; i < n && sizes[d] < 0; i++) {
            int axis = d - (rank - rank_of(in[i]));
            if (axis < 0 || dim_of(in[i], axis) == 1) continue;
            dynamic[n_dynamic++] = build_dim(b, in[i], axis);
            break;
        }
    operands[n] = build_value(b, "tensor.empty", tensor_of(rank, sizes, element), n_dynamic, dynamic, 0, NULL);
    maps[n] = mlirAffineMapAttrGet(mlirAffineMapMultiDimIdentityGet(b->ctx, rank));
    types[n] = element;
    for (int i = 0; i <= n; i++) places[i] = b->loc;
    MlirBlock body = mlirBlockCreate(n + 1, types, places);
    op_builder inside = op_builder_at_end(body, b->loc);
    for (int i = 0; i < n; i++) arguments[i] = mlirBlockGetArgument(body, i);
    MlirValue yielded = build_value(&inside, name, element, n, arguments, 0, NULL);
    build_op(&inside, "linalg.yield", 0, NULL, 1, &yielded, 0, NULL);
    return build_generic(b, n + 1, operands, maps, rank, NULL, body);
}

// The masks so far, null where there is none, and one around them.
static MlirValue build_masked(op_builder *b, MlirValue inner, const mask_term *term, MlirValue v, MlirType element)
{
    if (term->selects) {
        if (!inner.ptr) inner = build_number(b, 0, element);
        MlirValue hidden = build_number(b, term->hidden, element);
        MlirValue choice[] = {v, term->hides ? hidden : inner, term->hides ? inner : hidden};
        return build_pointwise(b, "arith.select", 3, choice, element);
    }
    MlirValue scaled[] = {v, term->scale == 1 ? v : build_number(b, term->scale, element)};
    if (term->scale != 1) v = build_pointwise(b, "arith.mulf", 2, scaled, element);
    MlirValue sum[] = {inner, v};
    return inner.ptr ? build_pointwise(b, "arith.addf", 2, sum, element) : v;
}

// ---- all of them

// Whether what masks around this one do with a hidden score leaves it -inf.
static bool stays_hidden(const scores *s, int which)
{
    for (int i = which + 1; i < s->n_masks; i++)
        if (s->masks[i].selects && s->masks[i].hidden != -INFINITY) return false;
    return true;
}

bool read_masks(matcher *m, const scores *s, const heads *q, const heads *k, mask *out)
{
    MlirValue v[MAX_MASKS];
    *out = (mask){0};
    bool remains[MAX_MASKS];
    // a number near -inf hides as well as -inf only where no row may be hidden wholly, by all masks together
    double most = s->n_masks == 1 ? -1e30 : -INFINITY;
    for (int i = 0; i < s->n_masks; i++) {
        v[i] = find_mask(m, &s->masks[i], q);
        if (!v[i].ptr) return false;
        bool square = q->length == k->length && q->length > 0 && stays_hidden(s, i);
        int64_t window = square ? causal_window(&s->masks[i], v[i], q->length, most) : 0;
        remains[i] = window == 0;
        out->causal = out->causal || window > 0;
        if (window > 0 && window < INT64_MAX && (!out->window || window < out->window)) out->window = window;
    }
    op_builder b = op_builder_before(m->root);
    for (int i = 0; i < s->n_masks; i++) {
        if (!remains[i]) continue;
        MlirType element = element_type_of(s->masks[i].masked);
        bool numbers = s->masks[i].selects || (s->masks[i].scale == 1 && !out->v.ptr);
        if ((!numbers && !mlirTypeEqual(element_type_of(v[i]), element)) ||
            (out->v.ptr && !mlirTypeEqual(element_type_of(out->v), element)))
            return near_miss(m, "masks and scores are of several types");
        out->v = build_masked(&b, out->v, &s->masks[i], v[i], element);
    }
    return true;
}
