// In:  attention(rope(columns(qkv, 0)), rope(columns(qkv, 1)), columns(qkv, 2)) {cache}
// Out: cached_attention(rope_store(qkv))
//
// One pass over the fused projection rotates q, rotates k into the cache and copies v into it.
#include "compiler/pass/pass.h"

typedef struct rotated {
    MlirValue qkv, cos, sin;
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
    return read_columns(mlirOperationGetOperand(rope, 0), &r->qkv, &r->first);
}

static void fuse(MlirOperation op, void *context)
{
    (void)context;
    if (!op_is(op, "wf.attention") || op_int(op, "cache", -1) < 0 || mlirOperationGetNumOperands(op) != 3) return;
    rotated q, k;
    MlirValue v_source, v = mlirOperationGetOperand(op, 2);
    int64_t v_first;
    if (!read_rotated(mlirOperationGetOperand(op, 0), &q) || !read_rotated(mlirOperationGetOperand(op, 1), &k)) return;
    if (!read_columns(v, &v_source, &v_first)) return;
    if (!mlirValueEqual(q.qkv, k.qkv) || !mlirValueEqual(q.qkv, v_source)) return;
    if (!mlirValueEqual(q.cos, k.cos) || !mlirValueEqual(q.sin, k.sin) || q.interleaved != k.interleaved) return;
    int64_t q_features = dim_of(mlirOperationGetOperand(op, 0), 1), kv_features = dim_of(v, 1);
    if (q.first != 0 || k.first != q_features || v_first != q_features + kv_features) return;

    op_builder b = op_builder_before(op);
    MlirNamedAttribute store[] = {
        named_int(&b, "n_heads", op_int(op, "n_heads", 0)),
        named_int(&b, "n_kv_heads", op_int(op, "n_kv_heads", 0)),
        named_bool(&b, "interleaved", q.interleaved),
        named_int(&b, "cache", op_int(op, "cache", 0)),
    };
    MlirValue inputs[] = {q.qkv, q.cos, q.sin};
    MlirType q_type = mlirValueGetType(mlirOperationGetOperand(op, 0));
    MlirValue rotated_q = build_value(&b, "wf.rope_store", q_type, 3, inputs, 4, store);
    MlirNamedAttribute attention[16];
    int n = 0;
    for (intptr_t i = 0; i < mlirOperationGetNumAttributes(op) && n < 16; i++)
        attention[n++] = mlirOperationGetAttribute(op, i);
    MlirType result = mlirValueGetType(mlirOperationGetResult(op, 0));
    MlirValue y = build_value(&b, "wf.cached_attention", result, 1, &rotated_q, n, attention);
    replace_value(mlirOperationGetResult(op, 0), y);
}

void pass_fuse_rope_kv(MlirOperation function)
{
    for_each_op(function, fuse, NULL);
    wf_erase_dead(function);
}
