// What works row by row: the embedding (kernel/embed.h), and small steps that were not fused into anything
// (kernel/rowwise.h).
#include "compiler/kernel/embed.h"
#include "compiler/kernel/rowwise.h"
#include "compiler/lower/lowering.h"

BUILD_WRAPPER(embed_build, embed_kernel)
BUILD_WRAPPER(rowwise_build, rowwise_kernel)

wf_status lower_embed(lowering *l)
{
    MlirValue table = mlirOperationGetOperand(l->op, 1), result = mlirOperationGetResult(l->op, 0);
    tensor ids, y;
    char name[96];
    int w;
    if (!is_checkpoint_weight(table)) return lowering_refuse(l, "has a table that is no tensor of the checkpoint");
    embed_kernel k = {
        .layout = lowering_weight_layout(l, table), .cols = dim_of(table, 1), .scale = op_float(l->op, "scale", 1)};
    embed_name(&k, name);
    TRY(lowering_read_tensor(l, mlirOperationGetOperand(l->op, 0), &ids));
    TRY(lowering_bind_matrix(l, &table, 1, false, k.layout, &w));
    TRY(lowering_new_tensor(l, mlirValueGetType(result), ids.dims, &y));
    call *c = lowering_add_call(l, lowering_add_kernel(l, name, do_embed_build, &k), "embed");
    if (!c) return error_memory(l->err, sizeof *c);
    call_tiles(c, form_of(ids.dims[0], 1));
    call_reads(l, ids.root, 0);
    call_reads(l, w, 0);
    call_writes(l, y.root);
    return lowering_add_tensor(l, result, &y);
}

static const struct {
    const char *op, *label;
    rowwise_op kind;
    int n_operands;
    bool in_place; // the result may take its operand's memory
} STEPS[] = {
    {"arith.addf", "add", ROWWISE_ADD, 2, false},
    {"wf.swiglu", "swiglu", ROWWISE_SWIGLU, 2, false},
    {"wf.swiglu", "geglu", ROWWISE_GEGLU, 2, false}, // with an activation
    {"wf.softcap", "softcap", ROWWISE_SOFTCAP, 1, true},
    {"wf.quantize", "quantize", ROWWISE_QUANTIZE, 1, false},
    {"wf.select_rows", "select rows", ROWWISE_GATHER, 2, false},
};

wf_status lower_rows(lowering *l)
{
    size_t step = 0;
    while (!op_is(l->op, STEPS[step].op)) step++;
    if (STEPS[step].kind == ROWWISE_SWIGLU && op_string(l->op, "activation").length) step++;
    MlirValue operand = mlirOperationGetOperand(l->op, 0), result = mlirOperationGetResult(l->op, 0);
    rowwise_kernel k = {.op = STEPS[step].kind,
                        .cols = dim_of(operand, 1),
                        .out_q8 = is_wf_type(element_type_of(result), "q8"),
                        .cap = op_float(l->op, "cap", 0)};
    tensor x[2], y;
    char name[96];
    rowwise_name(&k, name);
    for (int i = 0; i < STEPS[step].n_operands; i++) TRY(lowering_to_root(l, mlirOperationGetOperand(l->op, i), &x[i]));
    size_code rows = k.op == ROWWISE_GATHER ? x[1].dims[0] : x[0].dims[0];
    if (STEPS[step].in_place && has_one_use(operand))
        y = x[0];
    else
        TRY(lowering_new_tensor(l, mlirValueGetType(result), k.op == ROWWISE_GATHER ? x[1].dims : x[0].dims, &y));
    call *c = lowering_add_call(l, lowering_add_kernel(l, name, do_rowwise_build, &k), STEPS[step].label);
    if (!c) return error_memory(l->err, sizeof *c);
    call_tiles(c, form_of(rows, 1));
    for (int i = 0; i < STEPS[step].n_operands; i++) call_reads(l, x[i].root, 0);
    call_writes(l, y.root);
    return lowering_add_tensor(l, result, &y);
}
