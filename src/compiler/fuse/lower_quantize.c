// In:  linear(x f32, quantised weights)
// Out: linear(quantize(x), weights); linears of one x share one quantize
//
// Quantised weights are multiplied as integers, so their input is rounded to 8-bit blocks first (kernel/rows/q8.h).
#include "compiler/fuse/pass.h"

// Those of graphs are multiplied with f32, as graphs say.
static bool takes_q8(MlirValue weights)
{
    blocks_op blocks;
    weight_op weight;
    if (blocks_read(defining_op(weights), &blocks)) return false;
    if (weight_read(defining_op(weights), &weight) && weight.wide) return false;
    const weight_type *t = wf_weight_type(element_type_of(weights));
    return t && t->activation == ACTIVATION_Q8;
}

static MlirValue existing_quantize(MlirValue x)
{
    quantize_op quantize;
    for (MlirOpOperand use = mlirValueGetFirstUse(x); !mlirOpOperandIsNull(use); use = mlirOpOperandGetNextUse(use))
        if (quantize_read(mlirOpOperandGetOwner(use), &quantize)) return quantize.y.value;
    return (MlirValue){0};
}

static void lower(MlirOperation op, void *context)
{
    (void)context;
    linear_op linear;
    enum { MAX_RANK = 16 };
    if (!linear_read(op, &linear) || !takes_q8(linear.weights[0]) || rank_of(linear.x) > MAX_RANK) return;
    if (is_wf_type(element_type_of(linear.x), "q8")) return;
    MlirValue x = existing_quantize(linear.x), y = linear.y.value;
    if (!x.ptr) {
        // right after x, so that it stands before every linear that reads it
        MlirOperation producer = defining_op(linear.x);
        op_builder b = op_builder_before(producer.ptr ? mlirOperationGetNextInBlock(producer) : op);
        int64_t dims[MAX_RANK];
        for (int d = 0; d < rank_of(linear.x); d++) dims[d] = dim_of(linear.x, d);
        quantize_op quantize = {.x = linear.x, .y = {.type = tensor_of(rank_of(linear.x), dims, wf_type(b.ctx, "q8"))}};
        x = quantize_write(&b, &quantize);
    }
    op_builder b = op_builder_before(op);
    linear.x = x;
    replace_value(y, linear_write(&b, &linear));
    mlirOperationDestroy(op);
}

void pass_lower_quantize(MlirOperation function, why_not_fn *back_end, pass_report *report)
{
    (void)back_end;
    (void)report; // nothing to choose here
    for_each_op(function, lower, NULL);
}
