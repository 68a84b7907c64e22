// In:  q = linear(x, wq [, bq]), k = linear(x, wk [, bk]), v = linear(x, wv [, bv]) that feed one attention
// Out: qkv = linear(x, wq, wk, wv [, bq, bk, bv]); q, k, v = columns(qkv)
//
// One call instead of three: x is read once, and its small k and v parts share the threads with q. The weights must be
// of one type and fill whole panels of 16 output features.
#include "compiler/pass/pass.h"

// What a projection should give: the value before a rope and a norm of heads.
static MlirValue projected(MlirValue v)
{
    MlirOperation op = defining_op(v);
    if (op_is(op, "wf.rope")) v = mlirOperationGetOperand(op, 0);
    op = defining_op(v);
    return op_is(op, "wf.rms_norm") && op_int(op, "n_heads", 0) ? mlirOperationGetOperand(op, 0) : v;
}

static const char *fuse(MlirOperation attention)
{
    linear_parts parts[3], all = {0};
    MlirOperation ops[3];
    int64_t features = 0;
    for (int i = 0; i < 3; i++) {
        ops[i] = defining_op(projected(mlirOperationGetOperand(attention, i)));
        if (!linear_read(ops[i], &parts[i])) {
            const char *between;
            MlirValue v = projected(mlirOperationGetOperand(attention, i));
            return linear_behind(v, &between).ptr ? between : "q, k and v are not three linears";
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
    int rank = (int)mlirShapedTypeGetRank(parts[0].result);
    int64_t shape[8]; // as q's, with the features of all three
    if (rank > 8) return "too many dimensions";
    for (int i = 0; i < rank; i++)
        shape[i] = mlirShapedTypeIsDynamicDim(parts[0].result, i) ? -1 : mlirShapedTypeGetDimSize(parts[0].result, i);
    shape[rank - 1] = features;
    all.result = tensor_of(rank, shape, mlirShapedTypeGetElementType(parts[0].result));

    // after the last of the three and the weights it needs, before their first user: they stand together
    op_builder b = op_builder_before(mlirOperationGetNextInBlock(ops[2]));
    MlirValue qkv = linear_write(&b, &all);
    int64_t first = 0;
    for (int i = 0; i < 3; i++) {
        MlirNamedAttribute attribute = named_int(&b, "first", first);
        MlirValue part = build_value(&b, "wf.columns", parts[i].result, 1, &qkv, 1, &attribute);
        replace_value(mlirOperationGetResult(ops[i], 0), part);
        first += dim_of(parts[i].weights[0], 0);
    }
    return FUSED;
}

void pass_fuse_qkv(MlirOperation function, pass_report *report) { fuse_each(function, report, "wf.attention", fuse); }
