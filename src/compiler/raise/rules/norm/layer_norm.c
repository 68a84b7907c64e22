// In:  (x - mean(x)) * (variance + eps)^-1/2 [* gamma] [+ beta], where
//      variance = mean((x - mean(x))^2)  or  mean(x^2) - mean(x)^2, either of them in f64 or with a mean of its own
//      or expanded, x * inverse + (beta - mean(x) * inverse) with inverse = (variance + eps)^-1/2 [* gamma]
// Out: wf.layer_norm x, gamma, beta {eps}
//
// https://arxiv.org/abs/1607.06450. The kernel is stable: what E[x^2] - E[x]^2 loses to cancellation is not kept.
#include "compiler/raise/rules/norm/norm_parts.h"

// Whether `mean` is the mean of what is x at the root, over the given axes.
static bool is_mean_of(matcher *m, const norm_core *core, const ref *mean, const ref *x, unsigned axes, int n_axes)
{
    affine_sum sum;
    unsigned mean_axes;
    bool failed = false;
    if (!read_affine_sum(m, mean, &sum) || sum.eps != 0) return false;
    while (!is_summed(m, core, x, &sum.argument, &sum, &mean_axes))
        if (!enter_scaled(m, &sum, &failed)) return near_miss(m, "mean of another value than x");
    if (mean_axes != axes) return near_miss(m, "mean and variance are over different axes");
    return is_mean(m, core, x, &sum, 1, n_axes);
}

// x - mean or mean - x, to be squared. Within the sum x has other axes than at the root, but its mean has not.
static bool is_centred(matcher *m, const norm_core *core, const ref *squared, const ref *x, const affine_sum *variance,
                       unsigned *axes, ref *mean)
{
    ref inner;
    node n = read_unwidened(&m->r, squared);
    if (!read_difference(m, &n, &inner, mean)) return false;
    if (is_summed(m, core, x, &inner, variance, axes)) return true;
    ref other = *mean;
    *mean = inner;
    return is_summed(m, core, x, &other, variance, axes);
}

// mean(x^2) - mean(x)^2: reads the second term, leaving the sum of the first.
static bool read_moments(matcher *m, const ref *statistic, affine_sum *square_sum, ref *mean, double *eps)
{
    node n = read_uncast(&m->r, statistic);
    constant c;
    *eps = 0;
    for (int step = 0; step < 8; step++) {
        ref inner;
        double bound;
        if (read_lower_bound(&m->r, &n, &inner, &bound)) {
            if (bound != 0 || *eps < 0) return false;
        } else if (n.kind == N_ADD) {
            int i = read_constant(&m->r, &n.in[1], &c) ? 1 : read_constant(&m->r, &n.in[0], &c) ? 0 : -1;
            if (i < 0) break; // a + (-b)
            *eps += c.value;
            inner = n.in[1 - i];
        } else {
            break;
        }
        n = read_uncast(&m->r, &inner);
    }
    ref first, second;
    buffer *explain = m->explain;
    m->explain = NULL; // any other difference is no near miss
    bool found = read_difference(m, &n, &first, &second) && read_square(m, &second, mean);
    m->explain = explain;
    return found && read_affine_sum(m, &first, square_sum) && square_sum->eps == 0;
}

typedef struct statistics {
    affine_sum sum;
    ref mean; // as the variance has it
    double eps;
    unsigned axes;
} statistics;

static bool read_statistics(matcher *m, const norm_core *core, const ref *x, statistics *s)
{
    ref squared;
    if (read_moments(m, &core->statistic, &s->sum, &s->mean, &s->eps))
        return read_summed_square(m, &s->sum, &squared) && is_summed(m, core, x, &squared, &s->sum, &s->axes);
    if (!read_affine_sum(m, &core->statistic, &s->sum)) return false;
    s->eps = s->sum.eps;
    return read_summed_square(m, &s->sum, &squared) && is_centred(m, core, &squared, x, &s->sum, &s->axes, &s->mean);
}

bool raise_layer_norm(matcher *m, MlirOperation op)
{
    norm_core core;
    ref given_mean, beta = {0};
    bool expanded = false;
    if (!read_core(m, op, &core)) {
        expanded = read_expanded_core(m, op, &core, &given_mean, &beta);
        if (!expanded) return false;
    }
    for (int i = 0; i < core.n_pairs; i++) {
        ref x = core.pairs[i].scaled, mean = given_mean;
        statistics s = {0};
        norm_result n = {0};
        node centred = read_unwidened(&m->r, &core.pairs[i].scaled);
        if (!expanded && !read_difference(m, &centred, &x, &mean)) continue;
        if (!is_full(m, &core, &core.pairs[i].scaled)) continue;
        if (core.near) {
            affine_sum sum;
            return read_affine_sum(m, &mean, &sum) && near_miss(m, "%s", core.near);
        }
        if (!read_statistics(m, &core, &x, &s)) continue;
        if (!are_last_axes(m, &core, s.axes, &n.n_axes)) return false;
        if (!is_mean_of(m, &core, &mean, &x, s.axes, n.n_axes)) return false;
        if (!is_mean_of(m, &core, &s.mean, &x, s.axes, n.n_axes)) return false;
        if (!settle_factor(m, &core, &x, &s.sum, n.n_axes, &n.gain)) return false;
        if (core.factor < 0) return near_miss(m, "the result is negated");
        n.eps = s.eps / (core.factor * core.factor) * (n.gain * n.gain);
        if (n.eps < 0) return near_miss(m, "eps is negative");
        if (!grow_norm(m, &core, &x, &core.pairs[i].gamma, &beta, &n)) return false;
        return write_norm(m, &core, &n, NORM_LAYER);
    }
    return false;
}
