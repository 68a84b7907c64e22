#include "compiler/kernel/attention/attention_parts.h"

#include <string.h>

#include "compiler/kernel/cache.h"
#include "compiler/kernel/math.h"
#include "compiler/kernel/rows/q8.h"
#include "runtime/program/kv.h"

enum {
    KEYS = ATTENTION_KEYS,
    TARGET_ROWS = 48, // of a tile: Q, S and O together stay in the L2 cache, K and V blocks are used so many times
};

static const double LOG2_E = 1.44269504088896341;

int64_t attention_group(const attention_kernel *k) { return k->n_heads / k->n_kv_heads; }

bool attention_can_q8(const attention_kernel *k) { return attention_group(k) * k->head_dim % Q8_BLOCK == 0; }

double attention_unit(const attention_kernel *k) { return k->mask ? 1 : LOG2_E; }

const kernel_field ATTENTION_FIELDS[ATTENTION_ALL_FIELDS] = {
    KERNEL_FIELD(attention_kernel, n_heads, FIELD_INT, "_"),
    KERNEL_FIELD(attention_kernel, n_kv_heads, FIELD_INT, "_"),
    KERNEL_FIELD(attention_kernel, head_dim, FIELD_INT, "x"),
    KERNEL_FIELD(attention_kernel, window, FIELD_INT, "_w"),
    KERNEL_FIELD(attention_kernel, span, FIELD_INT, "_span"),
    KERNEL_TEXT(attention_kernel, kv, cache_label, "_"),
    KERNEL_FIELD(attention_kernel, out_q8, FIELD_BOOL, "_q8"),
    KERNEL_FIELD(attention_kernel, scale, FIELD_F64, "_s"),
    KERNEL_FIELD(attention_kernel, softcap, FIELD_F64, "_cap"),
    KERNEL_FIELD(attention_kernel, full, FIELD_BOOL, "_full"),
    KERNEL_FIELD(attention_kernel, mask, FIELD_BOOL, "_mask"),
    KERNEL_FIELD(attention_kernel, zero_masked, FIELD_BOOL, "_zero"),
    KERNEL_FIELD(attention_kernel, sink, FIELD_BOOL, "_sink"),
    KERNEL_FIELD(attention_kernel, batched, FIELD_BOOL, "_batched"),
    KERNEL_FIELD(attention_kernel, rows, FIELD_BOOL, "_rows"),
};

// ---- shapes of register tiles

// Accumulators that leave room for a vector or two of K or V and a broadcast.
static int accumulators(const kernel_target *target) { return target->registers == 32 ? 24 : 12; }

int attention_most_rows(const kernel_target *target) { return accumulators(target) / 2; }

static attention_shape shape_for(const kernel_target *target, int rows, int64_t row)
{
    attention_shape s = {.rows = rows, .key_vectors = 1, .feature_vectors = 1};
    int most = accumulators(target) / rows, features = (int)row / target->lanes;
    while (2 * s.key_vectors <= most && 2 * s.key_vectors * target->lanes <= KEYS) s.key_vectors *= 2;
    for (int n = 2; n <= most && n <= 8; n++)
        if (features % n == 0) s.feature_vectors = n;
    return s;
}

// The rows of one token, in as few equal tiles as can be.
static int rows_of_one_token(const attention_kernel *k, const kernel_target *target)
{
    int most = attention_most_rows(target), group = (int)attention_group(k), tiles = (group + most - 1) / most;
    return (group + tiles - 1) / tiles;
}

static int64_t gcd(int64_t x, int64_t y) { return y ? gcd(y, x % y) : x; }

attention_tiles attention_tiles_for(const attention_kernel *k, const kernel_target *target)
{
    // whole register tiles
    int64_t rows = attention_most_rows(target), group = attention_group(k), unit = rows / gcd(rows, group);
    int64_t units = TARGET_ROWS / group / unit;
    return (attention_tiles){.tokens = units > 1 ? units * unit : unit};
}

// ---- tiles

value attention_row(const attention_emitter *e, value base, value row, int64_t row_bytes)
{
    return at(e->b, base, mul_i(e->b, row, row_bytes), 0);
}

value attention_scratch(const attention_emitter *e, int64_t row_bytes)
{
    return scratch(e->b, (e->tile_tokens * e->group + attention_most_rows(&e->b->target)) * row_bytes);
}

// The first position that a token at `position` sees.
static value first_seen(const attention_emitter *e, value position)
{
    builder *b = e->b;
    return e->k->window ? max_s(b, add_i(b, position, 1 - e->k->window), const_i(b, 0)) : const_i(b, 0);
}

void attention_call_begin(attention_emitter *e, builder *b, const attention_kernel *k)
{
    *e = (attention_emitter){.b = b,
                             .k = k,
                             .group = attention_group(k),
                             .element = kv_element_bytes(k->kv),
                             .row_bytes = kv_row_bytes(k->head_dim, k->kv),
                             .row = kv_row(k->head_dim),
                             .tile_tokens = attention_tiles_for(k, &b->target).tokens,
                             .vf = vec(b, b->target.lanes, b->f32),
                             .stored = vec(b, b->target.lanes, cache_element(b, k->kv))};
    e->all_tokens = dim(b, 0);
    e->past = dim(b, 1);
    e->n_ctx = dim(b, 2);
    e->span = select_(b, cmp_i(b, CMP_EQ, dim(b, 3), const_i(b, 0)), e->n_ctx, const_i(b, k->span));
    if (k->batched) e->n_sequences = dim(b, 4);
    for (int i = 0; i < 3 && k->mask; i++) e->mask_strides[i] = dim(b, 5 + i);
    e->n_positions = add(b, e->past, e->all_tokens);
    e->n_blocks = div_i(b, add_i(b, e->all_tokens, e->tile_tokens - 1), e->tile_tokens);
    e->first_span = div_u(b, first_seen(e, e->past), e->span);
    e->n_spans = sub(b, add_i(b, div_u(b, add_i(b, e->n_positions, -1), e->span), 1), e->first_span);
    e->head_bytes = k->span ? const_i(b, KV_BLOCK * e->row_bytes) : mul_i(b, e->n_ctx, e->row_bytes);
    for (int i = 0; i < 3; i++) {
        e->key_strides[i] = k->rows ? mul_i(b, dim(b, 8 + i), e->element) : const_i(b, e->row_bytes);
        e->value_strides[i] = k->rows ? mul_i(b, dim(b, 11 + i), e->element) : const_i(b, e->row_bytes);
    }
}

value attention_count_tiles(const attention_emitter *e)
{
    value n = mul(e->b, mul_i(e->b, e->n_blocks, e->k->n_kv_heads), e->n_spans);
    return e->n_sequences.ptr ? mul(e->b, n, e->n_sequences) : n;
}

// The block of positions at k0, in a head's part of the cache or of the keys (or values) that are given.
static value block_at(const attention_emitter *e, value cache, value head, value k0, value position_bytes)
{
    builder *b = e->b;
    if (e->k->span) return at(b, cache_block(b, cache, k0), head, 0);
    return at(b, at(b, cache, head, 0), mul(b, k0, position_bytes), 0);
}

value attention_keys(const attention_emitter *e, value head, value k0)
{
    return block_at(e, e->k_cache, head, k0, e->key_strides[0]);
}

value attention_values(const attention_emitter *e, value k0)
{
    return block_at(e, e->v_cache, e->values, k0, e->value_strides[0]);
}

// The positions that a tile sees: what its tokens see of its span; and which keys the next tile begins with, so that a
// thread that goes through a head's spans, and on to the next head, reads one stream of keys and one of values.
static void choose_span(attention_emitter *e)
{
    builder *b = e->b;
    value begin = mul(b, add(b, e->first_span, e->nth), e->span), end = add(b, begin, e->span);
    value seen = and_i(b, first_seen(e, e->position), -KEYS);
    e->from = max_s(b, seen, begin);
    e->to = min_s(b, e->k->full ? e->n_positions : add(b, e->position, e->n_tokens), end);
    if (!e->keys.ptr) return;
    value is_last = cmp_i(b, CMP_EQ, add_i(b, e->head, 1), const_i(b, e->k->n_kv_heads));
    value of_head = select_(b, is_last, e->keys, add(b, e->keys, e->head_bytes));
    value goes_on = cmp_i(b, CMP_LT, add_i(b, e->nth, 1), e->n_spans);
    e->next_keys = attention_keys(e, select_(b, goes_on, e->keys, of_head), select_(b, goes_on, end, seen));
}

// Of the tile's head in keys or values that are rows.
static value offset_in_rows(const attention_emitter *e, const value strides[3])
{
    builder *b = e->b;
    value offset = mul(b, e->head, strides[1]);
    return e->sequence.ptr ? add(b, offset, mul(b, e->sequence, strides[2])) : offset;
}

void attention_tile_begin(attention_emitter *e, value tile)
{
    builder *b = e->b;
    int64_t n_heads = e->k->n_kv_heads;
    e->nth = rem_u(b, tile, e->n_spans);
    value rest = div_u(b, tile, e->n_spans);
    value cache_head = e->head = rem_i(b, rest, n_heads);
    rest = div_i(b, rest, n_heads);
    if (e->n_sequences.ptr) {
        e->sequence = rem_u(b, rest, e->n_sequences);
        rest = div_u(b, rest, e->n_sequences);
        cache_head = add(b, mul_i(b, e->sequence, n_heads), e->head);
    }
    e->first = e->first_row = mul_i(b, sub(b, add_i(b, e->n_blocks, -1), rest), e->tile_tokens);
    if (e->n_sequences.ptr) e->first_row = add(b, mul(b, e->sequence, e->all_tokens), e->first);
    e->n_tokens = min_s(b, sub(b, e->all_tokens, e->first), const_i(b, e->tile_tokens));
    e->n_rows = mul_i(b, e->n_tokens, e->group);
    e->position = add(b, e->past, e->first);
    value head_offset = mul(b, cache_head, e->head_bytes);
    bool reads = e->k_cache.ptr || e->v_cache.ptr;
    if (reads && e->k->span) head_offset = add(b, head_offset, dim(b, 4));
    if (e->k_cache.ptr) e->keys = e->k->rows ? offset_in_rows(e, e->key_strides) : head_offset;
    if (e->v_cache.ptr) e->values = e->k->span ? add(b, head_offset, mul_i(b, e->head_bytes, n_heads)) : head_offset;
    if (e->v_cache.ptr && e->k->rows) e->values = offset_in_rows(e, e->value_strides);
    choose_span(e);
}

// ---- scores and outputs

// Positions of the block at k0 that some row of a register tile sees: at most KEYS, maybe none (or less).
static value visible_keys(const attention_emitter *e, value row, int rows, value k0)
{
    builder *b = e->b;
    if (e->k->full) return min_s(b, sub(b, e->n_positions, k0), const_i(b, KEYS));
    value token = div_i(b, add_i(b, row, rows - 1), e->group);
    token = min_s(b, token, add_i(b, e->n_tokens, -1));
    value end = add_i(b, add(b, e->position, token), 1);
    return min_s(b, sub(b, end, k0), const_i(b, KEYS));
}

// Vectors of the cache, side by side.
typedef struct vectors {
    value at;
    int64_t offsets[KEYS / 8];
    value scales[KEYS / 8]; // addresses of their scales: of each lane its own, or one of all; not in f16 and f32
    bool one_scale;
} vectors;

static value load_cached(const attention_emitter *e, const vectors *from, int v)
{
    builder *b = e->b;
    int n = b->target.lanes;
    value x = load(b, from->at, (value){0}, from->offsets[v], e->stored);
    if (e->k->kv != KV_Q8) return to_f32(b, x);
    value scale = from->one_scale ? splat(b, load(b, from->scales[v], (value){0}, 0, b->f32), n)
                                  : load(b, from->scales[v], (value){0}, 0, e->vf);
    return mul_f(b, int_to_f(b, ext_s(b, x, vec(b, n, b->i32)), e->vf), scale);
}

// acc[r][v] += broadcast(f32 at scalars + r * scalar_stride) * (vector v). The smaller side stays in registers, the
// other passes by one at a time: more would not fit beside the accumulators.
static void multiply(const attention_emitter *e, int rows, int n, value scalars, int64_t scalar_stride,
                     const vectors *from, value *acc)
{
    builder *b = e->b;
    value x[LOOP_MAX], y[LOOP_MAX];
    bool keep_scalars = rows < n;
    for (int outer = 0; outer < (keep_scalars ? n : rows); outer++)
        for (int inner = 0; inner < (keep_scalars ? rows : n); inner++) {
            int r = keep_scalars ? inner : outer, v = keep_scalars ? outer : inner;
            if (v == 0) x[r] = splat(b, load(b, scalars, (value){0}, r * scalar_stride, b->f32), b->target.lanes);
            if (r == 0) y[v] = load_cached(e, from, v);
            acc[r * n + v] = fma_(b, x[r], y[v], acc[r * n + v]);
        }
}

// S = Q K^T for the block of positions whose keys start at `keys`.
static void emit_products(const attention_emitter *e, const attention_shape *t, value keys, value next, value k0)
{
    builder *b = e->b;
    int n = t->key_vectors, lanes_ = b->target.lanes, step = n * lanes_, unroll = e->k->head_dim % 2 ? 1 : 2;
    int64_t dims = e->row; // what lies behind head_dim is not read: it may hold NaN
    loop rows, cols, features;
    loop_begin(b, &rows, const_i(b, 0), e->n_rows, t->rows, 0, NULL);
    value q_row = attention_row(e, e->q, rows.iv, 4 * dims), s_row = attention_row(e, e->s, rows.iv, 4 * KEYS);
    loop_begin(b, &cols, const_i(b, 0), visible_keys(e, rows.iv, t->rows, k0), step, 0, NULL);
    value key = at(b, keys, mul_i(b, cols.iv, e->row_bytes), 0), acc[LOOP_MAX];
    for (int i = 0; i < t->rows * n; i++) acc[i] = const_f(b, e->vf, 0);
    loop_begin(b, &features, const_i(b, 0), const_i(b, e->k->head_dim), unroll, t->rows * n, acc);
    memcpy(acc, features.args, sizeof acc);
    value k_at = at(b, key, mul_i(b, features.iv, KV_GROUP * e->element), 0);
    value q_at = at(b, q_row, mul_i(b, features.iv, 4), 0);
    int64_t step_bytes = step * e->element; // of the next part, for every dimension
    value next_at = at(b, next, mul_i(b, cols.iv, e->row_bytes), 0);
    for (int64_t i = 0; i < unroll * step_bytes && t->prefetch; i += 64)
        prefetch(b, next_at, mul_i(b, features.iv, step_bytes), i, 1);
    value scales_at = at(b, key, mul_i(b, div_i(b, features.iv, KV_SCALED), 4 * KV_GROUP), dims * KV_GROUP);
    for (int u = 0; u < unroll; u++) { // both of one scale: features.iv is even then
        vectors from = {.at = k_at};
        for (int v = 0; v < n; v++) {
            int64_t group = v * lanes_ / KV_GROUP * KV_GROUP * e->row_bytes, lane = v * lanes_ % KV_GROUP;
            from.offsets[v] = group + (u * KV_GROUP + lane) * e->element;
            from.scales[v] = at(b, scales_at, (value){0}, group + 4 * lane);
        }
        multiply(e, t->rows, n, at(b, q_at, (value){0}, 4 * u), 4 * dims, &from, acc);
    }
    loop_end(b, &features, acc);
    value s_at = at(b, s_row, mul_i(b, cols.iv, 4), 0);
    for (int r = 0; r < t->rows; r++)
        for (int v = 0; v < n; v++)
            store(b, features.results[r * n + v], s_at, (value){0}, 4 * (r * KEYS + v * lanes_));
    loop_end(b, &cols, NULL);
    loop_end(b, &rows, NULL);
}

// O = C O + S V for the block of positions whose values start at `values`. Positions that no row of a register tile
// sees are not read: they may hold NaN, and 0 * NaN is no 0.
static void emit_outputs(const attention_emitter *e, const attention_shape *t, value values, value next, value k0)
{
    builder *b = e->b;
    int n = t->feature_vectors, lanes_ = b->target.lanes;
    int64_t dims = e->row;
    loop rows, cols, positions;
    loop_begin(b, &rows, const_i(b, 0), e->n_rows, t->rows, 0, NULL);
    value o_row = attention_row(e, e->o, rows.iv, 4 * dims), s_row = attention_row(e, e->s, rows.iv, 4 * KEYS);
    value c_row = attention_row(e, e->c, rows.iv, 4), end = visible_keys(e, rows.iv, t->rows, k0);
    loop_begin(b, &cols, const_i(b, 0), const_i(b, dims), n * lanes_, 0, NULL);
    value v_col = at(b, values, mul_i(b, cols.iv, e->element), 0), o_at = at(b, o_row, mul_i(b, cols.iv, 4), 0);
    value acc[LOOP_MAX];
    for (int r = 0; r < t->rows; r++) {
        value correction = splat(b, load(b, c_row, (value){0}, 4 * r, b->f32), lanes_);
        for (int v = 0; v < n; v++) {
            value o = load(b, o_at, (value){0}, 4 * (r * dims + v * lanes_), e->vf);
            acc[r * n + v] = mul_f(b, o, correction);
        }
    }
    loop_begin(b, &positions, const_i(b, 0), end, 1, t->rows * n, acc);
    memcpy(acc, positions.args, sizeof acc);
    value scales_at = attention_row(e, values, positions.iv, e->row_bytes);
    vectors from = {.at = at(b, v_col, mul(b, positions.iv, e->value_strides[0]), 0), .one_scale = true};
    for (int v = 0; v < n; v++) {
        value scale = div_i(b, add_i(b, cols.iv, v * lanes_), KV_SCALED);
        from.offsets[v] = v * lanes_ * e->element;
        from.scales[v] = at(b, scales_at, mul_i(b, scale, 4), dims * e->element);
    }
    value next_at = attention_row(e, at(b, next, mul_i(b, cols.iv, e->element), 0), positions.iv, e->row_bytes);
    for (int64_t i = 0; i < n * lanes_ * e->element && t->prefetch; i += 64) prefetch(b, next_at, (value){0}, i, 1);
    multiply(e, t->rows, n, at(b, s_row, mul_i(b, positions.iv, 4), 0), 4 * KEYS, &from, acc);
    loop_end(b, &positions, acc);
    for (int r = 0; r < t->rows; r++)
        for (int v = 0; v < n; v++)
            store(b, positions.results[r * n + v], o_at, (value){0}, 4 * (r * dims + v * lanes_));
    loop_end(b, &cols, NULL);
    loop_end(b, &rows, NULL);
}

// Calls `emit` with the shape for a single token, or else the one for many. It works on a part of the cache, `next` is
// the one of the step after it.
static void emit_either(const attention_emitter *e,
                        void (*emit)(const attention_emitter *, const attention_shape *, value, value, value),
                        value part, value next, value k0)
{
    builder *b = e->b;
    attention_shape one = shape_for(&b->target, rows_of_one_token(e->k, &b->target), e->row);
    attention_shape many = shape_for(&b->target, attention_most_rows(&b->target), e->row);
    one.prefetch = true;
    branch br;
    if_begin(b, &br, cmp_i(b, CMP_EQ, e->n_tokens, const_i(b, 1)), 0, NULL);
    emit(e, &one, part, next, k0);
    if_else(b, &br, NULL);
    emit(e, &many, part, next, k0);
    if_end(b, &br, NULL);
}

// Scores come out of Q K^T as score / softcap.
static void emit_softcap(const attention_emitter *e)
{
    builder *b = e->b;
    value cap = const_f(b, e->vf, e->k->softcap * attention_unit(e->k));
    loop l;
    loop_begin(b, &l, const_i(b, 0), mul_i(b, e->n_rows, KEYS), b->target.lanes, 0, NULL);
    value offset = mul_i(b, l.iv, 4), x = load(b, e->s, offset, 0, e->vf);
    store(b, mul_f(b, math_tanh(b, x), cap), e->s, offset, 0);
    loop_end(b, &l, NULL);
}

// Scores of positions that a row does not see become -inf; what was there before, even NaN, is gone.
static void emit_hidden(const attention_emitter *e, value k0)
{
    builder *b = e->b;
    int n = b->target.lanes;
    type ints = vec(b, n, b->i32);
    value hidden = const_f(b, e->vf, -__builtin_inf());
    loop rows;
    loop_begin(b, &rows, const_i(b, 0), e->n_rows, 1, 0, NULL);
    value s = attention_row(e, e->s, rows.iv, 4 * KEYS);
    value end = add_i(b, add(b, e->position, div_i(b, rows.iv, e->group)), 1);
    if (e->k->full) end = e->n_positions;
    value end_lanes = splat(b, trunc_i(b, sub(b, end, k0), b->i32), n);
    for (int v = 0; v < KEYS / n; v++) {
        value position = add_i(b, iota(b, n, b->i32), v * n);
        value seen = cmp_i(b, CMP_LT, position, end_lanes);
        if (e->k->window) {
            value begin = sub(b, end_lanes, const_int(b, ints, e->k->window));
            seen = and_(b, seen, cmp_i(b, CMP_GE, position, begin));
        }
        store(b, select_(b, seen, load(b, s, (value){0}, 4 * v * n, e->vf), hidden), s, (value){0}, 4 * v * n);
    }
    loop_end(b, &rows, NULL);
}

static void emit_hidden_where_needed(const attention_emitter *e, value k0)
{
    builder *b = e->b;
    value first_end = e->k->full ? e->n_positions : add_i(b, e->position, 1);
    value needed = cmp_i(b, CMP_GT, add_i(b, k0, KEYS), first_end);
    if (e->k->window) {
        value last_begin = add_i(b, add(b, e->position, e->n_tokens), -e->k->window);
        needed = or_(b, needed, cmp_i(b, CMP_LT, k0, last_begin));
    }
    branch br;
    if_begin(b, &br, needed, 0, NULL);
    emit_hidden(e, k0);
    if_end(b, &br, NULL);
}

void attention_emit_scores(const attention_emitter *e, value k0, value next)
{
    value keys = e->k->rows ? attention_emit_key_block(e, k0) : attention_keys(e, e->keys, k0);
    emit_either(e, emit_products, keys, next, k0);
    if (e->k->softcap != 0) emit_softcap(e);
    if (e->k->mask) attention_emit_mask(e, k0);
    emit_hidden_where_needed(e, k0);
}

void attention_emit_outputs(const attention_emitter *e, value k0, value next)
{
    emit_either(e, emit_outputs, attention_values(e, k0), next, k0);
}

// ---- the rows of a tile, in and out

// to[i] = from[i] * scale (null: 1) for n values, and no others.
static void emit_copy(const attention_emitter *e, value from, value to, int64_t n, value scale)
{
    builder *b = e->b;
    int64_t width = b->target.lanes, whole = n / width * width;
    loop cols;
    loop_begin(b, &cols, const_i(b, 0), const_i(b, whole), width, 0, NULL);
    value offset = mul_i(b, cols.iv, 4), x = load(b, from, offset, 0, e->vf);
    store(b, scale.ptr ? mul_f(b, x, splat(b, scale, (int)width)) : x, to, offset, 0);
    loop_end(b, &cols, NULL);
    for (int64_t i = whole; i < n; i += width) {
        while (width > n - i) width /= 2;
        x = load(b, from, (value){0}, 4 * i, vec(b, (int)width, b->f32));
        store(b, scale.ptr ? mul_f(b, x, splat(b, scale, (int)width)) : x, to, (value){0}, 4 * i);
    }
}

// The heads of a group lie side by side in q; where rows are longer than heads, they are moved apart.
void attention_emit_queries(const attention_emitter *e, value q)
{
    builder *b = e->b;
    const attention_kernel *k = e->k;
    int64_t row_bytes = 4 * k->n_heads * k->head_dim, runs = e->row == k->head_dim ? 1 : e->group;
    int64_t run = e->group / runs * k->head_dim;
    value scale = const_f(b, b->f32, k->softcap != 0 ? k->scale / k->softcap : k->scale * attention_unit(k));
    value q_tile = attention_row(e, attention_row(e, q, e->first_row, row_bytes), e->head, 4 * e->group * k->head_dim);
    loop tokens, heads;
    loop_begin(b, &tokens, const_i(b, 0), e->n_tokens, 1, 0, NULL);
    value from = attention_row(e, q_tile, tokens.iv, row_bytes);
    value to = attention_row(e, e->q, tokens.iv, 4 * e->group * e->row);
    loop_begin(b, &heads, const_i(b, 0), const_i(b, runs), 1, 0, NULL);
    emit_copy(e, attention_row(e, from, heads.iv, 4 * run), attention_row(e, to, heads.iv, 4 * e->row), run, scale);
    loop_end(b, &heads, NULL);
    loop_end(b, &tokens, NULL);
}

void attention_emit_zero_outputs(const attention_emitter *e, value o)
{
    builder *b = e->b;
    loop cols;
    loop_begin(b, &cols, const_i(b, 0), mul_i(b, e->n_rows, e->row), b->target.lanes, 0, NULL);
    store(b, const_f(b, e->vf, 0), o, mul_i(b, cols.iv, 4), 0);
    loop_end(b, &cols, NULL);
}

void attention_emit_scaled_row(const attention_emitter *e, value from, value to, value scale)
{
    builder *b = e->b;
    loop cols;
    loop_begin(b, &cols, const_i(b, 0), const_i(b, e->row), b->target.lanes, 0, NULL);
    value offset = mul_i(b, cols.iv, 4);
    store(b, mul_f(b, load(b, from, offset, 0, e->vf), scale), to, offset, 0);
    loop_end(b, &cols, NULL);
}

int64_t attention_output_bytes(const attention_kernel *k)
{
    return k->out_q8 ? q8_row_bytes(k->n_heads * k->head_dim) : 4 * k->n_heads * k->head_dim;
}

// Moves the rows of O together, to head_dim features each. In this order none is overwritten before it is read: a row
// goes down by as much as all before it have become shorter, and what whole vectors write behind it, the next
// overwrites.
static void emit_compact(const attention_emitter *e)
{
    builder *b = e->b;
    loop rows, cols;
    loop_begin(b, &rows, const_i(b, 0), e->n_rows, 1, 0, NULL);
    value from = attention_row(e, e->o, rows.iv, 4 * e->row), to = attention_row(e, e->o, rows.iv, 4 * e->k->head_dim);
    loop_begin(b, &cols, const_i(b, 0), const_i(b, e->row), b->target.lanes, 0, NULL);
    value offset = mul_i(b, cols.iv, 4);
    store(b, load(b, from, offset, 0, e->vf), to, offset, 0);
    loop_end(b, &cols, NULL);
    loop_end(b, &rows, NULL);
}

static void emit_store_q8(const attention_emitter *e, value o_row, value y_row, value first, int64_t features)
{
    builder *b = e->b;
    int n = b->target.lanes;
    loop blocks;
    loop_begin(b, &blocks, const_i(b, 0), const_i(b, features), Q8_BLOCK, 0, NULL);
    value from = mul_i(b, blocks.iv, 4), to = add(b, first, blocks.iv), x[Q8_BLOCK / 8];
    for (int v = 0; v < Q8_BLOCK / n; v++) x[v] = load(b, o_row, from, 4 * v * n, e->vf);
    q8_store_block(b, x, y_row, div_i(b, to, Q8_BLOCK), e->k->n_heads * e->k->head_dim);
    loop_end(b, &blocks, NULL);
}

void attention_emit_store(const attention_emitter *e, value y)
{
    builder *b = e->b;
    int64_t features = e->group * e->k->head_dim;
    value first = mul_i(b, e->head, features);
    loop tokens;
    if (e->row != e->k->head_dim) emit_compact(e);
    loop_begin(b, &tokens, const_i(b, 0), e->n_tokens, 1, 0, NULL);
    value y_row = attention_row(e, y, tokens.iv, attention_output_bytes(e->k));
    value o_row = attention_row(e, e->o, tokens.iv, 4 * features);
    if (e->k->out_q8)
        emit_store_q8(e, o_row, y_row, first, features);
    else
        emit_copy(e, o_row, attention_row(e, y_row, first, 4), features, (value){0});
    loop_end(b, &tokens, NULL);
}
