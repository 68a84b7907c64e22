// Rotations, the KV cache, attention: fused (kernel/attention.h), or in three steps (kernel/attention_apart.h).
#include <stdio.h>

#include "compiler/codegen/lower_parts.h"
#include "compiler/kernel/attention.h"
#include "compiler/kernel/attention_apart.h"
#include "runtime/kv.h"
#include "compiler/kernel/rope.h"

BUILD_WRAPPER(rope_build, rope_kernel)
BUILD_WRAPPER(kv_store_build, kv_store_kernel)
BUILD_WRAPPER(rope_store_build, rope_store_kernel)
BUILD_WRAPPER(attention_build, attention_kernel)
BUILD_WRAPPER(attention_merge_build, attention_kernel)
BUILD_WRAPPER(attention_scores_build, attention_kernel)
BUILD_WRAPPER(attention_softmax_build, attention_kernel)
BUILD_WRAPPER(attention_values_build, attention_kernel)

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

wf_status lower_rope(lowering *l, MlirOperation op)
{
    const placed x = *lowering_operand(l, op, 0);
    int64_t n_heads = op_int(op, "n_heads", 1), table = table_of(op, 1);
    rope_kernel k = {.n_heads = n_heads,
                     .head_dim = dim_of(mlirOperationGetResult(op, 0), 1) / n_heads,
                     .n_dims = l->facts->ropes[table].n_dims,
                     .interleaved = op_bool(op, "interleaved")};
    char name[96];
    rope_name(&k, name);
    int y = lowering_add_result(l, op, DIM_TOKENS);
    plan_call *call = lowering_add_call(l, lowering_add_kernel(l, name, do_rope_build, &k), "rope", DIM_TOKENS);
    call->flops = affine_of(DIM_TOKENS, 3 * n_heads * k.n_dims);
    plan_reads_part(&l->p, x.plan_value, x.skip_bytes);
    uses_rope_table(l, table);
    plan_writes(&l->p, y);
    plan_size(&l->p, affine_of(DIM_TOKENS, 1));
    plan_size(&l->p, affine_of(DIM_PAST, 1));
    plan_size(&l->p, constant_size(l->p.values[x.plan_value].row_bytes / 4));
    return WF_OK;
}

wf_status lower_rope_store(lowering *l, MlirOperation op)
{
    placed x[3]; // q, k, v
    for (int i = 0; i < 3; i++) x[i] = *lowering_operand(l, op, i);
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
        TRY(lowering_add_weight(l, op, &gamma, 1, false, &gammas[i]));
    }
    snprintf(label, sizeof label, "blk.%d.rope_store", (int)layer);
    int q = lowering_add_result(l, op, DIM_TOKENS);
    plan_call *call = lowering_add_call(l, lowering_add_kernel(l, name, do_rope_store_build, &k), label, DIM_TOKENS);
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
    plan_call *call = plan_add_call(&l->p, lowering_add_kernel(l, name, do_attention_build, k), label);
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
    call->tiles = (plan_count){.divisor = spans ? 1 : ATTENTION_SPAN,
                               .factor = attention_split_tiles(k, shards_target(l->kernels)),
                               .when = when};
    call->tiles.a.c[spans ? DIM_ONE : DIM_TOKENS] = spans ? spans : 1;
    if (!spans) call->tiles.a.c[DIM_PAST] = 1;
    plan_uses_end(&l->p, parts, true);
    plan_size(&l->p, constant_size(ATTENTION_SPAN));

    attention_merge_name(k, name);
    snprintf(label, sizeof label, "blk.%d.attention merge", (int)layer);
    call = plan_add_call(&l->p, lowering_add_kernel(l, name, do_attention_merge_build, k), label);
    call->tiles = (plan_count){.a = affine_of(DIM_TOKENS, k->n_kv_heads), .divisor = 1, .factor = 1, .when = when};
    plan_uses_end(&l->p, parts, false);
    plan_writes(&l->p, y);
    token_past_context(l);
    plan_size(&l->p, constant_size(ATTENTION_SPAN));
}

// Unfused: scores, softmax, and the sum of values, by one kernel each, over scores behind all values.
static wf_status call_attention_apart(lowering *l, const attention_kernel *k, int64_t layer, int q, int y)
{
    static const struct {
        const char *label;
        void (*name)(const attention_kernel *k, char name[96]);
        build_kernel *build;
    } STEPS[] = {{"scores", attention_scores_name, do_attention_scores_build},
                 {"softmax", attention_softmax_name, do_attention_softmax_build},
                 {"values", attention_values_name, do_attention_values_build}};
    enum { SCORES, SOFTMAX, VALUES };
    const kernel_target *target = shards_target(l->kernels);
    affine scores = affine_of(DIM_PAIRS, attention_scores_pair_bytes(k));
    scores.c[DIM_CONTEXT] = attention_scores_context_bytes(k, target);
    for (int step = SCORES; step <= VALUES; step++) {
        char name[96], label[48];
        STEPS[step].name(k, name);
        snprintf(label, sizeof label, "blk.%d.attention %s", (int)layer, STEPS[step].label);
        plan_call *call = plan_add_call(&l->p, lowering_add_kernel(l, name, STEPS[step].build, k), label);
        call->tiles = (plan_count){
            .a = affine_of(DIM_TOKENS, 1), .divisor = attention_tiles_for(k, target).tokens, .factor = k->n_kv_heads};
        // a product and a sum a feature; a maximum, a difference, a power and a product a score
        call->pair_flops = step == SOFTMAX ? 4 * k->n_heads : 2 * k->n_heads * k->head_dim;
        call->window = k->window;
        if (step == SCORES)
            plan_reads(&l->p, q);
        else
            plan_uses_end(&l->p, scores, false);
        if (step != SOFTMAX) uses_cache(l, layer, step == VALUES, false);
        if (step == VALUES)
            plan_writes(&l->p, y);
        else
            plan_uses_end(&l->p, scores, true);
        token_past_context(l);
        plan_size(&l->p, constant_size(0));
    }
    return WF_OK;
}

wf_status lower_cached_attention(lowering *l, MlirOperation op)
{
    int q = lowering_operand(l, op, 0)->plan_value;
    int64_t layer = op_int(op, "cache", 0);
    attention_kernel k = {.n_heads = op_int(op, "n_heads", 1),
                          .n_kv_heads = op_int(op, "n_kv_heads", 1),
                          .head_dim = l->facts->head_dim,
                          .scale = op_float(op, "scale", 1),
                          .kv_f32 = l->kv_f32,
                          .window = op_int(op, "window", 0),
                          .softcap = op_float(op, "softcap", 0),
                          .out_q8 = has_quantised_result(op)};
    int y = lowering_add_result(l, op, DIM_TOKENS);
    if (!op_bool(op, "online")) return call_attention_apart(l, &k, layer, q, y);
    plan_condition split = {.max_tokens = ATTENTION_SPLIT_TOKENS, .min_past = ATTENTION_SPAN}, whole = split;
    whole.otherwise = true;
    char label[32];
    snprintf(label, sizeof label, "blk.%d.attention", (int)layer);
    plan_call *call = call_attention(l, &k, layer, q, label);
    int64_t tokens = attention_tiles_for(&k, shards_target(l->kernels)).tokens;
    call->tiles = (plan_count){.a = affine_of(DIM_TOKENS, 1), .divisor = tokens, .factor = k.n_kv_heads, .when = whole};
    plan_writes(&l->p, y);
    plan_size(&l->p, constant_size(0));
    call_split_attention(l, &k, layer, q, y, split);
    return WF_OK;
}

wf_status lower_attention(lowering *l, MlirOperation op)
{
    int64_t layer = op_int(op, "cache", -1);
    if (layer < 0 || !op_bool(op, "causal") || mlirOperationGetNumOperands(op) != 3)
        return lowering_fail(l, op, "only causal attention with a cache can be run");
    kv_store_kernel store = {
        .n_kv_heads = op_int(op, "n_kv_heads", 1), .head_dim = l->facts->head_dim, .kv_f32 = l->kv_f32};
    char name[96], label[32];
    kv_store_name(&store, name);
    snprintf(label, sizeof label, "blk.%d.kv_store", (int)layer);
    plan_call *call = plan_add_call(&l->p, lowering_add_kernel(l, name, do_kv_store_build, &store), label);
    call->tiles.a = affine_of(DIM_TOKENS, 1);
    const placed *k_v[] = {lowering_operand(l, op, 1), lowering_operand(l, op, 2)};
    for (int i = 0; i < 2; i++) plan_reads_part(&l->p, k_v[i]->plan_value, k_v[i]->skip_bytes);
    for (int i = 0; i < 2; i++) uses_cache(l, layer, i, true);
    token_past_context(l);
    for (int i = 0; i < 2; i++) plan_size(&l->p, constant_size(l->p.values[k_v[i]->plan_value].row_bytes / 4));
    return lower_cached_attention(l, op);
}
