// In:  h = addf(x, r), y = rms_norm(h [, gamma])
// Out: h, y = residual_norm(x, r [, gamma])
//
// One pass over x and r writes both: h is not read again for the norm. This is for sums that no linear forms as it
// stores (linear-residual): of norms, as Gemma's, or of graphs that were raised.
#include "compiler/pass/pass.h"

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

static const char *fuse(MlirOperation norm)
{
    enum { MAX_ATTRIBUTES = 8 };
    MlirValue h = mlirOperationGetOperand(norm, 0);
    MlirOperation add = defining_op(h);
    linear_parts parts;
    if (linear_read(add, &parts) && parts.residual.ptr) return "a linear adds as it stores (linear-residual)";
    if (!op_is(add, "arith.addf") || op_int(norm, "n_heads", 0)) return NO_PLACE;
    if (is_used_before(h, norm)) return "the sum is used before the norm";
    if (mlirOperationGetNumAttributes(norm) > MAX_ATTRIBUTES) return "too many attributes";

    op_builder b = op_builder_before(norm);
    MlirValue operands[3] = {mlirOperationGetOperand(add, 0), mlirOperationGetOperand(add, 1)};
    bool has_gamma = mlirOperationGetNumOperands(norm) == 2;
    if (has_gamma) operands[2] = mlirOperationGetOperand(norm, 1);
    MlirNamedAttribute attributes[MAX_ATTRIBUTES];
    int n = 0;
    for (; n < mlirOperationGetNumAttributes(norm); n++) attributes[n] = mlirOperationGetAttribute(norm, n);
    MlirValue y = mlirOperationGetResult(norm, 0);
    MlirType results[] = {mlirValueGetType(h), mlirValueGetType(y)};
    MlirOperation op = build_op(&b, "wf.residual_norm", 2, results, has_gamma ? 3 : 2, operands, n, attributes);
    replace_value(h, mlirOperationGetResult(op, 0));
    replace_value(y, mlirOperationGetResult(op, 1));
    return FUSED;
}

void pass_fuse_residual_norm(MlirOperation function, pass_report *report)
{
    fuse_each(function, report, "wf.rms_norm", fuse);
}
