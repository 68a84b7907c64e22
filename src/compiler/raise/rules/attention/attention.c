// In:  softmax(q k^T * scale [+ mask]) v over [lead.., sequence, dim], the scale in any factor; k and v may repeat each
//      head for a group of query heads (heads.h); the scores may go through cap * tanh(. / cap) before the masks, of
//      which there may be several (scores.h); the softmax may have a sink for each head
// Out: wf.attention of rows q, k, v, mask, sink {n_heads, n_kv_heads, scale, causal, window, softcap, zero_masked}
//
// A mask that is constant and hides exactly what comes later becomes {causal}, one that hides what is long past as well
// {causal, window}. https://arxiv.org/abs/1706.03762
#include "compiler/raise/normal/layout.h"
#include "compiler/raise/rules/attention/scores.h"

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

static void write_attention(const heads in[3], const mask *hidden, MlirValue sink, bool zero_masked, const scores *s,
                            MlirValue result)
{
    op_builder b = op_builder_before(defining_op(result));
    MlirValue rows[3];
    write_operands(&b, in, rows);
    int64_t shape[MAX_AXES];
    int rank = rank_of(rows[0]);
    for (int i = 0; i < rank; i++) shape[i] = dim_of(rows[0], i);
    attention_op attention = {.q = rows[0],
                              .k = rows[1],
                              .v = rows[2],
                              .mask = hidden->v,
                              .sink = sink,
                              .n_heads = in[0].n,
                              .n_kv_heads = in[1].n,
                              .scale = s->scale * in[0].scale * in[1].scale,
                              .causal = hidden->causal,
                              .window = hidden->window,
                              .softcap = s->softcap,
                              .cache = -1,
                              // without hidden rows, as under a causal mask, there is nothing to guard
                              .zero_masked = zero_masked && hidden->v.ptr,
                              .y = {.type = tensor_of(rank, shape, element_type_of(result))}};
    MlirValue y = attention_write(&b, &attention);
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

// What stands between v and a softmax that it is computed from without another product; null op: there is none.
static MlirOperation after_softmax(matcher *m, MlirValue v, int *steps)
{
    enum { MAX_STEPS = 64 };
    MlirOperation op = defining_op(v), found = {0};
    contraction product;
    if (!op.ptr || ++*steps > MAX_STEPS || op_name_starts_with(op, "wf.") || read_contraction(m, op, &product))
        return found;
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op) && !found.ptr; i++) {
        MlirValue in = mlirOperationGetOperand(op, i);
        softmax_op softmax;
        found = softmax_read(defining_op(in), &softmax) ? op : after_softmax(m, in, steps);
    }
    return found;
}

// Why the left operand of a product with v is no softmax, where one stands behind it.
static bool note_no_softmax(matcher *m, MlirValue lhs)
{
    int steps = 0, perm[MAX_AXES];
    MlirOperation op = after_softmax(m, lhs, &steps);
    MlirValue of = lhs;
    ref weights;
    if (!op.ptr && walk_to_scores(m, &of) && root_ref(of, &weights) && read_uncast(&m->r, &weights).kind == N_EXP)
        return near_miss(m, "the weights of the product are exponentials that are not divided by their sum");
    if (!op.ptr || op_is(op, "tensor.dim")) return false;
    MlirValue v = mlirOperationGetResult(op, 0);
    if (transpose_input(v, perm).ptr)
        return near_miss(m, "between softmax and the product with v stands a transposition: groups of heads are rows "
                            "of one product, perhaps");
    if (reshape_input(v).ptr || is_structured(op, NULL))
        return near_miss(m, "between softmax and the product with v stands a reshape of queries or keys, a gather by "
                            "computed indices (tensor.extract), or arithmetic");
    MlirStringRef name = mlirIdentifierStr(mlirOperationGetName(op));
    return near_miss(m, "between softmax and the product with v stands %.*s", (int)name.length, name.data);
}

// The softmax that the left operand of a product is, behind reshapes. False when there is none.
static bool find_softmax(matcher *m, MlirValue lhs, softmax_op *softmax)
{
    MlirValue v = lhs;
    ref weights;
    if (!walk_to_scores(m, &v) || !root_ref(v, &weights)) return false;
    return softmax_read(read_uncast(&m->r, &weights).op, softmax);
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

// The softmax's sink by heads, null where there is none. False with a note.
static bool read_sink(matcher *m, const softmax_op *softmax, const heads *q, MlirValue *sink)
{
    *sink = (MlirValue){0};
    MlirValue v = softmax->sink;
    if (!v.ptr) return true;
    int rank = rank_of(v);
    int64_t n = 1;
    for (int i = 0; i < rank; i++) n *= dim_of(v, i) < 0 ? 0 : dim_of(v, i);
    bool of_heads = n == q->n && (q->batch == 1 || (rank > 3 && dim_of(v, 0) == 1)) && dim_of(v, rank - 2) == 1;
    if (!of_heads) return near_miss(m, "the logit that joins the sum of a row (a sink) is not one for each head");
    op_builder b = op_builder_before(m->root);
    *sink = rank > 1 ? build_collapse(&b, v, 0, rank) : v;
    return true;
}

// Batches of one head each as heads of one batch, for what differs from one to the other.
static void see_as_heads(matcher *m, heads in[3])
{
    op_builder b = op_builder_before(m->root);
    for (int i = 0; i < 3; i++) {
        in[i].n = dim_of(in[i].v, 0);
        in[i].v = build_batch_of_one(&b, in[i].v);
        in[i].layout = HEADS_FIRST;
        in[i].batch = 1;
    }
}

// Whether the masks or the sink of scores [batch, queries, keys] vary along the batch.
static bool varies_by_batch(const softmax_op *softmax, MlirValue hidden)
{
    if (rank_of(softmax->x) != 3 || dim_of(softmax->x, 0) <= 1) return false;
    if (hidden.ptr && rank_of(hidden) == 3 && dim_of(hidden, 0) != 1) return true;
    return softmax->sink.ptr && dim_of(softmax->sink, 0) != 1;
}

bool raise_attention(matcher *m, MlirOperation op)
{
    contraction outer;
    scores s;
    heads in[3];
    mask hidden;
    MlirValue sink;
    if (!read_contraction(m, op, &outer)) return false;
    softmax_op softmax;
    if (!find_softmax(m, outer.lhs, &softmax)) return note_no_softmax(m, outer.lhs);
    if (outer.init.ptr) return near_miss(m, "the product with v is added to something");
    MlirValue x = softmax.x;
    if (!read_scores(m, x, &s))
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
    if (!read_masks(m, &s, &in[0], &in[1], &hidden)) return false;
    if (in[0].layout == HEADS_FLAT && varies_by_batch(&softmax, hidden.v)) see_as_heads(m, in);
    if (!read_sink(m, &softmax, &in[0], &sink)) return false;
    if (in[0].layout == HEADS_FLAT && hidden.v.ptr) {
        op_builder b = op_builder_before(m->root);
        hidden.v = build_squeeze(&b, hidden.v, 2);
        if (rank_of(hidden.v) != 2) return near_miss(m, "heads are merged with the batch, the mask is not");
    }
    write_attention(in, &hidden, sink, softmax.zero_masked, &s, result);
    fold_layout(mlirOperationGetParentOperation(op));
    return true;
}
