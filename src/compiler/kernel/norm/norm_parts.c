#include "compiler/kernel/norm/norm_parts.h"

#include <assert.h>

static type element(const norm_builder *m, tensor_type t)
{
    builder *b = m->b;
    return t == TENSOR_F16 ? b->f16 : t == TENSOR_BF16 ? b->bf16 : t == TENSOR_F64 ? b->f64 : b->f32;
}

int64_t norm_element_bytes(tensor_type t) { return t == TENSOR_F64 ? 8 : t == TENSOR_F32 ? 4 : 2; }

value norm_wide(const norm_builder *m, value v)
{
    type t = mlirValueGetType(v);
    return mlirTypeEqual(element_of(t), m->b->f64) ? v : ext_f(m->b, v, with_element(m->b, t, m->b->f64));
}

value norm_narrow(const norm_builder *m, value v)
{
    return mlirTypeEqual(m->f, m->b->f64) ? v : trunc_f(m->b, v, m->f);
}

// Between the type of an array and that of arithmetic: f64 goes with f64 only.
static value to_arithmetic(const norm_builder *m, tensor_type t, value v)
{
    return t == TENSOR_F64 ? v : to_f32(m->b, v);
}

static value from_arithmetic(const norm_builder *m, tensor_type t, value v)
{
    return t == TENSOR_F64 ? v : from_f32(m->b, v, element(m, t));
}

// ---- vectors, in order or split into pairs

// One vector; column may be null.
static value load_at(const norm_builder *m, tensor_type t, value array, value column, int64_t constant, int width)
{
    int64_t bytes = norm_element_bytes(t);
    value offset = column.ptr ? mul_i(m->b, column, bytes) : column;
    return load(m->b, array, offset, constant * bytes, vec(m->b, width, element(m, t)));
}

static void store_at(const norm_builder *m, tensor_type t, value v, value array, value column, int64_t constant)
{
    int64_t bytes = norm_element_bytes(t);
    store(m->b, v, array, column.ptr ? mul_i(m->b, column, bytes) : column, constant * bytes);
}

static value shuffle_by(const norm_builder *m, value x, value y, int n, int first, int stride)
{
    int64_t order[32];
    for (int i = 0; i < n; i++) order[i] = first + i * stride;
    return shuffle(m->b, x, y, n, order);
}

// Lanes x[0] y[0] x[1] y[1] ...
static value interleave(const norm_builder *m, value x, value y)
{
    int width = lanes(mlirValueGetType(x));
    int64_t order[64];
    for (int i = 0; i < width; i++) order[2 * i] = i, order[2 * i + 1] = width + i;
    return shuffle(m->b, x, y, 2 * width, order);
}

static void load_pair(const norm_builder *m, tensor_type t, value array, value column, int64_t constant, int width,
                      value *v)
{
    builder *b = m->b;
    value both = load_at(m, t, array, column, constant, 2 * width);
    if (t == TENSOR_BF16) {
        value bits = bitcast(b, both, vec(b, width, b->i32));
        v[0] = bitcast(b, shl_i(b, bits, 16), vec(b, width, b->f32));
        v[1] = bitcast(b, and_i(b, bits, 0xffff0000), vec(b, width, b->f32));
        return;
    }
    both = to_f32(b, both);
    for (int odd = 0; odd < 2; odd++) v[odd] = shuffle_by(m, both, both, width, odd, 2);
}

// The bits of x plus half a unit in the last place of bf16, so that their upper half is bf16, rounded to nearest, ties
// to even. The carry keeps a NaN a NaN where its low 16 bits are 0 (m->plain_nans). Else its addend is cleared.
static value round_bits(const norm_builder *m, value x)
{
    builder *b = m->b;
    type i32 = with_element(b, mlirValueGetType(x), b->i32);
    value bits = bitcast(b, x, i32), odd = and_i(b, shr_i(b, bits, 16), 1), half = add_i(b, odd, 0x7fff);
    if (!m->plain_nans) half = select_(b, cmp_f(b, CMP_EQ, x, x), half, const_int(b, i32, 0));
    return add(b, bits, half);
}

// i16 lanes even[0] odd[1] even[2] odd[3] ...
static value merge_halves(const norm_builder *m, value even, value odd)
{
    int n = lanes(mlirValueGetType(even));
    int64_t order[32];
    for (int i = 0; i < n; i++) order[i] = i % 2 ? n + i : i;
    return shuffle(m->b, even, odd, n, order);
}

// Two vectors of f32 bits, rounded to nearest, ties to even, as one of bf16 bits. The upper halves are kept, plus one
// where the lower half is above 0x8000, or at it with an odd upper half. All in 16 bits: half the additions.
static value round_pair(const norm_builder *m, value even, value odd)
{
    builder *b = m->b;
    type i16 = vec(b, 2 * lanes(mlirValueGetType(even)), b->i16);
    value high = merge_halves(m, bitcast(b, shr_i(b, even, 16), i16), bitcast(b, odd, i16));
    value low = merge_halves(m, bitcast(b, even, i16), bitcast(b, shl_i(b, odd, 16), i16));
    value least = xor_(b, and_i(b, high, 1), const_int(b, i16, 0x8001));
    return add(b, high, ext_u(b, cmp_i(b, CMP_EQ, max_u(b, low, least), low), i16));
}

static void store_pair(const norm_builder *m, tensor_type t, const value *v, value array, value column,
                       int64_t constant)
{
    builder *b = m->b;
    int width = lanes(mlirValueGetType(v[0]));
    if (t != TENSOR_BF16) {
        store_at(m, t, from_f32(b, interleave(m, v[0], v[1]), element(m, t)), array, column, constant);
        return;
    }
    type i16 = vec(b, 2 * width, b->i16);
    type i32 = vec(b, width, b->i32);
    value kept;
    if (m->plain_nans)
        kept = round_pair(m, bitcast(b, v[0], i32), bitcast(b, v[1], i32));
    else
        kept =
            merge_halves(m, bitcast(b, shr_i(b, round_bits(m, v[0]), 16), i16), bitcast(b, round_bits(m, v[1]), i16));
    store_at(m, t, bitcast(b, kept, vec(b, 2 * width, b->bf16)), array, column, constant);
}

void norm_load(const norm_builder *m, tensor_type t, value array, value column, int64_t constant, int width, int count,
               value *v)
{
    int c = 0;
    for (; m->paired && c + 1 < count; c += 2) load_pair(m, t, array, column, constant + c * width, width, v + c);
    for (; c < count; c++) v[c] = to_arithmetic(m, t, load_at(m, t, array, column, constant + c * width, width));
}

void norm_store(const norm_builder *m, tensor_type t, const value *v, value array, value column, int64_t constant,
                int count)
{
    int c = 0, width = lanes(mlirValueGetType(v[0]));
    for (; m->paired && c + 1 < count; c += 2) store_pair(m, t, v + c, array, column, constant + c * width);
    for (; c < count; c++) store_at(m, t, from_arithmetic(m, t, v[c]), array, column, constant + c * width);
}

value norm_round(const norm_builder *m, tensor_type t, value v)
{
    builder *b = m->b;
    if (t != TENSOR_BF16) return to_arithmetic(m, t, from_arithmetic(m, t, v));
    return bitcast(b, and_i(b, round_bits(m, v), 0xffff0000), mlirValueGetType(v));
}

// ---- rows

value norm_row_at(const norm_builder *m, tensor_type t, value array, value row)
{
    return array.ptr ? at(m->b, array, mul_i(m->b, row, m->k->cols * norm_element_bytes(t)), 0) : array;
}

static void read(const norm_builder *m, const norm_row *row, value column, int64_t constant, int width, int count,
                 bool keep, value *v)
{
    builder *b = m->b;
    tensor_type t = m->k->x;
    norm_load(m, t, row->x, column, constant, width, count, v);
    if (row->residual.ptr) {
        value r[NORM_CHAINS];
        norm_load(m, t, row->residual, column, constant, width, count, r);
        for (int c = 0; c < count; c++) v[c] = norm_round(m, t, add_f(b, v[c], r[c]));
        if (keep) norm_store(m, t, v, row->h, column, constant, count);
    }
    for (int c = 0; c < count && row->factor.ptr; c++) v[c] = mul_f(b, v[c], splat(b, row->factor, width));
}

void norm_load_row(const norm_builder *m, const norm_row *row, value column, int64_t constant, int width, int count,
                   value *v)
{
    read(m, row, column, constant, width, count, true, v);
}

void norm_peek(const norm_builder *m, const norm_row *row, int width, int count, value *v)
{
    read(m, row, (value){0}, 0, width, count, false, v);
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

int64_t norm_whole(const norm_builder *m)
{
    int64_t step = NORM_CHAINS * m->n;
    return m->k->cols / step * step;
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
        totals[s] = add_f(b, totals[s], norm_wide(m, chains));
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
