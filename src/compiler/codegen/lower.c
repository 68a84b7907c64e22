#include "compiler/codegen/lower.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/codegen/plan_builder.h"
#include "compiler/kernel/attention.h"
#include "compiler/kernel/embed.h"
#include "compiler/kernel/kv.h"
#include "compiler/kernel/linear.h"
#include "compiler/kernel/norm.h"
#include "compiler/kernel/q8.h"
#include "compiler/kernel/rope.h"
#include "compiler/kernel/rowwise.h"
#include "compiler/pass/pass.h"
#include "runtime/pack_convert.h"

// Where a value of the graph lies: a plan value, or a part of every row of one.
typedef struct placed {
    MlirValue value;
    int plan_value;
    int64_t skip_bytes;
} placed;

typedef struct lowering {
    plan_builder p;
    const checkpoint *file;
    const model_facts *facts;
    bool kv_f32;
    kernel_shards *kernels;
    placed *placed;
    int n_placed, max_placed;
    MlirBlock block;
    wf_error *err;
} lowering;

static wf_status fail_op(lowering *l, MlirOperation op, const char *reason)
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

static int new_result(lowering *l, MlirOperation op, plan_dim rows)
{
    return new_value(l, mlirOperationGetResult(op, 0), rows);
}

static const placed *operand_of(const lowering *l, MlirOperation op, intptr_t i)
{
    return find_placed(l, mlirOperationGetOperand(op, i));
}

static plan_dim rows_of(const lowering *l, const placed *v) { return l->p.values[v->plan_value].rows; }

static bool has_quantised_result(MlirOperation op)
{
    return is_wf_type(element_type_of(mlirOperationGetResult(op, 0)), "q8");
}

static affine constant_size(int64_t c) { return affine_of(DIM_ONE, c); }

// ---- kernels

typedef void build_kernel(builder *b, const void *params, const char *name);

static uint32_t kernel(lowering *l, const char *name, build_kernel *build, const void *params)
{
    bool is_new;
    uint32_t index = plan_add_kernel(&l->p, name, &is_new);
    if (is_new) build(shards_next(l->kernels), params, name);
    return index;
}

// Typed wrappers, so that no function is called through a pointer of another type.
#define BUILD_WRAPPER(function, params_type)                                                                           \
    static void do_##function(builder *b, const void *params, const char *name)                                        \
    {                                                                                                                  \
        const params_type *typed = params;                                                                             \
        function(b, typed, name);                                                                                      \
    }
BUILD_WRAPPER(embed_build, embed_kernel)
BUILD_WRAPPER(rowwise_build, rowwise_kernel)
BUILD_WRAPPER(rms_norm_build, norm_kernel)
BUILD_WRAPPER(layer_norm_build, norm_kernel)
BUILD_WRAPPER(linear_build, linear_kernel)
BUILD_WRAPPER(rope_build, rope_kernel)
BUILD_WRAPPER(head_norm_build, head_norm_kernel)
BUILD_WRAPPER(kv_store_build, kv_store_kernel)
BUILD_WRAPPER(rope_store_build, rope_store_kernel)
BUILD_WRAPPER(attention_build, attention_kernel)
BUILD_WRAPPER(attention_merge_build, attention_kernel)

static plan_call *call_rows(lowering *l, uint32_t k, const char *label, plan_dim rows)
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

static wf_status add_weight(lowering *l, MlirOperation user, const MlirValue *sources, int n, bool interleave,
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
            return fail_op(l, user, "a weight is no tensor of the checkpoint");
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
    TRY(add_weight(l, op, &table, 1, false, &w));
    embed_kernel k = {.layout = l->p.weights[w].layout, .cols = dim_of(table, 1), .scale = op_float(op, "scale", 1)};
    char name[96];
    embed_name(&k, name);
    int y = new_result(l, op, DIM_TOKENS);
    call_rows(l, kernel(l, name, do_embed_build, &k), "embed", DIM_TOKENS);
    plan_uses_area(&l->p, BASE_TOKENS, constant_size(0), affine_of(DIM_TOKENS, 4), false);
    plan_uses_weight(&l->p, w);
    plan_writes(&l->p, y);
    return WF_OK;
}

static wf_status lower_rowwise(lowering *l, MlirOperation op, rowwise_op kind, const char *label)
{
    const placed *x = operand_of(l, op, 0);
    plan_dim rows = kind == ROWWISE_GATHER ? DIM_OUTPUTS : rows_of(l, x);
    rowwise_kernel k = {.op = kind,
                        .cols = dim_of(mlirOperationGetOperand(op, 0), 1),
                        .out_q8 = has_quantised_result(op),
                        .cap = op_float(op, "cap", 0)};
    char name[96];
    rowwise_name(&k, name);
    int x_value = x->plan_value, y = new_result(l, op, rows);
    call_rows(l, kernel(l, name, do_rowwise_build, &k), label, rows);
    plan_reads(&l->p, x_value);
    if (kind == ROWWISE_GATHER)
        plan_uses_area(&l->p, BASE_ROWS, constant_size(0), affine_of(DIM_OUTPUTS, 4), false);
    else if (kind != ROWWISE_QUANTIZE && kind != ROWWISE_SOFTCAP)
        plan_reads(&l->p, operand_of(l, op, 1)->plan_value);
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
    const placed x = *operand_of(l, op, 0);
    MlirValue gamma = mlirOperationGetOperand(op, 1);
    head_norm_kernel k = {
        .n_heads = op_int(op, "n_heads", 1), .head_dim = dim_of(gamma, 0), .eps = op_float(op, "eps", 0)};
    char name[96];
    head_norm_name(&k, name);
    int w;
    TRY(add_weight(l, op, &gamma, 1, false, &w));
    plan_dim rows = rows_of(l, &x);
    int y = new_result(l, op, rows);
    call_rows(l, kernel(l, name, do_head_norm_build, &k), weight_name(l, gamma), rows);
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
    const placed *x = operand_of(l, op, 0);
    int x_value = x->plan_value;
    plan_dim rows = rows_of(l, x);
    norm_kernel k = {.cols = dim_of(mlirOperationGetOperand(op, 0), 1),
                     .eps = op_float(op, "eps", 0),
                     .gamma = layer ? op_segment(op, 1, &at_gamma) > 0 : mlirOperationGetNumOperands(op) > at_gamma,
                     .beta = layer && op_segment(op, 2, &at_beta) > 0,
                     .residual = residual,
                     .out_q8 = is_wf_type(element_type_of(y_value), "q8")};
    if (k.beta && op_bool(op, "plus_one")) return fail_op(l, op, "plus_one of gamma alone has no packed form");
    char name[96];
    (layer ? layer_norm_name : rms_norm_name)(&k, name);
    MlirValue gamma_value = {0};
    if (k.gamma) gamma_value = mlirOperationGetOperand(op, (intptr_t)at_gamma);
    if (k.gamma) TRY(add_weight(l, op, &gamma_value, 1, false, &gamma));
    MlirValue beta_value = {0};
    if (k.beta) beta_value = mlirOperationGetOperand(op, (intptr_t)at_beta);
    if (k.beta) TRY(add_weight(l, op, &beta_value, 1, false, &beta));
    if (residual) r = operand_of(l, op, 1)->plan_value;
    if (residual) h = new_result(l, op, rows);
    int y = new_value(l, y_value, rows);
    uint32_t index = kernel(l, name, layer ? do_layer_norm_build : do_rms_norm_build, &k);
    const char *label = k.gamma ? weight_name(l, gamma_value) : layer ? "layer_norm" : "rms_norm";
    plan_call *call = call_rows(l, index, label, rows);
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
    if (!linear_read(op, &parts)) return fail_op(l, op, "malformed");
    int w, bias = 0;
    TRY(add_weight(l, op, parts.weights, parts.n_weights, parts.swiglu, &w));
    if (parts.n_biases) TRY(add_weight(l, op, parts.biases, parts.n_biases, false, &bias));
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
    plan_dim rows = rows_of(l, x);
    int y = new_result(l, op, rows);
    int64_t per_tile = linear_tile_features(&k), n_tiles = (features + per_tile - 1) / per_tile;
    plan_call *call = plan_add_call(&l->p, kernel(l, name, do_linear_build, &k), weight->sources[0]);
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
    const placed *x = operand_of(l, op, 0);
    int64_t skip = x->skip_bytes + 4 * op_int(op, "first", 0);
    place(l, mlirOperationGetResult(op, 0), x->plan_value, skip);
    return WF_OK;
}

// ---- attention

static void uses_rope_table(lowering *l, int64_t table)
{
    int64_t before = 0;
    for (int64_t i = 0; i < table; i++) before += 4 * l->facts->ropes[i].n_dims;
    plan_uses_area(&l->p, BASE_ROPE, affine_of(DIM_CONTEXT, before),
                   affine_of(DIM_CONTEXT, 4 * l->facts->ropes[table].n_dims), false);
}

// The rotation table whose cos is operand `i`.
static int64_t table_of(MlirOperation op, intptr_t i)
{
    return op_int(defining_op(mlirOperationGetOperand(op, i)), "table", 0);
}

// K (part 0) or V (part 1) of a layer.
static void uses_cache(lowering *l, int64_t layer, int part, bool written)
{
    int64_t half = kv_bytes_per_position(l->facts->n_kv_heads, l->facts->head_dim, l->kv_f32) / 2;
    plan_uses_area(&l->p, BASE_KV, affine_of(DIM_CONTEXT, (2 * layer + part) * half), affine_of(DIM_CONTEXT, half),
                   written);
}

static void token_past_context(lowering *l)
{
    plan_size(&l->p, affine_of(DIM_TOKENS, 1));
    plan_size(&l->p, affine_of(DIM_PAST, 1));
    plan_size(&l->p, affine_of(DIM_CONTEXT, 1));
}

static wf_status lower_rope(lowering *l, MlirOperation op)
{
    const placed x = *operand_of(l, op, 0);
    int64_t n_heads = op_int(op, "n_heads", 1), table = table_of(op, 1);
    rope_kernel k = {.n_heads = n_heads,
                     .head_dim = dim_of(mlirOperationGetResult(op, 0), 1) / n_heads,
                     .n_dims = l->facts->ropes[table].n_dims,
                     .interleaved = op_bool(op, "interleaved")};
    char name[96];
    rope_name(&k, name);
    int y = new_result(l, op, DIM_TOKENS);
    plan_call *call = call_rows(l, kernel(l, name, do_rope_build, &k), "rope", DIM_TOKENS);
    call->flops = affine_of(DIM_TOKENS, 3 * n_heads * k.n_dims);
    plan_reads_part(&l->p, x.plan_value, x.skip_bytes);
    uses_rope_table(l, table);
    plan_writes(&l->p, y);
    plan_size(&l->p, affine_of(DIM_TOKENS, 1));
    plan_size(&l->p, affine_of(DIM_PAST, 1));
    plan_size(&l->p, constant_size(l->p.values[x.plan_value].row_bytes / 4));
    return WF_OK;
}

static wf_status lower_rope_store(lowering *l, MlirOperation op)
{
    placed x[3]; // q, k, v
    for (int i = 0; i < 3; i++) x[i] = *operand_of(l, op, i);
    int64_t table = table_of(op, 3), layer = op_int(op, "cache", 0);
    rope_store_kernel k = {.n_heads = op_int(op, "n_heads", 1),
                           .n_kv_heads = op_int(op, "n_kv_heads", 1),
                           .head_dim = l->facts->head_dim,
                           .n_dims = l->facts->ropes[table].n_dims,
                           .interleaved = op_bool(op, "interleaved"),
                           .kv_f32 = l->kv_f32,
                           .norm = mlirOperationGetNumOperands(op) == 7,
                           .eps = op_float(op, "eps", 0)};
    char name[96], label[32];
    rope_store_name(&k, name);
    int gammas[2];
    for (int i = 0; i < 2 && k.norm; i++) {
        MlirValue gamma = mlirOperationGetOperand(op, 5 + i);
        TRY(add_weight(l, op, &gamma, 1, false, &gammas[i]));
    }
    snprintf(label, sizeof label, "blk.%d.rope_store", (int)layer);
    int q = new_result(l, op, DIM_TOKENS);
    plan_call *call = call_rows(l, kernel(l, name, do_rope_store_build, &k), label, DIM_TOKENS);
    call->flops = affine_of(DIM_TOKENS, 3 * (k.n_heads + k.n_kv_heads) * k.n_dims);
    for (int i = 0; i < 3; i++) plan_reads_part(&l->p, x[i].plan_value, x[i].skip_bytes);
    uses_rope_table(l, table);
    plan_writes(&l->p, q);
    uses_cache(l, layer, 0, true);
    uses_cache(l, layer, 1, true);
    for (int i = 0; i < 2 && k.norm; i++) plan_uses_weight(&l->p, gammas[i]);
    token_past_context(l);
    for (int i = 0; i < 3; i++) plan_size(&l->p, constant_size(l->p.values[x[i].plan_value].row_bytes / 4));
    return WF_OK;
}

// A call of the attention kernel; its output operand and the span are the caller's.
static plan_call *call_attention(lowering *l, const attention_kernel *k, int64_t layer, int q, const char *label)
{
    char name[96];
    attention_name(k, name);
    plan_call *call = plan_add_call(&l->p, kernel(l, name, do_attention_build, k), label);
    plan_reads(&l->p, q);
    uses_cache(l, layer, 0, false);
    uses_cache(l, layer, 1, false);
    token_past_context(l);
    call->pair_flops = 4 * k->n_heads * k->head_dim; // a score, and a share of the result
    call->window = k->window;
    return call;
}

// A few tokens deep in the context: all threads share the positions, then the parts are merged.
static void call_split_attention(lowering *l, const attention_kernel *k, int64_t layer, int q, int y,
                                 plan_condition when)
{
    char name[96], label[32];
    int64_t spans = attention_window_spans(k);
    int64_t span_bytes = ATTENTION_SPLIT_TOKENS * k->n_heads * attention_part_bytes(k->head_dim);
    affine parts =
        affine_of(DIM_ONE, span_bytes * (spans ? spans : 1)); // ceil(n_ctx / span) spans, or those of a window
    if (!spans) parts.c[DIM_CONTEXT] = span_bytes / ATTENTION_SPAN;
    snprintf(label, sizeof label, "blk.%d.attention parts", (int)layer);
    plan_call *call = call_attention(l, k, layer, q, label);
    call->tiles = (plan_count){.divisor = spans ? 1 : ATTENTION_SPAN, .factor = k->n_kv_heads, .when = when};
    call->tiles.a.c[spans ? DIM_ONE : DIM_TOKENS] = spans ? spans : 1;
    if (!spans) call->tiles.a.c[DIM_PAST] = 1;
    plan_uses_end(&l->p, parts, true);
    plan_size(&l->p, constant_size(ATTENTION_SPAN));

    attention_merge_name(k, name);
    snprintf(label, sizeof label, "blk.%d.attention merge", (int)layer);
    call = plan_add_call(&l->p, kernel(l, name, do_attention_merge_build, k), label);
    call->tiles = (plan_count){.a = affine_of(DIM_TOKENS, k->n_kv_heads), .divisor = 1, .factor = 1, .when = when};
    plan_uses_end(&l->p, parts, false);
    plan_writes(&l->p, y);
    token_past_context(l);
    plan_size(&l->p, constant_size(ATTENTION_SPAN));
}

static wf_status call_cached_attention(lowering *l, MlirOperation op)
{
    int q = operand_of(l, op, 0)->plan_value;
    int64_t layer = op_int(op, "cache", 0);
    attention_kernel k = {.n_heads = op_int(op, "n_heads", 1),
                          .n_kv_heads = op_int(op, "n_kv_heads", 1),
                          .head_dim = l->facts->head_dim,
                          .scale = op_float(op, "scale", 1),
                          .kv_f32 = l->kv_f32,
                          .window = op_int(op, "window", 0),
                          .softcap = op_float(op, "softcap", 0),
                          .out_q8 = has_quantised_result(op)};
    plan_condition split = {.max_tokens = ATTENTION_SPLIT_TOKENS, .min_past = ATTENTION_SPAN}, whole = split;
    whole.otherwise = true;
    char label[32];
    snprintf(label, sizeof label, "blk.%d.attention", (int)layer);
    int y = new_result(l, op, DIM_TOKENS);
    plan_call *call = call_attention(l, &k, layer, q, label);
    int64_t tokens = attention_tiles_for(&k, shards_target(l->kernels)).tokens;
    call->tiles = (plan_count){.a = affine_of(DIM_TOKENS, 1), .divisor = tokens, .factor = k.n_kv_heads, .when = whole};
    plan_writes(&l->p, y);
    plan_size(&l->p, constant_size(0));
    call_split_attention(l, &k, layer, q, y, split);
    return WF_OK;
}

static wf_status lower_attention(lowering *l, MlirOperation op)
{
    int64_t layer = op_int(op, "cache", -1);
    if (layer < 0 || !op_bool(op, "causal") || mlirOperationGetNumOperands(op) != 3)
        return fail_op(l, op, "only causal attention with a cache can be run");
    kv_store_kernel store = {
        .n_kv_heads = op_int(op, "n_kv_heads", 1), .head_dim = l->facts->head_dim, .kv_f32 = l->kv_f32};
    char name[96], label[32];
    kv_store_name(&store, name);
    snprintf(label, sizeof label, "blk.%d.kv_store", (int)layer);
    plan_call *call = plan_add_call(&l->p, kernel(l, name, do_kv_store_build, &store), label);
    call->tiles.a = affine_of(DIM_TOKENS, 1);
    const placed *k_v[] = {operand_of(l, op, 1), operand_of(l, op, 2)};
    for (int i = 0; i < 2; i++) plan_reads_part(&l->p, k_v[i]->plan_value, k_v[i]->skip_bytes);
    for (int i = 0; i < 2; i++) uses_cache(l, layer, i, true);
    token_past_context(l);
    for (int i = 0; i < 2; i++) plan_size(&l->p, constant_size(l->p.values[k_v[i]->plan_value].row_bytes / 4));
    return call_cached_attention(l, op);
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
    {"wf.cached_attention", call_cached_attention},
    {"wf.swiglu", lower_swiglu},
    {"wf.softcap", lower_softcap},
    {"wf.quantize", lower_quantize},
    {"arith.addf", lower_add},
};

static wf_status lower_op(lowering *l, MlirOperation op)
{
    for (size_t i = 0; i < sizeof RULES / sizeof *RULES; i++)
        if (op_is(op, RULES[i].op)) return RULES[i].lower(l, op);
    return fail_op(l, op, "no kernel computes this op");
}

static wf_status copy_facts(const model_facts *facts, bool kv_f32, plan *out, wf_error *err)
{
    out->architecture = arena_strdup(&out->memory, view_of(facts->architecture));
    out->name = arena_strdup(&out->memory, view_of(facts->name));
    out->kv_type = arena_strdup(&out->memory, view_of(kv_f32 ? "f32" : "f16"));
    plan_rope *ropes = arena_alloc(&out->memory, facts->n_ropes, sizeof *ropes);
    if (!out->architecture || !out->name || !out->kv_type || !ropes) return error_memory(err, 0);
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
    out->n_layer = facts->n_layer;
    out->n_embd = facts->n_embd;
    out->kv_bytes =
        affine_of(DIM_CONTEXT, facts->n_layer * kv_bytes_per_position(facts->n_kv_heads, facts->head_dim, kv_f32));
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
