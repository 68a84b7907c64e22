#include "runtime/program/kv.h"

#include <string.h>

#include "base/checked.h"

bool kv_layout_is_valid(const kv_layout *kv)
{
    return kv->n_layer >= 1 && kv->n_layer <= KV_MOST_LAYERS && kv->n_kv_heads >= 1 &&
           kv->n_kv_heads <= KV_MOST_HEADS && kv->type < KV_TYPE_COUNT && kv->head_dim >= 1 &&
           kv->head_dim <= KV_MOST_FEATURES;
}

int64_t kv_position_bytes(const kv_layout *kv)
{
    return kv->n_layer * kv_bytes_per_position(kv->n_kv_heads, kv->head_dim, kv->type);
}

int64_t kv_capacity(int64_t n_ctx) { return kv_blocks(n_ctx) * KV_BLOCK; }

bool kv_bytes(const kv_layout *kv, int64_t n_ctx, size_t *bytes)
{
    return checked_mul((size_t)kv_position_bytes(kv), (size_t)kv_capacity(n_ctx), bytes);
}

bool kv_block_bytes(const kv_layout *kv, size_t *bytes) { return kv_bytes(kv, KV_BLOCK, bytes); }

static const char *const NAMES[KV_TYPE_COUNT] = {[KV_F16] = "f16", [KV_F32] = "f32", [KV_Q8] = "q8"};

const char *kv_type_name(kv_type type) { return NAMES[type]; }

bool kv_type_parse(const char *name, kv_type *type)
{
    for (int i = 0; i < KV_TYPE_COUNT; i++)
        if (!strcmp(name, NAMES[i])) {
            *type = (kv_type)i;
            return true;
        }
    return false;
}

// ---- states

static size_t count_parts(const kv_layout *kv) { return (size_t)(2 * kv->n_layer * kv->n_kv_heads); }

// Bytes of a part that hold n positions: keys lie in groups.
static size_t part_bytes(const kv_layout *kv, int64_t n)
{
    return (size_t)(kv_round_up(n, KV_GROUP) * kv_row_bytes(kv->head_dim, kv->type));
}

size_t kv_state_bytes(const kv_layout *kv, int64_t n) { return count_parts(kv) * part_bytes(kv, n); }

// Part i of block k in a state of n positions: where, and how many bytes.
static size_t place_in_state(const kv_layout *kv, int64_t n, size_t i, int64_t k, size_t *bytes)
{
    size_t kept = part_bytes(kv, n), before = (size_t)k * part_bytes(kv, KV_BLOCK);
    *bytes = part_bytes(kv, n - k * KV_BLOCK < KV_BLOCK ? n - k * KV_BLOCK : KV_BLOCK);
    return i * kept + before;
}

void kv_copy_out(const kv_layout *kv, unsigned char *const *table, int64_t n, unsigned char *state)
{
    size_t bytes, whole = part_bytes(kv, KV_BLOCK);
    for (int64_t k = 0; k < kv_blocks(n); k++)
        for (size_t i = 0; i < count_parts(kv); i++) {
            unsigned char *to = state + place_in_state(kv, n, i, k, &bytes);
            memcpy(to, table[k] + i * whole, bytes);
        }
}

void kv_copy_in(const kv_layout *kv, unsigned char *const *table, int64_t n, const unsigned char *state)
{
    size_t bytes, whole = part_bytes(kv, KV_BLOCK);
    for (int64_t k = 0; k < kv_blocks(n); k++)
        for (size_t i = 0; i < count_parts(kv); i++) {
            const unsigned char *from = state + place_in_state(kv, n, i, k, &bytes);
            memcpy(table[k] + i * whole, from, bytes);
        }
}
