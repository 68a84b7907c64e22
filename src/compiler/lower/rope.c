// Rotations, and the way of keys and values into the cache (kernel/rope.h).
#include <stdio.h>

#include "compiler/kernel/rope.h"
#include "compiler/lower/lowering.h"
#include "runtime/kv.h"

BUILD_WRAPPER(rope_build, rope_kernel)
BUILD_WRAPPER(kv_store_build, kv_store_kernel)
BUILD_WRAPPER(rope_store_build, rope_store_kernel)

// The rotation table whose cos is operand `i`.
static int64_t table_of(MlirOperation op, intptr_t i)
{
    return op_int(defining_op(mlirOperationGetOperand(op, i)), "table", 0);
}

static int table_root(lowering *l, int64_t table)
{
    int64_t before = 0;
    for (int64_t i = 0; i < table; i++) before += 4 * l->o.facts->ropes[i].n_dims;
    return lowering_add_root(l, BASE_ROPE, affine_of(DIM_CONTEXT, before),
                             affine_of(DIM_CONTEXT, 4 * l->o.facts->ropes[table].n_dims));
}

int lowering_cache_root(lowering *l, int64_t layer, int part)
{
    int64_t half = kv_bytes_per_position(l->o.facts->n_kv_heads, l->o.facts->head_dim, l->o.kv_f32) / 2;
    return lowering_add_root(l, BASE_KV, affine_of(DIM_CONTEXT, (2 * layer + part) * half),
                             affine_of(DIM_CONTEXT, half));
}

static affine stride_of(const tensor *x) { return affine_of(DIM_ONE, x->strides[0]); }

wf_status lower_rope(lowering *l)
{
    MlirValue result = mlirOperationGetResult(l->op, 0);
    tensor x, y;
    TRY(lowering_read_tensor(l, mlirOperationGetOperand(l->op, 0), &x));
    int64_t n_heads = op_int(l->op, "n_heads", 1), table = table_of(l->op, 1);
    rope_kernel k = {.n_heads = n_heads,
                     .head_dim = dim_of(result, 1) / n_heads,
                     .n_dims = l->o.facts->ropes[table].n_dims,
                     .interleaved = op_bool(l->op, "interleaved")};
    char name[96];
    rope_name(&k, name);
    TRY(lowering_new_tensor(l, mlirValueGetType(result), x.dims, &y));
    call *c = lowering_add_call(l, lowering_add_kernel(l, name, do_rope_build, &k), "rope");
    if (!c) return error_memory(l->err, sizeof *c);
    call_tiles(c, affine_of(DIM_TOKENS, 1));
    c->flops = affine_of(DIM_TOKENS, 3 * n_heads * k.n_dims);
    call_reads(l, x.root, 4 * x.offset);
    call_reads(l, table_root(l, table), 0);
    call_writes(l, y.root);
    call_size(l, affine_of(DIM_TOKENS, 1));
    call_size(l, affine_of(DIM_PAST, 1));
    call_size(l, stride_of(&x));
    return lowering_add_tensor(l, result, &y);
}

wf_status lower_rope_store(lowering *l)
{
    tensor x[3], y; // q, k, v
    MlirValue result = mlirOperationGetResult(l->op, 0);
    for (int i = 0; i < 3; i++) TRY(lowering_read_tensor(l, mlirOperationGetOperand(l->op, i), &x[i]));
    int64_t table = table_of(l->op, 3), layer = op_int(l->op, "cache", 0);
    rope_store_kernel k = {.n_heads = op_int(l->op, "n_heads", 1),
                           .n_kv_heads = op_int(l->op, "n_kv_heads", 1),
                           .head_dim = l->o.facts->head_dim,
                           .n_dims = l->o.facts->ropes[table].n_dims,
                           .interleaved = op_bool(l->op, "interleaved"),
                           .kv_f32 = l->o.kv_f32,
                           .norm = mlirOperationGetNumOperands(l->op) == 7,
                           .eps = op_float(l->op, "eps", 0)};
    char name[96], label[32];
    rope_store_name(&k, name);
    int gammas[2];
    for (int i = 0; i < 2 && k.norm; i++) {
        MlirValue gamma = mlirOperationGetOperand(l->op, 5 + i);
        TRY(lowering_bind_vector(l, &gamma, 1, op_bool(l->op, "plus_one"), &gammas[i]));
    }
    snprintf(label, sizeof label, "blk.%d.rope_store", (int)layer);
    TRY(lowering_new_tensor(l, mlirValueGetType(result), x[0].dims, &y));
    call *c = lowering_add_call(l, lowering_add_kernel(l, name, do_rope_store_build, &k), label);
    if (!c) return error_memory(l->err, sizeof *c);
    call_tiles(c, affine_of(DIM_TOKENS, 1));
    c->flops = affine_of(DIM_TOKENS, 3 * (k.n_heads + k.n_kv_heads) * k.n_dims);
    for (int i = 0; i < 3; i++) call_reads(l, x[i].root, 4 * x[i].offset);
    call_reads(l, table_root(l, table), 0);
    call_writes(l, y.root);
    for (int part = 0; part < 2; part++) call_writes(l, lowering_cache_root(l, layer, part));
    for (int i = 0; i < 2 && k.norm; i++) call_reads(l, gammas[i], 0);
    call_size(l, affine_of(DIM_TOKENS, 1));
    call_size(l, affine_of(DIM_PAST, 1));
    call_size(l, affine_of(DIM_CONTEXT, 1));
    for (int i = 0; i < 3; i++) call_size(l, stride_of(&x[i]));
    return lowering_add_tensor(l, result, &y);
}

wf_status lower_kv_store(lowering *l)
{
    int64_t layer = op_int(l->op, "cache", 0);
    kv_store_kernel store = {
        .n_kv_heads = op_int(l->op, "n_kv_heads", 1), .head_dim = l->o.facts->head_dim, .kv_f32 = l->o.kv_f32};
    char name[96], label[32];
    tensor x[2]; // k, v
    for (int i = 0; i < 2; i++) TRY(lowering_read_tensor(l, mlirOperationGetOperand(l->op, 1 + i), &x[i]));
    kv_store_name(&store, name);
    snprintf(label, sizeof label, "blk.%d.kv_store", (int)layer);
    call *c = lowering_add_call(l, lowering_add_kernel(l, name, do_kv_store_build, &store), label);
    if (!c) return error_memory(l->err, sizeof *c);
    call_tiles(c, affine_of(DIM_TOKENS, 1));
    for (int i = 0; i < 2; i++) call_reads(l, x[i].root, 4 * x[i].offset);
    for (int part = 0; part < 2; part++) call_writes(l, lowering_cache_root(l, layer, part));
    call_size(l, affine_of(DIM_TOKENS, 1));
    call_size(l, affine_of(DIM_PAST, 1));
    call_size(l, affine_of(DIM_CONTEXT, 1));
    for (int i = 0; i < 2; i++) call_size(l, stride_of(&x[i]));
    return WF_OK;
}
