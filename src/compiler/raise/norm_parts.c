#include "compiler/raise/norm_parts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

// ---- the sum

// Which of a node's two operands is a constant; -1: none.
static int constant_operand(matcher *m, const node *n, constant *c)
{
    if (n->n_in != 2) return -1;
    for (int i = 1; i >= 0; i--)
        if (read_constant(&m->r, &n->in[i], c)) return i;
    return -1;
}

static bool leads_to_sum(matcher *m, const ref *from, int depth)
{
    node n = read_uncast(&m->r, from);
    constant c;
    for (int step = 0; step < 8; step++) {
        if (n.kind == N_SUM) return true;
        if (n.kind == N_ADD && constant_operand(m, &n, &c) < 0) // an eps that is no constant
            return depth < 2 && (leads_to_sum(m, &n.in[0], depth + 1) || leads_to_sum(m, &n.in[1], depth + 1));
        int i = n.kind == N_MUL || n.kind == N_DIV || n.kind == N_ADD ? constant_operand(m, &n, &c) : -1;
        ref bounded;
        double bound;
        if (i >= 0)
            n = read_uncast(&m->r, &n.in[1 - i]);
        else if (read_lower_bound(&m->r, &n, &bounded, &bound))
            n = read_uncast(&m->r, &bounded);
        else if (n.kind == N_SQRT || n.kind == N_RSQRT || n.kind == N_RECIP || n.kind == N_DIV || n.kind == N_SUB)
            n = read_uncast(&m->r, &n.in[0]);
        else if (n.kind == N_POW)
            n = read_uncast(&m->r, &n.in[0]);
        else
            return false;
    }
    return false;
}

static void scale_by(affine_sum *sum, double factor, int bits)
{
    sum->scale *= factor;
    if (bits < sum->bits) sum->bits = bits;
}

// A divisor: a constant, or the size of an axis.
static bool divide_by(matcher *m, affine_sum *sum, const ref *divisor)
{
    constant c;
    if (read_constant(&m->r, divisor, &c)) {
        scale_by(sum, 1 / c.value, c.bits);
        return true;
    }
    node n = read_node(&m->r, divisor);
    for (int step = 0; n.kind == N_CAST && step < 4; step++)
        n = read_node(&m->r, &n.in[0]); // index to integer to float
    if (n.kind != N_SIZE || sum->size.kind == N_SIZE) return false;
    int64_t size = n.dim >= 0 && n.dim < n.in[0].n ? dim_of(n.in[0].v, n.dim) : 0;
    if (size > 0)
        scale_by(sum, 1 / (double)size, 53);
    else
        sum->size = n;
    return true;
}

static bool enter_sum(affine_sum *sum, const node *n)
{
    if (sum->n_bound + n->n_bound > MAX_AXES) return false;
    for (int i = 0; i < n->n_bound; i++) sum->bound[sum->n_bound++] = (signed char)(AXIS_BOUND + n->bound + i);
    return true;
}

bool read_affine_sum(matcher *m, const ref *from, affine_sum *sum)
{
    enum { MAX_STEPS = 32 };
    *sum = (affine_sum){.scale = 1, .bits = 53, .argument = *from};
    for (int step = 0; step < MAX_STEPS; step++) {
        node n = read_uncast(&m->r, &sum->argument);
        constant c;
        int i = constant_operand(m, &n, &c);
        // within the sum a constant factor is part of what is summed, unless another sum follows
        bool inside = sum->n_bound > 0;
        ref bounded;
        double bound;
        if (n.kind == N_SUM) {
            if (!enter_sum(sum, &n)) return false;
            sum->argument = n.in[0];
        } else if (n.kind == N_ADD && !inside) {
            if (i < 0 && leads_to_sum(m, &n.in[0], 0) != leads_to_sum(m, &n.in[1], 0))
                return near_miss(m, "eps is not a constant");
            if (i < 0) return false;
            sum->eps += sum->scale * c.value;
            sum->argument = n.in[1 - i];
        } else if (!inside && read_lower_bound(&m->r, &n, &bounded, &bound)) {
            if (bound != 0 && leads_to_sum(m, &bounded, 0)) return near_miss(m, "eps is a lower bound, not added");
            // a bound of 0 changes no sum of squares, but what was added before it may be negative
            if (bound != 0 || sum->eps < 0) return false;
            sum->argument = bounded;
        } else if (n.kind == N_MUL && i >= 0 && (!inside || read_uncast(&m->r, &n.in[1 - i]).kind == N_SUM)) {
            scale_by(sum, c.value, c.bits);
            sum->argument = n.in[1 - i];
        } else if (n.kind == N_DIV && (!inside || read_uncast(&m->r, &n.in[0]).kind == N_SUM)) {
            if (!divide_by(m, sum, &n.in[1])) return false;
            sum->argument = n.in[0];
        } else {
            return inside;
        }
    }
    return false;
}

bool read_square(matcher *m, const ref *from, ref *argument)
{
    node n = read_uncast(&m->r, from);
    constant c;
    if (n.kind == N_POW && read_constant(&m->r, &n.in[1], &c)) {
        *argument = n.in[0];
        if (c.value != 2) return near_miss(m, "the exponent is %g, not 2", c.value);
    } else if (n.kind == N_MUL && same_value(&m->r, &n.in[0], &n.in[1])) {
        *argument = n.in[0];
    } else if (n.kind == N_MUL) {
        // |x| * x is no square, but |x| * |x| is one
        node a = read_unwidened(&m->r, &n.in[0]), b = read_unwidened(&m->r, &n.in[1]);
        if (a.kind != N_ABS || b.kind != N_ABS || !same_value(&m->r, &a.in[0], &b.in[0]))
            return near_miss(m, "the sum is of a product of two values, not of a square");
        *argument = a.in[0];
    } else {
        return false;
    }
    node inner = read_unwidened(&m->r, argument);
    if (inner.kind == N_ABS) *argument = inner.in[0];
    return true;
}

// ---- the core

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
    case N_RECIP: return factorise(m, &n.in[0], -exponent, depth + 1, p);
    case N_SQRT: return add_factor(p, &n.in[0], exponent / 2);
    case N_RSQRT: return add_factor(p, &n.in[0], -exponent / 2);
    case N_POW:
        if (!read_constant(&m->r, &n.in[1], &c)) break;
        if (c.value == -1) return factorise(m, &n.in[0], -exponent, depth + 1, p);
        if (fabs(c.value) == 0.5) return add_factor(p, &n.in[0], exponent * c.value);
        break;
    default: break;
    }
    return add_factor(p, from, exponent);
}

// x / (sqrt(mean) + eps): near, but another function.
static bool has_eps_outside(matcher *m, const ref *divisor)
{
    node n = read_uncast(&m->r, divisor);
    constant c;
    ref root;
    double bound;
    int i = n.kind == N_ADD ? constant_operand(m, &n, &c) : -1;
    if (i >= 0)
        root = n.in[1 - i];
    else if (!read_lower_bound(&m->r, &n, &root, &bound) || bound == 0)
        return false;
    product p = {.constant = 1};
    if (!factorise(m, &root, 1, 0, &p)) return false;
    for (int k = 0; k < p.n; k++)
        if (p.factors[k].exponent == 0.5 && leads_to_sum(m, &p.factors[k].r, 0)) return true;
    return false;
}

static int find_statistic(matcher *m, const product *p, bool *eps_outside)
{
    for (int k = 0; k < p->n; k++) {
        if (p->factors[k].exponent == -0.5 && leads_to_sum(m, &p->factors[k].r, 0)) return k;
        if (p->factors[k].exponent == -1 && has_eps_outside(m, &p->factors[k].r)) {
            *eps_outside = true;
            m->subject = p->factors[k].r.v;
        }
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
static bool read_pairs(matcher *m, norm_core *core, const product *with, int statistic, const ref *other,
                       double exponent)
{
    product rest = {.constant = 1};
    core->statistic = with->factors[statistic].r;
    m->subject = core->statistic.v;
    core->factor = with->constant;
    const ref *beside = NULL;
    for (int k = 0; k < with->n; k++) {
        if (k == statistic) continue;
        if (beside || with->factors[k].exponent != 1) return false;
        beside = &with->factors[k].r;
    }
    if (exponent != 1) return false; // the root times one over something
    add_pair(core, other, beside);
    if (beside) {
        add_pair(core, beside, other);
    } else if (factorise(m, other, 1, 0, &rest) && rest.n == 2 && rest.factors[0].exponent == 1 &&
               rest.factors[1].exponent == 1 && rest.constant == 1) {
        add_pair(core, &rest.factors[0].r, &rest.factors[1].r);
        add_pair(core, &rest.factors[1].r, &rest.factors[0].r);
    }
    return true;
}

bool read_core(matcher *m, MlirOperation op, norm_core *core)
{
    *core = (norm_core){.factor = 1};
    if (mlirOperationGetNumResults(op) != 1 || is_structured(op, NULL)) return false;
    if (!root_ref(mlirOperationGetResult(op, 0), &core->root)) return false;
    node n = read_node(&m->r, &core->root);
    if ((n.kind != N_MUL && n.kind != N_DIV) || !mlirOperationEqual(n.op, op)) return false;
    core->rank = rank_of(root_tensor(&core->root));
    if (core->rank < 1) return false;
    for (int i = 0; i < 2; i++) {
        double exponent = n.kind == N_DIV && i == 1 ? -1 : 1;
        product p = {.constant = 1};
        constant c;
        if (read_constant(&m->r, &n.in[1 - i], &c)) continue; // a root on its own: what it scales comes later
        if (!factorise(m, &n.in[i], exponent, 0, &p)) continue;
        int statistic = find_statistic(m, &p, &core->eps_outside);
        if (core->eps_outside) {
            add_pair(core, &n.in[1 - i], NULL);
            return true;
        }
        if (statistic >= 0) return read_pairs(m, core, &p, statistic, &n.in[1 - i], n.kind == N_DIV && i == 0 ? -1 : 1);
    }
    return false;
}

// ---- axes

static bool is_bound_by(const affine_sum *sum, signed char axis)
{
    for (int i = 0; i < sum->n_bound; i++)
        if (sum->bound[i] == axis) return true;
    return false;
}

bool is_summed(matcher *m, const norm_core *core, const ref *outer, const ref *inner, const affine_sum *sum,
               unsigned *axes)
{
    node o = read_unwidened(&m->r, outer), i = read_unwidened(&m->r, inner);
    *axes = 0;
    if (!mlirValueEqual(o.self.v, i.self.v) || o.self.n != i.self.n) return false;
    int found = 0;
    for (int j = 0; j < o.self.n; j++) {
        signed char a = o.self.axis[j], b = i.self.axis[j];
        if (is_bound_by(sum, b)) {
            found++;
            // an axis of size 1 has no name at the root: take its place, if the ranks agree
            int place = a >= 0 ? a : o.self.n == core->rank ? j : core->rank - 1;
            if (a >= AXIS_BOUND) return false;
            *axes |= 1u << place;
        } else if (a != b) {
            return false;
        }
    }
    return found == sum->n_bound;
}

bool are_last_axes(matcher *m, const norm_core *core, unsigned axes, int *n_axes)
{
    *n_axes = 0;
    int first = core->rank;
    for (int a = core->rank - 1; a >= 0; a--)
        if (axes >> a & 1) {
            first = a;
            ++*n_axes;
        }
    if (*n_axes == 0) return false;
    if (!(axes >> (core->rank - 1) & 1)) return near_miss(m, "sum over axis %d, not the last", first);
    if (first != core->rank - *n_axes)
        return near_miss(m, "the sum leaves out an axis between axis %d and the last", first);
    return true;
}

bool is_mean(matcher *m, const norm_core *core, const affine_sum *sum, double factor, int n_axes)
{
    MlirValue tensor = root_tensor(&core->root);
    double n = 1;
    int unknown = 0;
    for (int a = core->rank - n_axes; a < core->rank; a++) {
        int64_t size = dim_of(tensor, a);
        if (size >= 0)
            n *= (double)size;
        else
            unknown++;
    }
    double scale = sum->scale / (factor * factor);
    if (unknown) {
        if (sum->size.kind != N_SIZE || unknown > 1)
            return near_miss(m, "the sum is not divided by the size of the axes that it runs over");
        // the size of that axis of this very value
        ref argument;
        if (!root_ref(sum->size.in[0].v, &argument)) return false;
        node of = read_unwidened(&m->r, &argument), summed = read_unwidened(&m->r, &sum->argument);
        bool same = mlirValueEqual(of.self.v, summed.self.v) || mlirValueEqual(sum->size.in[0].v, tensor);
        node square = summed; // of a square, its argument
        if (!same && square.n_in > 0) {
            square = read_unwidened(&m->r, &square.in[0]);
            same = mlirValueEqual(of.self.v, square.self.v);
        }
        int axis = sum->size.dim;
        if (!same || axis < core->rank - n_axes || axis >= core->rank || dim_of(tensor, axis) >= 0)
            return near_miss(m, "the sum is divided by another size than that of the axes that it runs over");
    } else if (sum->size.kind == N_SIZE) {
        return near_miss(m, "the sum is divided by another size than that of the axes that it runs over");
    }
    double tolerance = sum->bits < 24 ? ldexp(1, -sum->bits) : 1e-6;
    if (!(fabs(scale * n - 1) <= tolerance)) return near_miss(m, "the sum of %g values is divided by %g", n, 1 / scale);
    return true;
}

bool is_full(matcher *m, const norm_core *core, const ref *factor)
{
    node n = read_unwidened(&m->r, factor);
    MlirValue tensor = root_tensor(&core->root);
    for (int a = 0; a < core->rank; a++) {
        bool found = dim_of(tensor, a) == 1;
        for (int j = 0; j < n.self.n; j++) found = found || n.self.axis[j] == a;
        if (!found) return false;
    }
    return true;
}

// ---- operands

static bool read_x(matcher *m, const norm_core *core, const ref *x, norm_result *out)
{
    out->x = operand_at_root(&m->r, &core->root, x);
    if (!out->x.ptr) return near_miss(m, "x is not a tensor of the result's shape");
    int bits = float_bits_of(element_type_of(out->x));
    return bits > 24 ? near_miss(m, "x is f64") : bits > 0;
}

// A tensor that varies along the normalised axes, all of them and in their order, and along nothing else.
static bool is_vector(const ref *root, int n_axes, const ref *r)
{
    if (!r->v.ptr || !mlirTypeIsARankedTensor(mlirValueGetType(r->v))) return false;
    MlirValue tensor = root_tensor(root);
    int rank = rank_of(tensor), next = rank - n_axes;
    for (int j = 0; j < r->n; j++) {
        while (next < rank && dim_of(tensor, next) == 1) next++;
        if (r->axis[j] == AXIS_ZERO) continue;
        if (r->axis[j] != next) return false;
        next++;
    }
    while (next < rank && dim_of(tensor, next) == 1) next++;
    return next == rank;
}

bool read_vector(matcher *m, const ref *root, int n_axes, const ref *r, MlirValue *v, bool *plus_one)
{
    node n = read_unwidened(&m->r, r);
    constant c;
    int i = n.kind == N_ADD && plus_one && float_bits_of(element_type_of(n.self.v)) >= 24 ? constant_operand(m, &n, &c)
                                                                                          : -1;
    if (i >= 0 && c.value == 1) {
        node w = read_unwidened(&m->r, &n.in[1 - i]);
        if (is_vector(root, n_axes, &w.tensor)) {
            *v = w.tensor.v;
            *plus_one = true;
            return true;
        }
    }
    const ref *tensor = is_vector(root, n_axes, &n.tensor)  ? &n.tensor
                        : is_vector(root, n_axes, &n.first) ? &n.first
                                                            : NULL;
    if (tensor) *v = tensor->v;
    return tensor;
}

// What looks like a gamma, but lies along another axis: a vector that the model holds or is given.
static int wrong_axis(matcher *m, const norm_core *core, int n_axes, const ref *r)
{
    node n = read_unwidened(&m->r, r);
    MlirOperation op = n.op;
    for (int step = 0; step < 4 && (op_is(op, "tosa.slice") || op_is(op, "tensor.extract_slice")); step++)
        op = defining_op(mlirOperationGetOperand(op, 0));
    if (n.kind != N_LEAF || (op.ptr && !op_is(op, "tosa.const") && !op_is(op, "arith.constant"))) return -1;
    int axis = -1, found = 0;
    for (int j = 0; j < n.self.n; j++)
        if (n.self.axis[j] != AXIS_ZERO) {
            axis = n.self.axis[j];
            found++;
        }
    return found == 1 && axis < core->rank - n_axes ? axis : -1;
}

// ---- growing

// A match in growth: `value` is what it computes so far, `out` what has been settled for a tensor.
typedef struct growth {
    MlirValue value;
    bool has_gamma;
    MlirType rounded;
} growth;

static void settle(const growth *g, norm_result *pending, norm_result *out)
{
    MlirValue tensor = tensor_of_value(g->value);
    if (!tensor.ptr || float_bits_of(element_type_of(tensor)) > 24) return;
    pending->result = tensor;
    pending->rounded = pending->gamma.ptr ? g->rounded : (MlirType){0};
    *out = *pending;
}

// Takes one more op into the match. False: it does not belong to it. *wrong: it forbids the match.
static bool take_user(matcher *m, const norm_core *core, bool wants_beta, growth *g, norm_result *pending,
                      norm_result *out, bool *wrong)
{
    MlirValue v = g->value;
    MlirOperation user = primitive_user(&v);
    ref root;
    if (!user.ptr || mlirOperationGetNumResults(user) != 1) return false;
    MlirValue result = mlirOperationGetResult(user, 0);
    if (!root_ref(result, &root)) return false;
    MlirValue before = root_tensor(&core->root), after = root_tensor(&root);
    if (rank_of(before) != rank_of(after)) return false;
    for (int i = 0; i < core->rank; i++)
        if (dim_of(before, i) != dim_of(after, i)) return false;
    node n = read_node(&m->r, &root);
    if (!mlirOperationEqual(n.op, user)) return false;
    int bits = float_bits_of(element_type_of(result)), old_bits = float_bits_of(element_type_of(v));
    if (n.kind == N_CAST) {
        if (!bits) return false;
        if (bits < old_bits && bits < 24 && !g->has_gamma) g->rounded = element_type_of(result);
        g->value = result;
        // a cast back to wider floats is part of the norm only if gamma follows
        if (bits < old_bits) settle(g, pending, out);
        return bits < old_bits || !g->has_gamma;
    }
    int other = n.n_in == 2 ? (mlirValueEqual(n.in[0].v, v) ? 1 : 0) : -1;
    if (other < 0 || mlirValueEqual(n.in[other].v, v)) return false;
    if (n.kind == N_MUL && !g->has_gamma) {
        if (!read_vector(m, &core->root, pending->n_axes, &n.in[other], &pending->gamma, &pending->plus_one)) {
            int axis = wrong_axis(m, core, pending->n_axes, &n.in[other]);
            if (axis >= 0) *wrong = true;
            if (axis >= 0) near_miss(m, "gamma is along axis %d, not along what is normalised", axis);
            return false;
        }
        g->has_gamma = true;
        g->value = result;
        settle(g, pending, out);
        return true;
    }
    if (n.kind != N_ADD || !wants_beta || pending->beta.ptr) return false;
    // rounding between gamma and beta is told by `rounded`, so it must be the same as before gamma
    if (g->has_gamma && bits < 24 && !(g->rounded.ptr && mlirTypeEqual(g->rounded, element_type_of(result))))
        return false;
    if (!g->has_gamma && old_bits < 24) return false;
    if (!read_vector(m, &core->root, pending->n_axes, &n.in[other], &pending->beta, NULL)) return false;
    g->has_gamma = true; // what would follow is no gamma
    g->value = result;
    settle(g, pending, out);
    return true;
}

bool grow_norm(matcher *m, const norm_core *core, const ref *x, const ref *gamma, bool wants_beta, norm_result *out)
{
    if (!read_x(m, core, x, out)) return false;
    if (gamma->v.ptr && !read_vector(m, &core->root, out->n_axes, gamma, &out->gamma, &out->plus_one)) {
        int axis = wrong_axis(m, core, out->n_axes, gamma);
        if (axis >= 0) return near_miss(m, "gamma is along axis %d, not along what is normalised", axis);
        return near_miss(m, "a factor beside the root is no vector along what is normalised");
    }
    norm_result pending = *out;
    growth g = {.value = core->root.v, .has_gamma = gamma->v.ptr};
    MlirType element = element_type_of(core->root.v);
    if (float_bits_of(element) < 24 && !gamma->v.ptr) g.rounded = element;
    out->result = (MlirValue){0};
    settle(&g, &pending, out);
    bool wrong = false;
    for (int step = 0; step < 8 && take_user(m, core, wants_beta, &g, &pending, out, &wrong); step++) continue;
    if (wrong) return false;
    if (!out->result.ptr)
        return near_miss(m, float_bits_of(element) > 24 ? "the result is f64" : "the normalised value is no tensor");
    return true;
}

void write_norm(matcher *m, const norm_result *n, const char *name)
{
    op_builder b = op_builder_before(defining_op(n->result));
    MlirValue operands[3] = {n->x};
    int n_operands = 1;
    if (n->gamma.ptr) operands[n_operands++] = n->gamma;
    if (n->beta.ptr) operands[n_operands++] = n->beta;
    MlirNamedAttribute attributes[5] = {named_float(&b, "eps", n->eps)};
    int n_attributes = 1;
    if (n->n_axes > 1) attributes[n_attributes++] = named_int(&b, "axes", n->n_axes);
    if (n->plus_one) attributes[n_attributes++] = named_bool(&b, "plus_one", true);
    if (n->rounded.ptr) attributes[n_attributes++] = named_type(&b, "rounded", n->rounded);
    if (!strcmp(name, "wf.layer_norm")) {
        int32_t sizes[] = {1, n->gamma.ptr ? 1 : 0, n->beta.ptr ? 1 : 0};
        attributes[n_attributes++] = named_segments(&b, 3, sizes);
    }
    MlirType result = mlirValueGetType(n->result);
    mark_pattern(m, n->result, n_operands, operands);
    replace_value(n->result, build_value(&b, name, result, n_operands, operands, n_attributes, attributes));
}
