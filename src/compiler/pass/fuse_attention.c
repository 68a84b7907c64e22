// In:  attention or cached_attention
// Out: the same op {online = true}
//
// Scores, softmax and the weighted sum of values become one kernel with an online softmax (kernel/attention.h), which
// never has more than a block of scores at hand. Without this they are three steps, with all scores in memory between
// them: the kernels of kernel/attention_apart.h over a cache, what decompose.c writes in other graphs.
#include "compiler/pass/pass.h"

static const char *fuse(MlirOperation op)
{
    if (op_bool(op, "online")) return NO_PLACE;
    int64_t n_heads = op_int(op, "n_heads", 0), n_kv_heads = op_int(op, "n_kv_heads", 0);
    MlirValue q = mlirOperationGetOperand(op, 0);
    if (rank_of(q) < 2 || n_heads < 1 || n_kv_heads < 1 || n_heads % n_kv_heads) return "heads that make no groups";
    int64_t features = dim_of(q, rank_of(q) - 1);
    if (features < 1 || features % n_heads) return "features that make no heads";
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); i++)
        if (!mlirTypeIsAF32(element_type_of(mlirOperationGetOperand(op, i)))) return "values that are not f32";
    op_builder b = op_builder_before(op);
    MlirNamedAttribute online = named_bool(&b, "online", true);
    mlirOperationSetAttributeByName(op, mlirIdentifierStr(online.name), online.attribute);
    return FUSED;
}

void pass_fuse_attention(MlirOperation function, pass_report *report)
{
    fuse_each(function, report, "wf.attention", fuse);
    fuse_each(function, report, "wf.cached_attention", fuse);
}
