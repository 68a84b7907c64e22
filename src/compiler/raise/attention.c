// In:  softmax(q k^T * scale + mask) v over [batch, heads, sequence, dim], the scale in any factor; k and v may repeat
// each head
//      for a group of query heads; batch and heads may be merged around the products
// Out: wf.attention of rows q, k, v, mask {n_heads, n_kv_heads, scale, causal, zero_masked}
//
// A mask that is constant and hides exactly what comes later becomes {causal}. https://arxiv.org/abs/1706.03762
#include <math.h>

#include "compiler/raise/constant.h"
#include "compiler/raise/contraction.h"
#include "compiler/raise/layout.h"
#include "compiler/raise/split.h"

// Undoes reshapes that only merge or split the leading axes. `to_heads`: at four axes it goes on only to five, where
// heads are repeated.
static MlirValue strip_batch(MlirValue v, bool to_heads)
{
    for (;;) {
        MlirValue in = reshape_input(v);
        if (!in.ptr) return v;
        int from = rank_of(in), to = rank_of(v), dynamic = 0;
        if (from < 3 || to < 3 || (to_heads && (to > 4 || (to == 4 && from != 5)))) return v;
        for (int i = 0; i < from; i++) dynamic += dim_of(in, i) < 0;
        bool general = op_is(defining_op(v), "tosa.reshape") || op_is(defining_op(v), "tensor.reshape");
        if (dim_of(in, from - 1) != dim_of(v, to - 1) || dim_of(in, from - 2) != dim_of(v, to - 2)) return v;
        if (general && dynamic > 1 && !keeps_last_axes(v)) return v;
        v = in;
    }
}

static bool is_plain(const ref *r)
{
    for (int i = 0; i < r->n; i++)
        if (r->axis[i] != i && r->axis[i] != AXIS_ZERO) return false;
    return true;
}

// Undoes a product with, or division by, a constant.
static bool strip_scale(matcher *m, MlirValue *v, double *scale)
{
    ref root;
    if (!root_ref(*v, &root)) return false;
    node n = read_uncast(&m->r, &root);
    if ((n.kind != N_MUL && n.kind != N_DIV) || !is_plain(&n.self) || n.self.n != rank_of(*v)) return false;
    for (int i = 1; i >= (n.kind == N_DIV ? 1 : 0); i--) {
        constant c;
        if (!read_constant(&m->r, &n.in[i], &c)) continue;
        node other = read_node(&m->r, &n.in[1 - i]);
        if (!other.first.v.ptr || !is_plain(&other.first) || rank_of(other.first.v) != rank_of(*v)) return false;
        *scale *= n.kind == N_DIV ? 1 / c.value : c.value;
        *v = other.first.v;
        return true;
    }
    return false;
}

static MlirValue strip(matcher *m, MlirValue v, bool to_heads, double *scale)
{
    for (int step = 0; step < 16; step++) {
        MlirValue before = v;
        v = strip_batch(v, to_heads);
        strip_scale(m, &v, scale);
        if (mlirValueEqual(before, v)) break;
    }
    return v;
}

static MlirValue strip_last_transpose(MlirValue v)
{
    int perm[MAX_AXES], rank = rank_of(v);
    MlirValue in = transpose_input(v, perm);
    for (int i = 0; in.ptr && i < rank; i++) {
        int expected = i < rank - 2 ? i : i == rank - 2 ? rank - 1 : rank - 2;
        if (perm[i] != expected) return (MlirValue){0};
    }
    return in;
}

// A value by heads: [batch, heads, sequence, dim], or with sequence before heads, or with one head: [batch, sequence,
// dim].
typedef struct heads {
    MlirValue v;
    bool sequence_first, flat;
    int64_t batch, n, length, dim;
} heads;

// Whether the tensor has these axes. It may lack the heads', where all heads share what one has.
static bool has_axes(const ref *t, const int axes[4], const int swap[2])
{
    if (!t->v.ptr || t->n != 4) return false;
    for (int i = 0; i < 4; i++) {
        int axis = axes[i] == swap[0] ? swap[1] : axes[i] == swap[1] ? swap[0] : axes[i];
        if (t->axis[i] != axis && t->axis[i] != AXIS_ZERO) return false;
    }
    return true;
}

// Finds the tensor behind broadcasts and transpositions of v. `transposed`: v has features before the sequence.
static bool find_heads(matcher *m, MlirValue v, bool transposed, heads *h)
{
    static const int ORDERS[2][2][4] = {{{0, 1, 2, 3}, {0, 2, 1, 3}}, {{0, 1, 3, 4}, {0, 3, 1, 4}}};
    int rank = rank_of(v), swap[] = {transposed ? rank - 2 : -2, transposed ? rank - 1 : -2};
    ref root;
    if ((rank != 4 && rank != 5) || !root_ref(v, &root)) return false;
    node n = read_node(&m->r, &root);
    for (int order = 0; order < 2; order++)
        if (has_axes(&n.tensor, ORDERS[rank - 4][order], swap)) {
            *h = (heads){.v = n.tensor.v, .sequence_first = order == 1};
            return true;
        }
    return false;
}

// q, k or v: as they are, or each head repeated: [batch, kv heads, group, sequence, dim] with nothing along the group.
static bool read_heads(matcher *m, MlirValue v, bool transposed, heads *h)
{
    *h = (heads){.v = v, .flat = rank_of(v) == 3};
    if (transposed) {
        int perm[MAX_AXES], rank = rank_of(v);
        if (!find_heads(m, v, true, h)) {
            if (rank < 3 || rank > 4) return false;
            for (int i = 0; i < rank; i++) perm[i] = i < rank - 2 ? i : i == rank - 2 ? rank - 1 : rank - 2;
            op_builder b = op_builder_before(m->root);
            h->v = build_transpose(&b, v, perm);
        }
    } else if (rank_of(v) == 5) {
        if (!find_heads(m, v, false, h)) return false;
    } else if (rank_of(v) == 4) {
        heads shared;
        if (find_heads(m, v, false, &shared) && dim_of(shared.v, shared.sequence_first ? 2 : 1) != dim_of(v, 1))
            *h = shared;
    }
    if (rank_of(h->v) != (h->flat ? 3 : 4)) return false;
    h->batch = dim_of(h->v, 0);
    h->n = h->flat ? 1 : dim_of(h->v, h->sequence_first ? 2 : 1);
    h->length = dim_of(h->v, h->flat || h->sequence_first ? 1 : 2);
    h->dim = dim_of(h->v, h->flat ? 2 : 3);
    return h->n > 0 && h->dim > 0;
}

typedef struct scores {
    contraction product;
    double scale;
    ref mask;            // indexed by the scores' axes; null value: none
    bool selects, hides; // the mask is a condition; true hides
} scores;

static bool leads_to_product(matcher *m, const ref *from, double *scale, contraction *c)
{
    MlirValue v = read_node(&m->r, from).first.v;
    *scale = 1;
    if (!v.ptr) return false;
    v = strip(m, v, false, scale);
    MlirOperation op = defining_op(v);
    return op.ptr && read_contraction(m, op, c);
}

static bool read_scores(matcher *m, MlirValue v, scores *s)
{
    ref root;
    *s = (scores){.scale = 1};
    if (!root_ref(v, &root)) return false;
    if (leads_to_product(m, &root, &s->scale, &s->product)) return true;
    node n = read_uncast(&m->r, &root);
    if (!is_plain(&n.self)) return false;
    for (int i = 0; i < 2 && n.kind == N_SELECT; i++) { // condition ? scores : -inf, or the other way round
        constant c;
        if (!read_constant(&m->r, &n.in[1 + i], &c) || c.value > -1e30 ||
            !leads_to_product(m, &n.in[2 - i], &s->scale, &s->product))
            continue;
        s->mask = n.in[0];
        s->selects = true;
        s->hides = i == 0;
        return true;
    }
    if (n.kind != N_ADD) return false;
    for (int i = 0; i < 2; i++)
        if (leads_to_product(m, &n.in[i], &s->scale, &s->product)) {
            s->mask = n.in[1 - i];
            return true;
        }
    return false;
}

// Whether a mask is constant: 0 up to the diagonal, minus infinity (or nearly) beyond, for every head; or a condition
// that hides just that.
static bool is_causal(const scores *s, MlirValue tensor, int64_t length)
{
    evaluator e = evaluator_start();
    const const_tensor *t = evaluate(&e, tensor);
    bool causal =
        t && t->rank >= 2 && t->shape[t->rank - 1] == length && t->shape[t->rank - 2] == length && t->count > 0;
    for (int64_t i = 0; causal && i < t->count; i++) {
        int64_t column = i % length, row = i / length % length;
        bool visible = s->selects ? (t->data[i] != 0) != s->hides : t->data[i] == 0;
        causal = column <= row ? visible : s->selects ? !visible : t->data[i] < -1e30;
    }
    evaluator_free(&e);
    return causal;
}

// A mask as an operand: its axes are the scores' last ones, of size 1 where it does not vary.
static bool is_aligned(const ref *t, int rank)
{
    if (!t->v.ptr) return false;
    for (int i = 0; i < t->n; i++)
        if (t->axis[i] != AXIS_ZERO && t->axis[i] != rank - t->n + i) return false;
    return t->n >= 2;
}

// A condition as a mask to add: 0 where it shows, minus infinity where it hides. Null value: sizes are not known.
static MlirValue write_condition(MlirOperation before, MlirValue condition, bool hides, MlirType element)
{
    MlirType type = mlirValueGetType(condition);
    int64_t shape[MAX_AXES];
    if (!mlirShapedTypeHasStaticShape(type)) return (MlirValue){0};
    for (int i = 0; i < rank_of(condition); i++) shape[i] = dim_of(condition, i);
    op_builder b = op_builder_before(before);
    MlirType result = tensor_of(rank_of(condition), shape, element);
    MlirValue operands[3] = {condition};
    for (int i = 0; i < 2; i++) {
        double value = (i == 0) == hides ? -INFINITY : 0;
        MlirAttribute splat = mlirDenseElementsAttrSplatGet(result, mlirFloatAttrDoubleGet(b.ctx, element, value));
        MlirNamedAttribute attribute =
            mlirNamedAttributeGet(mlirIdentifierGet(b.ctx, mlirStringRefCreateFromCString("value")), splat);
        operands[1 + i] = build_value(&b, "arith.constant", result, 0, NULL, 1, &attribute);
    }
    return build_value(&b, "arith.select", result, 3, operands, 0, NULL);
}

static bool read_mask(matcher *m, const scores *s, MlirValue x, int64_t n_queries, int64_t n_keys, MlirValue *mask,
                      bool *causal)
{
    if (!s->mask.v.ptr) return true;
    int rank = rank_of(x);
    node n = read_unwidened(&m->r, &s->mask);
    ref computed;
    const ref *t = is_aligned(&n.first, rank) ? &n.first : is_aligned(&n.tensor, rank) ? &n.tensor : NULL;
    if (!t && scalar_as_tensor(&s->mask, &computed) && is_aligned(&computed, rank)) t = &computed;
    if (!t) return near_miss(m, "the mask is not laid out by queries and keys");
    *causal = n_queries == n_keys && n_queries > 0 && is_causal(s, t->v, n_queries);
    if (*causal) return true;
    *mask = s->selects ? write_condition(m->root, t->v, s->hides, element_type_of(x)) : t->v;
    return mask->ptr ? true : near_miss(m, "the condition that hides scores has sizes that are not known");
}

// The result [batch, heads, sequence, dim]: the product's, or what its one user makes of it.
static MlirValue result_by_heads(MlirValue product, const heads *q)
{
    if (q->flat || rank_of(product) == 4) return product;
    if (!has_one_use(product)) return (MlirValue){0};
    MlirOperation user = mlirOpOperandGetOwner(mlirValueGetFirstUse(product));
    if (mlirOperationGetNumResults(user) != 1) return (MlirValue){0};
    MlirValue v = mlirOperationGetResult(user, 0);
    if (!mlirValueEqual(reshape_input(v), product) || rank_of(v) != 4) return (MlirValue){0};
    return dim_of(v, 1) == q->n && dim_of(v, 3) == q->dim ? v : (MlirValue){0};
}

static void write_attention(const heads in[3], MlirValue mask, bool causal, bool zero_masked, double scale,
                            MlirValue result)
{
    op_builder b = op_builder_before(defining_op(result));
    MlirValue operands[4] = {{0}};
    for (int i = 0; i < 3; i++) operands[i] = in[i].flat ? in[i].v : rows_of_heads(&b, in[i].v, in[i].sequence_first);
    operands[3] = mask;
    MlirNamedAttribute attributes[] = {
        named_int(&b, "n_heads", in[0].n), named_int(&b, "n_kv_heads", in[1].n), named_float(&b, "scale", scale),
        named_bool(&b, "causal", causal),  named_bool(&b, "zero_masked", true),
    };
    int64_t shape[MAX_AXES];
    MlirValue rows = operands[0];
    for (int i = 0; i < rank_of(rows); i++) shape[i] = dim_of(rows, i);
    MlirType type = tensor_of(rank_of(rows), shape, element_type_of(result));
    // without hidden rows, as under a causal mask, there is nothing to guard
    int n_attributes = zero_masked && mask.ptr ? 5 : 4;
    MlirValue y = build_value(&b, "wf.attention", type, mask.ptr ? 4 : 3, operands, n_attributes, attributes);
    replace_value(result, in[0].flat ? y : heads_of_rows(&b, y, mlirValueGetType(result), false));
}

// A body that computes no more than one element of another tensor: that tensor. Null value: it is none.
static MlirValue gathered_from(MlirOperation op)
{
    MlirBlock body;
    if (!is_structured(op, &body) || mlirOperationGetNumResults(op) != 1) return (MlirValue){0};
    MlirOperation extract = defining_op(mlirOperationGetOperand(mlirBlockGetTerminator(body), 0));
    return op_is(extract, "tensor.extract") ? mlirOperationGetOperand(extract, 0) : (MlirValue){0};
}

// Why the left operand of a product with v is no softmax, where one stands behind it.
static bool is_no_softmax(matcher *m, MlirValue v)
{
    for (int step = 0; step < 8; step++) {
        MlirValue reshaped = reshape_input(v), gathered = gathered_from(defining_op(v));
        if (!reshaped.ptr && !gathered.ptr) return false;
        v = reshaped.ptr ? reshaped : gathered;
        if (op_is(defining_op(v), "wf.softmax"))
            return near_miss(m, "between softmax and the product with v stands a reshape or a gather by computed "
                                "indices (tensor.extract), which is not looked through");
    }
    return false;
}

bool raise_attention(matcher *m, MlirOperation op)
{
    contraction outer;
    scores s;
    heads in[3];
    double unit = 1;
    if (!read_contraction(m, op, &outer) || outer.init.ptr) return false;
    ref weights;
    if (!root_ref(strip_batch(outer.lhs, false), &weights)) return false;
    MlirOperation softmax = read_uncast(&m->r, &weights).op;
    if (!op_is(softmax, "wf.softmax")) return is_no_softmax(m, outer.lhs);
    MlirValue x = mlirOperationGetOperand(softmax, 0);
    if (!read_scores(m, x, &s) || s.product.init.ptr) return near_miss(m, "softmax is not of a product of q and k");
    MlirValue q = strip(m, s.product.lhs, true, &s.scale), k = strip(m, s.product.rhs, true, &s.scale);
    bool transposed = !s.product.transposed; // [.., features, sequence], unless that is undone here
    MlirValue straight = transposed ? strip_last_transpose(k) : k;
    if (transposed && straight.ptr) {
        k = strip(m, straight, true, &s.scale);
        transposed = false;
    }
    MlirValue v = strip(m, outer.rhs, true, &unit);
    if (unit != 1 || outer.transposed) return near_miss(m, "v is scaled or transposed");
    if ((rank_of(q) != 4 && rank_of(q) != 3) || !read_heads(m, q, false, &in[0]) ||
        !read_heads(m, k, transposed, &in[1]) || !read_heads(m, v, false, &in[2]) || in[0].flat != in[1].flat ||
        in[0].flat != in[2].flat)
        return near_miss(m, "q, k or v are not laid out by batch, heads, sequence and features");
    if (in[0].batch != in[1].batch || in[0].batch != in[2].batch || in[1].length != in[2].length)
        return near_miss(m, "q, k and v have other batches or lengths");
    if (in[1].n != in[2].n || in[0].n % in[1].n || in[0].dim != in[1].dim || in[0].dim != in[2].dim)
        return near_miss(m, "heads of q, k and v do not agree");
    MlirValue mask = {0}, result = result_by_heads(outer.result, &in[0]);
    bool causal = false;
    if (!result.ptr) return near_miss(m, "the result is not laid out by heads");
    if (dim_of(x, rank_of(x) - 1) != in[1].length || dim_of(x, rank_of(x) - 2) != in[0].length)
        return near_miss(m, "a sequence is repeated");
    if (!read_mask(m, &s, x, in[0].length, in[1].length, &mask, &causal)) return false;
    if (in[0].flat && mask.ptr && rank_of(mask) != 2)
        return near_miss(m, "heads are merged with the batch, the mask is not");
    write_attention(in, mask, causal, op_bool(softmax, "zero_masked"), s.scale, result);
    fold_layout(mlirOperationGetParentOperation(op));
    return true;
}
