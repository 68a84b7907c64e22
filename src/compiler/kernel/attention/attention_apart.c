#include "compiler/kernel/attention/attention_apart.h"

#include <assert.h>

#include "compiler/kernel/attention/attention_parts.h"
#include "compiler/kernel/math.h"

enum { KEYS = ATTENTION_KEYS };

static const double NO_MAXIMUM = -1e30; // finite: where all scores are -inf, the weights are 0 / 0, as in attention.c

int64_t attention_scores_pair_bytes(const attention_kernel *k) { return 4 * k->n_heads; }

int64_t attention_scores_context_bytes(const attention_kernel *k, const kernel_target *target)
{
    return 4 * k->n_kv_heads * attention_most_rows(target);
}

// The tile's rows of the block of positions at k0, in the scores in memory.
static value scores_block(const attention_emitter *e, value scores, value k0)
{
    builder *b = e->b;
    int64_t spare = attention_most_rows(&b->target);
    value all_rows = add_i(b, mul_i(b, e->all_tokens, e->group), spare); // of each block
    value block = mul(b, add(b, mul(b, e->head, e->n_ctx), k0), all_rows);
    return at(b, scores, add(b, mul_i(b, block, 4), mul_i(b, e->first, e->group * KEYS * 4)), 0);
}

static void begin(attention_emitter *e, builder *b, const attention_kernel *k, const char *name)
{
    assert(!k->mask && !k->full && !k->batched && (!k->out_q8 || attention_can_q8(k)));
    kernel_begin(b, name);
    attention_call_begin(e, b, k);
}

static void build_scores(builder *b, const void *params, const char *name)
{
    const attention_kernel *k = params;
    attention_emitter e;
    begin(&e, b, k, name);
    e.q = attention_scratch(&e, e.row * 4);
    e.k_cache = operand(b, 1);
    value scores = operand(b, 2);
    loop tiles, blocks;
    loop_begin(b, &tiles, b->begin, b->end, 1, 0, NULL);
    attention_tile_begin(&e, tiles.iv);
    attention_emit_queries(&e, operand(b, 0));
    loop_begin(b, &blocks, e.from, e.to, KEYS, 0, NULL);
    e.s = scores_block(&e, scores, blocks.iv);
    attention_emit_scores(&e, blocks.iv, attention_keys(&e, e.keys, add_i(b, blocks.iv, KEYS)));
    loop_end(b, &blocks, NULL);
    loop_end(b, &tiles, NULL);
    kernel_end(b);
}

// ---- softmax

typedef enum softmax_step { FIND_MAXIMUM, TAKE_POWERS, DIVIDE } softmax_step;

// One step over a row: x gets the maximum, 2^(score - x) are stored and x gets their sum, or all are multiplied by x.
static value emit_softmax_step(const attention_emitter *e, softmax_step step, value scores, value row, value x)
{
    builder *b = e->b;
    int n = b->target.lanes;
    value carried = step == FIND_MAXIMUM ? const_f(b, e->vf, NO_MAXIMUM) : const_f(b, e->vf, 0);
    loop blocks;
    loop_begin(b, &blocks, e->from, e->to, KEYS, 1, &carried);
    value s = attention_row(e, scores_block(e, scores, blocks.iv), row, 4 * KEYS);
    carried = blocks.args[0];
    for (int v = 0; v < KEYS / n; v++) {
        value score = load(b, s, (value){0}, 4 * v * n, e->vf);
        if (step == FIND_MAXIMUM) {
            carried = max_f(b, score, carried);
            continue;
        }
        score = step == DIVIDE ? mul_f(b, score, x) : math_exp2_nonpositive(b, sub_f(b, score, x));
        store(b, score, s, (value){0}, 4 * v * n);
        carried = add_f(b, carried, score);
    }
    loop_end(b, &blocks, &carried);
    return blocks.results[0];
}

static void build_softmax(builder *b, const void *params, const char *name)
{
    const attention_kernel *k = params;
    attention_emitter e;
    begin(&e, b, k, name);
    int n = b->target.lanes;
    value scores = operand(b, 1); // as operand 0
    loop tiles, rows;
    loop_begin(b, &tiles, b->begin, b->end, 1, 0, NULL);
    attention_tile_begin(&e, tiles.iv);
    loop_begin(b, &rows, const_i(b, 0), e.n_rows, 1, 0, NULL);
    value maxima = emit_softmax_step(&e, FIND_MAXIMUM, scores, rows.iv, (value){0});
    value sums = emit_softmax_step(&e, TAKE_POWERS, scores, rows.iv, splat(b, max_of_f(b, maxima), n));
    value factor = div_f(b, const_f(b, b->f32, 1), sum_f(b, sums));
    emit_softmax_step(&e, DIVIDE, scores, rows.iv, splat(b, factor, n));
    loop_end(b, &rows, NULL);
    loop_end(b, &tiles, NULL);
    kernel_end(b);
}

static void build_values(builder *b, const void *params, const char *name)
{
    const attention_kernel *k = params;
    attention_emitter e;
    begin(&e, b, k, name);
    e.o = attention_scratch(&e, e.row * 4);
    e.c = attention_scratch(&e, 4);
    e.v_cache = operand(b, 1);
    loop tiles, rows, blocks;
    loop_begin(b, &rows, const_i(b, 0), const_i(b, e.tile_tokens * e.group + attention_most_rows(&b->target)), 1, 0,
               NULL);
    store(b, const_f(b, b->f32, 1), e.c, mul_i(b, rows.iv, 4), 0);
    loop_end(b, &rows, NULL);
    loop_begin(b, &tiles, b->begin, b->end, 1, 0, NULL);
    attention_tile_begin(&e, tiles.iv);
    attention_emit_zero_outputs(&e, e.o);
    loop_begin(b, &blocks, e.from, e.to, KEYS, 0, NULL);
    e.s = scores_block(&e, operand(b, 0), blocks.iv);
    attention_emit_outputs(&e, blocks.iv, attention_values(&e, add_i(b, blocks.iv, KEYS)));
    loop_end(b, &blocks, NULL);
    attention_emit_store(&e, attention_row(&e, operand(b, 2), e.first_row, attention_output_bytes(k)));
    loop_end(b, &tiles, NULL);
    kernel_end(b);
}

const kernel_kind ATTENTION_SCORES_KERNEL = {
    .name = "attention_scores",
    .file = "kernel/attention/attention_apart.c",
    .help = "without the fusion: q k^T, into memory",
    .build = build_scores,
    .params_bytes = sizeof(attention_kernel),
    .fields = ATTENTION_FIELDS,
    .n_fields = ATTENTION_ALL_FIELDS,
};

const kernel_kind ATTENTION_SOFTMAX_KERNEL = {
    .name = "attention_softmax",
    .file = "kernel/attention/attention_apart.c",
    .help = "softmax of those scores",
    .build = build_softmax,
    .params_bytes = sizeof(attention_kernel),
    .fields = ATTENTION_FIELDS,
    .n_fields = ATTENTION_SHAPE_FIELDS,
    .ignores_others = true,
};

const kernel_kind ATTENTION_VALUES_KERNEL = {
    .name = "attention_values",
    .file = "kernel/attention/attention_apart.c",
    .help = "those weights times v",
    .build = build_values,
    .params_bytes = sizeof(attention_kernel),
    .fields = ATTENTION_FIELDS,
    .n_fields = ATTENTION_CACHE_FIELDS,
    .ignores_others = true,
};
