// Attention (kernel/attention/attention.h). Of a sequence program over the cache: fused, or in three steps
// (kernel/attention/attention_apart.h). Of a graph over given keys and values, in f32: where tokens are few, keys and
// values are read where they lie (lower/attention_rows.c); else they are copied to where the kernel looks for a cache, K
// in groups of 16 positions. A mask is copied to rows of whole blocks of positions. One call does all heads of all
// sequences.
#include <stdio.h>
#include <string.h>

#include "compiler/kernel/attention/attention.h"
#include "compiler/kernel/attention/attention_apart.h"
#include "compiler/lower/lowering.h"
#include "runtime/program/kv.h"

// ---- over the cache

static void token_past_context(lowering *l)
{
    call_size(l, affine_of(DIM_TOKENS, 1));
    call_size(l, affine_of(DIM_PAST, 1));
    call_size(l, affine_of(DIM_CONTEXT, 1));
}

// A call of the attention kernel; its output operand and the span are the caller's.
static call *call_attention(lowering *l, const attention_kernel *k, int64_t layer, int q, const char *label)
{
    call *c = lowering_add_call(l, lowering_add_kernel(l, &ATTENTION_KERNEL, k), label);
    if (!c) return NULL;
    call_reads(l, q, 0);
    call_reads(l, lowering_cache_root(l, layer, 0), 0);
    call_reads(l, lowering_cache_root(l, layer, 1), 0);
    token_past_context(l);
    c->pair_flops = 4 * k->n_heads * k->head_dim; // a score, and a share of the result
    c->window = k->window;
    return c;
}

// A few tokens deep in the context: all threads share the positions, then the parts are merged.
static wf_status call_split_attention(lowering *l, const attention_kernel *k, int64_t layer, int q, int y,
                                      program_condition when)
{
    char label[32];
    int64_t spans = attention_window_spans(k);
    int64_t span_bytes = ATTENTION_SPLIT_TOKENS * k->n_heads * attention_part_bytes(k->head_dim);
    affine parts_bytes =
        affine_of(DIM_ONE, span_bytes * (spans ? spans : 1)); // ceil(n_ctx / span) spans, or those of a window
    if (!spans) parts_bytes.c[DIM_CONTEXT] = span_bytes / k->span;
    int parts = lowering_add_end(l, parts_bytes);
    snprintf(label, sizeof label, "blk.%d.attention parts", (int)layer);
    call *c = call_attention(l, k, layer, q, label);
    if (!c) return error_memory(l->err, sizeof *c);
    c->tiles = (program_count){
        .divisor = spans ? 1 : k->span, .factor = attention_split_tiles(k, &l->b->target), .when = when};
    c->tiles.a.c[spans ? DIM_ONE : DIM_TOKENS] = spans ? spans : 1;
    if (!spans) c->tiles.a.c[DIM_PAST] = 1;
    call_writes(l, parts);
    call_size(l, affine_of(DIM_ONE, 1));
    call_layer(l, layer);

    snprintf(label, sizeof label, "blk.%d.attention merge", (int)layer);
    c = lowering_add_call(l, lowering_add_kernel(l, &ATTENTION_MERGE_KERNEL, k), label);
    if (!c) return error_memory(l->err, sizeof *c);
    c->tiles = (program_count){.a = affine_of(DIM_TOKENS, k->n_kv_heads), .divisor = 1, .factor = 1, .when = when};
    call_reads(l, parts, 0);
    call_writes(l, y);
    token_past_context(l);
    call_size(l, affine_of(DIM_ONE, 1));
    return WF_OK;
}

// Unfused: scores, softmax, and the sum of values, by one kernel each, over scores behind all values.
static wf_status call_attention_apart(lowering *l, const attention_kernel *k, int64_t layer, int q, int y)
{
    static const struct {
        const char *label;
        const kernel_kind *kind;
    } STEPS[] = {{"scores", &ATTENTION_SCORES_KERNEL},
                 {"softmax", &ATTENTION_SOFTMAX_KERNEL},
                 {"values", &ATTENTION_VALUES_KERNEL}};
    enum { SCORES, SOFTMAX, VALUES };
    const kernel_target *target = &l->b->target;
    affine scores_bytes = affine_of(DIM_PAIRS, attention_scores_pair_bytes(k));
    scores_bytes.c[DIM_CONTEXT] = attention_scores_context_bytes(k, target);
    int scores = lowering_add_end(l, scores_bytes);
    for (int step = SCORES; step <= VALUES; step++) {
        char label[48];
        snprintf(label, sizeof label, "blk.%d.attention %s", (int)layer, STEPS[step].label);
        call *c = lowering_add_call(l, lowering_add_kernel(l, STEPS[step].kind, k), label);
        if (!c) return error_memory(l->err, sizeof *c);
        c->tiles = (program_count){
            .a = affine_of(DIM_TOKENS, 1), .divisor = attention_tiles_for(k, target).tokens, .factor = k->n_kv_heads};
        // a product and a sum a feature; a maximum, a difference, a power and a product a score
        c->pair_flops = step == SOFTMAX ? 4 * k->n_heads : 2 * k->n_heads * k->head_dim;
        c->window = k->window;
        call_reads(l, step == SCORES ? q : scores, 0);
        if (step != SOFTMAX) call_reads(l, lowering_cache_root(l, layer, step == VALUES), 0);
        call_writes(l, step == VALUES ? y : scores);
        token_past_context(l);
        call_size(l, affine_of(DIM_ONE, 0));
        call_layer(l, layer);
    }
    return WF_OK;
}

static wf_status lower_over_cache(lowering *l, const attention_op *op)
{
    int64_t layer = op->cache;
    attention_kernel k = {.n_heads = op->n_heads,
                          .n_kv_heads = op->n_kv_heads,
                          .head_dim = l->o.facts->head_dim,
                          .scale = op->scale,
                          .kv = l->o.kv,
                          .window = op->window,
                          .span = ATTENTION_SPAN,
                          .softcap = op->softcap,
                          .out_q8 = is_wf_type(element_type_of(op->y.value), "q8")};
    tensor q, y;
    TRY(lowering_to_root(l, op->q, &q));
    TRY(lowering_new_tensor(l, op->y.type, q.dims, &y));
    TRY(lowering_add_tensor(l, op->y.value, &y));
    if (!op->fused) return call_attention_apart(l, &k, layer, q.root, y.root);
    program_condition split = {.max_tokens = ATTENTION_SPLIT_TOKENS, .min_past = ATTENTION_SPAN}, whole = split;
    whole.otherwise = true;
    char label[32];
    snprintf(label, sizeof label, "blk.%d.attention", (int)layer);
    call *c = call_attention(l, &k, layer, q.root, label);
    if (!c) return error_memory(l->err, sizeof *c);
    int64_t tokens = attention_tiles_for(&k, &l->b->target).tokens;
    c->tiles = (program_count){.a = affine_of(DIM_TOKENS, 1), .divisor = tokens, .factor = k.n_kv_heads, .when = whole};
    call_writes(l, y.root);
    call_size(l, affine_of(DIM_ONE, 0));
    call_layer(l, layer);
    return call_split_attention(l, &k, layer, q.root, y.root, split);
}

wf_status lower_cached_attention(lowering *l)
{
    attention_op op;
    cached_attention_read(l->op, &op);
    return lower_over_cache(l, &op);
}

// ---- over given keys and values

typedef struct shape {
    int64_t sequences, tokens, positions;
    int64_t mask[4]; // sequences, heads, tokens, positions of the mask, each as above or 1; rank_mask 0: none
    int rank_mask;
} shape;

static bool is_f32(MlirValue v) { return mlirTypeIsAF32(element_type_of(v)); }

// Product of all sizes but the last two; 0 where one is not known, or too many.
static int64_t count_sequences(MlirValue v)
{
    int64_t n = 1;
    for (int d = 0; d + 2 < rank_of(v); d++)
        if (dim_of(v, d) < 1 || __builtin_mul_overflow(n, dim_of(v, d), &n) || n >= 1 << 24) return 0;
    return n;
}

// [.., rows, cols] with as many sequences as q has.
static bool has_shape(MlirValue v, const shape *n, int64_t rows, int64_t cols)
{
    int rank = rank_of(v);
    return rank >= 2 && is_f32(v) && count_sequences(v) == n->sequences && dim_of(v, rank - 2) == rows &&
           dim_of(v, rank - 1) == cols;
}

// Its axes are the last of [sequences, heads, tokens, positions], of size 1 where it does not vary.
static bool read_mask(MlirValue mask, const attention_kernel *k, shape *n)
{
    const int64_t full[] = {n->sequences, k->n_heads, n->tokens, n->positions};
    n->rank_mask = rank_of(mask);
    if (!is_f32(mask) || n->rank_mask < 2 || n->rank_mask > 4) return false;
    for (int i = 0; i < 4; i++) {
        int axis = i - (4 - n->rank_mask);
        n->mask[i] = axis < 0 ? 1 : dim_of(mask, axis);
        if (n->mask[i] != 1 && n->mask[i] != full[i]) return false;
    }
    return true;
}

static bool has_each_head(MlirValue sink, const attention_kernel *k)
{
    return is_f32(sink) && rank_of(sink) == 1 && dim_of(sink, 0) == k->n_heads;
}

// NULL, or why no kernel takes this.
static const char *read_attention(MlirOperation op, attention_op *a, attention_kernel *k, shape *n)
{
    static const char SIZES[] = "no attention kernel takes its types, or sizes that are not known";
    if (!attention_read(op, a)) return "it is no attention";
    if (!a->fused) return "attention in steps has no kernel in a graph";
    if (a->cache >= 0) return "a graph has no cache";
    MlirValue q = a->q, keys = a->k, values = a->v, y = a->y.value;
    bool mask = a->mask.ptr != NULL, sink = a->sink.ptr != NULL;
    int rank = rank_of(q);
    *k = (attention_kernel){.n_heads = a->n_heads,
                            .n_kv_heads = a->n_kv_heads,
                            .scale = a->scale,
                            .window = a->window,
                            .softcap = a->softcap,
                            .kv = KV_F32,
                            .full = !a->causal,
                            .mask = mask,
                            .sink = sink,
                            .zero_masked = mask && a->zero_masked};
    if (k->n_heads > 4096) return "no attention kernel has so many heads";
    int64_t features = dim_of(q, rank - 1);
    *n = (shape){count_sequences(q), dim_of(q, rank - 2), dim_of(keys, rank_of(keys) - 2), {0}, 0};
    k->head_dim = features / k->n_heads;
    k->batched = n->sequences > 1;
    if (features < 0 || features != k->n_heads * k->head_dim) return SIZES;
    if (k->head_dim > 512) return "no attention kernel has heads of more than 512 features";
    if (n->sequences < 1 || n->tokens < 1 || n->tokens >= 1 << 24 || n->positions < 1 || n->positions >= 1 << 24)
        return SIZES;
    if (!k->full && n->positions < n->tokens) return "no causal attention kernel has fewer positions than tokens";
    int64_t kv_features = k->n_kv_heads * k->head_dim;
    if (!has_shape(q, n, n->tokens, features) || !has_shape(keys, n, n->positions, kv_features) ||
        !has_shape(values, n, n->positions, kv_features) || !has_shape(y, n, n->tokens, features))
        return SIZES;
    if (mask && !read_mask(a->mask, k, n)) return "no attention kernel takes its mask";
    return sink && !has_each_head(a->sink, k) ? "no attention kernel takes its sink" : NULL;
}

// Attention of a sequence goes over the cache.
static const char *read_sequence_attention(MlirOperation op, attention_op *a)
{
    if (!attention_read(op, a)) return "it is no attention";
    return a->cache < 0 || !a->causal || a->mask.ptr || a->sink.ptr ? "only causal attention with a cache can be run"
                                                                    : NULL;
}

const char *why_not_attention(MlirOperation op, graph_kind kind)
{
    attention_op a;
    attention_kernel k;
    shape n;
    return kind == GRAPH_OF_SEQUENCE ? read_sequence_attention(op, &a) : read_attention(op, &a, &k, &n);
}

static wf_status new_array(lowering *l, MlirValue like, int64_t count, tensor *x)
{
    TRY(lowering_new_tensor(l, mlirValueGetType(like), NULL, x));
    if (count >= INT64_C(1) << 40) return lowering_refuse(l, "is too large");
    l->roots[x->root].bytes = affine_of(DIM_ONE, 4 * count);
    return WF_OK;
}

static wf_status see_contiguous(lowering *l, MlirValue v, tensor *x)
{
    TRY(lowering_read_tensor(l, v, x));
    return x->place == PLACE_MEMORY && tensor_is_contiguous(x) ? WF_OK : lowering_to_memory(l, x);
}

static void set_shape(tensor *x, int rank, const int64_t *dims, const int64_t *strides)
{
    x->rank = rank;
    memcpy(x->dims, dims, (size_t)rank * sizeof *dims);
    memcpy(x->strides, strides, (size_t)rank * sizeof *strides);
}

// Of each sequence K [heads][n_ctx/16][row][16], or V [heads][n_ctx][row], from rows of heads * head_dim: whole groups
// of positions, then those that are left. What is behind head_dim stays as it is.
static wf_status copy_cache(lowering *l, MlirValue v, const attention_kernel *k, bool keys, const shape *n, int *index)
{
    tensor from, to;
    int64_t n_ctx = kv_capacity(n->positions), row = k->n_kv_heads * k->head_dim, padded = kv_row(k->head_dim);
    int64_t sequence = k->n_kv_heads * n_ctx * padded, whole = n->positions / KV_GROUP;
    TRY(new_array(l, v, n->sequences * sequence, &to));
    *index = to.root;
    for (int part = 0; part < 2; part++) {
        int64_t groups = part ? 1 : whole, group = part ? n->positions % KV_GROUP : KV_GROUP,
                first = part ? whole * KV_GROUP : 0;
        if (!groups || !group) continue;
        TRY(see_contiguous(l, v, &from));
        const int64_t dims[] = {n->sequences, k->n_kv_heads, groups, group, k->head_dim};
        const int64_t rows[] = {n->positions * row, k->head_dim, group * row, row, 1};
        const int64_t places[] = {sequence, n_ctx * padded, KV_GROUP * padded, keys ? 1 : padded, keys ? KV_GROUP : 1};
        set_shape(&from, 5, dims, rows);
        set_shape(&to, 5, dims, places);
        from.offset += first * row;
        to.offset = first * padded;
        TRY(lowering_copy(l, &from, &to));
    }
    return WF_OK;
}

// The mask in rows of n_ctx numbers; the mask itself where it has such rows. strides: elements between its sequences,
// heads, tokens.
static wf_status place_mask(lowering *l, MlirValue mask, const shape *n, int *index, int64_t strides[3])
{
    tensor from, to;
    const int64_t *size = n->mask, n_ctx = kv_capacity(n->positions);
    const int64_t whole[] = {size[1] * size[2] * n_ctx, size[2] * n_ctx, n_ctx, 1};
    const int64_t read[] = {size[1] * size[2] * size[3], size[2] * size[3], size[3], size[3] > 1};
    const int64_t dims[] = {size[0], size[1], size[2], n->positions};
    for (int i = 0; i < 3; i++) strides[i] = size[i] > 1 ? whole[i] : 0;
    TRY(see_contiguous(l, mask, &from));
    *index = from.root;
    if (size[3] == n_ctx && !from.offset) return WF_OK;
    TRY(new_array(l, mask, size[0] * whole[0], &to));
    *index = to.root;
    set_shape(&from, 4, dims, read);
    set_shape(&to, 4, dims, whole);
    return lowering_copy(l, &from, &to);
}

// Keys and values in rows where they can be read so, which the call then says of them; else copies in the cache's order.
static wf_status place_keys(lowering *l, const attention_op *a, attention_kernel *k, const shape *n, int roots[2],
                            int64_t skip_bytes[2], int64_t strides[2][3])
{
    const MlirValue given[] = {a->k, a->v};
    tensor rows[2];
    k->rows = attention_reads_rows(l->op, &l->b->target);
    for (int i = 0; i < 2 && k->rows; i++) k->rows = attention_find_rows(l, given[i], k->n_kv_heads, &rows[i]);
    for (int i = 0; i < 2; i++) {
        skip_bytes[i] = 0;
        if (!k->rows) {
            TRY(attention_move_rows(l, given[i]));
            TRY(copy_cache(l, given[i], k, i == 0, n, &roots[i]));
            continue;
        }
        roots[i] = rows[i].root;
        skip_bytes[i] = 4 * rows[i].offset;
        for (int s = 0; s < 3; s++) strides[i][s] = rows[i].strides[s]; // of positions, heads, sequences
    }
    return WF_OK;
}

static wf_status lower_given_attention(lowering *l)
{
    attention_op a;
    attention_kernel k;
    shape n;
    tensor q, y, sink;
    int cache[2], mask = -1;
    int64_t mask_strides[3] = {0}, strides[2][3] = {{0}}, skip_bytes[2];
    const char *why = read_attention(l->op, &a, &k, &n);
    if (why) return lowering_refuse_kernel(l, why);
    TRY(lowering_to_root(l, a.q, &q));
    TRY(place_keys(l, &a, &k, &n, cache, skip_bytes, strides));
    if (k.mask) TRY(place_mask(l, a.mask, &n, &mask, mask_strides));
    if (k.sink) TRY(lowering_to_root(l, a.sink, &sink));
    TRY(lowering_new_tensor(l, a.y.type, NULL, &y));
    call *c = lowering_add_call(l, lowering_add_kernel(l, &ATTENTION_KERNEL, &k), NULL);
    if (!c) return error_memory(l->err, sizeof *c);
    call_reads(l, q.root, 0);
    for (int i = 0; i < 2; i++) call_reads(l, cache[i], skip_bytes[i]);
    call_writes(l, y.root);
    if (k.mask) call_reads(l, mask, 0);
    if (k.sink) call_reads(l, sink.root, 0);
    int64_t block = attention_tiles_for(&k, &l->b->target).tokens;
    call_tiles(c, affine_of(DIM_ONE, n.sequences * k.n_kv_heads * ((n.tokens + block - 1) / block)));
    const int64_t sizes[] = {n.tokens,
                             n.positions - n.tokens,
                             kv_capacity(n.positions),
                             0,
                             n.sequences,
                             mask_strides[0],
                             mask_strides[1],
                             mask_strides[2],
                             strides[0][0],
                             strides[0][1],
                             strides[0][2],
                             strides[1][0],
                             strides[1][1],
                             strides[1][2]};
    for (int i = 0; i < (k.rows ? 14 : k.mask ? 8 : k.batched ? 5 : 4); i++) call_size(l, affine_of(DIM_ONE, sizes[i]));
    int64_t flops = 4 * k.n_heads * k.head_dim; // of a pair of a token and a position
    if (__builtin_mul_overflow(flops, n.sequences * n.tokens, &flops) ||
        __builtin_mul_overflow(flops, n.positions, &flops) || flops >= INT64_C(1) << 47)
        flops = INT64_C(1) << 47;
    c->flops = affine_of(DIM_ONE, flops);
    return lowering_add_tensor(l, a.y.value, &y);
}

bool attention_reads_rows(MlirOperation op, const kernel_target *target)
{
    attention_op a;
    attention_kernel k;
    shape n;
    return !read_attention(op, &a, &k, &n) && k.head_dim % KV_ROW_STEP == 0 &&
           n.tokens <= attention_tiles_for(&k, target).tokens;
}

wf_status lower_attention(lowering *l)
{
    attention_op op;
    if (!is_sequence(l)) return lower_given_attention(l);
    const char *why = read_sequence_attention(l->op, &op);
    if (why) return lowering_refuse_kernel(l, why);
    TRY(lower_kv_store(l, &op));
    return lower_over_cache(l, &op);
}
