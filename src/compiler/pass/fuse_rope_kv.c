// In:  attention(rope(q), rope(k), v) {cache}, where both q and k may be norms of heads
// Out: cached_attention(rope_store(q, k, v [, gamma_q, gamma_k]))
//
// One pass over a token's q, k and v, which may be parts of one projection: q is normed and rotated, k normed and
// rotated into the cache, v copied into it.
#include "compiler/pass/pass.h"

typedef struct rotated {
    MlirValue x, cos, sin;
    MlirOperation norm; // null: none
    bool interleaved;
} rotated;

static bool read_rotated(MlirValue v, rotated *r)
{
    MlirOperation rope = defining_op(v);
    if (!op_is(rope, "wf.rope") || !has_one_use(v)) return false;
    *r = (rotated){.x = mlirOperationGetOperand(rope, 0),
                   .cos = mlirOperationGetOperand(rope, 1),
                   .sin = mlirOperationGetOperand(rope, 2),
                   .interleaved = op_bool(rope, "interleaved")};
    MlirOperation norm = defining_op(r->x);
    if (!op_is(norm, "wf.rms_norm") || !has_one_use(r->x)) return true;
    if (!op_int(norm, "n_heads", 0) || mlirOperationGetNumOperands(norm) != 2) return true;
    r->norm = norm;
    r->x = mlirOperationGetOperand(norm, 0);
    return true;
}

static bool same_norms(MlirOperation q, MlirOperation k)
{
    if (!q.ptr || !k.ptr) return !q.ptr && !k.ptr;
    return op_float(q, "eps", 0) == op_float(k, "eps", 0) && op_bool(q, "plus_one") == op_bool(k, "plus_one");
}

static const char *fuse(MlirOperation op)
{
    attention_parts parts;
    if (op_int(op, "cache", -1) < 0 || !attention_read(op, &parts) || parts.mask.ptr || parts.sink.ptr) return NO_PLACE;
    rotated q, k;
    if (!read_rotated(parts.q, &q) || !read_rotated(parts.k, &k)) return "q and k are not both rotated";
    if (!mlirValueEqual(q.cos, k.cos) || !mlirValueEqual(q.sin, k.sin) || q.interleaved != k.interleaved)
        return "q and k are rotated differently";
    if (!same_norms(q.norm, k.norm)) return "q and k are normed differently";

    op_builder b = op_builder_before(op);
    bool normed = q.norm.ptr != NULL;
    const int32_t segments[] = {1, 1, 1, 1, 1, normed, normed};
    MlirNamedAttribute store[] = {
        named_segments(&b, 7, segments),
        named_int(&b, "n_heads", op_int(op, "n_heads", 0)),
        named_int(&b, "n_kv_heads", op_int(op, "n_kv_heads", 0)),
        named_bool(&b, "interleaved", q.interleaved),
        named_int(&b, "cache", op_int(op, "cache", 0)),
        named_float(&b, "eps", normed ? op_float(q.norm, "eps", 0) : 0),
        named_bool(&b, "plus_one", normed && op_bool(q.norm, "plus_one")),
    };
    MlirValue inputs[7] = {q.x, k.x, parts.v, q.cos, q.sin};
    if (normed) inputs[5] = mlirOperationGetOperand(q.norm, 1), inputs[6] = mlirOperationGetOperand(k.norm, 1);
    MlirType q_type = mlirValueGetType(parts.q);
    MlirValue rotated_q = build_value(&b, "wf.rope_store", q_type, normed ? 7 : 5, inputs, normed ? 7 : 5, store);
    MlirNamedAttribute attention[16];
    int n = 0;
    for (intptr_t i = 0; i < mlirOperationGetNumAttributes(op) && n < 16; i++)
        attention[n++] = mlirOperationGetAttribute(op, i);
    MlirType result = mlirValueGetType(mlirOperationGetResult(op, 0));
    MlirValue y = build_value(&b, "wf.cached_attention", result, 1, &rotated_q, n, attention);
    mlirOperationRemoveAttributeByName(defining_op(y), mlirStringRefCreateFromCString("operandSegmentSizes"));
    replace_value(mlirOperationGetResult(op, 0), y);
    return FUSED;
}

void pass_fuse_rope_kv(MlirOperation function, pass_report *report)
{
    fuse_each(function, report, "wf.attention", fuse);
}
