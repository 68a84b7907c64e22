#include "compiler/kernel/attention/attention.h"

#include <assert.h>

#include "compiler/kernel/attention/attention_parts.h"
#include "compiler/kernel/math.h"

enum { KEYS = ATTENTION_KEYS };

static const double LOG2_E = 1.44269504088896341;
static const double NO_MAXIMUM = -1e30; // finite, so that the difference of two is a number

// The window of the first token may begin anywhere in its span, and the last token's ends that much later.
int64_t attention_window_spans(const attention_kernel *k)
{
    int64_t positions = k->window + ATTENTION_SPLIT_TOKENS - 1;
    return k->window ? (positions + k->span - 2) / k->span + 1 : 0;
}

int64_t attention_split_tiles(const attention_kernel *k, const kernel_target *target)
{
    int64_t tokens = attention_tiles_for(k, target).tokens;
    return k->n_kv_heads * ((ATTENTION_SPLIT_TOKENS + tokens - 1) / tokens);
}

// ---- a tile

// What is subtracted from the scores of a row: its maximum so far. Where a mask has hidden all of them that is -inf,
// and the difference of two would be no number: then any number does, since all weights are 0.
static value reference_of(const attention_emitter *e, value maximum)
{
    builder *b = e->b;
    if (!e->k->mask) return maximum;
    value nothing = cmp_f(b, CMP_EQ, maximum, const_f(b, b->f32, -__builtin_inf()));
    return select_(b, nothing, const_f(b, b->f32, 0), maximum);
}

// 2^(x - reference) or, where scores are logarithms to the base e, e^(x - reference).
static value weight_of(const attention_emitter *e, value x, value reference)
{
    builder *b = e->b;
    value distance = sub_f(b, x, reference);
    if (e->k->mask) distance = mul_f(b, distance, const_f(b, e->vf, LOG2_E));
    return math_exp2_nonpositive(b, distance);
}

// M' = max(M, S), S = 2^(S - M'), C = 2^(M - M'), L = C L + S; L is kept as a vector of partial sums.
static void emit_softmax(const attention_emitter *e)
{
    builder *b = e->b;
    int n = b->target.lanes, n_vectors = KEYS / n;
    loop rows;
    loop_begin(b, &rows, const_i(b, 0), e->n_rows, 1, 0, NULL);
    value s = attention_row(e, e->s, rows.iv, 4 * KEYS), l = attention_row(e, e->l, rows.iv, 4 * n);
    value row = mul_i(b, rows.iv, 4), scores[KEYS / 8], tree[KEYS / 8];
    for (int v = 0; v < n_vectors; v++) tree[v] = scores[v] = load(b, s, (value){0}, 4 * v * n, e->vf);
    for (int width = n_vectors / 2; width; width /= 2)
        for (int v = 0; v < width; v++) tree[v] = max_f(b, tree[v], tree[v + width]);
    value before = load(b, e->m, row, 0, b->f32), maximum = max_f(b, max_of_f(b, tree[0]), before);
    store(b, maximum, e->m, row, 0);
    value reference = splat(b, reference_of(e, maximum), n);
    value correction = weight_of(e, splat(b, before, n), reference);
    store(b, extract(b, correction, 0), e->c, row, 0);
    value sum = {0};
    for (int v = 0; v < n_vectors; v++) {
        value p = weight_of(e, scores[v], reference);
        store(b, p, s, (value){0}, 4 * v * n);
        sum = v ? add_f(b, sum, p) : p;
    }
    store(b, fma_(b, load(b, l, (value){0}, 0, e->vf), correction, sum), l, (value){0}, 0);
    loop_end(b, &rows, NULL);
}

// O = 0, M, L.
static void emit_start(const attention_emitter *e)
{
    builder *b = e->b;
    int n = b->target.lanes;
    loop rows;
    attention_emit_zero_outputs(e, e->o);
    loop_begin(b, &rows, const_i(b, 0), e->n_rows, 1, 0, NULL);
    value row = mul_i(b, rows.iv, 4), l = mul_i(b, rows.iv, 4 * n);
    store(b, const_f(b, e->vf, 0), e->l, l, 0);
    if (e->k->sink) { // a position that has been seen: its score is the maximum, its weight 1
        value head = add(b, mul_i(b, e->head, e->group), rem_i(b, rows.iv, e->group));
        value score = load(b, e->sink, mul_i(b, head, 4), 0, b->f32);
        score = mul_f(b, score, const_f(b, b->f32, attention_unit(e->k)));
        store(b, e->k->mask ? score : max_f(b, score, const_f(b, b->f32, NO_MAXIMUM)), e->m, row, 0);
        store(b, const_f(b, b->f32, 1), e->l, l, 0);
    } else {
        // numbers of a mask may be below any that is finite and small enough
        store(b, const_f(b, b->f32, e->k->mask ? -__builtin_inf() : NO_MAXIMUM), e->m, row, 0);
    }
    loop_end(b, &rows, NULL);
}

// ---- the join of spans

// The joined O, M, L of rows that have seen nothing.
static void emit_nothing_joined(const attention_emitter *e)
{
    builder *b = e->b;
    loop rows;
    attention_emit_zero_outputs(e, e->joined_o);
    loop_begin(b, &rows, const_i(b, 0), e->n_rows, 1, 0, NULL);
    store(b, const_f(b, b->f32, NO_MAXIMUM), e->joined_m, mul_i(b, rows.iv, 4), 0);
    store(b, const_f(b, b->f32, 0), e->joined_l, mul_i(b, rows.iv, 4), 0);
    loop_end(b, &rows, NULL);
}

// Joins a span's O, M, L with what row `row` has.
static void emit_join(const attention_emitter *e, value row, value o, value m, value l)
{
    builder *b = e->b;
    int n = b->target.lanes;
    value number = mul_i(b, row, 4), to = attention_row(e, e->joined_o, row, 4 * e->row);
    value before = load(b, e->joined_m, number, 0, b->f32), maximum = max_f(b, m, before), all = splat(b, maximum, n);
    value old = weight_of(e, splat(b, before, n), all), new = weight_of(e, splat(b, m, n), all);
    value sum = mul_f(b, extract(b, old, 0), load(b, e->joined_l, number, 0, b->f32));
    store(b, maximum, e->joined_m, number, 0);
    store(b, fma_(b, extract(b, new, 0), l, sum), e->joined_l, number, 0);
    loop cols;
    loop_begin(b, &cols, const_i(b, 0), const_i(b, e->row), n, 0, NULL);
    value offset = mul_i(b, cols.iv, 4), kept = mul_f(b, old, load(b, to, offset, 0, e->vf));
    store(b, fma_(b, new, load(b, o, offset, 0, e->vf), kept), to, offset, 0);
    loop_end(b, &cols, NULL);
}

// The sum of a row's weights, over its lanes.
static value sum_of(const attention_emitter *e, value row)
{
    builder *b = e->b;
    return sum_f(b, load(b, e->l, mul_i(b, row, 4 * b->target.lanes), 0, e->vf));
}

static void emit_join_rows(const attention_emitter *e)
{
    builder *b = e->b;
    loop rows;
    loop_begin(b, &rows, const_i(b, 0), e->n_rows, 1, 0, NULL);
    value m = load(b, e->m, mul_i(b, rows.iv, 4), 0, b->f32);
    emit_join(e, rows.iv, attention_row(e, e->o, rows.iv, 4 * e->row), m, sum_of(e, rows.iv));
    loop_end(b, &rows, NULL);
}

// ---- what becomes of O, M, L

// O / L, joined or not, to where it goes. Where a mask hides a whole row, 0 / 0 is the NaN that softmax gives there.
static void emit_finish(const attention_emitter *e, value y)
{
    builder *b = e->b;
    int n = b->target.lanes;
    loop rows;
    loop_begin(b, &rows, const_i(b, 0), e->n_rows, 1, 0, NULL);
    value from = attention_row(e, e->k->span ? e->joined_o : e->o, rows.iv, 4 * e->row);
    value sum = e->k->span ? load(b, e->joined_l, mul_i(b, rows.iv, 4), 0, b->f32) : sum_of(e, rows.iv);
    value zero = const_f(b, b->f32, 0), factor = div_f(b, const_f(b, b->f32, 1), sum);
    if (e->k->zero_masked) factor = select_(b, cmp_f(b, CMP_EQ, sum, zero), zero, factor);
    attention_emit_scaled_row(e, from, attention_row(e, e->o, rows.iv, 4 * e->row), splat(b, factor, n));
    loop_end(b, &rows, NULL);
    attention_emit_store(e, y);
}

// O, M, L into the parts; `parts` is the row of the tile's first token and first head.
static void emit_parts(const attention_emitter *e, value parts)
{
    builder *b = e->b;
    int64_t dims = e->row, part_bytes = attention_part_bytes(e->k->head_dim);
    loop rows;
    loop_begin(b, &rows, const_i(b, 0), e->n_rows, 1, 0, NULL);
    value token = div_i(b, rows.iv, e->group), head = rem_i(b, rows.iv, e->group);
    value part = attention_row(e, parts, add(b, mul_i(b, token, e->k->n_heads), head), part_bytes);
    attention_emit_scaled_row(e, attention_row(e, e->o, rows.iv, 4 * dims), part, const_f(b, e->vf, 1));
    store(b, load(b, e->m, mul_i(b, rows.iv, 4), 0, b->f32), part, (value){0}, 4 * dims);
    store(b, sum_of(e, rows.iv), part, (value){0}, 4 * dims + 4);
    loop_end(b, &rows, NULL);
}

// The tile's positions [from, to).
static void emit_blocks(const attention_emitter *e, value from, value to)
{
    builder *b = e->b;
    loop blocks;
    branch shown;
    bool skips = e->k->mask && !e->k->sink; // a sink alone, even of -inf, has a weight until another score comes
    emit_start(e);
    loop_begin(b, &blocks, from, to, KEYS, 0, NULL);
    if (skips) if_begin(b, &shown, attention_emit_shows(e, blocks.iv), 0, NULL);
    value after = add_i(b, blocks.iv, KEYS), is_last = cmp_i(b, CMP_GE, after, e->to);
    value next = select_(b, is_last, e->next_keys, attention_keys(e, e->keys, after));
    attention_emit_scores(e, blocks.iv, attention_values(e, blocks.iv));
    emit_softmax(e);
    attention_emit_outputs(e, blocks.iv, next);
    if (skips) if_end(b, &shown, NULL);
    loop_end(b, &blocks, NULL);
}

// A tile span by span: all of them, joined, or the one that is its own, into the parts, even where it sees none of it.
static void emit_spans(const attention_emitter *e, value split, value out)
{
    builder *b = e->b;
    const int64_t span = e->k->span;
    branch br;
    loop spans;
    value first = div_i(b, e->from, span);
    if_begin(b, &br, split, 0, NULL);
    if_else(b, &br, NULL);
    emit_nothing_joined(e);
    if_end(b, &br, NULL);
    value end = select_(b, split, add_i(b, first, 1), div_i(b, add_i(b, e->to, span - 1), span));
    loop_begin(b, &spans, first, end, 1, 0, NULL);
    value begin = mul_i(b, spans.iv, span);
    emit_blocks(e, max_s(b, e->from, begin), min_s(b, e->to, add_i(b, begin, span)));
    if_begin(b, &br, split, 0, NULL);
    value row = mul_i(b, add(b, mul(b, e->nth, e->all_tokens), e->first), e->k->n_heads);
    emit_parts(e,
               attention_row(e, out, add(b, row, mul_i(b, e->head, e->group)), attention_part_bytes(e->k->head_dim)));
    if_else(b, &br, NULL);
    emit_join_rows(e);
    if_end(b, &br, NULL);
    loop_end(b, &spans, NULL);
    if_begin(b, &br, split, 0, NULL);
    if_else(b, &br, NULL);
    emit_finish(e, attention_row(e, out, e->first_row, attention_output_bytes(e->k)));
    if_end(b, &br, NULL);
}

static void build_attention(builder *b, const void *params, const char *name)
{
    const attention_kernel *k = params;
    assert((!k->out_q8 || attention_can_q8(k)) && !(k->full && k->window) && (k->mask || !k->zero_masked));
    assert(k->span % KEYS == 0 && !(k->span && (k->mask || k->sink || k->batched || k->full || k->rows)));
    assert(!k->rows || (k->kv == KV_F32 && k->head_dim % KV_ROW_STEP == 0));
    kernel_begin(b, name);
    attention_emitter e;
    attention_call_begin(&e, b, k);
    e.q = attention_scratch(&e, e.row * 4);
    e.o = attention_scratch(&e, e.row * 4);
    e.s = attention_scratch(&e, KEYS * 4);
    e.l = attention_scratch(&e, b->target.lanes * 4);
    e.m = attention_scratch(&e, 4);
    e.c = attention_scratch(&e, 4);
    if (k->span) {
        e.joined_o = attention_scratch(&e, e.row * 4);
        e.joined_m = attention_scratch(&e, 4);
        e.joined_l = attention_scratch(&e, 4);
    }
    if (k->rows) e.block = scratch(b, KEYS * e.row * e.element);
    e.k_cache = operand(b, 1);
    e.v_cache = operand(b, 2);
    if (k->mask) e.mask = operand(b, 4);
    if (k->sink) e.sink = operand(b, k->mask ? 5 : 4);
    value split = cmp_i(b, CMP_NE, dim(b, 3), const_i(b, 0)), out = operand(b, 3);
    loop tiles;
    // the program may have more tiles than there are: see attention_split_tiles
    loop_begin(b, &tiles, b->begin, min_s(b, b->end, attention_count_tiles(&e)), 1, 0, NULL);
    attention_tile_begin(&e, tiles.iv);
    attention_emit_queries(&e, operand(b, 0));
    if (k->span) {
        emit_spans(&e, split, out);
    } else {
        emit_blocks(&e, e.from, e.to);
        emit_finish(&e, attention_row(&e, out, e.first_row, attention_output_bytes(k)));
    }
    loop_end(b, &tiles, NULL);
    kernel_end(b);
}

// ---- the merge

static void build_merge(builder *b, const void *params, const char *name)
{
    const attention_kernel *k = params;
    assert((!k->out_q8 || attention_can_q8(k)) && k->span);
    kernel_begin(b, name);
    int64_t part_bytes = attention_part_bytes(k->head_dim), heads = attention_group(k);
    attention_emitter e;
    attention_call_begin(&e, b, k);
    e.o = e.joined_o = scratch(b, heads * e.row * 4);
    e.joined_m = scratch(b, heads * 4);
    e.joined_l = scratch(b, heads * 4);
    e.n_tokens = const_i(b, 1);
    e.n_rows = const_i(b, heads);
    value parts = operand(b, 0), y = operand(b, 1), stride = mul_i(b, e.all_tokens, k->n_heads * part_bytes);
    loop tiles, rows, spans;
    loop_begin(b, &tiles, b->begin, b->end, 1, 0, NULL);
    e.head = rem_i(b, tiles.iv, k->n_kv_heads);
    value token = div_i(b, tiles.iv, k->n_kv_heads);
    value first = mul_i(b, tiles.iv, heads); // of the token's heads, counted over all tokens
    emit_nothing_joined(&e);
    loop_begin(b, &rows, const_i(b, 0), e.n_rows, 1, 0, NULL);
    loop_begin(b, &spans, const_i(b, 0), e.n_spans, 1, 0, NULL);
    value part = attention_row(&e, at(b, parts, mul(b, spans.iv, stride), 0), add(b, first, rows.iv), part_bytes);
    value m = load(b, part, (value){0}, 4 * e.row, b->f32), l = load(b, part, (value){0}, 4 * e.row + 4, b->f32);
    emit_join(&e, rows.iv, part, m, l);
    loop_end(b, &spans, NULL);
    loop_end(b, &rows, NULL);
    emit_finish(&e, attention_row(&e, y, token, attention_output_bytes(k)));
    loop_end(b, &tiles, NULL);
    kernel_end(b);
}

const kernel_kind ATTENTION_KERNEL = {
    .name = "attention",
    .file = "kernel/attention/attention.c",
    .help = "attention over the cache with an online softmax, causal or full [+ mask]",
    .build = build_attention,
    .params_bytes = sizeof(attention_kernel),
    .fields = ATTENTION_FIELDS,
    .n_fields = ATTENTION_ALL_FIELDS,
};

// Scores and soft caps do not matter any more: merges of one shape are one kernel.
const kernel_kind ATTENTION_MERGE_KERNEL = {
    .name = "attention_merge",
    .file = "kernel/attention/attention.c",
    .help = "joins the parts of attention over a long past",
    .build = build_merge,
    .params_bytes = sizeof(attention_kernel),
    .fields = ATTENTION_FIELDS,
    .n_fields = ATTENTION_CACHE_FIELDS,
    .ignores_others = true,
};
