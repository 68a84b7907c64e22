// Mean and variance of a row in one pass, for rows that are gone from the cache when a second pass would read them.
//
// Every lane of NORM_CHAINS vectors runs Welford's update (Technometrics 4, 1962) on its own values, the k-th of which
// is x:
//
//     d = x - mean    mean += d / k    M2 += d * (x - mean)
//
// so that 1/k is one scalar a step. A set of groups, each with its count, mean and M2 (the sum of squares about its
// mean), is merged by Chan's formula (Chan, Golub, LeVeque, 1979):
//
//     mean = sum(n_i mean_i) / n    M2 = sum(M2_i) + sum(n_i (mean_i - mean)^2)
//
// first the chains with each other, every NORM_STEPS steps with what came before, and at last the lanes.
//
// The mean of a lane is held in f32, and a mean of 1e4 would be rounded by up to 5e-4 at every update. So all this is
// done on x - pivot, where the pivot is the mean of the first values; between blocks means and M2 are f64.
// Cost: 6 operations a value.
#include "compiler/kernel/norm/norm_parts.h"

// A group a lane: vectors of n means and M2, with one count for all lanes.
typedef struct groups {
    value count; // f64
    value mean, m2;
} groups;

static void read_shifted(const norm_builder *m, const norm_row *row, value pivot, value column, int64_t constant,
                         int width, int count, value *x)
{
    norm_load_row(m, row, column, constant, width, count, x);
    for (int c = 0; c < count; c++) x[c] = sub_f(m->b, x[c], splat(m->b, pivot, width));
}

// Welford's update over the steps from column `from` to `to`; merges the chains. The count of a lane is NORM_CHAINS a
// step.
static groups block_groups(const norm_builder *m, const norm_row *row, value pivot, value from, value to)
{
    builder *b = m->b;
    value carried[1 + 2 * NORM_CHAINS], one = const_f(b, m->f, 1);
    carried[0] = const_f(b, m->f, 0);
    for (int i = 1; i <= 2 * NORM_CHAINS; i++) carried[i] = const_f(b, m->vf, 0);
    loop l;
    loop_begin(b, &l, from, to, NORM_CHAINS * m->n, 1 + 2 * NORM_CHAINS, carried);
    value k = add_f(b, l.args[0], one), share = splat(b, div_f(b, one, k), m->n);
    carried[0] = k;
    value x[NORM_CHAINS];
    read_shifted(m, row, pivot, l.iv, 0, m->n, NORM_CHAINS, x);
    for (int c = 0; c < NORM_CHAINS; c++) {
        value mean = l.args[1 + c], d = sub_f(b, x[c], mean), moved = fma_(b, d, share, mean);
        carried[1 + c] = moved;
        carried[1 + NORM_CHAINS + c] = fma_(b, d, sub_f(b, x[c], moved), l.args[1 + NORM_CHAINS + c]);
    }
    loop_end(b, &l, carried);

    const value *means = l.results + 1, *m2s = means + NORM_CHAINS;
    value sum = add_f(b, add_f(b, means[0], means[1]), add_f(b, means[2], means[3]));
    value mean = mul_f(b, sum, const_f(b, m->vf, 1.0 / (double)NORM_CHAINS));
    value within = add_f(b, add_f(b, m2s[0], m2s[1]), add_f(b, m2s[2], m2s[3])), between = const_f(b, m->vf, 0);
    for (int c = 0; c < NORM_CHAINS; c++) {
        value d = sub_f(b, means[c], mean);
        between = fma_(b, d, d, between);
    }
    value m2 = fma_(b, between, splat(b, l.results[0], m->n), within);
    value count = mul_f(b, l.results[0], const_f(b, m->f, (double)NORM_CHAINS));
    return (groups){norm_wide(m, count), norm_wide(m, mean), norm_wide(m, m2)};
}

// Chan's formula for two groups a lane.
static groups merge(const norm_builder *m, groups x, groups y)
{
    builder *b = m->b;
    value count = add_f(b, x.count, y.count), share = div_f(b, y.count, count), d = sub_f(b, y.mean, x.mean);
    value between = mul_f(b, mul_f(b, d, d), splat(b, mul_f(b, x.count, share), m->n));
    return (groups){.count = count,
                    .mean = fma_(b, d, splat(b, share, m->n), x.mean),
                    .m2 = add_f(b, x.m2, add_f(b, y.m2, between))};
}

// All steps of the row.
static groups lane_groups(const norm_builder *m, const norm_row *row, value pivot)
{
    builder *b = m->b;
    int64_t block = (int64_t)NORM_STEPS * NORM_CHAINS * m->n;
    value whole = const_i(b, m->whole);
    value carried[] = {const_f(b, b->f64, 0), const_f(b, m->vd, 0), const_f(b, m->vd, 0)};
    loop l;
    loop_begin(b, &l, const_i(b, 0), whole, block, 3, carried);
    groups next = block_groups(m, row, pivot, l.iv, min_s(b, add_i(b, l.iv, block), whole));
    groups merged = merge(m, (groups){l.args[0], l.args[1], l.args[2]}, next);
    loop_end(b, &l, (value[]){merged.count, merged.mean, merged.m2});
    return (groups){l.results[0], l.results[1], l.results[2]};
}

norm_moments norm_online(const norm_builder *m, const norm_row *row)
{
    builder *b = m->b;
    value pivot = norm_pivot(m, row), zero = const_f(b, b->f64, 0), sum = zero, m2 = zero;
    int64_t steps = m->whole / m->n;
    value count = const_f(b, b->f64, (double)steps); // of each lane
    groups g = {0};
    if (m->whole) {
        g = lane_groups(m, row, pivot);
        sum = mul_f(b, count, sum_f(b, g.mean));
        m2 = sum_f(b, g.m2);
    }
    norm_piece pieces[NORM_PIECES_MAX];
    value rest[NORM_PIECES_MAX]; // groups of one value each
    int n_rest = norm_pieces(m, pieces);
    for (int i = 0; i < n_rest; i++) {
        value x;
        read_shifted(m, row, pivot, (value){0}, pieces[i].column, pieces[i].width, 1, &x);
        rest[i] = norm_wide(m, x);
        sum = add_f(b, sum, sum_f(b, rest[i]));
    }
    value per_column = const_f(b, b->f64, 1.0 / (double)m->k->cols), mean = mul_f(b, sum, per_column);
    if (m->whole) {
        value d = sub_f(b, g.mean, splat(b, mean, m->n));
        m2 = fma_(b, count, sum_f(b, mul_f(b, d, d)), m2);
    }
    for (int i = 0; i < n_rest; i++) {
        value d = sub_f(b, rest[i], splat(b, mean, pieces[i].width));
        m2 = add_f(b, m2, sum_f(b, mul_f(b, d, d)));
    }
    return (norm_moments){.mean = add_f(b, norm_wide(m, pivot), mean), .square = mul_f(b, m2, per_column)};
}
