// In:  q = linear(x, wq [, bq]), k = linear(x, wk [, bk]), v = linear(x, wv [, bv]) that feed one attention
// Out: qkv = linear(x, wq, wk, wv [, bq, bk, bv]); q, k, v = columns(qkv)
//
// One call instead of three: x is read once, and its small k and v parts share the threads with q. The weights must be
// of one type and fill whole panels of 16 output features.
#include "compiler/fuse/pass.h"

// What a projection should give: the value before a rope and a norm of heads.
static MlirValue projected(MlirValue v)
{
    rope_op rope;
    norm_op norm;
    if (rope_read(defining_op(v), &rope)) v = rope.x;
    return norm_read(defining_op(v), &norm) && norm.n_heads ? norm.x : v;
}

static const char *fuse(MlirOperation op, why_not_fn *back_end)
{
    attention_op attention;
    linear_op parts[3], all = {0};
    MlirOperation ops[3];
    int64_t features = 0;
    if (!attention_read(op, &attention)) return NO_PLACE;
    const MlirValue projections[] = {projected(attention.q), projected(attention.k), projected(attention.v)};
    for (int i = 0; i < 3; i++) {
        ops[i] = defining_op(projections[i]);
        if (!linear_read(ops[i], &parts[i])) {
            const char *between;
            return linear_behind(projections[i], &between).ptr ? between : "q, k and v are not three linears";
        }
        if (!linear_is_plain(&parts[i])) return "a linear has another epilogue already";
        if (i && mlirOperationEqual(ops[i], ops[i - 1])) return "q, k and v are parts of one linear";
        if (!mlirValueEqual(parts[i].x, parts[0].x)) return "q, k and v have different inputs";
        if (parts[i].n_biases != parts[0].n_biases) return "only some of q, k and v have a bias";
        if (!mlirTypeEqual(element_type_of(parts[i].weights[0]), element_type_of(parts[0].weights[0])))
            return "weights of different types";
        int64_t rows = dim_of(parts[i].weights[0], 0);
        if (rows < 0 || rows % 16) return "output features are no multiple of 16";
        features += rows;
        all.weights[i] = parts[i].weights[0];
        if (parts[i].n_biases) all.biases[i] = parts[i].biases[0];
    }
    all.x = parts[0].x;
    all.n_weights = 3;
    all.n_biases = parts[0].n_biases ? 3 : 0;
    int rank = rank_of(parts[0].y.value);
    int64_t shape[8]; // as q's, with the features of all three
    if (rank > 8) return "too many dimensions";
    for (int i = 0; i < rank; i++) shape[i] = dim_of(parts[0].y.value, i);
    shape[rank - 1] = features;
    all.y.type = tensor_of(rank, shape, element_type_of(parts[0].y.value));

    // after the last of the three and the weights it needs, before their first user: they stand together
    op_builder b = op_builder_before(mlirOperationGetNextInBlock(ops[2]));
    MlirValue qkv = linear_write(&b, &all);
    const char *why = ask_back_end(back_end, qkv);
    if (why) return why;
    int64_t first = 0;
    for (int i = 0; i < 3; i++) {
        columns_op part = {.x = qkv, .first = first, .y = {.type = parts[i].y.type}};
        replace_value(parts[i].y.value, columns_write(&b, &part));
        first += dim_of(parts[i].weights[0], 0);
    }
    return FUSED;
}

void pass_fuse_qkv(MlirOperation function, why_not_fn *back_end, pass_report *report)
{
    fuse_each(function, back_end, report, "wf.attention", fuse);
}
