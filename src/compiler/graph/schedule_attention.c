// Attention over given keys and values (kernel/attention.h), in f32: they are copied to where the kernel looks for a
// cache, K in groups of 16 positions, and a mask to rows of whole blocks of positions; then one call does all heads of
// all sequences.
#include <string.h>

#include "compiler/dialect/wf.h"
#include "compiler/graph/schedule_parts.h"
#include "compiler/kernel/attention.h"
#include "compiler/kernel/kv.h"

typedef struct shape {
    int64_t sequences, tokens, positions;
    int64_t mask[4]; // sequences, heads, tokens, positions of the mask, each as above or 1; rank_mask 0: none
    int rank_mask;
} shape;

// Positions in rows of whole blocks.
static int64_t context_of(const shape *n)
{
    return (n->positions + KV_CONTEXT_STEP - 1) / KV_CONTEXT_STEP * KV_CONTEXT_STEP;
}

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

// False when no kernel takes this: sizes that are not known, another type, fewer positions than tokens under causality.
static bool read_attention(MlirOperation op, attention_parts *parts, attention_kernel *k, shape *n)
{
    if (!attention_read(op, parts) || !op_bool(op, "online") || op_attribute(op, "cache").ptr) return false;
    MlirValue q = parts->q, keys = parts->k, values = parts->v, y = mlirOperationGetResult(op, 0);
    bool mask = parts->mask.ptr != NULL, sink = parts->sink.ptr != NULL;
    int rank = rank_of(q);
    *k = (attention_kernel){.n_heads = op_int(op, "n_heads", 0),
                            .n_kv_heads = op_int(op, "n_kv_heads", 0),
                            .scale = op_float(op, "scale", 1),
                            .window = op_int(op, "window", 0),
                            .softcap = op_float(op, "softcap", 0),
                            .kv_f32 = true,
                            .full = !op_bool(op, "causal"),
                            .mask = mask,
                            .sink = sink,
                            .zero_masked = mask && op_bool(op, "zero_masked")};
    if (rank < 2 || rank_of(keys) < 2 || k->n_heads < 1 || k->n_kv_heads < 1 || k->n_heads % k->n_kv_heads ||
        k->n_heads > 4096 || k->window < 0 || (k->full && k->window))
        return false;
    int64_t features = dim_of(q, rank - 1);
    *n = (shape){count_sequences(q), dim_of(q, rank - 2), dim_of(keys, rank_of(keys) - 2), {0}, 0};
    k->head_dim = features / k->n_heads;
    k->batched = n->sequences > 1;
    if (features != k->n_heads * k->head_dim || k->head_dim < 16 || k->head_dim > 512 || k->head_dim % 16) return false;
    if (n->sequences < 1 || n->tokens < 1 || n->tokens >= 1 << 24 || n->positions < 1 || n->positions >= 1 << 24)
        return false;
    if (!k->full && n->positions < n->tokens) return false;
    int64_t kv_features = k->n_kv_heads * k->head_dim;
    return has_shape(q, n, n->tokens, features) && has_shape(keys, n, n->positions, kv_features) &&
           has_shape(values, n, n->positions, kv_features) && has_shape(y, n, n->tokens, features) &&
           (!mask || read_mask(parts->mask, k, n)) && (!sink || has_each_head(parts->sink, k));
}

bool attention_has_kernel(MlirOperation op)
{
    attention_parts parts;
    attention_kernel k;
    shape n;
    return read_attention(op, &parts, &k, &n);
}

// A root for `count` f32, and a tensor that begins there.
static wf_status new_array(schedule *s, MlirValue like, int64_t count, tensor *x)
{
    TRY(schedule_new_tensor(s, mlirValueGetType(like), x));
    if (count >= INT64_C(1) << 40) return schedule_refuse(s, "is too large");
    s->roots[x->root].bytes = (size_t)count * 4;
    return WF_OK;
}

static wf_status see_contiguous(schedule *s, MlirValue v, tensor *x)
{
    TRY(schedule_read_tensor(s, v, x));
    return x->place == PLACE_MEMORY && tensor_is_contiguous(x) ? WF_OK : schedule_to_memory(s, x);
}

static void set_shape(tensor *x, int rank, const int64_t *dims, const int64_t *strides)
{
    x->rank = rank;
    memcpy(x->dims, dims, (size_t)rank * sizeof *dims);
    memcpy(x->strides, strides, (size_t)rank * sizeof *strides);
}

// Of each sequence K [heads][n_ctx/16][head_dim][16], or V [heads][n_ctx][head_dim], from rows of heads * head_dim:
// whole groups of positions, then those that are left.
static wf_status copy_cache(schedule *s, MlirValue v, const attention_kernel *k, bool keys, const shape *n, int *index)
{
    tensor from, to;
    int64_t n_ctx = context_of(n), row = k->n_kv_heads * k->head_dim, whole = n->positions / KV_GROUP;
    TRY(new_array(s, v, n->sequences * n_ctx * row, &to));
    *index = to.root;
    for (int part = 0; part < 2; part++) {
        int64_t groups = part ? 1 : whole, group = part ? n->positions % KV_GROUP : KV_GROUP,
                first = part ? whole * KV_GROUP : 0;
        if (!groups || !group) continue;
        TRY(see_contiguous(s, v, &from));
        const int64_t dims[] = {n->sequences, k->n_kv_heads, groups, group, k->head_dim};
        const int64_t rows[] = {n->positions * row, k->head_dim, group * row, row, 1};
        const int64_t places[] = {n_ctx * row, n_ctx * k->head_dim, KV_GROUP * k->head_dim, keys ? 1 : k->head_dim,
                                  keys ? KV_GROUP : 1};
        set_shape(&from, 5, dims, rows);
        set_shape(&to, 5, dims, places);
        from.offset += first * row;
        to.offset = first * k->head_dim;
        TRY(schedule_copy(s, &from, &to));
    }
    return WF_OK;
}

// The mask in rows of n_ctx numbers; the mask itself where it has such rows. strides: elements between its sequences,
// heads, tokens.
static wf_status place_mask(schedule *s, MlirValue mask, const shape *n, int *index, int64_t strides[3])
{
    tensor from, to;
    const int64_t *size = n->mask, n_ctx = context_of(n);
    const int64_t whole[] = {size[1] * size[2] * n_ctx, size[2] * n_ctx, n_ctx, 1};
    const int64_t read[] = {size[1] * size[2] * size[3], size[2] * size[3], size[3], size[3] > 1};
    const int64_t dims[] = {size[0], size[1], size[2], n->positions};
    for (int i = 0; i < 3; i++) strides[i] = size[i] > 1 ? whole[i] : 0;
    TRY(see_contiguous(s, mask, &from));
    *index = from.root;
    if (size[3] == n_ctx && !from.offset) return WF_OK;
    TRY(new_array(s, mask, size[0] * whole[0], &to));
    *index = to.root;
    set_shape(&from, 4, dims, read);
    set_shape(&to, 4, dims, whole);
    return schedule_copy(s, &from, &to);
}

wf_status schedule_attention(schedule *s)
{
    enum { Q, K, V, Y, MORE };
    attention_parts parts;
    attention_kernel k;
    shape n;
    tensor q, y, sink;
    char name[96];
    int roots[6], n_roots = MORE;
    int64_t strides[3] = {0};
    const bool written[] = {false, false, false, true, false, false};
    if (!read_attention(s->op, &parts, &k, &n)) return schedule_refuse(s, "cannot be compiled");
    MlirValue result = mlirOperationGetResult(s->op, 0);
    TRY(schedule_to_root(s, parts.q, &q));
    TRY(copy_cache(s, parts.k, &k, true, &n, &roots[K]));
    TRY(copy_cache(s, parts.v, &k, false, &n, &roots[V]));
    if (k.mask) TRY(place_mask(s, parts.mask, &n, &roots[n_roots++], strides));
    if (k.sink) {
        TRY(schedule_to_root(s, parts.sink, &sink));
        roots[n_roots++] = sink.root;
    }
    TRY(schedule_new_tensor(s, mlirValueGetType(result), &y));
    roots[Q] = q.root;
    roots[Y] = y.root;
    attention_name(&k, name);
    call *c = schedule_kernel_call(s, name, n_roots, roots, written);
    if (!c) return error_memory(s->err, sizeof name);
    int64_t block = attention_tiles_for(&k, &s->b->target).tokens;
    c->n_tiles = n.sequences * k.n_kv_heads * ((n.tokens + block - 1) / block);
    const int64_t dims[MAX_SIZES] = {
        n.tokens, n.positions - n.tokens, context_of(&n), 0, n.sequences, strides[0], strides[1], strides[2]};
    memcpy(c->dims, dims, sizeof dims);
    c->n_dims = k.mask ? 8 : k.batched ? 5 : 4;
    s->roots[y.root].step = -1;
    if (!schedule_knows_kernel(s)) attention_build(s->b, &k, c->kernel);
    return schedule_add_tensor(s, result, &y);
}
