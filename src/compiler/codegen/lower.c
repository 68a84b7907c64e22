#include "compiler/codegen/lower.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/codegen/lower_parts.h"
#include "compiler/kernel/embed.h"
#include "runtime/kv.h"
#include "compiler/kernel/linear.h"
#include "compiler/kernel/norm.h"
#include "compiler/kernel/q8.h"
#include "compiler/kernel/rope.h"
#include "compiler/kernel/rowwise.h"
#include "compiler/pass/pass.h"
#include "runtime/pack_convert.h"

wf_status lowering_fail(lowering *l, MlirOperation op, const char *reason)
{
    MlirStringRef name = mlirIdentifierStr(mlirOperationGetName(op));
    buffer location = {0};
    print_location(mlirOperationGetLocation(op), &location);
    wf_status status =
        error_set(l->err, WF_ERROR_UNSUPPORTED, "%s: %.*s: %s", location.data, (int)name.length, name.data, reason);
    buffer_free(&location);
    return status;
}

// ---- values

static bool place(lowering *l, MlirValue v, int index, int64_t skip_bytes)
{
    if (l->n_placed == l->max_placed) {
        int max = l->max_placed ? 2 * l->max_placed : 256;
        placed *moved = realloc(l->placed, (size_t)max * sizeof *moved);
        if (!moved) return l->p.failed = true, false;
        l->placed = moved;
        l->max_placed = max;
    }
    l->placed[l->n_placed++] = (placed){v, index, skip_bytes};
    return true;
}

// Newest first: operands are mostly recent.
static const placed *find_placed(const lowering *l, MlirValue v)
{
    for (int i = l->n_placed; i-- > 0;)
        if (mlirValueEqual(l->placed[i].value, v)) return &l->placed[i];
    return NULL;
}

static int64_t row_bytes(MlirValue v)
{
    int64_t cols = dim_of(v, 1);
    return is_wf_type(element_type_of(v), "q8") ? q8_row_bytes(cols) : 4 * cols;
}

// Whether the value is the logits, or becomes them in place.
static bool is_returned(MlirValue v)
{
    MlirOpOperand use = mlirValueGetFirstUse(v);
    if (mlirOpOperandIsNull(use)) return false;
    MlirOperation user = mlirOpOperandGetOwner(use);
    if (op_is(user, "wf.softcap") && has_one_use(v)) return is_returned(mlirOperationGetResult(user, 0));
    return op_is(user, "func.return");
}

// The plan value of a result of an op, with `rows` rows.
static int new_value(lowering *l, MlirValue v, plan_dim rows)
{
    int index = plan_add_value(&l->p, is_returned(v) ? BASE_LOGITS : BASE_ARENA, rows, row_bytes(v));
    place(l, v, index, 0);
    return index;
}

int lowering_add_result(lowering *l, MlirOperation op, plan_dim rows)
{
    return new_value(l, mlirOperationGetResult(op, 0), rows);
}

const placed *lowering_operand(const lowering *l, MlirOperation op, intptr_t i)
{
    return find_placed(l, mlirOperationGetOperand(op, i));
}

static plan_dim lowering_rows_of(const lowering *l, const placed *v) { return l->p.values[v->plan_value].rows; }

// ---- kernels

uint32_t lowering_add_kernel(lowering *l, const char *name, build_kernel *build, const void *params)
{
    bool is_new;
    uint32_t index = plan_add_kernel(&l->p, name, &is_new);
    if (is_new) build(shards_next(l->kernels), params, name);
    return index;
}

BUILD_WRAPPER(embed_build, embed_kernel)
BUILD_WRAPPER(rowwise_build, rowwise_kernel)
BUILD_WRAPPER(rms_norm_build, norm_kernel)
BUILD_WRAPPER(layer_norm_build, norm_kernel)
BUILD_WRAPPER(linear_build, linear_kernel)
BUILD_WRAPPER(head_norm_build, head_norm_kernel)

plan_call *lowering_add_call(lowering *l, uint32_t k, const char *label, plan_dim rows)
{
    plan_call *call = plan_add_call(&l->p, k, label);
    call->tiles.a = affine_of(rows, 1);
    return call;
}

// ---- weights

static const char *weight_name(lowering *l, MlirValue v)
{
    MlirStringRef name = op_string(defining_op(v), "name");
    return arena_strdup(&l->p.plan->memory, (view){name.data, name.length});
}

static int64_t common_divisor(int64_t a, int64_t b)
{
    for (int64_t rest; b; a = b, b = rest) rest = a % b;
    return a;
}

// rows are the lengths of vectors that lie behind each other: they are cut into rows of one length.
static void cut_vectors(plan_weight *w)
{
    w->cols = 0;
    for (uint32_t i = 0; i < w->n_sources; i++) w->cols = common_divisor(w->rows[i], w->cols);
    for (uint32_t i = 0; i < w->n_sources; i++) w->rows[i] /= w->cols;
}

wf_status lowering_add_weight(lowering *l, MlirOperation user, const MlirValue *sources, int n, bool interleave,
                              int *index)
{
    static const struct {
        tensor_type type;
        weight_layout layout;
    } layouts[] = {
        {TENSOR_F32, LAYOUT_F32_X16},   {TENSOR_F16, LAYOUT_F16_X16},   {TENSOR_BF16, LAYOUT_BF16_X16},
        {TENSOR_Q8_0, LAYOUT_Q8_0_X16}, {TENSOR_Q4_0, LAYOUT_Q4_0_X16}, {TENSOR_Q4_1, LAYOUT_Q4_1_X16},
        {TENSOR_Q5_0, LAYOUT_Q5_0_X16}, {TENSOR_Q5_1, LAYOUT_Q5_1_X16}, {TENSOR_Q4_K, LAYOUT_Q4_K_X16},
        {TENSOR_Q5_K, LAYOUT_Q5_K_X16}, {TENSOR_Q6_K, LAYOUT_Q6_K_X16},
    };
    plan_weight w = {.n_sources = (uint32_t)n, .interleave = interleave};
    for (int i = 0; i < n; i++) {
        if (!op_is(defining_op(sources[i]), "wf.weight"))
            return lowering_fail(l, user, "a weight is no tensor of the checkpoint");
        w.sources[i] = weight_name(l, sources[i]);
        if (!w.sources[i]) return error_memory(l->err, 0);
        const checkpoint_tensor *t = checkpoint_find_tensor(l->file, w.sources[i]);
        bool is_vector = rank_of(sources[i]) == 1;
        tensor_type packed = weights_type(t, l->facts->weights);
        w.layout = LAYOUT_VECTOR_F32;
        for (size_t j = 0; j < sizeof layouts / sizeof *layouts && !is_vector; j++)
            if (layouts[j].type == packed) w.layout = layouts[j].layout;
        w.types[i] = t->type;
        w.cols = t->dims[0];
        w.rows[i] = is_vector ? t->dims[0] : t->dims[1];
    }
    if (w.layout == LAYOUT_VECTOR_F32) cut_vectors(&w);
    w.plus_one = op_bool(user, "plus_one");
    return plan_add_weight(&l->p, &w, index, l->err);
}

// ---- ops

static wf_status lower_embed(lowering *l, MlirOperation op)
{
    MlirValue table = mlirOperationGetOperand(op, 1);
    int w;
    TRY(lowering_add_weight(l, op, &table, 1, false, &w));
    embed_kernel k = {.layout = l->p.weights[w].layout, .cols = dim_of(table, 1), .scale = op_float(op, "scale", 1)};
    char name[96];
    embed_name(&k, name);
    int y = lowering_add_result(l, op, DIM_TOKENS);
    lowering_add_call(l, lowering_add_kernel(l, name, do_embed_build, &k), "embed", DIM_TOKENS);
    plan_uses_area(&l->p, BASE_TOKENS, constant_size(0), affine_of(DIM_TOKENS, 4), false);
    plan_uses_weight(&l->p, w);
    plan_writes(&l->p, y);
    return WF_OK;
}

static wf_status lower_rowwise(lowering *l, MlirOperation op, rowwise_op kind, const char *label)
{
    const placed *x = lowering_operand(l, op, 0);
    plan_dim rows = kind == ROWWISE_GATHER ? DIM_OUTPUTS : lowering_rows_of(l, x);
    rowwise_kernel k = {.op = kind,
                        .cols = dim_of(mlirOperationGetOperand(op, 0), 1),
                        .out_q8 = has_quantised_result(op),
                        .cap = op_float(op, "cap", 0)};
    char name[96];
    rowwise_name(&k, name);
    int x_value = x->plan_value, y = lowering_add_result(l, op, rows);
    lowering_add_call(l, lowering_add_kernel(l, name, do_rowwise_build, &k), label, rows);
    plan_reads(&l->p, x_value);
    if (kind == ROWWISE_GATHER)
        plan_uses_area(&l->p, BASE_ROWS, constant_size(0), affine_of(DIM_OUTPUTS, 4), false);
    else if (kind != ROWWISE_QUANTIZE && kind != ROWWISE_SOFTCAP)
        plan_reads(&l->p, lowering_operand(l, op, 1)->plan_value);
    plan_writes(&l->p, y);
    return WF_OK;
}

static wf_status lower_add(lowering *l, MlirOperation op) { return lower_rowwise(l, op, ROWWISE_ADD, "add"); }
static wf_status lower_swiglu(lowering *l, MlirOperation op)
{
    bool gelu = op_string(op, "activation").length > 0;
    return lower_rowwise(l, op, gelu ? ROWWISE_GEGLU : ROWWISE_SWIGLU, gelu ? "geglu" : "swiglu");
}
static wf_status lower_softcap(lowering *l, MlirOperation op)
{
    return lower_rowwise(l, op, ROWWISE_SOFTCAP, "softcap");
}
static wf_status lower_quantize(lowering *l, MlirOperation op)
{
    return lower_rowwise(l, op, ROWWISE_QUANTIZE, "quantize");
}
static wf_status lower_select_rows(lowering *l, MlirOperation op)
{
    return lower_rowwise(l, op, ROWWISE_GATHER, "select rows");
}

static wf_status lower_head_norm(lowering *l, MlirOperation op)
{
    const placed x = *lowering_operand(l, op, 0);
    MlirValue gamma = mlirOperationGetOperand(op, 1);
    head_norm_kernel k = {
        .n_heads = op_int(op, "n_heads", 1), .head_dim = dim_of(gamma, 0), .eps = op_float(op, "eps", 0)};
    char name[96];
    head_norm_name(&k, name);
    int w;
    TRY(lowering_add_weight(l, op, &gamma, 1, false, &w));
    plan_dim rows = lowering_rows_of(l, &x);
    int y = lowering_add_result(l, op, rows);
    lowering_add_call(l, lowering_add_kernel(l, name, do_head_norm_build, &k), weight_name(l, gamma), rows);
    plan_reads_part(&l->p, x.plan_value, x.skip_bytes);
    plan_writes(&l->p, y);
    plan_uses_weight(&l->p, w);
    plan_size(&l->p, affine_of(rows, 1));
    plan_size(&l->p, constant_size(l->p.values[x.plan_value].row_bytes / 4));
    return WF_OK;
}

// rms_norm, layer_norm, and residual_norm, which reads one value more and writes one more.
static wf_status lower_norm(lowering *l, MlirOperation op)
{
    if (op_int(op, "n_heads", 0)) return lower_head_norm(l, op);
    bool residual = op_is(op, "wf.residual_norm"), layer = op_is(op, "wf.layer_norm");
    int64_t at_gamma = residual ? 2 : 1, at_beta = 0;
    int gamma = 0, beta = 0, r = 0, h = 0;
    MlirValue y_value = mlirOperationGetResult(op, residual ? 1 : 0);
    const placed *x = lowering_operand(l, op, 0);
    int x_value = x->plan_value;
    plan_dim rows = lowering_rows_of(l, x);
    norm_kernel k = {.cols = dim_of(mlirOperationGetOperand(op, 0), 1),
                     .eps = op_float(op, "eps", 0),
                     .gamma = layer ? op_segment(op, 1, &at_gamma) > 0 : mlirOperationGetNumOperands(op) > at_gamma,
                     .beta = layer && op_segment(op, 2, &at_beta) > 0,
                     .residual = residual,
                     .out_q8 = is_wf_type(element_type_of(y_value), "q8")};
    if (k.beta && op_bool(op, "plus_one")) return lowering_fail(l, op, "plus_one of gamma alone has no packed form");
    char name[96];
    (layer ? layer_norm_name : rms_norm_name)(&k, name);
    MlirValue gamma_value = {0};
    if (k.gamma) gamma_value = mlirOperationGetOperand(op, (intptr_t)at_gamma);
    if (k.gamma) TRY(lowering_add_weight(l, op, &gamma_value, 1, false, &gamma));
    MlirValue beta_value = {0};
    if (k.beta) beta_value = mlirOperationGetOperand(op, (intptr_t)at_beta);
    if (k.beta) TRY(lowering_add_weight(l, op, &beta_value, 1, false, &beta));
    if (residual) r = lowering_operand(l, op, 1)->plan_value;
    if (residual) h = lowering_add_result(l, op, rows);
    int y = new_value(l, y_value, rows);
    uint32_t index = lowering_add_kernel(l, name, layer ? do_layer_norm_build : do_rms_norm_build, &k);
    const char *label = k.gamma ? weight_name(l, gamma_value) : layer ? "layer_norm" : "rms_norm";
    plan_call *call = lowering_add_call(l, index, label, rows);
    call->flops = affine_of(rows, ((layer ? 8 : 4) + (residual ? 1 : 0)) * k.cols);
    plan_reads(&l->p, x_value);
    plan_writes(&l->p, y);
    if (k.gamma) plan_uses_weight(&l->p, gamma);
    if (k.beta) plan_uses_weight(&l->p, beta);
    if (residual) plan_reads(&l->p, r);
    if (residual) plan_writes(&l->p, h);
    return WF_OK;
}

static wf_status lower_linear(lowering *l, MlirOperation op)
{
    linear_parts parts;
    if (!linear_read(op, &parts)) return lowering_fail(l, op, "malformed");
    int w, bias = 0;
    TRY(lowering_add_weight(l, op, parts.weights, parts.n_weights, parts.swiglu, &w));
    if (parts.n_biases) TRY(lowering_add_weight(l, op, parts.biases, parts.n_biases, false, &bias));
    const plan_weight *weight = &l->p.weights[w];
    int64_t features = dim_of(mlirOperationGetResult(op, 0), 1), matrix_rows = 0;
    for (int i = 0; i < parts.n_weights; i++) matrix_rows += weight->rows[i];
    linear_kernel k = {.layout = weight->layout,
                       .cols = weight->cols,
                       .tail = parts.n_weights == 1 ? features % PANEL_ROWS : 0,
                       .bias = parts.n_biases > 0,
                       .residual = parts.residual.ptr != NULL,
                       .swiglu = parts.swiglu,
                       .gelu = parts.gelu,
                       .q8_features = has_quantised_result(op) ? features : 0};
    char name[96];
    linear_name(&k, name);
    const placed *x = find_placed(l, parts.x);
    int x_value = x->plan_value;
    plan_dim rows = lowering_rows_of(l, x);
    int y = lowering_add_result(l, op, rows);
    int64_t per_tile = linear_tile_features(&k), n_tiles = (features + per_tile - 1) / per_tile;
    plan_call *call = plan_add_call(&l->p, lowering_add_kernel(l, name, do_linear_build, &k), weight->sources[0]);
    // no rows, no work: tiles must vanish with n_outputs, so they are counted as tiles a row and all rows share one
    call->tiles = (plan_count){.a = affine_of(rows, 1), .divisor = PLAN_ALL_ROWS, .factor = n_tiles};
    call->flops = affine_of(rows, 2 * k.cols * matrix_rows);
    plan_reads(&l->p, x_value);
    plan_uses_weight(&l->p, w);
    plan_writes(&l->p, y);
    if (k.bias) plan_uses_weight(&l->p, bias);
    if (k.residual) plan_reads(&l->p, find_placed(l, parts.residual)->plan_value);
    plan_size(&l->p, affine_of(rows, 1));
    plan_size(&l->p, constant_size(features));
    plan_size(&l->p, constant_size(n_tiles));
    return WF_OK;
}

static wf_status lower_columns(lowering *l, MlirOperation op)
{
    const placed *x = lowering_operand(l, op, 0);
    int64_t skip = x->skip_bytes + 4 * op_int(op, "first", 0);
    place(l, mlirOperationGetResult(op, 0), x->plan_value, skip);
    return WF_OK;
}

// ---- the function

static wf_status lower_nothing(lowering *l, MlirOperation op)
{
    (void)l, (void)op;
    return WF_OK;
}

static const struct {
    const char *op;
    wf_status (*lower)(lowering *l, MlirOperation op);
} RULES[] = {
    {"wf.weight", lower_nothing},
    {"wf.rope_table", lower_nothing},
    {"func.return", lower_nothing},
    {"wf.embed", lower_embed},
    {"wf.select_rows", lower_select_rows},
    {"wf.rms_norm", lower_norm},
    {"wf.layer_norm", lower_norm},
    {"wf.residual_norm", lower_norm},
    {"wf.linear", lower_linear},
    {"wf.columns", lower_columns},
    {"wf.rope", lower_rope},
    {"wf.rope_store", lower_rope_store},
    {"wf.attention", lower_attention},
    {"wf.cached_attention", lower_cached_attention},
    {"wf.swiglu", lower_swiglu},
    {"wf.softcap", lower_softcap},
    {"wf.quantize", lower_quantize},
    {"arith.addf", lower_add},
};

static wf_status lower_op(lowering *l, MlirOperation op)
{
    for (size_t i = 0; i < sizeof RULES / sizeof *RULES; i++)
        if (op_is(op, RULES[i].op)) return RULES[i].lower(l, op);
    return lowering_fail(l, op, "no kernel computes this op");
}

static wf_status copy_facts(const model_facts *facts, bool kv_f32, plan *out, wf_error *err)
{
    out->architecture = arena_strdup(&out->memory, view_of(facts->architecture));
    out->name = arena_strdup(&out->memory, view_of(facts->name));
    plan_rope *ropes = arena_alloc(&out->memory, facts->n_ropes, sizeof *ropes);
    if (!out->architecture || !out->name || !ropes) return error_memory(err, 0);
    for (uint32_t i = 0; i < facts->n_ropes; i++) {
        size_t n = (size_t)facts->ropes[i].n_dims / 2;
        double *inv_freq = arena_alloc(&out->memory, n, sizeof *inv_freq);
        if (!inv_freq) return error_memory(err, n * sizeof *inv_freq);
        memcpy(inv_freq, facts->ropes[i].inv_freq, n * sizeof *inv_freq);
        ropes[i] = facts->ropes[i];
        ropes[i].inv_freq = inv_freq;
    }
    out->n_ropes = facts->n_ropes;
    out->ropes = ropes;
    out->n_vocab = facts->n_vocab;
    out->n_ctx_train = facts->n_ctx_train;
    out->n_embd = facts->n_embd;
    out->kv = facts_kv_layout(facts, kv_f32);
    return WF_OK;
}

wf_status lower_to_plan(MlirOperation function, const checkpoint *file, const model_facts *facts,
                        const compile_options *options, kernel_shards *kernels, plan *out, wf_error *err)
{
    TRY(copy_facts(facts, options->kv_f32, out, err));
    lowering l = {.file = file, .facts = facts, .kv_f32 = options->kv_f32, .kernels = kernels, .err = err};
    plan_builder_init(&l.p, out);
    wf_status status = WF_OK;
    MlirBlock block = mlirRegionGetFirstBlock(mlirOperationGetRegion(function, 0));
    for (MlirOperation op = mlirBlockGetFirstOperation(block); status == WF_OK && op.ptr;
         op = mlirOperationGetNextInBlock(op))
        status = lower_op(&l, op);
    if (status == WF_OK) status = plan_finish(&l.p, err);
    plan_builder_free(&l.p);
    free(l.placed);
    return status;
}
