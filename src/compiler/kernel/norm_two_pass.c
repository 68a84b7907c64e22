// Mean and variance of a row in two passes, for rows that stay in the cache between them.
//
// The first pass gives the sum, so the mean, which rounded to f32 is c. Rounding costs up to half a unit in the last
// place of the mean: 5e-4 at a mean of 1e4, useless where the deviation is 1. So the second pass takes
//
//     S = sum(x - c)    Q = sum((x - c)^2)        mean = c + S/n    var = Q/n - (S/n)^2
//
// (the corrected two-pass algorithm: Chan, Golub, LeVeque, The American Statistician 37, 1983). x - c is nearly exact
// for x near c, S/n is the error that rounding the mean made, and subtracting its square cancels nothing, as c is near
// the mean. Cost: 3 operations a value beside the first pass.
#include "compiler/kernel/norm_parts.h"

typedef struct centred_pass {
    const norm_row *row;
    value mean; // c, f32
} centred_pass;

static void visit_centred(const norm_builder *m, void *context, value column, int64_t constant, int width, int count,
                          value *sums)
{
    const centred_pass *pass = context;
    builder *b = m->b;
    value *s = sums, *q = sums + NORM_CHAINS;
    for (int c = 0; c < count; c++) {
        value x = norm_read(m, pass->row, column, constant + c * width, width);
        value d = norm_widen(m, sub_f(b, x, splat(b, pass->mean, width)));
        s[c] = add_f(b, s[c], d);
        q[c] = fma_(b, d, d, q[c]);
    }
}

norm_moments norm_two_pass(const norm_builder *m, const norm_row *row, value total)
{
    builder *b = m->b;
    value per_column = const_f(b, b->f64, 1.0 / (double)m->k->cols), sums[2];
    centred_pass pass = {row, trunc_f(b, mul_f(b, total, per_column), b->f32)};
    norm_for_row(m, visit_centred, &pass, 2, sums);
    value rest = mul_f(b, sums[0], per_column), square = mul_f(b, sums[1], per_column);
    return (norm_moments){.mean = add_f(b, ext_f(b, pass.mean, b->f64), rest),
                          .square = sub_f(b, square, mul_f(b, rest, rest))};
}
