// What works row by row: the embedding (kernel/rows/embed.h), and small steps that were not fused into anything
// (kernel/rows/rowwise.h).
#include "compiler/kernel/rows/embed.h"
#include "compiler/kernel/rows/rowwise.h"
#include "compiler/lower/lowering.h"

wf_status lower_embed(lowering *l)
{
    embed_op op;
    tensor ids, y;
    int w;
    embed_read(l->op, &op);
    if (!is_weight(op.table)) return lowering_refuse(l, "has a table that is no tensor of the checkpoint");
    embed_kernel k = {
        .layout = wf_weight_type(element_type_of(op.table))->layout, .cols = dim_of(op.table, 1), .scale = op.scale};
    TRY(lowering_read_tensor(l, op.ids, &ids));
    TRY(lowering_bind_matrix(l, &op.table, 1, false, k.layout, &w));
    TRY(lowering_new_tensor(l, op.y.type, ids.dims, &y));
    call *c = lowering_add_call(l, lowering_add_kernel(l, &EMBED_KERNEL, &k), "embed");
    if (!c) return error_memory(l->err, sizeof *c);
    call_tiles(c, form_of(ids.dims[0], 1));
    call_reads(l, ids.root, 0);
    call_reads(l, w, 0);
    call_writes(l, y.root);
    return lowering_add_tensor(l, op.y.value, &y);
}

// A small step: in[0] row by row to y, with in[1] (null: none) beside it, or as the rows to choose.
typedef struct row_step {
    const char *label;
    rowwise_op kind;
    MlirValue in[2];
    double cap;
    op_result y;
} row_step;

static wf_status lower_step(lowering *l, const row_step *step)
{
    rowwise_kernel k = {.op = step->kind,
                        .cols = dim_of(step->in[0], 1),
                        .out_q8 = is_wf_type(element_type_of(step->y.value), "q8"),
                        .cap = step->cap};
    tensor x[2], y;
    int n = step->in[1].ptr ? 2 : 1;
    for (int i = 0; i < n; i++) TRY(lowering_to_root(l, step->in[i], &x[i]));
    size_code rows = k.op == ROWWISE_GATHER ? x[1].dims[0] : x[0].dims[0];
    if (k.op == ROWWISE_SOFTCAP && has_one_use(step->in[0])) // in place
        y = x[0];
    else
        TRY(lowering_new_tensor(l, step->y.type, k.op == ROWWISE_GATHER ? x[1].dims : x[0].dims, &y));
    call *c = lowering_add_call(l, lowering_add_kernel(l, &ROWWISE_KERNELS[k.op], &k), step->label);
    if (!c) return error_memory(l->err, sizeof *c);
    call_tiles(c, form_of(rows, 1));
    for (int i = 0; i < n; i++) call_reads(l, x[i].root, 0);
    call_writes(l, y.root);
    return lowering_add_tensor(l, step->y.value, &y);
}

const char *why_not_glu(MlirOperation op, graph_kind kind)
{
    glu_op glu;
    if (kind != GRAPH_OF_SEQUENCE) return "a gate is a loop nest in a graph";
    return glu_read(op, &glu) && glu.activation != GLU_GELU && !glu.rounded.ptr
               ? NULL
               : "no kernel gates by gelu by erf, or rounds before the product";
}

wf_status lower_glu(lowering *l)
{
    static const struct {
        const char *label;
        rowwise_op kind;
    } KINDS[] = {[GLU_SILU] = {"swiglu", ROWWISE_SWIGLU}, [GLU_GELU_TANH] = {"geglu", ROWWISE_GEGLU}};
    glu_op op;
    const char *why = why_not_glu(l->op, GRAPH_OF_SEQUENCE);
    if (why) return lowering_refuse_kernel(l, why);
    glu_read(l->op, &op);
    row_step step = {KINDS[op.activation].label, KINDS[op.activation].kind, {op.gate, op.up}, 0, op.y};
    return lower_step(l, &step);
}

wf_status lower_softcap(lowering *l)
{
    softcap_op op;
    softcap_read(l->op, &op);
    row_step step = {"softcap", ROWWISE_SOFTCAP, {op.x}, op.cap, op.y};
    return lower_step(l, &step);
}

const char *why_not_quantize(MlirOperation op, graph_kind kind)
{
    quantize_op quantize;
    if (!quantize_read(op, &quantize)) return "it is no quantize";
    int64_t cols = dim_of(quantize.x, rank_of(quantize.x) - 1);
    if (kind != GRAPH_OF_SEQUENCE && !is_small_float(quantize.x)) return "no kernel quantises its type";
    return cols > 0 && cols % QUANT_BLOCK == 0 ? NULL : "its rows are no whole number of blocks of 32";
}

wf_status lower_quantize(lowering *l)
{
    quantize_op op;
    tensor x, wide, y;
    size_code rows;
    const char *why = why_not_quantize(l->op, is_sequence(l) ? GRAPH_OF_SEQUENCE : GRAPH_ON_ARRAYS);
    if (why) return lowering_refuse_kernel(l, why);
    quantize_read(l->op, &op);
    rowwise_kernel k = {.op = ROWWISE_QUANTIZE, .cols = dim_of(op.x, rank_of(op.x) - 1), .out_q8 = true};
    TRY(lowering_to_root(l, op.x, &x));
    if (!mlirTypeIsAF32(x.element)) {
        TRY(lowering_new_tensor(l, type_with_f32(mlirValueGetType(op.x)), x.dims, &wide));
        TRY(lowering_copy(l, &x, &wide));
        x = wide;
    }
    if (!lowering_multiply(l, x.dims, x.rank - 1, &rows)) return lowering_refuse(l, "is too large");
    TRY(lowering_new_tensor(l, op.y.type, x.dims, &y));
    call *c = lowering_add_call(l, lowering_add_kernel(l, &ROWWISE_KERNELS[k.op], &k), "quantize");
    if (!c) return error_memory(l->err, sizeof *c);
    call_tiles(c, form_of(rows, 1));
    call_reads(l, x.root, 0);
    call_writes(l, y.root);
    return lowering_add_tensor(l, op.y.value, &y);
}

wf_status lower_select_rows(lowering *l)
{
    select_rows_op op;
    select_rows_read(l->op, &op);
    row_step step = {"select rows", ROWWISE_GATHER, {op.x, op.which}, 0, op.y};
    return lower_step(l, &step);
}

wf_status lower_add(lowering *l)
{
    MlirValue y = mlirOperationGetResult(l->op, 0);
    row_step step = {"add",
                     ROWWISE_ADD,
                     {mlirOperationGetOperand(l->op, 0), mlirOperationGetOperand(l->op, 1)},
                     0,
                     {mlirValueGetType(y), y}};
    return lower_step(l, &step);
}
