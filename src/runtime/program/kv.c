#include "runtime/program/kv.h"

#include <string.h>

#include "base/checked.h"

bool kv_layout_is_valid(const kv_layout *kv)
{
    return kv->n_layer >= 1 && kv->n_layer <= KV_MOST_LAYERS && kv->n_kv_heads >= 1 &&
           kv->n_kv_heads <= KV_MOST_HEADS && kv->head_dim >= 1 && kv->head_dim <= KV_MOST_FEATURES;
}

int64_t kv_position_bytes(const kv_layout *kv)
{
    return kv->n_layer * kv_bytes_per_position(kv->n_kv_heads, kv->head_dim, kv->f32);
}

int64_t kv_capacity(int64_t n_ctx) { return kv_round_up(n_ctx, KV_CONTEXT_STEP); }

bool kv_bytes(const kv_layout *kv, int64_t n_ctx, size_t *bytes)
{
    return checked_mul((size_t)kv_position_bytes(kv), (size_t)kv_capacity(n_ctx), bytes);
}

const char *kv_type_name(const kv_layout *kv) { return kv->f32 ? "f32" : "f16"; }

// ---- states

static size_t count_parts(const kv_layout *kv) { return (size_t)(2 * kv->n_layer * kv->n_kv_heads); }

// Bytes of a part that hold n positions: keys lie in groups.
static size_t part_bytes(const kv_layout *kv, int64_t n)
{
    return (size_t)(kv_round_up(n, KV_GROUP) * kv_row_bytes(kv->head_dim, kv->f32));
}

size_t kv_state_bytes(const kv_layout *kv, int64_t n) { return count_parts(kv) * part_bytes(kv, n); }

void kv_copy_out(const kv_layout *kv, const unsigned char *cache, int64_t n_ctx, int64_t n, unsigned char *state)
{
    size_t kept = part_bytes(kv, n), whole = part_bytes(kv, kv_capacity(n_ctx));
    for (size_t i = 0; i < count_parts(kv); i++) memcpy(state + i * kept, cache + i * whole, kept);
}

void kv_copy_in(const kv_layout *kv, unsigned char *cache, int64_t n_ctx, int64_t n, const unsigned char *state)
{
    size_t kept = part_bytes(kv, n), whole = part_bytes(kv, kv_capacity(n_ctx));
    for (size_t i = 0; i < count_parts(kv); i++) memcpy(cache + i * whole, state + i * kept, kept);
}
