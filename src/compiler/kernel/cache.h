// How kernels find a position of the KV cache (runtime/program/kv.h): by the sequence's table of blocks.
#ifndef WELFORD_COMPILER_KERNEL_CACHE_H
#define WELFORD_COMPILER_KERNEL_CACHE_H

#include "compiler/kernel/builder.h"
#include "runtime/program/kv.h"

// How a kernel's name tells the type of the cache: KERNEL_TEXT(.., kv, cache_label, "_").
static inline const char *cache_label(int kv)
{
    return kv == KV_F16 ? "" : kv == KV_F32 ? "f32" : kv == KV_Q8 ? "kvq8" : NULL;
}

static inline type cache_element(builder *b, kv_type kv)
{
    return kv == KV_F32 ? b->f32 : kv == KV_F16 ? b->f16 : b->i8;
}

// Address of the block that holds a position.
static inline value cache_block(builder *b, value table, value position)
{
    return load(b, table, mul_i(b, div_i(b, position, KV_BLOCK), 8), 0, b->ptr);
}

#endif
