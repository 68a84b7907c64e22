#include "compiler/kernel/norm_parts.h"

#include <assert.h>

static type element(const norm_builder *m, tensor_type t)
{
    return t == TENSOR_F16 ? m->b->f16 : t == TENSOR_BF16 ? m->b->bf16 : m->b->f32;
}

static int64_t element_bytes(tensor_type t) { return t == TENSOR_F32 ? 4 : 2; }

value norm_load(const norm_builder *m, tensor_type t, value array, value column, int64_t constant, int width)
{
    builder *b = m->b;
    int64_t bytes = element_bytes(t);
    value offset = column.ptr ? mul_i(b, column, bytes) : column;
    return to_f32(b, load(b, array, offset, constant * bytes, vec(b, width, element(m, t))));
}

void norm_store(const norm_builder *m, tensor_type t, value v, value array, value column, int64_t constant)
{
    builder *b = m->b;
    int64_t bytes = element_bytes(t);
    store(b, from_f32(b, v, element(m, t)), array, column.ptr ? mul_i(b, column, bytes) : column, constant * bytes);
}

value norm_round(const norm_builder *m, tensor_type t, value v)
{
    return to_f32(m->b, from_f32(m->b, v, element(m, t)));
}

value norm_row_at(const norm_builder *m, tensor_type t, value array, value row)
{
    return array.ptr ? at(m->b, array, mul_i(m->b, row, m->k->cols * element_bytes(t)), 0) : array;
}

static value read(const norm_builder *m, const norm_row *row, value column, int64_t constant, int width, bool keep)
{
    builder *b = m->b;
    tensor_type t = m->k->x;
    value v = norm_load(m, t, row->x, column, constant, width);
    if (row->residual.ptr) {
        v = norm_round(m, t, add_f(b, v, norm_load(m, t, row->residual, column, constant, width)));
        if (keep) norm_store(m, t, v, row->h, column, constant);
    }
    return row->factor.ptr ? mul_f(b, v, splat(b, row->factor, width)) : v;
}

value norm_read(const norm_builder *m, const norm_row *row, value column, int64_t constant, int width)
{
    return read(m, row, column, constant, width, true);
}

value norm_peek(const norm_builder *m, const norm_row *row, int64_t constant, int width)
{
    return read(m, row, (value){0}, constant, width, false);
}

value norm_widen(const norm_builder *m, value v)
{
    builder *b = m->b;
    int width = lanes(mlirValueGetType(v));
    if (width == m->n) return v;
    if (width == 1) return insert(b, v, const_f(b, m->vf, 0), 0);
    int64_t order[16];
    for (int i = 0; i < m->n; i++) order[i] = i < width ? i : width; // lane `width` is the first zero
    return shuffle(b, v, const_f(b, mlirValueGetType(v), 0), m->n, order);
}

int norm_pieces(const norm_builder *m, norm_piece pieces[NORM_PIECES_MAX])
{
    int count = 0;
    int64_t column = m->whole, cols = m->k->cols;
    for (int width = m->n; width > 0; width /= 2)
        for (; column + width <= cols; column += width) pieces[count++] = (norm_piece){column, width};
    assert(count <= NORM_PIECES_MAX);
    return count;
}

// totals[s] += the chains of sum s, lane by lane
static void flush(const norm_builder *m, int n_sums, const value *sums, value *totals)
{
    builder *b = m->b;
    for (int s = 0; s < n_sums; s++) {
        const value *c = sums + s * NORM_CHAINS;
        value chains = add_f(b, add_f(b, c[0], c[1]), add_f(b, c[2], c[3]));
        totals[s] = add_f(b, totals[s], ext_f(b, chains, m->vd));
    }
}

static void visit_steps(const norm_builder *m, value from, value to, norm_visit *visit, void *context, int n_sums,
                        value *sums)
{
    loop l;
    loop_begin(m->b, &l, from, to, NORM_CHAINS * m->n, n_sums * NORM_CHAINS, sums);
    for (int i = 0; i < l.n; i++) sums[i] = l.args[i];
    visit(m, context, l.iv, 0, m->n, NORM_CHAINS, sums);
    loop_end(m->b, &l, sums);
    for (int i = 0; i < l.n; i++) sums[i] = l.results[i];
}

static void visit_rest(const norm_builder *m, norm_visit *visit, void *context, value *sums)
{
    norm_piece pieces[NORM_PIECES_MAX];
    int count = norm_pieces(m, pieces);
    for (int i = 0, same; i < count; i += same) {
        for (same = 1; i + same < count && pieces[i + same].width == pieces[i].width;) same++;
        visit(m, context, (value){0}, pieces[i].column, pieces[i].width, same, sums);
    }
}

void norm_for_row(const norm_builder *m, norm_visit *visit, void *context, int n_sums, value *totals)
{
    builder *b = m->b;
    int64_t block = (int64_t)NORM_STEPS * NORM_CHAINS * m->n;
    value zeros[NORM_SUMS_MAX * NORM_CHAINS], sums[NORM_SUMS_MAX * NORM_CHAINS], lane_totals[NORM_SUMS_MAX];
    for (int i = 0; i < n_sums * NORM_CHAINS; i++) sums[i] = zeros[i] = const_f(b, m->vf, 0);
    for (int s = 0; s < n_sums; s++) lane_totals[s] = const_f(b, m->vd, 0);
    value whole = const_i(b, m->whole);
    if (m->whole > block && n_sums) {
        loop blocks;
        loop_begin(b, &blocks, const_i(b, 0), whole, block, n_sums, lane_totals);
        visit_steps(m, blocks.iv, min_s(b, add_i(b, blocks.iv, block), whole), visit, context, n_sums, sums);
        for (int s = 0; s < n_sums; s++) lane_totals[s] = blocks.args[s];
        flush(m, n_sums, sums, lane_totals);
        loop_end(b, &blocks, lane_totals);
        for (int s = 0; s < n_sums; s++) lane_totals[s] = blocks.results[s];
        for (int i = 0; i < n_sums * NORM_CHAINS; i++) sums[i] = zeros[i];
    } else if (m->whole) {
        visit_steps(m, const_i(b, 0), whole, visit, context, n_sums, sums);
    }
    visit_rest(m, visit, context, sums);
    flush(m, n_sums, sums, lane_totals);
    for (int s = 0; s < n_sums; s++) totals[s] = sum_f(b, lane_totals[s]);
}
