// The KV cache: of each layer keys, then values, of n_ctx positions (a multiple of 64), in f16 or f32.
//
//     K [n_kv_heads][n_ctx/16][row][16]    16 positions side by side: a vector holds one dimension of 16 (or 8) keys,
//                                          so that scores need no sums across lanes
//     V [n_kv_heads][n_ctx][row]           a vector holds 16 (or 8) dimensions of one value
//
// A row is head_dim, rounded up to 16: whole vectors on every CPU. Positions that were never written may hold anything,
// and so may what is left of a row behind head_dim.
//
// K and V of each head and layer are parts of equal size, each of which begins with the first positions.
#ifndef WELFORD_RUNTIME_PROGRAM_KV_H
#define WELFORD_RUNTIME_PROGRAM_KV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    KV_GROUP = 16,        // positions side by side in K
    KV_ROW_STEP = 16,     // features that a row is a multiple of
    KV_CONTEXT_STEP = 64, // positions that n_ctx is a multiple of
};

static inline int64_t kv_round_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

// The features of a row.
static inline int64_t kv_row(int64_t head_dim) { return kv_round_up(head_dim, KV_ROW_STEP); }

static inline int64_t kv_element_bytes(bool f32) { return f32 ? 4 : 2; }

// Bytes of one position in one part.
static inline int64_t kv_row_bytes(int64_t head_dim, bool f32) { return kv_row(head_dim) * kv_element_bytes(f32); }

// Bytes that one position takes in one layer, K and V together: a layer's cache is n_ctx times this, the first half K,
// the second V.
static inline int64_t kv_bytes_per_position(int64_t n_kv_heads, int64_t head_dim, bool f32)
{
    return 2 * n_kv_heads * kv_row_bytes(head_dim, f32);
}

// Bytes between two dimensions of a key.
static inline int64_t kv_key_stride(bool f32) { return KV_GROUP * kv_element_bytes(f32); }

// A model's cache.
typedef struct kv_layout {
    int64_t n_layer, n_kv_heads, head_dim;
    bool f32;
} kv_layout;

enum { KV_MOST_LAYERS = 1 << 16, KV_MOST_HEADS = 1 << 16, KV_MOST_FEATURES = 1 << 14 };

// All numbers are positive and no larger than above: then nothing here overflows for any n_ctx below 2^31 but the bytes
// of the whole, and of states that are no part of a whole that fits.
bool kv_layout_is_valid(const kv_layout *kv);

// Bytes of one position in all layers.
int64_t kv_position_bytes(const kv_layout *kv);

// Positions that a cache has room for: n_ctx, rounded up.
int64_t kv_capacity(int64_t n_ctx);

// Bytes of the whole; false on overflow.
bool kv_bytes(const kv_layout *kv, int64_t n_ctx, size_t *bytes);

const char *kv_type_name(const kv_layout *kv); // "f16" or "f32"

// The keys and values of the first n positions (whole groups of them: so many of every part), which are the same
// whatever the cache's size. Reads or writes `state` [kv_state_bytes].
size_t kv_state_bytes(const kv_layout *kv, int64_t n);
void kv_copy_out(const kv_layout *kv, const unsigned char *cache, int64_t n_ctx, int64_t n, unsigned char *state);
void kv_copy_in(const kv_layout *kv, unsigned char *cache, int64_t n_ctx, int64_t n, const unsigned char *state);

#endif
