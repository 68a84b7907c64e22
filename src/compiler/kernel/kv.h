// The KV cache of a layer: keys, then values, of n_ctx positions (a multiple of 64), in f16 or f32.
//
//     K [n_kv_heads][n_ctx/16][head_dim][16]    16 positions side by side: a vector holds one dimension of 16 (or 8)
//                                               keys, so that scores need no sums across lanes
//     V [n_kv_heads][n_ctx][head_dim]           a vector holds 16 (or 8) dimensions of one value
//
// Positions that were never written may hold anything.
#ifndef WELFORD_COMPILER_KERNEL_KV_H
#define WELFORD_COMPILER_KERNEL_KV_H

#include "compiler/kernel/builder.h"

enum { KV_GROUP = 16, KV_CONTEXT_STEP = 64 }; // positions side by side in K; n_ctx is a multiple of the second

static inline int64_t kv_element_bytes(bool f32) { return f32 ? 4 : 2; }

// Bytes that one position takes in one layer, K and V together: a layer's cache is n_ctx times this, the first half K,
// the second V.
static inline int64_t kv_bytes_per_position(int64_t n_kv_heads, int64_t head_dim, bool f32)
{
    return 2 * n_kv_heads * head_dim * kv_element_bytes(f32);
}

// Byte offset of a head in K, and in V alike, as a multiple of n_ctx.
static inline int64_t kv_head_offset(int64_t head, int64_t head_dim, bool f32)
{
    return head * head_dim * kv_element_bytes(f32);
}

// Bytes between two dimensions of a key.
static inline int64_t kv_key_stride(bool f32) { return KV_GROUP * kv_element_bytes(f32); }

#endif
