// The core of a norm: a product, taken apart into factors with exponents.
#include "compiler/raise/rules/norm/norm_parts.h"

#include <math.h>

enum { MAX_FACTORS = 6 };
typedef struct product {
    struct {
        ref r;
        double exponent;
    } factors[MAX_FACTORS];
    int n;
    double constant;
} product;

static bool add_factor(product *p, const ref *r, double exponent)
{
    if (p->n == MAX_FACTORS) return false;
    p->factors[p->n].r = *r;
    p->factors[p->n++].exponent = exponent;
    return true;
}

static bool is_root_kind(node_kind k)
{
    return k == N_RSQRT || k == N_SQRT || k == N_RECIP || k == N_DIV || k == N_POW;
}

// The root of a quotient with a constant above has its own below: sqrt(n / sum), sqrt(n * (1 / sum)).
static bool add_root(matcher *m, const ref *from, double exponent, product *p)
{
    node n = read_uncast(&m->r, from);
    constant c, factor = {1, 53};
    int i = n.kind == N_MUL ? constant_operand(m, &n, &factor) : -1;
    if (i >= 0) n = read_uncast(&m->r, &n.in[1 - i]);
    bool quotient = n.kind == N_DIV && read_constant(&m->r, &n.in[0], &c);
    if (n.kind != N_RECIP && !quotient) return add_factor(p, from, exponent);
    p->constant *= pow(i >= 0 ? factor.value : 1, exponent) * pow(quotient ? c.value : 1, exponent);
    return add_factor(p, &n.in[quotient ? 1 : 0], -exponent);
}

// Takes a product apart: quotients, reciprocals and roots are exponents. Roundings are looked through only around the
// inverse root, whose rounding is below that of the result.
static bool factorise(matcher *m, const ref *from, double exponent, int depth, product *p)
{
    if (depth > 16) return false;
    constant c;
    if (read_constant(&m->r, from, &c)) {
        p->constant *= pow(c.value, exponent);
        return true;
    }
    node n = read_unwidened(&m->r, from);
    if (n.kind == N_CAST) {
        node inner = read_uncast(&m->r, from);
        if (!is_root_kind(inner.kind)) return add_factor(p, from, exponent);
        n = inner;
    }
    switch (n.kind) {
    case N_MUL: return factorise(m, &n.in[0], exponent, depth + 1, p) && factorise(m, &n.in[1], exponent, depth + 1, p);
    case N_DIV:
        return factorise(m, &n.in[0], exponent, depth + 1, p) && factorise(m, &n.in[1], -exponent, depth + 1, p);
    case N_NEG: p->constant = -p->constant; return factorise(m, &n.in[0], exponent, depth + 1, p);
    case N_RECIP: return factorise(m, &n.in[0], -exponent, depth + 1, p);
    case N_SQRT: return add_root(m, &n.in[0], exponent / 2, p);
    case N_RSQRT: return add_factor(p, &n.in[0], -exponent / 2);
    case N_POW:
        if (!read_constant(&m->r, &n.in[1], &c)) break;
        if (c.value == -1) return factorise(m, &n.in[0], -exponent, depth + 1, p);
        if (fabs(c.value) == 0.5) return add_root(m, &n.in[0], exponent * c.value, p);
        break;
    default: break;
    }
    return add_factor(p, from, exponent);
}

// x / (sqrt(mean) + eps), x / max(sqrt(mean), eps): near, but another function. What it is; NULL when it is none.
static const char *eps_outside(matcher *m, const ref *divisor)
{
    node n = read_uncast(&m->r, divisor);
    constant c;
    ref root;
    double bound;
    int i = n.kind == N_ADD ? constant_operand(m, &n, &c) : -1;
    if (i >= 0)
        root = n.in[1 - i];
    else if (!read_lower_bound(&m->r, &n, &root, &bound) || bound == 0)
        return NULL;
    product p = {.constant = 1};
    if (!factorise(m, &root, 1, 0, &p)) return NULL;
    for (int k = 0; k < p.n; k++)
        if (p.factors[k].exponent == 0.5 && leads_to_sum(m, &p.factors[k].r))
            return i >= 0 ? "eps is outside the root" : "eps is a lower bound, outside the root";
    return NULL;
}

static int find_statistic(matcher *m, const product *p, norm_core *core)
{
    for (int k = 0; k < p->n; k++) {
        if (p->factors[k].exponent == -0.5 && leads_to_sum(m, &p->factors[k].r)) return k;
        const char *why = p->factors[k].exponent == -1 ? eps_outside(m, &p->factors[k].r) : NULL;
        if (!why) continue;
        core->near = why;
        m->subject = p->factors[k].r.v;
    }
    return -1;
}

static void add_pair(norm_core *core, const ref *scaled, const ref *gamma)
{
    if (core->n_pairs == MAX_PAIRS) return;
    core->pairs[core->n_pairs].scaled = *scaled;
    core->pairs[core->n_pairs++].gamma = gamma ? *gamma : (ref){0};
}

// With the inverse root in `with`, the other operand is scaled, or scaled * gamma; or gamma stands beside the root.
// Null value: the other operand is a constant, and what is scaled stands beside the root.
static bool read_pairs(matcher *m, norm_core *core, const product *with, int statistic, ref other)
{
    core->statistic = with->factors[statistic].r;
    m->subject = core->statistic.v;
    core->factor = with->constant;
    const ref *beside = NULL;
    for (int k = 0; k < with->n; k++) {
        if (k == statistic) continue;
        if (beside || with->factors[k].exponent != 1) return false;
        if (other.v.ptr)
            beside = &with->factors[k].r;
        else
            other = with->factors[k].r;
    }
    if (!other.v.ptr) return false; // a root on its own: what it scales comes later
    add_pair(core, &other, beside);
    node both = read_unwidened(&m->r, &other);
    constant c;
    if (beside) {
        add_pair(core, beside, &other);
    } else if (both.kind == N_MUL && constant_operand(m, &both, &c) < 0 &&
               float_bits_of(element_type_of(both.self.v)) >= float_bits_of(element_type_of(core->root.v))) {
        add_pair(core, &both.in[0], &both.in[1]);
        add_pair(core, &both.in[1], &both.in[0]);
    }
    return true;
}

static bool start_core(matcher *m, MlirOperation op, norm_core *core)
{
    *core = (norm_core){.factor = 1};
    m->r.deep = true;
    if (mlirOperationGetNumResults(op) != 1 || is_structured(op, NULL)) return false;
    if (!root_ref(mlirOperationGetResult(op, 0), &core->root)) return false;
    core->rank = rank_of(root_tensor(&core->root));
    return core->rank >= 1 && core->rank <= 8;
}

bool read_core(matcher *m, MlirOperation op, norm_core *core)
{
    if (!start_core(m, op, core)) return false;
    node n = read_node(&m->r, &core->root);
    if ((n.kind != N_MUL && n.kind != N_DIV) || !mlirOperationEqual(n.op, op)) return false;
    for (int i = 0; i < 2; i++) {
        double exponent = n.kind == N_DIV && i == 1 ? -1 : 1;
        product p = {.constant = 1};
        constant c;
        bool scaled = read_constant(&m->r, &n.in[1 - i], &c);
        if (!factorise(m, &n.in[i], exponent, 0, &p)) continue;
        int statistic = find_statistic(m, &p, core);
        if (core->near) {
            add_pair(core, &n.in[1 - i], NULL);
            return true;
        }
        if (statistic < 0) continue;
        if (n.kind == N_DIV && i == 0 && !scaled) return false; // the root times one over something
        if (scaled) p.constant *= n.kind == N_DIV && i == 0 ? 1 / c.value : c.value;
        return read_pairs(m, core, &p, statistic, scaled ? (ref){0} : n.in[1 - i]);
    }
    return false;
}

// a * b of -a and b, the product that is negated by a factor.
static bool take_sign(matcher *m, node *n)
{
    for (int i = 0; i < 2 && n->kind == N_MUL; i++) {
        ref inner;
        node factor = read_unwidened(&m->r, &n->in[i]);
        if (!read_negated(&m->r, &factor, &inner)) continue;
        n->in[i] = inner;
        return true;
    }
    return false;
}

// mean * inverse, behind a minus sign or within `beta - mean * inverse` as `from` is added or subtracted. The minus
// sign may be a factor's.
static bool read_shift(matcher *m, const ref *from, bool subtracted, node *shift, ref *beta)
{
    ref inner;
    *beta = (ref){0};
    *shift = read_unwidened(&m->r, from);
    if (subtracted) return shift->kind == N_MUL;
    if (shift->kind == N_MUL) return take_sign(m, shift);
    node sum = *shift;
    for (int i = 0; i < 2 && sum.kind == N_ADD; i++) {
        *shift = read_unwidened(&m->r, &sum.in[i]);
        *beta = sum.in[1 - i];
        if (take_sign(m, shift)) return true;
    }
    if (!read_difference(m, &sum, beta, &inner)) {
        *beta = (ref){0};
        if (!read_negated(&m->r, &sum, &inner)) return false;
    }
    constant zero;
    if (beta->v.ptr && read_constant(&m->r, beta, &zero) && zero.value == 0) *beta = (ref){0};
    *shift = read_unwidened(&m->r, &inner);
    return shift->kind == N_MUL;
}

bool read_expanded_core(matcher *m, MlirOperation op, norm_core *core, ref *mean, ref *beta)
{
    if (!start_core(m, op, core)) return false;
    node n = read_node(&m->r, &core->root);
    if ((n.kind != N_ADD && n.kind != N_SUB) || !mlirOperationEqual(n.op, op)) return false;
    for (int i = 0; i < (n.kind == N_ADD ? 2 : 1); i++) {
        node scaled = read_unwidened(&m->r, &n.in[i]), shift;
        if (scaled.kind != N_MUL || !read_shift(m, &n.in[1 - i], n.kind == N_SUB, &shift, beta)) continue;
        for (int k = 0; k < 4; k++) {
            const ref *inverse = &scaled.in[k & 1];
            product p = {.constant = 1};
            if (!same_value(&m->r, inverse, &shift.in[k >> 1]) || !factorise(m, inverse, 1, 0, &p)) continue;
            int statistic = find_statistic(m, &p, core);
            if (statistic < 0) continue;
            *mean = shift.in[1 - (k >> 1)];
            return read_pairs(m, core, &p, statistic, scaled.in[1 - (k & 1)]);
        }
    }
    return false;
}

bool is_full(matcher *m, const norm_core *core, const ref *factor)
{
    node n = read_unwidened(&m->r, factor);
    MlirValue tensor = root_tensor(&core->root);
    for (int a = 0; a < core->rank; a++) {
        bool found = dim_of(tensor, a) == 1;
        for (int j = 0; j < n.self.n; j++) found = found || axis_covers(&m->r, n.self.axis[j], (signed char)a);
        if (!found) return false;
    }
    return true;
}
