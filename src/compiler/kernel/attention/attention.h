// Attention over the KV cache (kv.h), exact, with an online softmax
// (https://arxiv.org/abs/1805.02867, as in https://arxiv.org/abs/2205.14135).
//
// y[i, h] = sum over positions j <= n_past + i of softmax(scale * q[i, h] . k[j, h / group]) * v[j, h / group], where
// group = n_heads / n_kv_heads query heads share a key head. The cache already holds the keys and values of this call.
// Graphs that are no language models may let every token see all positions, add a mask to the scores, and compute
// several sequences at once, over keys and values that lie in rows, as graphs keep them, where they are.
//
// A tile is a key head and a block of tokens; its rows are the block's tokens times the group's heads:
//
//     Q [rows][row]  scaled        S [rows][64]    scores, then weights, of a block of 64 positions
//     O [rows][row]  accumulators  M, L, C [rows]  running maximum, running sum, correction of this block
//
// A row has head_dim features, and up to 15 more that may hold anything: it is as long as in the cache.
//
//     for each 64 positions:  S = Q K^T;  mask;  M' = max(M, S);  S = 2^(S - M');  C = 2^(M - M');  O = C O + S V
//
// S = Q K^T and O = C O + S V are register tiles of R rows x a few vectors; a single token takes tiles of its own
// shape. Every score and every output is summed in the same order whatever the tiles are.
//
// Over a cache, the loop is over one span of `span` positions, from a multiple of it on, and what spans give is joined
// in their order, whether one tile goes through all of them or not:
//
//     M' = max(M, M_s);  L = 2^(M - M') L + 2^(M_s - M') L_s;  O = 2^(M - M') O + 2^(M_s - M') O_s
//
// A few tokens deep in a context have too few tiles for all threads, and uneven ones. Such a call is split: a tile sees
// one span and leaves its M, L and O in a row of parts, and attention_merge joins them. A span that a row does not see
// changes no bit of what it is joined with. So a token's result depends on its position and what it sees, not on the
// other tokens of the call, the split, or the number of threads.
//
// Cost a token and head: 4 * head_dim flops a position; a tile reads the key head's part of the cache once.
#ifndef WELFORD_COMPILER_KERNEL_ATTENTION_ATTENTION_H
#define WELFORD_COMPILER_KERNEL_ATTENTION_ATTENTION_H

#include "compiler/kernel/kernels.h"
#include "runtime/program/kv.h"

// attention: operands 0 q f32 [n_tokens, n_heads*head_dim], 1 K, 2 V, 3 y, f32 as q or rows of q8. Over the cache, which
// is where `span` is set, both K and V are the sequence's table of blocks.
// Sizes: 0 n_tokens, 1 n_past, 2 n_ctx, 3 split, over the cache 4 bytes from a block's beginning to the layer's K.
// Positions from n_past + n_tokens on may hold anything, even NaN.
// With a split of 0 a tile sees all positions. Else it sees one span, and operand 3 is parts [n_spans, n_tokens,
// n_heads] of attention_part_bytes each, counted from the first span that some token sees.
// Batched: q, K, V and y are n_sequences of those, one behind the other; size 4 n_sequences.
// With a mask: operand 4 mask f32, of which a row holds n_ctx numbers; sizes 5, 6, 7 elements between its sequences,
// heads, tokens (0: the same for all). A block of positions that it hides from all rows of a tile (-inf) is not
// read, but where there is a sink.
// With a sink: the last operand sink f32 [n_heads]. It joins the sum of weights as a position with a value of 0 would.
// As rows: K and V are f32 rows of head_dim features, a multiple of KV_ROW_STEP; sizes 8, 9, 10 are the elements of K
// between its positions, heads, sequences, 11, 12, 13 those of V. A block of keys is brought into K's order when it is
// read, once a tile: for calls that have few.
// Batched and masked calls, those with a sink, and those as rows have no spans and are not split.
//
// attention_merge: operands 0 parts, 1 y; sizes as above.
typedef struct attention_kernel {
    int64_t n_heads, n_kv_heads;
    int64_t head_dim;
    double scale;
    kv_type kv;     // of the cache; K and V that are given are f32
    bool out_q8;    // y is rows of q8 (q8.h) of n_heads*head_dim features; only if attention_can_q8
    int64_t window; // a token sees so many positions, itself included; 0: all
    int64_t span;   // over the cache: positions that are summed before they are joined with others, a multiple of 64;
    // 0: all, of K and V that are given whole: [n_kv_heads][n_ctx/16][row][16] and [n_kv_heads][n_ctx][row]
    double softcap;   // scores become softcap * tanh(score / softcap); 0: they stay
    bool full;        // a token sees all n_past + n_tokens positions (n_past may be negative); without window
    bool mask;        // is added to the scores
    bool zero_masked; // with a mask: a row that sees nothing gives 0, not NaN
    bool sink;        // a logit of each head joins the sum of weights
    bool batched;
    bool rows; // K and V are rows
} attention_kernel;

// A key head's outputs of a token must be whole q8 blocks.
bool attention_can_q8(const attention_kernel *k);

enum {
    ATTENTION_SPAN = 256,       // over the cache; of the size of what a split gains: 3 us a tile, 1 us for the merge
    ATTENTION_SPLIT_TOKENS = 8, // most tokens of a call that is worth a split: it bounds the memory of parts
};

// Tiles of a call: n_kv_heads * ceil(n_tokens / tokens), times the number of spans and of sequences; more do no harm.
// Of a merge: n_tokens * n_kv_heads.
typedef struct attention_tiles {
    int64_t tokens;
} attention_tiles;

// Bytes of one token's and head's O [row], M, L of a span.
static inline int64_t attention_part_bytes(int64_t head_dim) { return 4 * kv_row(head_dim) + 64; }

// Spans that a call may touch: ceil((n_past + n_tokens) / span) without a window (0 is returned), else so many.
int64_t attention_window_spans(const attention_kernel *k);

// Tiles of each span of a call of up to ATTENTION_SPLIT_TOKENS.
int64_t attention_split_tiles(const attention_kernel *k, const kernel_target *target);

attention_tiles attention_tiles_for(const attention_kernel *k, const kernel_target *target);

extern const kernel_kind ATTENTION_KERNEL, ATTENTION_MERGE_KERNEL;

#endif
