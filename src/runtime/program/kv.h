// The KV cache: blocks of 64 positions of all layers, in f16, f32 or q8. A sequence has a table of its blocks, in order, so
// that sequences which begin alike share the blocks of what they have in common.
//
//     table [n_ctx/64 + 1]     addresses of blocks, those of the sequence's positions first; the others may be anything
//     block [n_layer][K, V]
//
//     K [n_kv_heads][64/16][row][16]    16 positions side by side: a vector holds one dimension of 16 (or 8) keys, so
//                                       that scores need no sums across lanes
//     V [n_kv_heads][64][row]           a vector holds 16 (or 8) dimensions of one value
//
// A row is head_dim, rounded up to 16: whole vectors on every CPU. Positions that were never written may hold anything,
// and so may what is left of a row behind head_dim.
//
// In q8 an element is a signed byte, and every 32 features of a row (the last ones may be fewer) share a scale, an f32,
// 1/127 of their largest magnitude. In K the scales follow the bytes of 16 positions, in V those of one:
//
//     K [n_kv_heads][64/16]( i8 [row][16], f32 [row/32][16] )
//     V [n_kv_heads][64]( i8 [row], f32 [row/32] )
//
// K and V of each head and layer are parts of equal size, each of which begins with the first positions.
#ifndef WELFORD_RUNTIME_PROGRAM_KV_H
#define WELFORD_RUNTIME_PROGRAM_KV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    KV_GROUP = 16,    // positions side by side in K
    KV_ROW_STEP = 16, // features that a row is a multiple of
    KV_BLOCK = 64,    // positions of a block; n_ctx is a multiple of it
    KV_SCALED = 32,   // features that share a scale in q8
};

static inline int64_t kv_round_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

// The features of a row.
static inline int64_t kv_row(int64_t head_dim) { return kv_round_up(head_dim, KV_ROW_STEP); }

typedef enum kv_type { KV_F16, KV_F32, KV_Q8, KV_TYPE_COUNT } kv_type;

const char *kv_type_name(kv_type t);              // "f16", "f32", "q8"
bool kv_type_parse(const char *name, kv_type *t); // false: there is none of that name

static inline int64_t kv_element_bytes(kv_type t) { return t == KV_F32 ? 4 : t == KV_F16 ? 2 : 1; }

// Scales of a row, where it has some.
static inline int64_t kv_scales(int64_t head_dim) { return (kv_row(head_dim) + KV_SCALED - 1) / KV_SCALED; }

// Bytes of one position in one part.
static inline int64_t kv_row_bytes(int64_t head_dim, kv_type t)
{
    return kv_row(head_dim) * kv_element_bytes(t) + (t == KV_Q8 ? 4 * kv_scales(head_dim) : 0);
}

// Bytes that one position takes in one layer, K and V together.
static inline int64_t kv_bytes_per_position(int64_t n_kv_heads, int64_t head_dim, kv_type t)
{
    return 2 * n_kv_heads * kv_row_bytes(head_dim, t);
}

// Bytes between two dimensions of a key.
static inline int64_t kv_key_stride(kv_type t) { return KV_GROUP * kv_element_bytes(t); }

// A model's cache.
typedef struct kv_layout {
    int64_t n_layer, n_kv_heads, head_dim;
    kv_type type;
} kv_layout;

enum { KV_MOST_LAYERS = 1 << 16, KV_MOST_HEADS = 1 << 16, KV_MOST_FEATURES = 1 << 14 };

// All numbers are positive and no larger than above: then nothing here overflows for any n_ctx below 2^31 but the bytes
// of the whole, and of states that are no part of a whole that fits.
bool kv_layout_is_valid(const kv_layout *kv);

// Bytes of one position in all layers.
int64_t kv_position_bytes(const kv_layout *kv);

// Positions that a cache has room for: n_ctx, rounded up.
int64_t kv_capacity(int64_t n_ctx);

// Blocks that n positions take.
static inline int64_t kv_blocks(int64_t n) { return n / KV_BLOCK + (n % KV_BLOCK > 0); }

// Bytes of a block; false on overflow.
bool kv_block_bytes(const kv_layout *kv, size_t *bytes);

// Bytes of the whole; false on overflow.
bool kv_bytes(const kv_layout *kv, int64_t n_ctx, size_t *bytes);

// The keys and values of the first n positions (whole groups of them: so many of every part), which are the same
// however they lie in blocks. Reads or writes `state` [kv_state_bytes].
size_t kv_state_bytes(const kv_layout *kv, int64_t n);
void kv_copy_out(const kv_layout *kv, unsigned char *const *table, int64_t n, unsigned char *state);
void kv_copy_in(const kv_layout *kv, unsigned char *const *table, int64_t n, const unsigned char *state);

#endif
