// In:  swiglu(linear(x, w_gate), linear(x, w_up)), both linears used here only
// Out: linear(x, w_gate, w_up) {activation = "swiglu"}
//
// Gate and up panels are interleaved in the pack, so that one tile has both sums in registers: the two wide intermediate
// results are never written. The weights must be of one type and fill whole panels.
#include "compiler/pass/pass.h"

static void fuse(MlirOperation op, void *context)
{
    (void)context;
    if (!op_is(op, "wf.swiglu")) return;
    linear_parts gate, up;
    MlirValue gate_value = mlirOperationGetOperand(op, 0), up_value = mlirOperationGetOperand(op, 1);
    if (!linear_read(defining_op(gate_value), &gate) || !linear_read(defining_op(up_value), &up)) return;
    if (!linear_is_plain(&gate) || !linear_is_plain(&up) || gate.n_biases || up.n_biases) return;
    if (!mlirValueEqual(gate.x, up.x) || mlirValueEqual(gate_value, up_value)) return;
    if (!has_one_use(gate_value) || !has_one_use(up_value)) return;
    if (!mlirTypeEqual(mlirValueGetType(gate.weights[0]), mlirValueGetType(up.weights[0]))) return;
    if (dim_of(gate.weights[0], 0) < 0 || dim_of(gate.weights[0], 0) % 16) return;
    linear_parts fused = gate;
    fused.n_weights = 2;
    fused.weights[1] = up.weights[0];
    fused.swiglu = true;
    op_builder b = op_builder_before(op);
    replace_value(mlirOperationGetResult(op, 0), linear_write(&b, &fused));
}

void pass_fuse_linear_swiglu(MlirOperation function)
{
    for_each_op(function, fuse, NULL);
    wf_erase_dead(function);
}
