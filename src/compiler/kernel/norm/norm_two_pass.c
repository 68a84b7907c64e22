// Mean and variance for rows that stay in the cache: sums about a pivot c,
//
//     S = sum(x - c)    Q = sum((x - c)^2)        mean = c + S/n    var = Q/n - (S/n)^2
//
// With c = 0 this is the textbook formula, which is worthless where the mean is large: at mean 1e4 and deviation 1 the
// difference is 1 of 1e8 and f32 keeps 7 digits. With c the mean, rounded to f32, it is the corrected two-pass
// algorithm (Chan, Golub, LeVeque, The American Statistician 37, 1983): the subtraction cancels nothing, and S/n is the
// error that rounding the mean made, up to 5e-4 at 1e4, which later goes into the results (scaling.shift in norm.c).
//
// Any c with (S/n)^2 <= var/2 serves as well, since then the subtraction costs at most a third of Q. The mean of the
// first values is nearly always such a c: of 32 independent values it is off by var/2 or more in one of 10^4 rows. So
// the pass for the mean is saved, the row is read once for its sums and once to be written, and only where c was a bad
// guess (a row that drifts, an outlier in front, a constant) it is read again, with the mean that the sums gave for c.
//
// Cost: 3 operations a value.
#include "compiler/kernel/norm/norm_parts.h"

value norm_pivot(const norm_builder *m, const norm_row *row)
{
    builder *b = m->b;
    int width = m->n;
    while (width > m->k->cols) width /= 2;
    int count = m->k->cols >= NORM_CHAINS * width ? NORM_CHAINS : 1;
    value first[NORM_CHAINS];
    norm_peek(m, row, width, count, first);
    value sum = first[0];
    for (int i = 1; i < count; i++) sum = add_f(b, sum, first[i]);
    return mul_f(b, sum_f(b, sum), const_f(b, m->f, 1.0 / (count * width)));
}

void norm_add_centred(const norm_builder *m, const value *x, int count, value pivot, value *sums)
{
    builder *b = m->b;
    value d[NORM_CHAINS], *s = sums, *q = sums + NORM_CHAINS;
    for (int c = 0; c < count; c++) {
        d[c] = norm_widen(m, sub_f(b, x[c], splat(b, pivot, lanes(mlirValueGetType(x[c])))));
        q[c] = fma_(b, d[c], d[c], q[c]);
    }
    // in pairs: half the chains, since registers are scarce
    for (int c = 0; c < count; c += 2) s[c] = add_f(b, s[c], c + 1 < count ? add_f(b, d[c], d[c + 1]) : d[c]);
}

typedef struct second_pass {
    const norm_row *row;
    value pivot;
} second_pass;

static void visit_centred(const norm_builder *m, void *context, value column, int64_t constant, int width, int count,
                          value *sums)
{
    const second_pass *pass = context;
    value x[NORM_CHAINS];
    norm_load_row(m, pass->row, column, constant, width, count, x);
    norm_add_centred(m, x, count, pass->pivot, sums);
}

// mean, var and (S/n)^2
typedef struct estimate {
    value mean, square, rest_squared;
} estimate;

static estimate estimate_of(const norm_builder *m, norm_sums sums)
{
    builder *b = m->b;
    value per_column = const_f(b, b->f64, 1.0 / (double)m->k->cols);
    value rest = mul_f(b, sums.s, per_column), rest_squared = mul_f(b, rest, rest);
    return (estimate){.mean = add_f(b, norm_wide(m, sums.pivot), rest),
                      .square = sub_f(b, mul_f(b, sums.q, per_column), rest_squared),
                      .rest_squared = rest_squared};
}

norm_moments norm_two_pass(const norm_builder *m, const norm_row *row, norm_sums sums, value eps)
{
    builder *b = m->b;
    estimate first = estimate_of(m, sums);
    value half = mul_f(b, add_f(b, first.square, eps), const_f(b, b->f64, 0.5));
    type types[] = {b->f64, b->f64};
    branch good;
    if_begin(b, &good, cmp_f(b, CMP_LE, first.rest_squared, half), 2, types); // not for NaN
    if_else(b, &good, (value[]){first.mean, first.square});
    second_pass pass = {row, norm_narrow(m, first.mean)};
    value totals[2];
    norm_for_row(m, visit_centred, &pass, 2, totals);
    estimate second = estimate_of(m, (norm_sums){.s = totals[0], .q = totals[1], .pivot = pass.pivot});
    if_end(b, &good, (value[]){second.mean, second.square});
    return (norm_moments){good.results[0], good.results[1]};
}
