// The sum of squares behind a root, and the mean: constants, sizes and sums around what is summed.
#include "compiler/raise/norm_parts.h"

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
        if (n.kind == N_SUM) return true;
        if (n.kind == N_ADD && constant_operand(m, &n, &c) < 0) // an eps that is no constant
            return depth < 2 && (sum_within(m, &n.in[0], depth + 1) || sum_within(m, &n.in[1], depth + 1));
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

bool leads_to_sum(matcher *m, const ref *from) { return sum_within(m, from, 0); }

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
            if (i < 0 && leads_to_sum(m, &n.in[0]) != leads_to_sum(m, &n.in[1]))
                return near_miss(m, "eps is not a constant");
            if (i < 0) return false;
            sum->eps += sum->scale * c.value;
            sum->argument = n.in[1 - i];
        } else if (!inside && read_lower_bound(&m->r, &n, &bounded, &bound)) {
            if (bound != 0 && leads_to_sum(m, &bounded)) return near_miss(m, "eps is a lower bound, not added");
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
