// The sum of squares behind a root, and the mean: constants, sizes and sums around what is summed.
#include "compiler/raise/normal/steps.h"
#include "compiler/raise/rules/norm/norm_parts.h"

#include <math.h>

int constant_operand(matcher *m, const node *n, constant *c)
{
    if (n->n_in != 2) return -1;
    for (int i = 1; i >= 0; i--)
        if (read_constant(&m->r, &n->in[i], c)) return i;
    return -1;
}

static bool sum_within(matcher *m, const ref *from, int depth)
{
    node n = read_uncast(&m->r, from);
    constant c;
    for (int step = 0; step < 8; step++) {
        if (n.kind == N_SUM || n.kind == N_DOT) return true;
        if (n.kind == N_ADD && constant_operand(m, &n, &c) < 0) // an eps that is no constant
            return depth < 2 && (sum_within(m, &n.in[0], depth + 1) || sum_within(m, &n.in[1], depth + 1));
        int i = n.kind == N_MUL || n.kind == N_DIV || n.kind == N_ADD ? constant_operand(m, &n, &c) : -1;
        ref bounded;
        double bound;
        if (i >= 0)
            n = read_uncast(&m->r, &n.in[1 - i]);
        else if (read_lower_bound(&m->r, &n, &bounded, &bound))
            n = read_uncast(&m->r, &bounded);
        else if (n.kind == N_SQRT || n.kind == N_RSQRT || n.kind == N_RECIP || n.kind == N_DIV || n.kind == N_SUB ||
                 n.kind == N_POW)
            n = read_uncast(&m->r, &n.in[0]);
        else
            return false;
    }
    return false;
}

bool leads_to_sum(matcher *m, const ref *from) { return sum_within(m, from, 0); }

static void scale_by(affine_sum *sum, double factor, int bits)
{
    sum->scale *= factor;
    if (bits < sum->bits) sum->bits = bits;
}

// A divisor: constants and sizes of axes, multiplied.
static bool divide_by(matcher *m, affine_sum *sum, const ref *divisor, int depth)
{
    constant c;
    if (read_constant(&m->r, divisor, &c)) {
        scale_by(sum, 1 / c.value, c.bits);
        return true;
    }
    node n = read_node(&m->r, divisor);
    for (int step = 0; step < 8; step++) {
        int i = constant_operand(m, &n, &c);
        // less a correction of 0, and no less than 0: how torch.var has it
        bool same = (n.kind == N_SUB && i == 1 && c.value == 0) || (n.kind == N_ADD && i >= 0 && c.value == 0) ||
                    (n.kind == N_MAX && i >= 0 && c.value <= 1);
        if (n.kind != N_CAST && !same) break; // from index to integer to float
        n = read_node(&m->r, &n.in[n.kind == N_CAST ? 0 : 1 - i]);
    }
    if (n.kind == N_MUL && depth < MAX_AXES)
        return divide_by(m, sum, &n.in[0], depth + 1) && divide_by(m, sum, &n.in[1], depth + 1);
    if (n.kind != N_SIZE) return false;
    int64_t size = n.dim >= 0 && n.dim < n.in[0].n ? dim_of(n.in[0].v, n.dim) : 0;
    if (size > 0) {
        scale_by(sum, 1 / (double)size, 53);
        return true;
    }
    if (size == 0 || sum->n_sizes == MAX_AXES) return false;
    sum->sizes[sum->n_sizes].tensor = n.in[0].v;
    sum->sizes[sum->n_sizes++].axis = n.dim;
    return true;
}

static bool enter_sum(affine_sum *sum, const node *n)
{
    if (sum->n_bound + n->n_bound > MAX_AXES) return false;
    sum->single |= n->single << sum->n_bound;
    for (int i = 0; i < n->n_bound; i++) sum->bound[sum->n_bound++] = (signed char)(AXIS_BOUND + n->bound + i);
    return true;
}

// One step towards the sum, or from an outer one to an inner one. False where there is none; *failed where there may be
// none.
static bool step_to_sum(matcher *m, affine_sum *sum, bool *failed)
{
    node n = read_uncast(&m->r, &sum->argument);
    constant c;
    int i = constant_operand(m, &n, &c);
    // within the sum a constant factor may be part of what is summed, unless another sum follows
    bool inside = sum->n_bound > 0;
    ref bounded;
    double bound;
    if (n.kind == N_SUM || n.kind == N_DOT) {
        *failed = !enter_sum(sum, &n);
        sum->argument = n.in[0];
        if (n.kind == N_DOT) sum->times = n.in[1];
        return n.kind == N_SUM && !*failed;
    }
    if (n.kind == N_ADD && !inside) {
        if (i < 0 && leads_to_sum(m, &n.in[0]) != leads_to_sum(m, &n.in[1])) near_miss(m, "eps is not a constant");
        *failed = i < 0;
        if (i < 0) return false;
        sum->eps += sum->scale * c.value;
        sum->argument = n.in[1 - i];
        return true;
    }
    if (!inside && read_lower_bound(&m->r, &n, &bounded, &bound)) {
        if (bound != 0 && leads_to_sum(m, &bounded)) near_miss(m, "eps is a lower bound, not added");
        // a bound of 0 changes no sum of squares, but what was added before it may be negative
        *failed = bound != 0 || sum->eps < 0;
        sum->argument = bounded;
        return !*failed;
    }
    if (n.kind != N_DIV && (n.kind != N_MUL || i < 0)) return false;
    node_kind scaled = read_uncast(&m->r, &n.in[i == 0]).kind;
    return (!inside || scaled == N_SUM || scaled == N_DOT) && enter_scaled(m, sum, failed);
}

bool read_affine_sum(matcher *m, const ref *from, affine_sum *sum)
{
    enum { MAX_STEPS = 32 };
    *sum = (affine_sum){.scale = 1, .bits = 53, .argument = *from};
    bool failed = false;
    for (int step = 0; step < MAX_STEPS && step_to_sum(m, sum, &failed); step++) continue;
    constant c;
    if (failed || sum->n_bound == 0) return false;
    // a product with a vector of ones is a sum
    for (int i = 0; i < 2 && sum->times.v.ptr; i++) {
        ref *other = i ? &sum->times : &sum->argument;
        if (!read_constant(&m->r, i ? &sum->argument : &sum->times, &c)) continue;
        scale_by(sum, c.value, c.bits);
        sum->argument = *other;
        sum->times.v.ptr = NULL;
    }
    return true;
}

bool enter_scaled(matcher *m, affine_sum *sum, bool *failed)
{
    node n = read_uncast(&m->r, &sum->argument);
    constant c;
    int i = constant_operand(m, &n, &c);
    if (sum->times.v.ptr) return false;
    if (n.kind == N_MUL && i >= 0) {
        scale_by(sum, c.value, c.bits);
        sum->argument = n.in[1 - i];
        return true;
    }
    if (n.kind != N_DIV) return false;
    *failed = !divide_by(m, sum, &n.in[1], 0);
    sum->argument = n.in[0];
    return !*failed;
}

static bool read_product(matcher *m, const ref *a, const ref *b, ref *argument)
{
    *argument = *a;
    if (same_value(&m->r, a, b)) return true;
    // |x| * x is no square, but |x| * |x| is one
    node x = read_unwidened(&m->r, a), y = read_unwidened(&m->r, b);
    if (x.kind != N_ABS || y.kind != N_ABS || !same_value(&m->r, &x.in[0], &y.in[0]))
        return near_miss(m, "the sum is of a product of two values, not of a square");
    *argument = x.in[0];
    return true;
}

bool read_square(matcher *m, const ref *from, ref *argument)
{
    node n = read_uncast(&m->r, from);
    constant c;
    if (n.kind == N_POW && read_constant(&m->r, &n.in[1], &c)) {
        *argument = n.in[0];
        if (c.value != 2) return near_miss(m, "the exponent is %g, not 2", c.value);
    } else if (n.kind != N_MUL || !read_product(m, &n.in[0], &n.in[1], argument)) {
        return false;
    }
    node inner = read_unwidened(&m->r, argument);
    if (inner.kind == N_ABS) *argument = inner.in[0];
    return true;
}

bool read_summed_square(matcher *m, affine_sum *sum, ref *argument)
{
    bool failed = false;
    if (sum->times.v.ptr) {
        bool square = read_product(m, &sum->argument, &sum->times, argument);
        sum->times = (ref){0};
        return square;
    }
    for (int step = 0; step < 4 && enter_scaled(m, sum, &failed); step++) continue;
    return !failed && read_square(m, &sum->argument, argument);
}

bool read_difference(matcher *m, const node *n, ref *a, ref *b)
{
    if (n->kind == N_SUB) {
        *a = n->in[0];
        *b = n->in[1];
        return true;
    }
    if (n->kind != N_ADD) return false;
    for (int i = 0; i < 2; i++) {
        node negated = read_unwidened(&m->r, &n->in[i]);
        if (!read_negated(&m->r, &negated, b)) continue;
        *a = n->in[1 - i];
        return true;
    }
    return false;
}

// ---- axes

// Which of the sum's bound axes it is; -1: none.
static int bound_index(const affine_sum *sum, signed char axis)
{
    for (int i = 0; i < sum->n_bound; i++)
        if (sum->bound[i] == axis) return i;
    return -1;
}

// Whether axis `b` within the sum is axis `a` at the root, but for what is bound: *bound gets the bits of the bound
// axes met, *axes those of their places at the root. `place` is taken where an axis of size 1 has no name there.
static bool match_axis(matcher *m, const affine_sum *sum, signed char a, signed char b, int place, unsigned *bound,
                       unsigned *axes, int depth)
{
    int at, other, i = bound_index(sum, b);
    if (depth > MAX_GROUPS) return false;
    const axis_group *whole_a = axis_as_part(&m->r, a, &at), *whole_b = axis_as_part(&m->r, b, &other);
    if (i >= 0) { // an axis of the root, or a part of one that is summed part by part
        if (whole_a) a = whole_a->whole;
        if (a >= AXIS_BOUND) return false;
        *bound |= 1u << i;
        *axes |= 1u << (a >= 0 ? a : place);
        return true;
    }
    if (a == b) return true;
    if (whole_a && whole_b) {
        if (at != other || whole_a->n != whole_b->n) return false;
        for (int k = 0; k < whole_a->n; k++)
            if (whole_a->size[k] != whole_b->size[k]) return false;
        return match_axis(m, sum, whole_a->whole, whole_b->whole, place, bound, axes, depth + 1);
    }
    if (whole_b && bound_index(sum, whole_b->whole) >= 0) // axes of the root, summed as one
        return match_axis(m, sum, a, whole_b->whole, place, bound, axes, depth + 1);
    const axis_group *parts_a = axis_as_whole(&m->r, a), *parts_b = axis_as_whole(&m->r, b);
    if (!parts_a || !parts_b || parts_a->n != parts_b->n) return false;
    for (int k = 0; k < parts_a->n; k++)
        if (parts_a->size[k] != parts_b->size[k] ||
            !match_axis(m, sum, parts_a->part[k], parts_b->part[k], place, bound, axes, depth + 1))
            return false;
    return true;
}

bool is_summed(matcher *m, const norm_core *core, const ref *outer, const ref *inner, const affine_sum *sum,
               unsigned *axes)
{
    node o = read_unwidened(&m->r, outer), i = read_unwidened(&m->r, inner);
    unsigned bound = 0;
    *axes = 0;
    if (sum->times.v.ptr || !mlirValueEqual(o.self.v, i.self.v) || o.self.n != i.self.n) return false;
    for (int j = 0; j < o.self.n; j++) {
        int place = o.self.n == core->rank ? j : core->rank - 1;
        if (!match_axis(m, sum, o.self.axis[j], i.self.axis[j], place, &bound, axes, 0)) return false;
    }
    // no part of a summed axis is left out
    for (int j = 0; j < o.self.n; j++)
        for (int a = 0; a < core->rank; a++)
            if ((*axes >> a & 1) && o.self.axis[j] == i.self.axis[j] &&
                axis_covers(&m->r, o.self.axis[j], (signed char)a))
                return false;
    return (bound | sum->single) == (1u << sum->n_bound) - 1;
}

bool are_last_axes(matcher *m, const norm_core *core, unsigned axes, int *n_axes)
{
    MlirValue tensor = root_tensor(&core->root);
    unsigned single = 0; // axes of size 1: a sum over them, or none, is the same
    for (int a = 0; a < core->rank; a++)
        if (dim_of(tensor, a) == 1) single |= 1u << a;
    unsigned summed = axes & ~single;
    *n_axes = 0;
    if (axes == 0) return false;
    int first = 0;
    while (!((summed ? summed : axes) >> first & 1)) first++;
    for (int a = first; a < core->rank; a++, ++*n_axes) {
        if ((axes | single) >> a & 1) continue;
        if (summed >> a == 0 || *n_axes == 0 || !(axes >> (core->rank - 1) & 1))
            return near_miss(m, "sum over axis %d, not the last", first);
        return near_miss(m, "the sum leaves out an axis between axis %d and the last", first);
    }
    return true;
}

// Whether every dimension of unknown size of x, along the last n_axes of the root, is among the sizes that the sum is
// divided by, and these are no others; *n becomes the product of the known ones.
static bool has_sizes(matcher *m, const norm_core *core, const ref *x, const affine_sum *sum, int n_axes, double *n)
{
    node o = read_unwidened(&m->r, x);
    // a scalar in a body has the sizes of the tensor that it becomes, or of the root
    ref of = step_is_tensor(o.self.v) ? o.self : o.tensor.v.ptr ? o.tensor : core->root;
    if (!step_is_tensor(of.v)) of.v = root_tensor(&core->root);
    unsigned used = 0;
    *n = 1;
    for (int j = 0; j < of.n && j < rank_of(of.v); j++) {
        bool normalised = false;
        for (int a = core->rank - n_axes; a < core->rank; a++)
            normalised = normalised || axis_covers(&m->r, of.axis[j], (signed char)a);
        if (!normalised) continue;
        MlirValue v = of.v;
        int axis = j, k = 0;
        int64_t size = dim_of(v, axis);
        if (size >= 0) {
            *n *= (double)size;
            continue;
        }
        step_size_origin(&v, &axis);
        for (; k < sum->n_sizes; k++) {
            MlirValue divisor = sum->sizes[k].tensor;
            int divisor_axis = sum->sizes[k].axis;
            step_size_origin(&divisor, &divisor_axis);
            if (!(used >> k & 1) && mlirValueEqual(divisor, v) && divisor_axis == axis) break;
        }
        if (k == sum->n_sizes) return false;
        used |= 1u << k;
    }
    return used == (1u << sum->n_sizes) - 1;
}

bool is_mean(matcher *m, const norm_core *core, const ref *x, const affine_sum *sum, double factor, int n_axes)
{
    MlirValue tensor = root_tensor(&core->root);
    double n = 1;
    bool unknown = false;
    for (int a = core->rank - n_axes; a < core->rank; a++) {
        n *= (double)dim_of(tensor, a);
        unknown = unknown || dim_of(tensor, a) < 0;
    }
    if (unknown && sum->n_sizes == 0)
        return near_miss(m, "the sum is not divided by the size of the axes that it runs over");
    if ((unknown || sum->n_sizes) && !has_sizes(m, core, x, sum, n_axes, &n))
        return near_miss(m, "the sum is divided by another size than that of the axes that it runs over");
    double scale = sum->scale / (factor * factor), tolerance = sum->bits < 24 ? ldexp(1, -sum->bits) : 1e-6;
    if (!(fabs(scale * n - 1) <= tolerance)) return near_miss(m, "the sum of %g values is divided by %g", n, 1 / scale);
    return true;
}

bool settle_factor(matcher *m, const norm_core *core, const ref *x, const affine_sum *sum, int n_axes, double *gain)
{
    buffer *explain = m->explain;
    MlirValue v = core->root.v;
    MlirOperation user = core->factor == 1 ? primitive_user(&v) : (MlirOperation){0};
    ref root;
    constant c;
    *gain = 1;
    if (core->factor != 1) {
        m->explain = NULL;
        bool plain = is_mean(m, core, x, sum, 1, n_axes);
        m->explain = explain;
        if (plain) *gain = core->factor;
        return plain || is_mean(m, core, x, sum, core->factor, n_axes);
    }
    // a constant that follows may make a mean of the sum: then it is told there
    if (user.ptr && mlirOperationGetNumResults(user) == 1 && root_ref(mlirOperationGetResult(user, 0), &root)) {
        node n = read_node(&m->r, &root);
        if ((n.kind == N_MUL || n.kind == N_DIV) && mlirOperationEqual(n.op, user) && constant_operand(m, &n, &c) >= 0)
            m->explain = NULL;
    }
    bool mean = is_mean(m, core, x, sum, 1, n_axes);
    m->explain = explain;
    return mean;
}
