// How kernels find a position of the KV cache (runtime/program/kv.h): by the sequence's table of blocks.
#ifndef WELFORD_COMPILER_KERNEL_CACHE_H
#define WELFORD_COMPILER_KERNEL_CACHE_H

#include "compiler/kernel/builder.h"
#include "runtime/program/kv.h"

// Address of the block that holds a position.
static inline value cache_block(builder *b, value table, value position)
{
    return load(b, table, mul_i(b, div_i(b, position, KV_BLOCK), 8), 0, b->ptr);
}

#endif
