// In:  attention(rope(columns(qkv, 0)), rope(columns(qkv, 1)), columns(qkv, 2)) {cache}, where between rope and columns
//      both q and k may have a norm of their heads
// Out: cached_attention(rope_store(qkv [, gamma_q, gamma_k]))
//
// One pass over the fused projection norms and rotates q, norms and rotates k into the cache and copies v into it.
#include "compiler/pass/pass.h"

typedef struct rotated {
    MlirValue qkv, cos, sin;
    MlirOperation norm; // null: none
    int64_t first;
    bool interleaved;
} rotated;

static bool read_columns(MlirValue v, MlirValue *source, int64_t *first)
{
    MlirOperation op = defining_op(v);
    if (!op_is(op, "wf.columns") || !has_one_use(v)) return false;
    *source = mlirOperationGetOperand(op, 0);
    *first = op_int(op, "first", -1);
    return true;
}

static bool read_rotated(MlirValue v, rotated *r)
{
    MlirOperation rope = defining_op(v);
    if (!op_is(rope, "wf.rope") || !has_one_use(v)) return false;
    r->cos = mlirOperationGetOperand(rope, 1);
    r->sin = mlirOperationGetOperand(rope, 2);
    r->interleaved = op_bool(rope, "interleaved");
    MlirValue x = mlirOperationGetOperand(rope, 0);
    r->norm = (MlirOperation){0};
    if (op_is(defining_op(x), "wf.rms_norm") && has_one_use(x)) {
        r->norm = defining_op(x);
        if (!op_int(r->norm, "n_heads", 0) || mlirOperationGetNumOperands(r->norm) != 2) return false;
        x = mlirOperationGetOperand(r->norm, 0);
    }
    return read_columns(x, &r->qkv, &r->first);
}

static bool same_norms(MlirOperation q, MlirOperation k)
{
    if (!q.ptr || !k.ptr) return !q.ptr && !k.ptr;
    return op_float(q, "eps", 0) == op_float(k, "eps", 0) && op_bool(q, "plus_one") == op_bool(k, "plus_one");
}

static const char *fuse(MlirOperation op)
{
    if (op_int(op, "cache", -1) < 0 || mlirOperationGetNumOperands(op) != 3) return NO_PLACE;
    rotated q, k;
    MlirValue v_source, v = mlirOperationGetOperand(op, 2);
    int64_t v_first;
    if (!read_rotated(mlirOperationGetOperand(op, 0), &q) || !read_rotated(mlirOperationGetOperand(op, 1), &k) ||
        !read_columns(v, &v_source, &v_first) || !mlirValueEqual(q.qkv, k.qkv) || !mlirValueEqual(q.qkv, v_source))
        return "q, k and v are not parts of one linear (see qkv), q and k rotated";
    if (!mlirValueEqual(q.cos, k.cos) || !mlirValueEqual(q.sin, k.sin) || q.interleaved != k.interleaved)
        return "q and k are rotated differently";
    if (!same_norms(q.norm, k.norm)) return "q and k are normed differently";
    int64_t q_features = dim_of(mlirOperationGetOperand(op, 0), 1), kv_features = dim_of(v, 1);
    if (q.first != 0 || k.first != q_features || v_first != q_features + kv_features)
        return "q, k and v do not follow each other";

    op_builder b = op_builder_before(op);
    bool normed = q.norm.ptr != NULL;
    const int32_t segments[] = {1, 1, 1, normed, normed};
    MlirNamedAttribute store[] = {
        named_segments(&b, 5, segments),
        named_int(&b, "n_heads", op_int(op, "n_heads", 0)),
        named_int(&b, "n_kv_heads", op_int(op, "n_kv_heads", 0)),
        named_bool(&b, "interleaved", q.interleaved),
        named_int(&b, "cache", op_int(op, "cache", 0)),
        named_float(&b, "eps", normed ? op_float(q.norm, "eps", 0) : 0),
        named_bool(&b, "plus_one", normed && op_bool(q.norm, "plus_one")),
    };
    MlirValue inputs[5] = {q.qkv, q.cos, q.sin};
    if (normed) inputs[3] = mlirOperationGetOperand(q.norm, 1), inputs[4] = mlirOperationGetOperand(k.norm, 1);
    MlirType q_type = mlirValueGetType(mlirOperationGetOperand(op, 0));
    MlirValue rotated_q = build_value(&b, "wf.rope_store", q_type, normed ? 5 : 3, inputs, normed ? 7 : 5, store);
    MlirNamedAttribute attention[16];
    int n = 0;
    for (intptr_t i = 0; i < mlirOperationGetNumAttributes(op) && n < 16; i++)
        attention[n++] = mlirOperationGetAttribute(op, i);
    MlirType result = mlirValueGetType(mlirOperationGetResult(op, 0));
    MlirValue y = build_value(&b, "wf.cached_attention", result, 1, &rotated_q, n, attention);
    replace_value(mlirOperationGetResult(op, 0), y);
    return FUSED;
}

void pass_fuse_rope_kv(MlirOperation function, pass_report *report)
{
    fuse_each(function, report, "wf.attention", fuse);
}
