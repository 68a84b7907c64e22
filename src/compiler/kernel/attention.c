#include "compiler/kernel/attention.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "compiler/kernel/kv.h"
#include "compiler/kernel/math.h"
#include "compiler/kernel/q8.h"

enum {
    KEYS = 64,        // positions a block
    TARGET_ROWS = 48, // of a tile: Q, S and O together stay in the L2 cache, K and V blocks are used so many times
};

static const double LOG2_E = 1.44269504088896341;
static const double NO_MAXIMUM = -1e30; // finite, so that the difference of two is a number

static int64_t group_of(const attention_kernel *k) { return k->n_heads / k->n_kv_heads; }

bool attention_can_q8(const attention_kernel *k) { return group_of(k) * k->head_dim % Q8_BLOCK == 0; }

void attention_name(const attention_kernel *k, char name[96])
{
    float numbers[] = {(float)k->scale, (float)k->softcap};
    uint32_t bits[2];
    memcpy(bits, numbers, sizeof bits);
    char extras[48] = "";
    if (k->window || k->softcap != 0) snprintf(extras, sizeof extras, "_w%lld_cap%08x", (long long)k->window, bits[1]);
    snprintf(name, 96, "attention_%lld_%lldx%lld_s%08x%s%s%s", (long long)k->n_heads, (long long)k->n_kv_heads,
             (long long)k->head_dim, bits[0], extras, k->kv_f32 ? "_f32" : "", k->out_q8 ? "_q8" : "");
}

// Scores and soft caps do not matter any more: merges of one shape are one kernel.
void attention_merge_name(const attention_kernel *k, char name[96])
{
    char window[24] = "";
    if (k->window) snprintf(window, sizeof window, "_w%lld", (long long)k->window);
    snprintf(name, 96, "attention_merge_%lld_%lldx%lld%s%s", (long long)k->n_heads, (long long)k->n_kv_heads,
             (long long)k->head_dim, window, k->out_q8 ? "_q8" : "");
}

// The window of the first token may begin anywhere in its span, and the last token's ends that much later.
int64_t attention_window_spans(const attention_kernel *k)
{
    int64_t positions = k->window + ATTENTION_SPLIT_TOKENS - 1;
    return k->window ? (positions + ATTENTION_SPAN - 2) / ATTENTION_SPAN + 1 : 0;
}

// ---- shapes of register tiles

typedef struct shape {
    int rows;
    int key_vectors;     // of scores, side by side
    int feature_vectors; // of outputs
    bool prefetch;       // what the next step reads: a single token uses every byte of the cache once
} shape;

// Accumulators that leave room for a vector or two of K or V and a broadcast.
static int accumulators(const kernel_target *target) { return target->registers == 32 ? 24 : 12; }

static int most_rows(const kernel_target *target) { return accumulators(target) / 2; }

static shape shape_for(const kernel_target *target, int rows, int64_t head_dim)
{
    shape s = {.rows = rows, .key_vectors = 1, .feature_vectors = 1};
    int most = accumulators(target) / rows, features = (int)head_dim / target->lanes;
    while (2 * s.key_vectors <= most && 2 * s.key_vectors * target->lanes <= KEYS) s.key_vectors *= 2;
    for (int n = 2; n <= most && n <= 8; n++)
        if (features % n == 0) s.feature_vectors = n;
    return s;
}

// The rows of one token, in as few equal tiles as can be.
static int rows_of_one_token(const attention_kernel *k, const kernel_target *target)
{
    int group = (int)group_of(k), tiles = (group + most_rows(target) - 1) / most_rows(target);
    return (group + tiles - 1) / tiles;
}

static int64_t gcd(int64_t x, int64_t y) { return y ? gcd(y, x % y) : x; }

attention_tiles attention_tiles_for(const attention_kernel *k, const kernel_target *target)
{
    // whole register tiles
    int64_t rows = most_rows(target), group = group_of(k), unit = rows / gcd(rows, group);
    int64_t units = TARGET_ROWS / group / unit;
    return (attention_tiles){.tokens = units > 1 ? units * unit : unit};
}

// ---- emission

typedef struct emitter {
    builder *b;
    const attention_kernel *k;
    int64_t group, element; // element: bytes of one in the cache
    type vf, half;          // a vector of f32, the same as the cache holds it
    value q, s, o, m, l, c; // scratch
    // of the tile
    value first, n_tokens; // tokens
    value n_rows;
    value keys, values; // the key head's parts of the cache
    value position;     // of the first token
    value head_bytes;   // of each of the two
    value from, to;     // positions that it sees, `from` a multiple of KEYS
    value next_keys;    // of the first block of the next tile
} emitter;

static value row_address(const emitter *e, value base, value row, int64_t row_bytes)
{
    return at(e->b, base, mul_i(e->b, row, row_bytes), 0);
}

// Positions of the block at k0 that some row of a register tile sees: at most KEYS, maybe none (or less).
static value visible_keys(const emitter *e, value row, int rows, value k0)
{
    builder *b = e->b;
    value token = div_i(b, add_i(b, row, rows - 1), e->group);
    token = min_s(b, token, add_i(b, e->n_tokens, -1));
    value end = add_i(b, add(b, e->position, token), 1);
    return min_s(b, sub(b, end, k0), const_i(b, KEYS));
}

// acc[r][v] += broadcast(f32 at scalars + r * scalar_stride) * (cache elements at vectors + vector_offsets[v]). The
// smaller side stays in registers, the other passes by one at a time: more would not fit beside the accumulators.
static void multiply(const emitter *e, int rows, int n, value scalars, int64_t scalar_stride, value vectors,
                     const int64_t *vector_offsets, value *acc)
{
    builder *b = e->b;
    value x[LOOP_MAX], y[LOOP_MAX];
    bool keep_scalars = rows < n;
    for (int outer = 0; outer < (keep_scalars ? n : rows); outer++)
        for (int inner = 0; inner < (keep_scalars ? rows : n); inner++) {
            int r = keep_scalars ? inner : outer, v = keep_scalars ? outer : inner;
            if (v == 0) x[r] = splat(b, load(b, scalars, (value){0}, r * scalar_stride, b->f32), b->target.lanes);
            if (r == 0) y[v] = to_f32(b, load(b, vectors, (value){0}, vector_offsets[v], e->half));
            acc[r * n + v] = fma_(b, x[r], y[v], acc[r * n + v]);
        }
}

// S = Q K^T for the block of positions whose keys start at `keys`.
static void emit_scores(const emitter *e, const shape *t, value keys, value next, value k0)
{
    builder *b = e->b;
    int n = t->key_vectors, lanes_ = b->target.lanes, step = n * lanes_, unroll = 2;
    int64_t dims = e->k->head_dim;
    loop rows, cols, features;
    loop_begin(b, &rows, const_i(b, 0), e->n_rows, t->rows, 0, NULL);
    value q_row = row_address(e, e->q, rows.iv, 4 * dims), s_row = row_address(e, e->s, rows.iv, 4 * KEYS);
    loop_begin(b, &cols, const_i(b, 0), visible_keys(e, rows.iv, t->rows, k0), step, 0, NULL);
    value key = at(b, keys, mul_i(b, cols.iv, dims * e->element), 0), acc[LOOP_MAX];
    for (int i = 0; i < t->rows * n; i++) acc[i] = const_f(b, e->vf, 0);
    loop_begin(b, &features, const_i(b, 0), const_i(b, dims), unroll, t->rows * n, acc);
    memcpy(acc, features.args, sizeof acc);
    value k_at = at(b, key, mul_i(b, features.iv, KV_GROUP * e->element), 0);
    value q_at = at(b, q_row, mul_i(b, features.iv, 4), 0);
    int64_t step_bytes = step * e->element; // of the next part, for every dimension
    value next_at = at(b, next, mul_i(b, cols.iv, dims * e->element), 0);
    for (int64_t i = 0; i < unroll * step_bytes && t->prefetch; i += 64)
        prefetch(b, next_at, mul_i(b, features.iv, step_bytes), i);
    for (int u = 0; u < unroll; u++) {
        int64_t offsets[KEYS / 8];
        for (int v = 0; v < n; v++) {
            int group = v * lanes_ / KV_GROUP, lane = v * lanes_ % KV_GROUP;
            offsets[v] = ((group * dims + u) * KV_GROUP + lane) * e->element;
        }
        multiply(e, t->rows, n, at(b, q_at, (value){0}, 4 * u), 4 * dims, k_at, offsets, acc);
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
static void emit_outputs(const emitter *e, const shape *t, value values, value next, value k0)
{
    builder *b = e->b;
    int n = t->feature_vectors, lanes_ = b->target.lanes;
    int64_t dims = e->k->head_dim;
    loop rows, cols, positions;
    loop_begin(b, &rows, const_i(b, 0), e->n_rows, t->rows, 0, NULL);
    value o_row = row_address(e, e->o, rows.iv, 4 * dims), s_row = row_address(e, e->s, rows.iv, 4 * KEYS);
    value c_row = row_address(e, e->c, rows.iv, 4), end = visible_keys(e, rows.iv, t->rows, k0);
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
    int64_t offsets[KEYS / 8];
    for (int v = 0; v < n; v++) offsets[v] = v * lanes_ * e->element;
    value v_at = row_address(e, v_col, positions.iv, dims * e->element);
    value next_at = row_address(e, at(b, next, mul_i(b, cols.iv, e->element), 0), positions.iv, dims * e->element);
    for (int64_t i = 0; i < n * lanes_ * e->element && t->prefetch; i += 64) prefetch(b, next_at, (value){0}, i);
    multiply(e, t->rows, n, at(b, s_row, mul_i(b, positions.iv, 4), 0), 4 * KEYS, v_at, offsets, acc);
    loop_end(b, &positions, acc);
    for (int r = 0; r < t->rows; r++)
        for (int v = 0; v < n; v++)
            store(b, positions.results[r * n + v], o_at, (value){0}, 4 * (r * dims + v * lanes_));
    loop_end(b, &cols, NULL);
    loop_end(b, &rows, NULL);
}

// Calls `emit` with the shape for a single token, or else the one for many. It works on a part of the cache, `next` is
// the one of the step after it.
static void emit_either(const emitter *e, void (*emit)(const emitter *, const shape *, value, value, value), value part,
                        value next, value k0)
{
    builder *b = e->b;
    shape one = shape_for(&b->target, rows_of_one_token(e->k, &b->target), e->k->head_dim);
    shape many = shape_for(&b->target, most_rows(&b->target), e->k->head_dim);
    one.prefetch = true;
    branch br;
    if_begin(b, &br, cmp_i(b, CMP_EQ, e->n_tokens, const_i(b, 1)), 0, NULL);
    emit(e, &one, part, next, k0);
    if_else(b, &br, NULL);
    emit(e, &many, part, next, k0);
    if_end(b, &br, NULL);
}

// Scores come out of Q K^T as score / softcap.
static void emit_softcap(const emitter *e)
{
    builder *b = e->b;
    value cap = const_f(b, e->vf, e->k->softcap * LOG2_E);
    loop l;
    loop_begin(b, &l, const_i(b, 0), mul_i(b, e->n_rows, KEYS), b->target.lanes, 0, NULL);
    value offset = mul_i(b, l.iv, 4), x = load(b, e->s, offset, 0, e->vf);
    store(b, mul_f(b, math_tanh(b, x), cap), e->s, offset, 0);
    loop_end(b, &l, NULL);
}

// Scores of positions that a row does not see become -inf; what was there before, even NaN, is gone.
static void emit_mask(const emitter *e, value k0)
{
    builder *b = e->b;
    int n = b->target.lanes;
    type ints = vec(b, n, b->i32);
    value hidden = const_f(b, e->vf, -__builtin_inf());
    loop rows;
    loop_begin(b, &rows, const_i(b, 0), e->n_rows, 1, 0, NULL);
    value s = row_address(e, e->s, rows.iv, 4 * KEYS);
    value end = add_i(b, sub(b, add(b, e->position, div_i(b, rows.iv, e->group)), k0), 1);
    value end_lanes = splat(b, trunc_i(b, end, b->i32), n);
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

static void emit_mask_where_needed(const emitter *e, value k0)
{
    builder *b = e->b;
    value first_end = add_i(b, e->position, 1);
    value needed = cmp_i(b, CMP_GT, add_i(b, k0, KEYS), first_end);
    if (e->k->window) {
        value last_begin = add_i(b, add(b, e->position, e->n_tokens), -e->k->window);
        needed = or_(b, needed, cmp_i(b, CMP_LT, k0, last_begin));
    }
    branch br;
    if_begin(b, &br, needed, 0, NULL);
    emit_mask(e, k0);
    if_end(b, &br, NULL);
}

// M' = max(M, S), S = 2^(S - M'), C = 2^(M - M'), L = C L + S; L is kept as a vector of partial sums.
static void emit_softmax(const emitter *e)
{
    builder *b = e->b;
    int n = b->target.lanes, n_vectors = KEYS / n;
    loop rows;
    loop_begin(b, &rows, const_i(b, 0), e->n_rows, 1, 0, NULL);
    value s = row_address(e, e->s, rows.iv, 4 * KEYS), l = row_address(e, e->l, rows.iv, 4 * n);
    value row = mul_i(b, rows.iv, 4), scores[KEYS / 8], tree[KEYS / 8];
    for (int v = 0; v < n_vectors; v++) tree[v] = scores[v] = load(b, s, (value){0}, 4 * v * n, e->vf);
    for (int width = n_vectors / 2; width; width /= 2)
        for (int v = 0; v < width; v++) tree[v] = max_f(b, tree[v], tree[v + width]);
    value before = load(b, e->m, row, 0, b->f32), maximum = max_f(b, max_of_f(b, tree[0]), before);
    store(b, maximum, e->m, row, 0);
    value maxima = splat(b, maximum, n), correction = math_exp2_nonpositive(b, sub_f(b, splat(b, before, n), maxima));
    store(b, extract(b, correction, 0), e->c, row, 0);
    value sum = {0};
    for (int v = 0; v < n_vectors; v++) {
        value p = math_exp2_nonpositive(b, sub_f(b, scores[v], maxima));
        store(b, p, s, (value){0}, 4 * v * n);
        sum = v ? add_f(b, sum, p) : p;
    }
    store(b, fma_(b, load(b, l, (value){0}, 0, e->vf), correction, sum), l, (value){0}, 0);
    loop_end(b, &rows, NULL);
}

// Q = scaled queries, O = 0, M, L.
static void emit_start(const emitter *e, value q_tile)
{
    builder *b = e->b;
    int n = b->target.lanes;
    int64_t features = e->group * e->k->head_dim, row_bytes = 4 * e->k->n_heads * e->k->head_dim;
    double scale = e->k->softcap != 0 ? e->k->scale / e->k->softcap : e->k->scale * LOG2_E;
    loop tokens, cols, rows;
    loop_begin(b, &tokens, const_i(b, 0), e->n_tokens, 1, 0, NULL);
    value from = row_address(e, q_tile, tokens.iv, row_bytes), to = mul_i(b, tokens.iv, 4 * features);
    loop_begin(b, &cols, const_i(b, 0), const_i(b, features), n, 0, NULL);
    value offset = mul_i(b, cols.iv, 4), x = load(b, from, offset, 0, e->vf);
    store(b, mul_f(b, x, const_f(b, e->vf, scale)), at(b, e->q, to, 0), offset, 0);
    store(b, const_f(b, e->vf, 0), at(b, e->o, to, 0), offset, 0);
    loop_end(b, &cols, NULL);
    loop_end(b, &tokens, NULL);
    loop_begin(b, &rows, const_i(b, 0), e->n_rows, 1, 0, NULL);
    store(b, const_f(b, b->f32, NO_MAXIMUM), e->m, mul_i(b, rows.iv, 4), 0);
    store(b, const_f(b, e->vf, 0), e->l, mul_i(b, rows.iv, 4 * n), 0);
    loop_end(b, &rows, NULL);
}

// Rows of O to where they go: y is the row of the tile's first token.
static void emit_store(const emitter *e, value y, value head)
{
    builder *b = e->b;
    int n = b->target.lanes;
    int64_t features = e->group * e->k->head_dim, all = e->k->n_heads * e->k->head_dim;
    int64_t y_bytes = e->k->out_q8 ? q8_row_bytes(all) : 4 * all;
    int step = e->k->out_q8 ? Q8_BLOCK : n;
    value head_features = mul_i(b, head, features);
    loop tokens, blocks;
    loop_begin(b, &tokens, const_i(b, 0), e->n_tokens, 1, 0, NULL);
    value y_row = row_address(e, y, tokens.iv, y_bytes), o_row = row_address(e, e->o, tokens.iv, 4 * features);
    loop_begin(b, &blocks, const_i(b, 0), const_i(b, features), step, 0, NULL);
    value from = mul_i(b, blocks.iv, 4), to = add(b, head_features, blocks.iv), x[Q8_BLOCK / 8];
    for (int v = 0; v < step / n; v++) x[v] = load(b, o_row, from, 4 * v * n, e->vf);
    if (e->k->out_q8)
        q8_store_block(b, x, y_row, div_i(b, to, Q8_BLOCK), all);
    else
        store(b, x[0], y_row, mul_i(b, to, 4), 0);
    loop_end(b, &blocks, NULL);
    loop_end(b, &tokens, NULL);
}

// to[i] = from[i] * scale for a row of head_dim; from may be to.
static void emit_scaled_row(const emitter *e, value from, value to, value scale)
{
    builder *b = e->b;
    int n = b->target.lanes;
    loop cols;
    loop_begin(b, &cols, const_i(b, 0), const_i(b, e->k->head_dim), n, 0, NULL);
    value offset = mul_i(b, cols.iv, 4);
    store(b, mul_f(b, load(b, from, offset, 0, e->vf), scale), to, offset, 0);
    loop_end(b, &cols, NULL);
}

// O / L to where it goes.
static void emit_finish(const emitter *e, value y, value head)
{
    builder *b = e->b;
    int n = b->target.lanes;
    loop rows;
    loop_begin(b, &rows, const_i(b, 0), e->n_rows, 1, 0, NULL);
    value sum = sum_f(b, load(b, e->l, mul_i(b, rows.iv, 4 * n), 0, e->vf));
    value o = row_address(e, e->o, rows.iv, 4 * e->k->head_dim);
    emit_scaled_row(e, o, o, splat(b, div_f(b, const_f(b, b->f32, 1), sum), n));
    loop_end(b, &rows, NULL);
    emit_store(e, y, head);
}

// O, M, L into the parts; `parts` is the row of the tile's first token and first head.
static void emit_parts(const emitter *e, value parts)
{
    builder *b = e->b;
    int n = b->target.lanes;
    int64_t dims = e->k->head_dim, part_bytes = attention_part_bytes(dims);
    loop rows;
    loop_begin(b, &rows, const_i(b, 0), e->n_rows, 1, 0, NULL);
    value token = div_i(b, rows.iv, e->group), head = rem_i(b, rows.iv, e->group);
    value part = row_address(e, parts, add(b, mul_i(b, token, e->k->n_heads), head), part_bytes);
    emit_scaled_row(e, row_address(e, e->o, rows.iv, 4 * dims), part, const_f(b, e->vf, 1));
    store(b, load(b, e->m, mul_i(b, rows.iv, 4), 0, b->f32), part, (value){0}, 4 * dims);
    value sum = sum_f(b, load(b, e->l, mul_i(b, rows.iv, 4 * n), 0, e->vf));
    store(b, sum, part, (value){0}, 4 * dims + 4);
    loop_end(b, &rows, NULL);
}

static void emit_blocks(const emitter *e)
{
    builder *b = e->b;
    loop blocks;
    loop_begin(b, &blocks, e->from, e->to, KEYS, 0, NULL);
    value offset = mul_i(b, blocks.iv, e->k->head_dim * e->element);
    value keys = at(b, e->keys, offset, 0), values = at(b, e->values, offset, 0);
    value is_last = cmp_i(b, CMP_GE, add_i(b, blocks.iv, KEYS), e->to);
    value next = select_(b, is_last, e->next_keys, at(b, keys, (value){0}, KEYS * e->k->head_dim * e->element));
    emit_either(e, emit_scores, keys, values, blocks.iv);
    if (e->k->softcap != 0) emit_softcap(e);
    emit_mask_where_needed(e, blocks.iv);
    emit_softmax(e);
    emit_either(e, emit_outputs, values, next, blocks.iv);
    loop_end(b, &blocks, NULL);
}

// The first position that a token at `position` sees.
static value first_seen(builder *b, const attention_kernel *k, value position)
{
    return k->window ? max_s(b, add_i(b, position, 1 - k->window), const_i(b, 0)) : const_i(b, 0);
}

// Spans that the call's tokens see some of, the first one of them included.
static value count_spans(builder *b, const attention_kernel *k, value n_tokens, value past, value span, value *first)
{
    *first = div_u(b, first_seen(b, k, past), span);
    return sub(b, add_i(b, div_u(b, add_i(b, add(b, past, n_tokens), -1), span), 1), *first);
}

// The positions that a tile sees: what its tokens see of the nth span; and which keys the next tile begins with, so
// that a thread that goes through a head's spans, and on to the next head, reads one stream of keys and one of values.
static void choose_span(emitter *e, value first_span, value nth, value n_spans, value span, value head)
{
    builder *b = e->b;
    int64_t row_bytes = e->k->head_dim * e->element;
    value begin = mul(b, add(b, first_span, nth), span), end = add(b, begin, span);
    value seen = and_i(b, first_seen(b, e->k, e->position), -KEYS);
    e->from = max_s(b, seen, begin);
    e->to = min_s(b, add(b, e->position, e->n_tokens), end);
    value is_last = cmp_i(b, CMP_EQ, add_i(b, head, 1), const_i(b, e->k->n_kv_heads));
    value of_head = select_(b, is_last, e->keys, at(b, e->keys, e->head_bytes, 0));
    value goes_on = cmp_i(b, CMP_LT, add_i(b, nth, 1), n_spans);
    e->next_keys = at(b, select_(b, goes_on, e->keys, of_head), mul_i(b, select_(b, goes_on, end, seen), row_bytes), 0);
}

static int64_t output_row_bytes(const attention_kernel *k)
{
    return k->out_q8 ? q8_row_bytes(k->n_heads * k->head_dim) : 4 * k->n_heads * k->head_dim;
}

static void emit_result(const emitter *e, value out, value head, value nth, value n_tokens, value is_whole)
{
    builder *b = e->b;
    branch br;
    if_begin(b, &br, is_whole, 0, NULL);
    emit_finish(e, at(b, out, mul_i(b, e->first, output_row_bytes(e->k)), 0), head);
    if_else(b, &br, NULL);
    value row = mul_i(b, add(b, mul(b, nth, n_tokens), e->first), e->k->n_heads);
    emit_parts(e, row_address(e, out, add(b, row, mul_i(b, head, e->group)), attention_part_bytes(e->k->head_dim)));
    if_end(b, &br, NULL);
}

void attention_build(builder *b, const attention_kernel *k, const char *name)
{
    assert(k->head_dim % KV_GROUP == 0 && (!k->out_q8 || attention_can_q8(k)));
    kernel_begin(b, name);
    int n = b->target.lanes;
    int64_t tile_tokens = attention_tiles_for(k, &b->target).tokens, group = group_of(k), dims = k->head_dim;
    int64_t most = tile_tokens * group + most_rows(&b->target); // rows; the last register tile may reach beyond
    emitter e = {.b = b, .k = k, .group = group, .element = kv_element_bytes(k->kv_f32)};
    e.vf = vec(b, n, b->f32);
    e.half = vec(b, n, k->kv_f32 ? b->f32 : b->f16);
    e.q = scratch(b, most * dims * 4);
    e.o = scratch(b, most * dims * 4);
    e.s = scratch(b, most * KEYS * 4);
    e.l = scratch(b, most * n * 4);
    e.m = scratch(b, most * 4);
    e.c = scratch(b, most * 4);
    value q = operand(b, 0), k_cache = operand(b, 1), v_cache = operand(b, 2), out = operand(b, 3);
    value n_tokens = dim(b, 0), past = dim(b, 1), n_ctx = dim(b, 2), span = dim(b, 3);
    value is_whole = cmp_i(b, CMP_EQ, span, const_i(b, 0));
    span = select_(b, is_whole, n_ctx, span);
    value n_blocks = div_i(b, add_i(b, n_tokens, tile_tokens - 1), tile_tokens), first_span;
    value n_spans = count_spans(b, k, n_tokens, past, span, &first_span);
    e.head_bytes = mul_i(b, n_ctx, kv_head_offset(1, dims, k->kv_f32));
    value n_tiles = mul(b, mul_i(b, n_blocks, k->n_kv_heads), n_spans); // the plan may have more: a window's most
    loop tiles;
    loop_begin(b, &tiles, b->begin, min_s(b, b->end, n_tiles), 1, 0, NULL);
    // the last tokens first: they see the most positions, and threads should end together
    value nth = rem_u(b, tiles.iv, n_spans), rest = div_u(b, tiles.iv, n_spans);
    value head = rem_i(b, rest, k->n_kv_heads);
    value block = sub(b, add_i(b, n_blocks, -1), div_i(b, rest, k->n_kv_heads));
    e.first = mul_i(b, block, tile_tokens);
    e.n_tokens = min_s(b, sub(b, n_tokens, e.first), const_i(b, tile_tokens));
    e.n_rows = mul_i(b, e.n_tokens, group);
    e.position = add(b, past, e.first);
    value head_offset = mul(b, head, e.head_bytes);
    e.keys = at(b, k_cache, head_offset, 0);
    e.values = at(b, v_cache, head_offset, 0);
    choose_span(&e, first_span, nth, n_spans, span, head);
    value q_row = at(b, q, mul_i(b, e.first, 4 * k->n_heads * dims), 0);
    emit_start(&e, at(b, q_row, mul_i(b, head, 4 * group * dims), 0));
    emit_blocks(&e);
    emit_result(&e, out, head, nth, n_tokens, is_whole);
    loop_end(b, &tiles, NULL);
    kernel_end(b);
}

// ---- the merge

// O of a row, and the sum of its weights, over all spans. `part` is the row's part of the first of them.
static void emit_merged_row(const emitter *e, value part, value stride, value n_spans, value o)
{
    builder *b = e->b;
    int n = b->target.lanes;
    int64_t dims = e->k->head_dim;
    loop spans, cols;
    value start = const_f(b, b->f32, NO_MAXIMUM);
    loop_begin(b, &spans, const_i(b, 0), n_spans, 1, 1, &start);
    value m = load(b, part, mul(b, spans.iv, stride), 4 * dims, b->f32);
    m = max_f(b, m, spans.args[0]);
    loop_end(b, &spans, &m);
    value maximum = spans.results[0];

    loop_begin(b, &cols, const_i(b, 0), const_i(b, dims), n, 0, NULL);
    store(b, const_f(b, e->vf, 0), o, mul_i(b, cols.iv, 4), 0);
    loop_end(b, &cols, NULL);
    value sum = const_f(b, e->vf, 0);
    loop_begin(b, &spans, const_i(b, 0), n_spans, 1, 1, &sum);
    value of_span = at(b, part, mul(b, spans.iv, stride), 0);
    value distance = sub_f(b, load(b, of_span, (value){0}, 4 * dims, b->f32), maximum);
    value weight = math_exp2_nonpositive(b, splat(b, distance, n));
    value l = splat(b, load(b, of_span, (value){0}, 4 * dims + 4, b->f32), n);
    sum = fma_(b, weight, l, spans.args[0]);
    loop_begin(b, &cols, const_i(b, 0), const_i(b, dims), n, 0, NULL);
    value offset = mul_i(b, cols.iv, 4);
    store(b, fma_(b, weight, load(b, of_span, offset, 0, e->vf), load(b, o, offset, 0, e->vf)), o, offset, 0);
    loop_end(b, &cols, NULL);
    loop_end(b, &spans, &sum);
    emit_scaled_row(e, o, o, div_f(b, const_f(b, e->vf, 1), spans.results[0]));
}

void attention_merge_build(builder *b, const attention_kernel *k, const char *name)
{
    assert(!k->out_q8 || attention_can_q8(k));
    kernel_begin(b, name);
    int64_t group = group_of(k), dims = k->head_dim, part_bytes = attention_part_bytes(dims);
    emitter e = {.b = b, .k = k, .group = group};
    e.vf = vec(b, b->target.lanes, b->f32);
    e.o = scratch(b, group * dims * 4);
    e.n_tokens = const_i(b, 1);
    value parts = operand(b, 0), y = operand(b, 1), n_tokens = dim(b, 0), past = dim(b, 1), span = dim(b, 3);
    value first_span, n_spans = count_spans(b, k, n_tokens, past, span, &first_span),
                      stride = mul_i(b, n_tokens, k->n_heads * part_bytes);
    loop tiles, rows;
    loop_begin(b, &tiles, b->begin, b->end, 1, 0, NULL);
    value head = rem_i(b, tiles.iv, k->n_kv_heads), token = div_i(b, tiles.iv, k->n_kv_heads);
    value first = mul_i(b, tiles.iv, group); // of the token's heads, counted over all tokens
    loop_begin(b, &rows, const_i(b, 0), const_i(b, group), 1, 0, NULL);
    value part = row_address(&e, parts, add(b, first, rows.iv), part_bytes);
    emit_merged_row(&e, part, stride, n_spans, row_address(&e, e.o, rows.iv, 4 * dims));
    loop_end(b, &rows, NULL);
    emit_store(&e, row_address(&e, y, token, output_row_bytes(k)), head);
    loop_end(b, &tiles, NULL);
    kernel_end(b);
}
