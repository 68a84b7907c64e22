// In:  addf(r, linear(x, w)) or addf(linear(x, w), r), the linear used here only
// Out: linear(x, w, residual r)
//
// The sum is formed as the linear stores its result: one pass over [rows, features] less.
#include "compiler/fuse/pass.h"

static const char *fuse(MlirOperation op, why_not_fn *back_end)
{
    const char *reason = NO_PLACE;
    for (int side = 0; side < 2; side++) {
        linear_op linear;
        MlirValue product = mlirOperationGetOperand(op, side), other = mlirOperationGetOperand(op, 1 - side);
        const char *between;
        if (rank_of(product) < 2 || !linear_behind(product, &between).ptr) continue;
        if (!linear_read(defining_op(product), &linear)) {
            reason = between;
            continue;
        }
        if (!linear_is_plain(&linear))
            reason = "the linear has another epilogue already";
        else if (!has_one_use(product))
            reason = "the linear's result is used elsewhere too";
        else {
            linear.residual = other;
            op_builder b = op_builder_before(op);
            MlirValue fused = linear_write(&b, &linear);
            reason = ask_back_end(back_end, fused);
            if (reason) continue;
            replace_value(mlirOperationGetResult(op, 0), fused);
            return FUSED;
        }
    }
    return reason;
}

void pass_fuse_linear_residual(MlirOperation function, why_not_fn *back_end, pass_report *report)
{
    fuse_each(function, back_end, report, "arith.addf", fuse);
}
