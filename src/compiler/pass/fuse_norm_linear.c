// In:  quantize(rms_norm(x, gamma)), where all users of the norm are this quantize
// Out: rms_norm(x, gamma) with a q8 result
//
// The norm is computed once for all linears after it (q, k, v or gate, up) and written in the form that their kernel
// reads; the f32 result is never stored. Where the weights are floats, the norm's f32 result is that form already.
#include "compiler/pass/pass.h"

static void fuse(MlirOperation op, void *context)
{
    (void)context;
    if (!op_is(op, "wf.quantize")) return;
    MlirValue normed = mlirOperationGetOperand(op, 0), result = mlirOperationGetResult(op, 0);
    MlirOperation norm = defining_op(normed);
    if (!op_is(norm, "wf.rms_norm") || !has_one_use(normed)) return;
    mlirValueSetType(normed, mlirValueGetType(result));
    replace_value(result, normed);
}

void pass_fuse_norm_linear(MlirOperation function)
{
    for_each_op(function, fuse, NULL);
    wf_erase_dead(function);
}
