// In:  addf(r, linear(x, w)) or addf(linear(x, w), r), the linear used here only
// Out: linear(x, w, residual r)
//
// The sum is formed as the linear stores its result: one pass over [rows, features] less.
#include "compiler/pass/pass.h"

static void fuse(MlirOperation op, void *context)
{
    (void)context;
    if (!op_is(op, "arith.addf")) return;
    for (int side = 0; side < 2; side++) {
        linear_parts parts;
        MlirValue product = mlirOperationGetOperand(op, side), other = mlirOperationGetOperand(op, 1 - side);
        if (!linear_read(defining_op(product), &parts) || !linear_is_plain(&parts)) continue;
        if (!has_one_use(product) || rank_of(product) != 2) continue;
        parts.residual = other;
        op_builder b = op_builder_before(op);
        replace_value(mlirOperationGetResult(op, 0), linear_write(&b, &parts));
        return;
    }
}

void pass_fuse_linear_residual(MlirOperation function)
{
    for_each_op(function, fuse, NULL);
    wf_erase_dead(function);
}
