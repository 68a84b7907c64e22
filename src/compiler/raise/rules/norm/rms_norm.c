// In:  x * (mean(x^2) + eps)^-1/2 [rounded] [* gamma]   or with (1 + gamma)
// Out: wf.rms_norm x, gamma {eps}
//
// https://arxiv.org/abs/1910.07467. Near, but refused: x / (sqrt(mean(x^2)) + eps), the "x.norm" form.
#include "compiler/raise/normal/steps.h"
#include "compiler/raise/rules/norm/norm_parts.h"

// Whether a product follows, in which what is scaled may still come.
static bool is_multiplied(matcher *m, const norm_core *core)
{
    MlirValue v = core->root.v;
    MlirOperation user = primitive_user(&v);
    ref root;
    if (!user.ptr || mlirOperationGetNumResults(user) != 1 || !root_ref(mlirOperationGetResult(user, 0), &root))
        return false;
    node n = read_node(&m->r, &root);
    constant c;
    return n.kind == N_MUL && mlirOperationEqual(n.op, user) && constant_operand(m, &n, &c) < 0;
}

// The number of elements of what a value is read from; unknown sizes count as -1. 0: no tensor is seen.
static double count_elements(matcher *m, const ref *r)
{
    node n = read_unwidened(&m->r, r);
    MlirValue v = step_is_tensor(n.self.v) ? n.self.v : n.tensor.v;
    double count = v.ptr ? 1 : 0;
    for (int i = 0; v.ptr && i < rank_of(v); i++) count *= (double)dim_of(v, i);
    return count;
}

// Whether a value is as large as what is squared.
static bool is_as_large(matcher *m, const ref *a, const ref *b)
{
    double x = count_elements(m, a), y = count_elements(m, b);
    return x == 0 || y == 0 || x == y;
}

bool raise_rms_norm(matcher *m, MlirOperation op)
{
    norm_core core;
    affine_sum sum;
    ref squared;
    norm_result n = {0};
    unsigned axes = 0;
    if (!read_core(m, op, &core)) return false;
    if (core.near) return near_miss(m, "%s", core.near);
    if (!read_affine_sum(m, &core.statistic, &sum)) return false;
    if (!read_summed_square(m, &sum, &squared)) return false;
    int pair = -1;
    for (int i = 0; i < core.n_pairs && pair < 0; i++)
        if (is_summed(m, &core, &core.pairs[i].scaled, &squared, &sum, &axes)) pair = i;
    if (pair < 0) {
        // gamma * root, with x still to come, is no near miss, nor is a layer_norm that was refused
        ref a, b;
        node centred = read_unwidened(&m->r, &squared);
        bool full = false;
        if (read_difference(m, &centred, &a, &b)) return false;
        for (int i = 0; i < core.n_pairs; i++)
            full =
                full || (is_full(m, &core, &core.pairs[i].scaled) && is_as_large(m, &core.pairs[i].scaled, &squared));
        if (full && !is_multiplied(m, &core)) near_miss(m, "square of another value than the one scaled");
        return false;
    }
    if (!are_last_axes(m, &core, axes, &n.n_axes)) return false;
    if (!settle_factor(m, &core, &core.pairs[pair].scaled, &sum, n.n_axes, &n.gain)) return false;
    if (core.factor < 0) return near_miss(m, "the result is negated");
    n.eps = sum.eps / (core.factor * core.factor) * (n.gain * n.gain);
    if (n.eps < 0) return near_miss(m, "eps is negative");
    if (!grow_norm(m, &core, &core.pairs[pair].scaled, &core.pairs[pair].gamma, NULL, &n)) return false;
    return write_norm(m, &core, &n, NORM_RMS);
}
