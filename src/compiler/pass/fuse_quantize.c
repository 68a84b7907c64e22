// In:  quantize(y) with y = linear {swiglu}, swiglu or cached_attention, used here only
// Out: the same op with a q8 result
//
// The values are rounded while they are still in registers.
#include "compiler/pass/pass.h"

static const char *fuse(MlirOperation op)
{
    MlirValue y = mlirOperationGetOperand(op, 0), result = mlirOperationGetResult(op, 0);
    MlirOperation producer = defining_op(y);
    linear_parts parts;
    bool is_attention = op_is(producer, "wf.cached_attention");
    if (!is_attention && !op_is(producer, "wf.swiglu") && !(linear_read(producer, &parts) && parts.swiglu))
        return op_is(producer, "wf.attention") ? "attention that is not fused with rope-kv" : NO_PLACE;
    if (!has_one_use(y)) return "the f32 result is used elsewhere too";
    int64_t features = dim_of(result, 1);
    // a tile of attention holds the heads of one group
    if (is_attention) features /= op_int(producer, "n_kv_heads", 1);
    if (features < 0 || features % 32) return "what a tile computes is no whole number of blocks of 32";
    mlirValueSetType(y, mlirValueGetType(result));
    replace_value(result, y);
    return FUSED;
}

void pass_fuse_quantize(MlirOperation function, pass_report *report)
{
    fuse_each(function, report, "wf.quantize", fuse);
}
