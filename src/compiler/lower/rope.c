// Rotations, and the way of keys and values into the cache (kernel/rows/rope.h).
#include <stdio.h>

#include "compiler/kernel/rows/rope.h"
#include "compiler/lower/lowering.h"
#include "runtime/program/kv.h"

// The rotation table that a value is the cosine of.
static int64_t table_of(MlirValue cos)
{
    rope_table_op table;
    rope_table_read(defining_op(cos), &table);
    return table.table;
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
    int64_t half = kv_bytes_per_position(l->o.facts->n_kv_heads, l->o.facts->head_dim, l->o.kv) / 2;
    return lowering_add_root(l, BASE_KV, affine_of(DIM_CONTEXT, (2 * layer + part) * half),
                             affine_of(DIM_CONTEXT, half));
}

void call_layer(lowering *l, int64_t layer)
{
    const model_facts *f = l->o.facts;
    call_size(l, affine_of(DIM_ONE, layer * KV_BLOCK * kv_bytes_per_position(f->n_kv_heads, f->head_dim, l->o.kv)));
}

static affine stride_of(const tensor *x) { return affine_of(DIM_ONE, x->strides[0]); }

wf_status lower_rope(lowering *l)
{
    rope_op op;
    tensor x, y;
    rope_read(l->op, &op);
    TRY(lowering_read_tensor(l, op.x, &x));
    int64_t table = table_of(op.cos);
    rope_kernel k = {.n_heads = op.n_heads,
                     .head_dim = dim_of(op.x, 1) / op.n_heads,
                     .n_dims = l->o.facts->ropes[table].n_dims,
                     .interleaved = op.interleaved};
    TRY(lowering_new_tensor(l, op.y.type, x.dims, &y));
    call *c = lowering_add_call(l, lowering_add_kernel(l, &ROPE_KERNEL, &k), "rope");
    if (!c) return error_memory(l->err, sizeof *c);
    call_tiles(c, affine_of(DIM_TOKENS, 1));
    c->flops = affine_of(DIM_TOKENS, 3 * k.n_heads * k.n_dims);
    call_reads(l, x.root, 4 * x.offset);
    call_reads(l, table_root(l, table), 0);
    call_writes(l, y.root);
    call_size(l, affine_of(DIM_TOKENS, 1));
    call_size(l, affine_of(DIM_PAST, 1));
    call_size(l, stride_of(&x));
    return lowering_add_tensor(l, op.y.value, &y);
}

wf_status lower_rope_store(lowering *l)
{
    rope_store_op op;
    rope_store_read(l->op, &op);
    const MlirValue in[] = {op.q, op.k, op.v}, norms[] = {op.gamma_q, op.gamma_k};
    tensor x[3], y;
    for (int i = 0; i < 3; i++) TRY(lowering_read_tensor(l, in[i], &x[i]));
    int64_t table = table_of(op.cos), layer = op.cache;
    rope_store_kernel k = {.n_heads = op.n_heads,
                           .n_kv_heads = op.n_kv_heads,
                           .head_dim = l->o.facts->head_dim,
                           .n_dims = l->o.facts->ropes[table].n_dims,
                           .interleaved = op.interleaved,
                           .kv = l->o.kv,
                           .norm = op.gamma_q.ptr != NULL,
                           .eps = op.eps};
    char label[32];
    int gammas[2];
    for (int i = 0; i < 2 && k.norm; i++) TRY(lowering_bind_vector(l, &norms[i], 1, op.plus_one, &gammas[i]));
    snprintf(label, sizeof label, "blk.%d.rope_store", (int)layer);
    TRY(lowering_new_tensor(l, op.rotated.type, x[0].dims, &y));
    call *c = lowering_add_call(l, lowering_add_kernel(l, &ROPE_STORE_KERNEL, &k), label);
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
    call_layer(l, layer);
    for (int i = 0; i < 3; i++) call_size(l, stride_of(&x[i]));
    return lowering_add_tensor(l, op.rotated.value, &y);
}

wf_status lower_kv_store(lowering *l, const attention_op *op)
{
    int64_t layer = op->cache;
    kv_store_kernel store = {.n_kv_heads = op->n_kv_heads, .head_dim = l->o.facts->head_dim, .kv = l->o.kv};
    char label[32];
    tensor x[2]; // k, v
    TRY(lowering_read_tensor(l, op->k, &x[0]));
    TRY(lowering_read_tensor(l, op->v, &x[1]));
    snprintf(label, sizeof label, "blk.%d.kv_store", (int)layer);
    call *c = lowering_add_call(l, lowering_add_kernel(l, &KV_STORE_KERNEL, &store), label);
    if (!c) return error_memory(l->err, sizeof *c);
    call_tiles(c, affine_of(DIM_TOKENS, 1));
    for (int i = 0; i < 2; i++) call_reads(l, x[i].root, 4 * x[i].offset);
    for (int part = 0; part < 2; part++) call_writes(l, lowering_cache_root(l, layer, part));
    call_size(l, affine_of(DIM_TOKENS, 1));
    call_size(l, affine_of(DIM_PAST, 1));
    call_layer(l, layer);
    for (int i = 0; i < 2; i++) call_size(l, stride_of(&x[i]));
    return WF_OK;
}
