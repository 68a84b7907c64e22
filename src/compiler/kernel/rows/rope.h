// Rotary position embedding (https://arxiv.org/abs/2104.09864) and the way of keys and values into the cache (kv.h).
//
// Of every head's head_dim features the first n_dims are rotated, pair (a, b) by the angle of the token's position:
//
//     a' = a cos - b sin,  b' = b cos + a sin
//
// Before that, each head may be normed (RMSNorm over its features): h = h / sqrt(mean(h^2) + eps) * gamma; the mean is
// taken in f64.
//
// interleaved: pairs are features 2i and 2i+1; otherwise i and i + n_dims/2. The rotation table is [n_ctx, n_dims] f32,
// a row = cos[n_dims/2], sin[n_dims/2]. One tile is one token. Cost: 4 bytes read and written a feature, 3 flops.
#ifndef WELFORD_COMPILER_KERNEL_ROWS_ROPE_H
#define WELFORD_COMPILER_KERNEL_ROWS_ROPE_H

#include "compiler/kernel/kernels.h"
#include "runtime/program/kv.h"

// Operands: 0 x, rows of n_heads*head_dim f32 at a stride, 1 table, 2 y f32 [n_tokens, n_heads*head_dim].
// Sizes: 0 n_tokens, 1 n_past, 2 stride of x in floats. y may be x when the stride is n_heads*head_dim.
typedef struct rope_kernel {
    int64_t n_heads, head_dim;
    int64_t n_dims; // even, at most head_dim
    bool interleaved;
} rope_kernel;

extern const kernel_kind ROPE_KERNEL;

// Operands: 0 k, 1 v, rows of n_kv_heads*head_dim f32 at strides, 2, 3 the sequence's table of blocks, for K and for V.
// Sizes: 0 n_tokens, 1 n_past, 2 bytes from a block's beginning to the layer's K, 3 stride of k, 4 stride of v in floats.
typedef struct kv_store_kernel {
    int64_t n_kv_heads, head_dim;
    kv_type kv;
} kv_store_kernel;

extern const kernel_kind KV_STORE_KERNEL;

// Both in one: q is rotated into its own rows, k is rotated into the cache, v goes there as it is.
// Operands: 0 q, 1 k, 2 v, rows of heads of f32 at strides, 3 table, 4 rotated q f32 [n_tokens, n_heads*head_dim], 5, 6
// the sequence's table of blocks, for K and for V, then with norm: 7 gamma of q, 8 gamma of k, f32 [head_dim]. Sizes: 0
// n_tokens, 1 n_past, 2 bytes from a block's beginning to the layer's K, 3 to 5 strides of q, k and v in floats.
typedef struct rope_store_kernel {
    int64_t n_heads, n_kv_heads, head_dim;
    int64_t n_dims;
    bool interleaved;
    kv_type kv;
    bool norm;  // q and k are normed first
    double eps; // of the norm
} rope_store_kernel;

extern const kernel_kind ROPE_STORE_KERNEL;

// The norm alone. Operands: 0 x, rows of n_heads*head_dim f32 at a stride, 1 y f32 [n_tokens, n_heads*head_dim], 2
// gamma f32 [head_dim]. Sizes: 0 n_tokens, 1 stride of x in floats.
typedef struct head_norm_kernel {
    int64_t n_heads, head_dim;
    double eps;
} head_norm_kernel;

extern const kernel_kind HEAD_NORM_KERNEL;

#endif
