// What the fused kernel of attention (attention.c) and the three that it stands for (attention_apart.c) share: the
// tiles of a call, and the steps that a tile takes with a block of ATTENTION_KEYS positions.
//
// A tile's rows are its tokens times the heads of a group: row = token * group + head. Rows are taken in register
// tiles, the last of which may reach beyond them: Q, S, O and C have attention_most_rows more rows than that, whose
// values do not matter.
#ifndef WELFORD_COMPILER_KERNEL_ATTENTION_ATTENTION_PARTS_H
#define WELFORD_COMPILER_KERNEL_ATTENTION_ATTENTION_PARTS_H

#include "compiler/kernel/attention/attention.h"

enum { ATTENTION_KEYS = KV_BLOCK }; // positions of a block

typedef struct attention_emitter {
    builder *b;
    const attention_kernel *k;
    int64_t group, element; // element: bytes of one in the cache
    int64_t row;            // features of a row of Q, O, V
    int64_t row_bytes;      // of a position in a head's K, or V
    int64_t tile_tokens;
    type vf, stored;                    // a vector of f32, the same as the cache holds it
    value q, s, o, m, l, c;             // Q, S, O, M, L, C of the tile (attention.h); q, o, m, l and c are scratch
    value joined_o, joined_m, joined_l; // O, M, L of all spans so far; L of a row is one number
    // of the call
    value k_cache, v_cache; // tables of blocks of the cache, or K and V; null: not read
    value mask, sink;       // null: none
    value all_tokens, past, n_ctx;
    value span;                // positions of a tile: those of a span where the call is split, else all
    value n_positions;         // n_past + n_tokens
    value n_blocks;            // of tokens
    value first_span, n_spans; // that its tokens see some of
    value n_sequences;         // null: one
    value head_bytes;          // of a head's keys, or values; over the cache those of a block
    value mask_strides[3];     // elements between its sequences, heads, tokens
    value key_strides[3],
        value_strides[3]; // of rows: bytes between positions, heads, sequences; else of positions alone
    value block;          // of rows: scratch for the keys of a block in K's order
    // of the tile
    value sequence, head, nth; // sequence null: the only one; nth: of its span, counted from the first
    value first, n_tokens;     // tokens
    value first_row;           // the first token, counted over all sequences
    value n_rows;
    value keys, values; // bytes from k_cache and v_cache, or from a block's beginning, to the key head's part
    value position;     // of the first token
    value from, to;     // positions that it sees, `from` a multiple of ATTENTION_KEYS
    value next_keys;    // of the first block of the next tile
} attention_emitter;

// The shape of a register tile.
typedef struct attention_shape {
    int rows;
    int key_vectors;     // of scores, side by side
    int feature_vectors; // of outputs
    bool prefetch;       // what the next step reads: a single token uses every byte of the cache once
} attention_shape;

int64_t attention_group(const attention_kernel *k);   // query heads of a key head
int attention_most_rows(const kernel_target *target); // of a register tile

// The parameters. Those that matter to every kernel of attention come first, then those of the cache and the result.
enum { ATTENTION_SHAPE_FIELDS = 4, ATTENTION_CACHE_FIELDS = 7, ATTENTION_ALL_FIELDS = 15 };
extern const kernel_field ATTENTION_FIELDS[ATTENTION_ALL_FIELDS];

// Fills in what does not depend on a tile; sizes are the kernel's (attention.h). Scratch, caches and mask are the
// caller's.
void attention_call_begin(attention_emitter *e, builder *b, const attention_kernel *k);
value attention_count_tiles(const attention_emitter *e);
// Tile number `tile`: the last tokens come first, since they see the most positions and threads should end together.
void attention_tile_begin(attention_emitter *e, value tile);

value attention_row(const attention_emitter *e, value base, value row, int64_t row_bytes); // address
value attention_scratch(const attention_emitter *e, int64_t row_bytes);                    // a row's, for all rows

// 1 where scores are logarithms of weights to the base e, LOG2_E where to the base 2, which spares a product each. A
// mask is added as it is: numbers near the largest must not overflow.
double attention_unit(const attention_kernel *k);

// Q = queries, scaled so that Q K^T gives scores (or, under a soft cap, scores / cap).
void attention_emit_queries(const attention_emitter *e, value q);
// The block of positions from k0 on, a multiple of ATTENTION_KEYS: of the keys of a head, `head` being as e->keys is,
// and of the tile's values.
value attention_keys(const attention_emitter *e, value head, value k0);
value attention_values(const attention_emitter *e, value k0);
// The keys of the block of positions from k0 on, which are rows, in K's order.
value attention_emit_key_block(const attention_emitter *e, value k0);
// Whether the mask shows some of the block of positions from k0 on to some row of the tile: else it adds nothing.
value attention_emit_shows(const attention_emitter *e, value k0);
void attention_emit_mask(const attention_emitter *e, value k0); // S += the mask
// Q K^T into S for the block of positions from k0 on, soft cap, mask, -inf for what a row does not see. `next` is the
// part of the cache that is read after this one, as large.
void attention_emit_scores(const attention_emitter *e, value k0, value next);
// O = C O + S V for that block.
void attention_emit_outputs(const attention_emitter *e, value k0, value next);
void attention_emit_zero_outputs(const attention_emitter *e, value o); // O = 0
// to[i] = from[i] * scale for a row; from may be to.
void attention_emit_scaled_row(const attention_emitter *e, value from, value to, value scale);
// Rows of O to where they go: y is the row of the tile's first token.
void attention_emit_store(const attention_emitter *e, value y);
int64_t attention_output_bytes(const attention_kernel *k); // of a token

#endif
