// Causal attention over the KV cache (kv.h), exact, with an online softmax
// (https://arxiv.org/abs/1805.02867, as in https://arxiv.org/abs/2205.14135).
//
// y[i, h] = sum over positions j <= n_past + i of softmax(scale * q[i, h] . k[j, h / group]) * v[j, h / group], where
// group = n_heads / n_kv_heads query heads share a key head. The cache already holds the keys and values of this call.
//
// A tile is a key head and a block of tokens; its rows are the block's tokens times the group's heads:
//
//     Q [rows][head_dim]  scaled        S [rows][64]  scores, then weights, of a block of 64 positions
//     O [rows][head_dim]  accumulators  M, L, C [rows]  running maximum, running sum, correction of this block
//
//     for each 64 positions:  S = Q K^T;  mask;  M' = max(M, S);  S = 2^(S - M');  C = 2^(M - M');  O = C O + S V
//
// S = Q K^T and O = C O + S V are register tiles of R rows x a few vectors; a single token takes tiles of its own
// shape. Every score and every output is summed in the same order whatever the tiles are, so that a token's result does
// not depend on the other tokens of the call.
//
// Cost a token and head: 4 * head_dim flops a position; a tile reads the key head's part of the cache once.
#ifndef WELFORD_COMPILER_KERNEL_ATTENTION_H
#define WELFORD_COMPILER_KERNEL_ATTENTION_H

#include "compiler/kernel/builder.h"

// Operands: 0 q f32 [n_tokens, n_heads*head_dim], 1 K, 2 V of the layer, 3 y, f32 as q or rows of q8.
// Sizes: 0 n_tokens, 1 n_past, 2 n_ctx. Positions from n_past + n_tokens on may hold anything, even NaN.
typedef struct attention_kernel {
    int64_t n_heads, n_kv_heads;
    int64_t head_dim; // a multiple of 16
    double scale;
    bool kv_f32;
    bool out_q8;    // y is rows of q8 (q8.h) of n_heads*head_dim features; only if attention_can_q8
    int64_t window; // a token sees so many positions, itself included; 0: all
    double softcap; // scores become softcap * tanh(score / softcap); 0: they stay
} attention_kernel;

// A key head's outputs of a token must be whole q8 blocks.
bool attention_can_q8(const attention_kernel *k);

// Tiles of a call: n_kv_heads * ceil(n_tokens / tokens).
typedef struct attention_tiles {
    int64_t tokens;
} attention_tiles;

attention_tiles attention_tiles_for(const attention_kernel *k, const kernel_target *target);

void attention_name(const attention_kernel *k, char name[96]);
void attention_build(builder *b, const attention_kernel *k, const char *name);

#endif
