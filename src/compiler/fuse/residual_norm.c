// In:  h = addf(x, r), y = rms_norm(h [, gamma])
// Out: h, y = residual_norm(x, r [, gamma])
//
// One pass over x and r writes both: h is not read again for the norm. This is for sums that no linear forms as it
// stores (linear-residual): of norms, as Gemma's, or of graphs that were raised.
#include "compiler/fuse/pass.h"

// The fused op stands where the norm does, so that gamma is there already: nobody may read h before.
static bool is_used_before(MlirValue h, MlirOperation norm)
{
    MlirBlock block = mlirOperationGetBlock(norm);
    for (MlirOpOperand use = mlirValueGetFirstUse(h); !mlirOpOperandIsNull(use); use = mlirOpOperandGetNextUse(use)) {
        MlirOperation user = mlirOpOperandGetOwner(use);
        if (!mlirBlockEqual(mlirOperationGetBlock(user), block)) return true;
        if (!mlirOperationEqual(user, norm) && mlirOperationIsBeforeInBlock(user, norm)) return true;
    }
    return false;
}

static const char *fuse(MlirOperation op, why_not_fn *back_end)
{
    norm_op norm;
    linear_op linear;
    if (!norm_read(op, &norm)) return NO_PLACE;
    MlirValue h = norm.x, y = norm.y.value;
    MlirOperation add = defining_op(h);
    if (linear_read(add, &linear) && linear.residual.ptr) return "a linear adds as it stores (linear-residual)";
    if (!op_is(add, "arith.addf") || norm.n_heads) return NO_PLACE;
    if (is_used_before(h, op)) return "the sum is used before the norm";
    op_builder b = op_builder_before(op);
    norm.kind = NORM_RESIDUAL;
    norm.x = mlirOperationGetOperand(add, 0);
    norm.residual = mlirOperationGetOperand(add, 1);
    norm.sum.type = mlirValueGetType(h);
    const char *why = ask_back_end(back_end, norm_write(&b, &norm));
    if (why) return why;
    replace_value(h, norm.sum.value);
    replace_value(y, norm.y.value);
    return FUSED;
}

void pass_fuse_residual_norm(MlirOperation function, why_not_fn *back_end, pass_report *report)
{
    fuse_each(function, back_end, report, "wf.rms_norm", fuse);
}
