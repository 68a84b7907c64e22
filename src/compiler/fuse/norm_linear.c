// In:  quantize(rms_norm(x, gamma)), where all users of the norm are this quantize; residual_norm likewise
// Out: rms_norm(x, gamma) with a q8 result
//
// The norm is computed once for all linears after it (q, k, v or gate, up) and written in the form that their kernel
// reads; the f32 result is never stored. Where the weights are floats, the norm's f32 result is that form already.
#include "compiler/fuse/pass.h"

static const char *fuse(MlirOperation norm)
{
    norm_op n;
    MlirValue quantised = {0};
    linear_op linear;
    if (!norm_read(norm, &n)) return NO_PLACE;
    bool only_linears = true;
    for (MlirOpOperand use = mlirValueGetFirstUse(n.y.value); !mlirOpOperandIsNull(use);
         use = mlirOpOperandGetNextUse(use)) {
        MlirOperation user = mlirOpOperandGetOwner(use);
        quantize_op quantize;
        if (quantize_read(user, &quantize)) quantised = quantize.y.value;
        only_linears = only_linears && linear_read(user, &linear);
    }
    if (!quantised.ptr) return only_linears ? FUSED : NO_PLACE;
    if (!has_one_use(n.y.value)) return "the f32 result is used elsewhere too";
    mlirValueSetType(n.y.value, mlirValueGetType(quantised));
    replace_value(quantised, n.y.value);
    return FUSED;
}

void pass_fuse_norm_linear(MlirOperation function, pass_report *report)
{
    fuse_each(function, report, "wf.rms_norm", fuse);
    fuse_each(function, report, "wf.residual_norm", fuse);
}
