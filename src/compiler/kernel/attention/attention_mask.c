// The mask of a graph's attention: numbers that are added to scores, -inf for what is hidden.
#include "compiler/kernel/attention/attention_parts.h"

enum { KEYS = ATTENTION_KEYS, HIDDEN = (int)0xff800000U }; // the bits of -inf

// The numbers of the block at k0 for row 0 of the tile.
static value mask_of_block(const attention_emitter *e, value k0)
{
    builder *b = e->b;
    value base = mul(b, mul_i(b, e->head, e->group), e->mask_strides[1]);
    base = add(b, add(b, base, k0), mul(b, e->first, e->mask_strides[2]));
    return e->sequence.ptr ? add(b, base, mul(b, e->sequence, e->mask_strides[0])) : base;
}

static value mask_of_row(const attention_emitter *e, value block, value row)
{
    builder *b = e->b;
    value of_head = mul(b, rem_i(b, row, e->group), e->mask_strides[1]);
    value of_token = mul(b, div_i(b, row, e->group), e->mask_strides[2]);
    return attention_row(e, e->mask, add(b, block, add(b, of_head, of_token)), 4);
}

void attention_emit_mask(const attention_emitter *e, value k0)
{
    builder *b = e->b;
    int n = b->target.lanes;
    value block = mask_of_block(e, k0);
    loop rows;
    loop_begin(b, &rows, const_i(b, 0), e->n_rows, 1, 0, NULL);
    value s = attention_row(e, e->s, rows.iv, 4 * KEYS), mask = mask_of_row(e, block, rows.iv);
    for (int v = 0; v < KEYS / n; v++) {
        value x = load(b, s, (value){0}, 4 * v * n, e->vf);
        store(b, add_f(b, x, load(b, mask, (value){0}, 4 * v * n, e->vf)), s, (value){0}, 4 * v * n);
    }
    loop_end(b, &rows, NULL);
}

value attention_emit_shows(const attention_emitter *e, value k0)
{
    builder *b = e->b;
    int n = b->target.lanes;
    type words = vec(b, n, b->i32), bits = mlirIntegerTypeGet(b->ctx, (unsigned)n);
    value block = mask_of_block(e, k0), hidden = const_int(b, words, HIDDEN), others = const_int(b, words, 0);
    loop rows;
    loop_begin(b, &rows, const_i(b, 0), e->n_rows, 1, 1, &others);
    value mask = mask_of_row(e, block, rows.iv), next = rows.args[0];
    for (int v = 0; v < KEYS / n; v++)
        next = or_(b, next, xor_(b, load(b, mask, (value){0}, 4 * v * n, words), hidden));
    loop_end(b, &rows, &next);
    value differs = cmp_i(b, CMP_NE, rows.results[0], const_int(b, words, 0));
    return cmp_i(b, CMP_NE, bitcast(b, differs, bits), const_int(b, bits, 0));
}
