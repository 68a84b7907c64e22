// In:  quantize(rms_norm(x, gamma)), where all users of the norm are this quantize; residual_norm likewise
// Out: rms_norm(x, gamma) with a q8 result
//
// The norm is computed once for all linears after it (q, k, v or gate, up) and written in the form that their kernel
// reads; the f32 result is never stored. Where the weights are floats, the norm's f32 result is that form already.
#include "compiler/pass/pass.h"

static const char *fuse(MlirOperation norm)
{
    MlirValue normed = mlirOperationGetResult(norm, mlirOperationGetNumResults(norm) - 1); // after h
    MlirOperation quantize = {0};
    bool only_linears = true;
    for (MlirOpOperand use = mlirValueGetFirstUse(normed); !mlirOpOperandIsNull(use);
         use = mlirOpOperandGetNextUse(use)) {
        MlirOperation user = mlirOpOperandGetOwner(use);
        if (op_is(user, "wf.quantize")) quantize = user;
        only_linears = only_linears && op_is(user, "wf.linear");
    }
    if (!quantize.ptr) return only_linears ? FUSED : NO_PLACE;
    if (!has_one_use(normed)) return "the f32 result is used elsewhere too";
    MlirValue result = mlirOperationGetResult(quantize, 0);
    mlirValueSetType(normed, mlirValueGetType(result));
    replace_value(result, normed);
    return FUSED;
}

void pass_fuse_norm_linear(MlirOperation function, pass_report *report)
{
    fuse_each(function, report, "wf.rms_norm", fuse);
    fuse_each(function, report, "wf.residual_norm", fuse);
}
