// In:  linear(x f32, quantised weights)
// Out: linear(quantize(x), weights); linears of one x share one quantize
//
// Quantised weights are multiplied as integers, so their input is rounded to 8-bit blocks first (kernel/q8.h).
#include "compiler/pass/pass.h"

static bool takes_q8(MlirValue weights)
{
    const weight_type *t = wf_weight_type(element_type_of(weights));
    return t && t->activation == ACTIVATION_Q8;
}

static MlirValue existing_quantize(MlirValue x)
{
    for (MlirOpOperand use = mlirValueGetFirstUse(x); !mlirOpOperandIsNull(use); use = mlirOpOperandGetNextUse(use))
        if (op_is(mlirOpOperandGetOwner(use), "wf.quantize"))
            return mlirOperationGetResult(mlirOpOperandGetOwner(use), 0);
    return (MlirValue){0};
}

static void lower(MlirOperation op, void *context)
{
    (void)context;
    linear_parts parts;
    if (!linear_read(op, &parts) || !takes_q8(parts.weights[0])) return;
    if (is_wf_type(element_type_of(parts.x), "q8")) return;
    MlirValue x = existing_quantize(parts.x);
    if (!x.ptr) {
        // right after x, so that it stands before every linear that reads it
        MlirOperation producer = defining_op(parts.x);
        op_builder b = op_builder_before(producer.ptr ? mlirOperationGetNextInBlock(producer) : op);
        MlirType q8 = tensor2(-1, dim_of(parts.x, 1), wf_type(b.ctx, "q8"));
        x = build_value(&b, "wf.quantize", q8, 1, &parts.x, 0, NULL);
    }
    mlirOperationSetOperand(op, 0, x);
}

void pass_lower_quantize(MlirOperation function, pass_report *report)
{
    (void)report; // nothing to choose here
    for_each_op(function, lower, NULL);
}
