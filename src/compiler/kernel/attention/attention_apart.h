// Attention as a graph without its fusion computes it: three kernels, with all scores in memory between them. What the
// fused kernel (attention.h) saves can be measured against these.
//
//     attention_scores    q, K of the layer, S   S = scale * Q K^T, soft cap, -inf for what is hidden
//     attention_softmax   S, S again, written    each row over the positions that its tile sees
//     attention_values    S, V of the layer, y   y = S V, f32 or rows of q8
//
// Sizes are those of the fused kernel, with the span 0. S is f32 in blocks of 64 positions, so that the steps of the
// fused kernel work on it as they do on theirs:
//
//     S [n_kv_heads][n_ctx / 64][n_tokens * group + spare rows][64]
//
// Blocks that no token of a tile sees are neither written nor read. Cost: that of the fused kernel, and 4 * n_heads
// bytes a pair of token and position, written and read three times.
#ifndef WELFORD_COMPILER_KERNEL_ATTENTION_ATTENTION_APART_H
#define WELFORD_COMPILER_KERNEL_ATTENTION_ATTENTION_APART_H

#include "compiler/kernel/attention/attention.h"

// Bytes of S: n_tokens * n_ctx times the first, and n_ctx times the second.
int64_t attention_scores_pair_bytes(const attention_kernel *k);
int64_t attention_scores_context_bytes(const attention_kernel *k, const kernel_target *target);

// Tiles of each: n_kv_heads * ceil(n_tokens / attention_tiles_for().tokens). No mask, causal, one sequence.
extern const kernel_kind ATTENTION_SCORES_KERNEL, ATTENTION_SOFTMAX_KERNEL, ATTENTION_VALUES_KERNEL;

#endif
