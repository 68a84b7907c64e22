// Float weights times f32 activations, by fused multiply-add.
//
// A column costs, for a tile of 6 rows and two vectors, 12 FMA in 6 cycles, 6 broadcasts and 2 loads; widening f16 or
// bf16 weights is paid once for all rows.
//
// Where the CPU has vdpbf16ps, BF16 weights are multiplied by it, in calls of one row as of many, so that a token's
// result does not depend on the others: twice the speed of FMA, with activations rounded to bf16. Each product is then
// wrong by at most 2^-8 of itself; the NMSE is 2.8e-6 for normally distributed x, and never more than 2^-16 for errors
// of random signs. llama.cpp rounds them too. Keeping x exact as the sum of two bf16 would take two vdpbf16ps a pair
// and so be no faster than FMA, which is exact and is what WELFORD_CPU=icelake-server asks for.
#include <string.h>

#include "compiler/kernel/linear/linear_parts.h"

// Weights of column `column + j`. Pairs of bf16 are loaded once for each of their two columns: registers are scarcer
// than loads.
static void load_column(linear *l, value panel, value column, int j, value w[MAX_VECTORS])
{
    builder *b = l->b;
    int n = b->target.lanes;
    int64_t bytes = (int64_t)weight_type_file_bytes(l->weights, 1);
    value line = mul_i(b, column, PANEL_ROWS * bytes);
    for (int v = 0; v < l->nv; v++) {
        if (l->weights->pairs) {
            // as one i32, the even column in its low half
            value pair = load(b, panel, line, j / 2 * 64 + v * n * 4, vec(b, n, b->i32));
            w[v] = bitcast(b, j % 2 ? and_i(b, pair, -65536) : shl_i(b, pair, 16), l->vf);
        } else {
            w[v] = to_f32(
                b, load(b, panel, line, (j * PANEL_ROWS + v * n) * bytes, vec(b, n, bytes == 2 ? b->f16 : b->f32)));
        }
    }
}

void linear_round_rows(linear *l, value x, value n_rows, value rounded)
{
    builder *b = l->b;
    int64_t n = b->target.lanes, cols = l->k->cols, whole = cols / n * n, end = linear_rounded_bytes(cols) / 2;
    loop rows, columns;
    loop_begin(b, &rows, const_i(b, 0), n_rows, 1, 0, NULL);
    value from = at(b, x, mul_i(b, rows.iv, cols * 4), 0),
          to = at(b, rounded, mul_i(b, rows.iv, linear_rounded_bytes(cols)), 0);
    loop_begin(b, &columns, const_i(b, 0), const_i(b, whole), n, 0, NULL);
    value wide = load(b, from, mul_i(b, columns.iv, 4), 0, l->vf);
    store(b, from_f32(b, wide, b->bf16), to, mul_i(b, columns.iv, 2), 0);
    loop_end(b, &columns, NULL);
    for (int64_t at_zero = whole; at_zero < end; at_zero += n)
        store(b, const_int(b, vec(b, (int)n, b->i16), 0), to, (value){0}, at_zero * 2);
    for (int64_t j = whole; j < cols; j++)
        store(b, from_f32(b, load(b, from, (value){0}, j * 4, b->f32), b->bf16), to, (value){0}, j * 2);
    loop_end(b, &rows, NULL);
}

void linear_move_rows(linear *l, value x, value n_rows, value moved)
{
    builder *b = l->b;
    int64_t n = b->target.lanes, cols = l->k->cols;
    loop rows, columns;
    loop_begin(b, &rows, const_i(b, 0), n_rows, 1, 0, NULL);
    value from = at(b, x, mul_i(b, rows.iv, cols * 4), 0),
          to = at(b, moved, mul_i(b, rows.iv, linear_moved_bytes(cols)), 0);
    loop_begin(b, &columns, const_i(b, 0), const_i(b, cols), n, 0, NULL); // a multiple of n
    value offset = mul_i(b, columns.iv, 4);
    store(b, load(b, from, offset, 0, l->vf), to, offset, 0);
    loop_end(b, &columns, NULL);
    loop_end(b, &rows, NULL);
}

static void add_columns(linear *l, int rows, value x_row, value column, int step, value panel, value *sums)
{
    builder *b = l->b;
    value column_bytes = mul_i(b, column, 4);
    bool pairs = l->weights->pairs;
    for (int j = 0; j < step; j++) {
        value w[MAX_VECTORS];
        load_column(l, panel, column, j, w);
        for (int i = 0; i < rows; i++) {
            value x = splat(b, load(b, x_row, column_bytes, i * l->x_bytes + j * 4, b->f32), b->target.lanes);
            for (int v = 0; v < l->nv; v++) sums[i * l->nv + v] = fma_(b, x, w[v], sums[i * l->nv + v]);
        }
        // else LLVM keeps the pairs, and an accumulator has to go to memory and back each column
        if (pairs && rows > 1) sums[0] = pin(b, sums[0]);
    }
}

static void add_rounded_columns(linear *l, int rows, value x_row, value column, int step, value panel, value *sums)
{
    builder *b = l->b;
    type pairs = vec(b, 2 * b->target.lanes, b->bf16);
    value line = mul_i(b, column, PANEL_ROWS * 2), column_bytes = mul_i(b, column, 2);
    for (int j = 0; j < step; j += 2) {
        value w = load(b, panel, line, j / 2 * 64, pairs);
        for (int i = 0; i < rows; i++) {
            value pair = load(b, x_row, column_bytes, i * l->x_bytes + j * 2, b->i32);
            sums[i] = dot_bf16(b, sums[i], w, bitcast(b, splat(b, pair, b->target.lanes), pairs));
        }
    }
}

void linear_float_columns(linear *l, int rows, value x_row, value column, int step, value panel, const value *sums,
                          value *next)
{
    memcpy(next, sums, (size_t)(rows * l->nv) * sizeof *next);
    (l->rounded ? add_rounded_columns : add_columns)(l, rows, x_row, column, step, panel, next);
}
