// In:  softmax(q k^T * scale [+ mask]) v over [lead.., sequence, dim], the scale in any factor; k and v may repeat each
//      head for a group of query heads (heads.h); the scores may go through cap * tanh(. / cap) before the mask
// Out: wf.attention of rows q, k, v, mask {n_heads, n_kv_heads, scale, causal, window, softcap, zero_masked}
//
// A mask that is constant and hides exactly what comes later becomes {causal}, one that hides what is long past as well
// {causal, window}. https://arxiv.org/abs/1706.03762
#include <math.h>

#include "compiler/raise/constant.h"
#include "compiler/raise/contraction.h"
#include "compiler/raise/heads.h"
#include "compiler/raise/layout.h"
#include "compiler/raise/split.h"

// What softmax is of, read from the outside in.
typedef struct scores {
    contraction product;
    double scale, softcap; // softcap 0: none
    ref mask;              // indexed by the axes of `masked`; null value: none
    MlirValue masked;      // what the mask is added to, masked
    bool selects, hides;   // the mask is a condition; true hides
    double hidden;         // what a hidden score becomes
    const char *reason;    // why this is no attention
} scores;

static bool is_plain(const ref *r)
{
    for (int i = 0; i < r->n; i++)
        if (r->axis[i] != i && r->axis[i] != AXIS_ZERO) return false;
    return true;
}

// Moves through reshapes that keep the last two axes until a product, or an op that is not moved but computed.
static bool walk_to_scores(matcher *m, MlirValue *v)
{
    enum { MAX_STEPS = 32 };
    strided s;
    contraction c;
    if (rank_of(*v) < 2 || !strided_start(&s, *v)) return false;
    MlirValue outer = *v;
    int last = rank_of(outer) - 1;
    for (int step = 0; step < MAX_STEPS; step++) {
        MlirOperation op = defining_op(s.v);
        if (is_in_order(&s, outer) && s.rank >= 2 && is_whole_axis(&s.at[s.rank - 1], outer, last) &&
            is_whole_axis(&s.at[s.rank - 2], outer, last - 1))
            *v = s.v;
        if (op.ptr && (op_is(op, "wf.softmax") || read_contraction(m, op, &c))) break;
        if (!strided_step(&m->r, &s, false)) break;
    }
    return true;
}

static bool read_scores(matcher *m, MlirValue root, const ref *from, scores *s, int depth);

// mask + scores, or condition ? scores : -inf, or the other way round.
static bool read_masked(matcher *m, MlirValue root, const node *n, scores *s, int depth)
{
    bool selects = n->kind == N_SELECT;
    for (int i = 0; i < 2; i++) {
        constant c = {0};
        scores inner = {.scale = 1};
        const ref *of = &n->in[selects ? 2 - i : i];
        if (selects && (!read_constant(&m->r, &n->in[1 + i], &c) || c.value >= 0)) continue;
        if (!read_scores(m, root, of, &inner, depth + 1)) {
            if (inner.reason) s->reason = inner.reason;
            continue;
        }
        s->reason = inner.mask.v.ptr  ? "scores have two masks"
                    : s->scale != 1   ? "the mask is scaled with the scores"
                    : s->softcap != 0 ? "the mask is added before the soft cap"
                    : selects && c.value > -1e30
                        ? "hidden scores become a number that is not minus infinity, or near it"
                        : NULL;
        if (s->reason) return false;
        *s = inner;
        s->masked = root;
        s->mask = n->in[selects ? 0 : 1 - i];
        s->selects = selects;
        s->hides = i == 0;
        s->hidden = c.value;
        return true;
    }
    return false;
}

static bool read_scores(matcher *m, MlirValue root, const ref *from, scores *s, int depth)
{
    enum { MAX_DEPTH = 8 };
    ref next;
    if (depth > MAX_DEPTH) return false;
    node n = read_uncast(&m->r, from);
    if (n.kind == N_ADD || n.kind == N_SELECT) return read_masked(m, root, &n, s, depth);
    for (int i = 1; (n.kind == N_MUL || n.kind == N_DIV) && i >= (n.kind == N_DIV ? 1 : 0); i--) {
        constant c;
        if (!read_constant(&m->r, &n.in[i], &c)) continue;
        s->scale *= n.kind == N_DIV ? 1 / c.value : c.value;
        return read_scores(m, root, &n.in[1 - i], s, depth + 1);
    }
    if (n.kind == N_TANH) {
        if (s->softcap != 0 || !(s->scale > 0)) return s->reason = "the soft cap is no positive number", false;
        s->softcap = s->scale;
        s->scale = 1;
        if (!read_scores(m, root, &n.in[0], s, depth + 1)) return false;
        s->scale *= s->softcap; // cap tanh(scale q k / cap)
        return !s->mask.v.ptr || (s->reason = "the mask is added before the soft cap", false);
    }
    MlirValue v = n.first.v, product = v;
    if (!v.ptr || !is_plain(&n.first) || n.first.n != rank_of(root)) return false;
    if (!walk_to_scores(m, &product)) return false;
    MlirOperation op = defining_op(product);
    if (op.ptr && read_contraction(m, op, &s->product)) return true;
    if (mlirValueEqual(product, root) || !root_ref(product, &next)) return false;
    return read_scores(m, product, &next, s, depth + 1);
}

// ---- masks

// Whether a constant mask shows, for every head, just the last `window` positions up to the query's own; INT64_MAX: all
// of them. 0: it is another.
static int64_t causal_window(const scores *s, MlirValue tensor, int64_t length)
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
        bool hidden = s->selects ? !visible : t->data[i] < -1e30;
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

// The condition as a tensor of numbers: `shown` where the condition holds, else `other`.
static MlirValue build_choice(op_builder *b, MlirValue condition, double shown, double other, MlirType element)
{
    int64_t shape[MAX_AXES];
    MlirValue operands[3] = {condition}, sizes[MAX_AXES];
    int rank = rank_of(condition), n_dynamic = 0;
    for (int i = 0; i < rank; i++) {
        shape[i] = dim_of(condition, i);
        if (shape[i] < 0) sizes[n_dynamic++] = build_dim(b, condition, i);
    }
    MlirType result = tensor_of(rank, shape, element);
    for (int i = 0; i < 2; i++) {
        MlirAttribute number = mlirFloatAttrDoubleGet(b->ctx, element, i == 0 ? shown : other);
        MlirNamedAttribute value =
            mlirNamedAttributeGet(mlirIdentifierGet(b->ctx, mlirStringRefCreateFromCString("value")),
                                  n_dynamic ? number : mlirDenseElementsAttrSplatGet(result, number));
        operands[1 + i] = build_value(b, "arith.constant", n_dynamic ? element : result, 0, NULL, 1, &value);
        if (!n_dynamic) continue;
        MlirValue splat[1 + MAX_AXES] = {operands[1 + i]};
        for (int d = 0; d < n_dynamic; d++) splat[1 + d] = sizes[d];
        operands[1 + i] = build_value(b, "tensor.splat", result, 1 + n_dynamic, splat, 0, NULL);
    }
    return build_value(b, "arith.select", result, 3, operands, 0, NULL);
}

typedef struct mask {
    MlirValue v; // null: none
    bool causal;
    int64_t window; // 0: none
} mask;

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

static bool read_mask(matcher *m, const scores *s, const heads *q, const heads *k, mask *out)
{
    *out = (mask){0};
    if (!s->mask.v.ptr) return true;
    int rank = rank_of(s->masked);
    node n = read_unwidened(&m->r, &s->mask);
    ref computed;
    const ref *t = is_aligned(&n.first, rank) ? &n.first : is_aligned(&n.tensor, rank) ? &n.tensor : NULL;
    if (!t && scalar_as_tensor(&s->mask, &computed) && is_aligned(&computed, rank)) t = &computed;
    if (!t) return near_miss(m, "the mask is not laid out by queries and keys");
    int64_t window = q->length == k->length && q->length > 0 ? causal_window(s, t->v, q->length) : 0;
    out->causal = window > 0;
    if (window > 0 && window < INT64_MAX) out->window = window;
    if (out->causal) return true;
    bool merged = rank == 3 && rank_of(t->v) == 3 && dim_of(t->v, 0) != 1;
    if (merged) return near_miss(m, "heads are merged with the batch, the mask is not the same for all of them");
    if (q->layout != HEADS_FLAT && !has_lead_of(t->v, q))
        return near_miss(m, "the mask does not lie by batch and heads");
    op_builder b = op_builder_before(m->root);
    MlirType element = element_type_of(s->masked);
    out->v = !s->selects ? t->v : build_choice(&b, t->v, s->hides ? s->hidden : 0, s->hides ? 0 : s->hidden, element);
    return true;
}

// ---- the op

// Rows of q, k and v with as many axes.
static void write_operands(op_builder *b, const heads in[3], MlirValue rows[3])
{
    int rank = 0;
    for (int i = 0; i < 3; i++) {
        rows[i] = write_rows(b, &in[i]);
        rank = rank_of(rows[i]) > rank ? rank_of(rows[i]) : rank;
    }
    for (int i = 0; i < 3; i++)
        if (rank_of(rows[i]) < rank) rows[i] = build_batch_of_one(b, rows[i]);
}

static void write_attention(const heads in[3], const mask *hidden, bool zero_masked, const scores *s, double scale,
                            MlirValue result)
{
    op_builder b = op_builder_before(defining_op(result));
    MlirValue operands[4] = {{0}};
    write_operands(&b, in, operands);
    operands[3] = hidden->v;
    MlirNamedAttribute attributes[7] = {
        named_int(&b, "n_heads", in[0].n),
        named_int(&b, "n_kv_heads", in[1].n),
        named_float(&b, "scale", scale),
        named_bool(&b, "causal", hidden->causal),
    };
    int n = 4;
    if (hidden->window) attributes[n++] = named_int(&b, "window", hidden->window);
    if (s->softcap != 0) attributes[n++] = named_float(&b, "softcap", s->softcap);
    // without hidden rows, as under a causal mask, there is nothing to guard
    if (zero_masked && hidden->v.ptr) attributes[n++] = named_bool(&b, "zero_masked", true);
    int64_t shape[MAX_AXES];
    int rank = rank_of(operands[0]);
    for (int i = 0; i < rank; i++) shape[i] = dim_of(operands[0], i);
    MlirType type = tensor_of(rank, shape, element_type_of(result));
    MlirValue y = build_value(&b, "wf.attention", type, hidden->v.ptr ? 4 : 3, operands, n, attributes);
    if (in[0].layout != HEADS_FLAT) y = heads_of_rows_like(&b, y, in[0].n, mlirValueGetType(result));
    replace_value(result, y);
}

// The result as heads: the product, or its one user where that is a reshape by heads of a product that merges them.
static MlirValue result_by_heads(MlirValue product, const heads *q)
{
    if (rank_of(product) != 3 || !has_one_use(product)) return product;
    MlirOperation user = mlirOpOperandGetOwner(mlirValueGetFirstUse(product));
    if (mlirOperationGetNumResults(user) != 1) return product;
    MlirValue v = mlirOperationGetResult(user, 0);
    bool by_heads =
        mlirValueEqual(reshape_input(v), product) && rank_of(v) == 4 && dim_of(v, 1) == q->n && dim_of(v, 3) == q->dim;
    return by_heads ? v : product;
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
    enum { MAX_STEPS = 8 };
    int perm[MAX_AXES];
    bool transposed = false;
    for (int step = 0; step < MAX_STEPS; step++) {
        MlirValue reshaped = reshape_input(v), gathered = gathered_from(defining_op(v)),
                  straight = transpose_input(v, perm);
        transposed = transposed || straight.ptr;
        if (!reshaped.ptr && !gathered.ptr && !straight.ptr) return false;
        v = reshaped.ptr ? reshaped : straight.ptr ? straight : gathered;
        if (op_is(defining_op(v), "wf.softmax"))
            return near_miss(m, "between softmax and the product with v stands %s",
                             transposed
                                 ? "a transposition: groups of heads are rows of one product, perhaps"
                                 : "a reshape of queries or keys, or a gather by computed indices (tensor.extract)");
    }
    return false;
}

// The softmax that the left operand of a product is, behind reshapes; null op when there is none.
static MlirOperation find_softmax(matcher *m, MlirValue lhs)
{
    MlirValue v = lhs;
    ref weights;
    MlirOperation none = {0};
    if (!walk_to_scores(m, &v) || !root_ref(v, &weights)) return none;
    MlirOperation op = read_uncast(&m->r, &weights).op;
    return op_is(op, "wf.softmax") ? op : none;
}

// k and v with the same heads, traced as far back as both can be.
static void pair_heads(const heads_trace *k, const heads_trace *v, heads in[3])
{
    in[1] = k->deep[k->n - 1];
    in[2] = v->deep[v->n - 1];
    for (int i = k->n - 1; i >= 0; i--)
        for (int j = v->n - 1; j >= 0; j--)
            if (k->deep[i].n == v->deep[j].n && (k->deep[i].n == 1 || k->deep[i].group == v->deep[j].group)) {
                in[1] = k->deep[i];
                in[2] = v->deep[j];
                return;
            }
}

// q, k and v with their heads, or all three as in the product where one of them shows none.
static bool find_operands(matcher *m, const contraction *inner, const contraction *outer, heads in[3])
{
    MlirValue operands[] = {inner->lhs, inner->rhs, outer->rhs};
    const bool transposed[] = {false, !inner->transposed, outer->transposed};
    heads_trace traces[3];
    bool all_deep = true, all_flat = true;
    for (int i = 0; i < 3; i++) {
        read_heads(&m->r, operands[i], transposed[i], i < 2, &traces[i]);
        if (transposed[i] && !traces[i].n && traces[i].flat.layout == HEADS_NONE) {
            op_builder b = op_builder_before(m->root);
            read_heads(&m->r, build_last_transpose(&b, operands[i]), false, i < 2, &traces[i]);
        }
        all_deep = all_deep && traces[i].n > 0;
        all_flat = all_flat && traces[i].flat.layout != HEADS_NONE;
        in[i] = traces[i].n ? traces[i].deep[traces[i].n - 1] : traces[i].flat;
    }
    if (all_deep)
        pair_heads(&traces[1], &traces[2], in);
    else
        for (int i = 0; i < 3; i++) in[i] = traces[i].flat;
    return all_deep || all_flat;
}

// Whether heads and batches of the three fit together.
static bool check_operands(matcher *m, const heads in[3], MlirValue q)
{
    const heads *h = &in[0];
    int64_t lead = 1;
    for (int i = 0; i < rank_of(q) - 2; i++) lead = lead < 0 || dim_of(q, i) < 0 ? -1 : lead * dim_of(q, i);
    if (in[1].length != in[2].length) return near_miss(m, "k and v have other lengths");
    if (h->dim != in[1].dim) return near_miss(m, "heads of q and k have other sizes");
    if (h->dim != in[2].dim) return near_miss(m, "heads of v have another size than those of q and k");
    bool batches = true, shared = in[1].n == in[2].n && (in[1].n == 1 || in[1].group == in[2].group);
    for (int i = 0; i < 3; i++)
        batches = batches && in[i].batch == h->batch && (in[i].batch == 1 || in[i].batch_weight == h->n);
    if (!batches || (lead >= 0 && lead != h->batch * h->n) || (lead < 0) != (h->batch < 0))
        return near_miss(m, "q, k and v have other batches");
    if (!shared || h->n % in[1].n || (in[1].n > 1 && in[1].n * in[1].group != h->n) || (h->n > 1 && h->group != 1))
        return near_miss(m, "heads of q, k and v do not agree: %lld, %lld and %lld", (long long)h->n,
                         (long long)in[1].n, (long long)in[2].n);
    return true;
}

bool raise_attention(matcher *m, MlirOperation op)
{
    contraction outer;
    scores s = {.scale = 1};
    heads in[3];
    mask hidden;
    ref from;
    if (!read_contraction(m, op, &outer)) return false;
    MlirOperation softmax = find_softmax(m, outer.lhs);
    if (!softmax.ptr) return is_no_softmax(m, outer.lhs);
    if (outer.init.ptr) return near_miss(m, "the product with v is added to something");
    MlirValue x = mlirOperationGetOperand(softmax, 0);
    if (rank_of(x) < 2 || !root_ref(x, &from) || !read_scores(m, x, &from, &s, 0) || s.product.init.ptr)
        return near_miss(m, "%s", s.reason ? s.reason : "softmax is not of a product of q and k, scaled and masked");
    if (!find_operands(m, &s.product, &outer, in))
        return near_miss(m, "q, k or v are not laid out by batch, heads, sequence and features");
    if (!check_operands(m, in, s.product.lhs)) return false;
    MlirValue result = in[0].layout == HEADS_FLAT ? outer.result : result_by_heads(outer.result, &in[0]);
    int last = rank_of(x) - 1;
    if (dim_of(x, last) != in[1].length || dim_of(x, last - 1) != in[0].length)
        return near_miss(m, "a sequence is repeated");
    if (rank_of(result) > 4 || (rank_of(result) == 4 && dim_of(result, 1) != in[0].n))
        return near_miss(m, "the result is not laid out by heads");
    if (!read_mask(m, &s, &in[0], &in[1], &hidden)) return false;
    if (in[0].layout == HEADS_FLAT && hidden.v.ptr) {
        op_builder b = op_builder_before(m->root);
        hidden.v = build_squeeze(&b, hidden.v, 2);
        if (rank_of(hidden.v) != 2) return near_miss(m, "heads are merged with the batch, the mask is not");
    }
    write_attention(in, &hidden, op_bool(softmax, "zero_masked"), &s, s.scale * in[0].scale * in[1].scale, result);
    fold_layout(mlirOperationGetParentOperation(op));
    return true;
}
