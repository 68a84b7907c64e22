// Causal attention over given keys and values (kernel/attention.h), in f32: they are copied to where the kernel looks
// for a cache, K in groups of 16 positions, then one call does all heads.
#include <string.h>

#include "compiler/dialect/wf.h"
#include "compiler/graph/schedule_parts.h"
#include "compiler/kernel/attention.h"
#include "compiler/kernel/kv.h"

typedef struct shape {
    int64_t tokens, positions;
} shape;

static bool is_f32(MlirValue v) { return mlirTypeIsAF32(element_type_of(v)); }

// False when no kernel takes this: a mask, several sequences, another type.
static bool read_attention(MlirOperation op, attention_kernel *k, shape *sizes)
{
    if (!op_is(op, "wf.attention") || mlirOperationGetNumOperands(op) != 3 || op_attribute(op, "cache").ptr ||
        !op_bool(op, "causal"))
        return false;
    MlirValue q = mlirOperationGetOperand(op, 0), keys = mlirOperationGetOperand(op, 1),
              values = mlirOperationGetOperand(op, 2);
    int rank = rank_of(q);
    *k = (attention_kernel){.n_heads = op_int(op, "n_heads", 0),
                            .n_kv_heads = op_int(op, "n_kv_heads", 0),
                            .scale = op_float(op, "scale", 1),
                            .window = op_int(op, "window", 0),
                            .softcap = op_float(op, "softcap", 0),
                            .kv_f32 = true};
    if (rank < 2 || rank_of(keys) != rank || rank_of(values) != rank || k->n_heads < 1 || k->n_kv_heads < 1 ||
        k->n_heads % k->n_kv_heads || k->n_heads > 4096)
        return false;
    for (int d = 0; d + 2 < rank; d++)
        if (dim_of(q, d) != 1 || dim_of(keys, d) != 1 || dim_of(values, d) != 1) return false;
    k->head_dim = dim_of(q, rank - 1) / k->n_heads;
    *sizes = (shape){dim_of(q, rank - 2), dim_of(keys, rank - 2)};
    return is_f32(q) && is_f32(keys) && is_f32(values) && is_f32(mlirOperationGetResult(op, 0)) &&
           dim_of(q, rank - 1) == k->n_heads * k->head_dim && dim_of(keys, rank - 1) == k->n_kv_heads * k->head_dim &&
           dim_of(values, rank - 1) == k->n_kv_heads * k->head_dim && k->head_dim >= 16 && k->head_dim <= 512 &&
           k->head_dim % 16 == 0 && sizes->tokens > 0 && sizes->positions >= sizes->tokens &&
           sizes->positions < 1 << 24 && dim_of(values, rank - 2) == sizes->positions;
}

bool attention_has_kernel(MlirOperation op)
{
    attention_kernel k;
    shape sizes;
    return read_attention(op, &k, &sizes);
}

// The value [.., positions, heads * head_dim] as [heads, positions / group, group, head_dim], from position `first` on.
static wf_status see_positions(schedule *s, MlirValue v, const attention_kernel *k, int64_t first, int64_t groups,
                               int64_t group, tensor *x)
{
    TRY(schedule_read_tensor(s, v, x));
    if (x->place != PLACE_MEMORY || !tensor_is_contiguous(x)) TRY(schedule_to_memory(s, x));
    int64_t row = k->n_kv_heads * k->head_dim;
    const int64_t dims[] = {k->n_kv_heads, groups, group, k->head_dim}, strides[] = {k->head_dim, group * row, row, 1};
    x->rank = 4;
    memcpy(x->dims, dims, sizeof dims);
    memcpy(x->strides, strides, sizeof strides);
    x->offset += first * row;
    return WF_OK;
}

// K [heads][n_ctx/16][head_dim][16], or V [heads][n_ctx][head_dim]: whole groups, then the positions that are left.
static wf_status copy_cache(schedule *s, MlirValue v, const attention_kernel *k, bool keys, int64_t positions,
                            int64_t n_ctx, int *index)
{
    tensor from, to;
    TRY(schedule_new_tensor(s, mlirValueGetType(v), &to));
    s->roots[to.root].bytes = (size_t)(k->n_kv_heads * n_ctx * k->head_dim) * 4;
    *index = to.root;
    int64_t whole = positions / KV_GROUP, rest = positions % KV_GROUP;
    for (int part = 0; part < 2; part++) {
        int64_t groups = part ? 1 : whole, group = part ? rest : KV_GROUP, first = part ? whole * KV_GROUP : 0;
        if (!groups || !group) continue;
        TRY(see_positions(s, v, k, first, groups, group, &from));
        const int64_t strides[] = {n_ctx * k->head_dim, KV_GROUP * k->head_dim, keys ? 1 : k->head_dim,
                                   keys ? KV_GROUP : 1};
        to.rank = 4;
        memcpy(to.dims, from.dims, sizeof to.dims);
        memcpy(to.strides, strides, sizeof strides);
        to.offset = first * k->head_dim;
        TRY(schedule_copy(s, &from, &to));
    }
    return WF_OK;
}

wf_status schedule_attention(schedule *s)
{
    attention_kernel k;
    shape sizes;
    tensor q, y;
    char name[96];
    int roots[4];
    const bool written[] = {false, false, false, true};
    if (!read_attention(s->op, &k, &sizes)) return schedule_refuse(s, "cannot be compiled");
    MlirValue result = mlirOperationGetResult(s->op, 0);
    int64_t n_ctx = (sizes.positions + KV_CONTEXT_STEP - 1) / KV_CONTEXT_STEP * KV_CONTEXT_STEP;
    TRY(schedule_to_root(s, mlirOperationGetOperand(s->op, 0), &q));
    for (int i = 0; i < 2; i++)
        TRY(copy_cache(s, mlirOperationGetOperand(s->op, 1 + i), &k, i == 0, sizes.positions, n_ctx, &roots[1 + i]));
    TRY(schedule_new_tensor(s, mlirValueGetType(result), &y));
    roots[0] = q.root;
    roots[3] = y.root;
    attention_name(&k, name);
    call *c = schedule_kernel_call(s, name, 4, roots, written);
    if (!c) return error_memory(s->err, sizeof name);
    int64_t block = attention_tiles_for(&k, &s->b->target).tokens;
    c->n_tiles = k.n_kv_heads * ((sizes.tokens + block - 1) / block);
    const int64_t dims[] = {sizes.tokens, sizes.positions - sizes.tokens, n_ctx, 0};
    memcpy(c->dims, dims, sizeof dims);
    c->n_dims = 4;
    s->roots[y.root].step = -1;
    if (!schedule_knows_kernel(s)) attention_build(s->b, &k, c->kernel);
    return schedule_add_tensor(s, result, &y);
}
