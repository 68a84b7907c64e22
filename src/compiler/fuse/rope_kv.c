// In:  attention(rope(q), rope(k), v) {cache}, where both q and k may be norms of heads
// Out: cached_attention(rope_store(q, k, v [, gamma_q, gamma_k]))
//
// One pass over a token's q, k and v, which may be parts of one projection: q is normed and rotated, k normed and
// rotated into the cache, v copied into it.
#include "compiler/fuse/pass.h"

typedef struct rotated {
    rope_op rope;
    norm_op norm; // its x is null: none
    MlirValue x;
} rotated;

static bool read_rotated(MlirValue v, rotated *r)
{
    norm_op norm;
    *r = (rotated){.norm = {0}};
    if (!rope_read(defining_op(v), &r->rope) || !has_one_use(v)) return false;
    r->x = r->rope.x;
    if (!norm_read(defining_op(r->x), &norm) || !has_one_use(r->x) || !norm.n_heads || !norm.gamma.ptr) return true;
    r->norm = norm;
    r->x = norm.x;
    return true;
}

static bool same_norms(const norm_op *q, const norm_op *k)
{
    if (!q->x.ptr || !k->x.ptr) return !q->x.ptr && !k->x.ptr;
    return q->eps == k->eps && q->plus_one == k->plus_one;
}

static const char *fuse(MlirOperation op, why_not_fn *back_end)
{
    attention_op attention;
    if (!attention_read(op, &attention) || attention.cache < 0 || attention.mask.ptr || attention.sink.ptr)
        return NO_PLACE;
    rotated q, k;
    MlirValue y = attention.y.value;
    if (!read_rotated(attention.q, &q) || !read_rotated(attention.k, &k)) return "q and k are not both rotated";
    if (!mlirValueEqual(q.rope.cos, k.rope.cos) || !mlirValueEqual(q.rope.sin, k.rope.sin) ||
        q.rope.interleaved != k.rope.interleaved)
        return "q and k are rotated differently";
    if (!same_norms(&q.norm, &k.norm)) return "q and k are normed differently";

    op_builder b = op_builder_before(op);
    rope_store_op store = {.q = q.x,
                           .k = k.x,
                           .v = attention.v,
                           .cos = q.rope.cos,
                           .sin = q.rope.sin,
                           .gamma_q = q.norm.gamma,
                           .gamma_k = k.norm.gamma,
                           .n_heads = attention.n_heads,
                           .n_kv_heads = attention.n_kv_heads,
                           .cache = attention.cache,
                           .interleaved = q.rope.interleaved,
                           .plus_one = q.norm.plus_one,
                           .eps = q.norm.eps,
                           .rotated = {.type = q.rope.y.type}};
    attention.q = rope_store_write(&b, &store);
    const char *why = ask_back_end(back_end, attention.q);
    if (why) return why;
    replace_value(y, cached_attention_write(&b, &attention));
    return FUSED;
}

void pass_fuse_rope_kv(MlirOperation function, why_not_fn *back_end, pass_report *report)
{
    fuse_each(function, back_end, report, "wf.attention", fuse);
}
