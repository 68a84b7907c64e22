// Values by what they are, not how they are written: constants behind casts and arithmetic, negations, lower bounds,
// equality.
#include "compiler/raise/normal/normal.h"
#include "compiler/raise/normal/steps.h"

#include <math.h>
#include <string.h>

#include "base/half.h"

static double round_to(double value, int bits)
{
    if (bits == 24) return (double)(float)value;
    if (bits == 11) return (double)half_to_float(half_from_float((float)value));
    if (bits == 8) return (double)bfloat_to_float(bfloat_from_float((float)value));
    return value;
}

// What a primitive makes of constants, rounded to its type.
static bool fold_constant(const node *n, const constant in[2], constant *c)
{
    double a = in[0].value, b = in[1].value;
    int bits = float_bits_of(element_type_of(n->self.v));
    switch (n->kind) {
    case N_CAST: c->value = a; break;
    case N_NEG: c->value = -a; break;
    case N_RECIP: c->value = 1 / a; break;
    case N_SQRT: c->value = sqrt(a); break;
    case N_RSQRT: c->value = 1 / sqrt(a); break;
    case N_POW: c->value = pow(a, b); break;
    case N_ADD: c->value = a + b; break;
    case N_SUB: c->value = a - b; break;
    case N_MAX: c->value = fmax(a, b); break;
    case N_MIN: c->value = fmin(a, b); break;
    case N_MUL: c->value = a * b; break;
    case N_DIV: c->value = a / b; break;
    default: return false;
    }
    if (!bits) return false;
    c->value = round_to(c->value, bits);
    c->bits = in[0].bits;
    if (n->n_in > 1 && in[1].bits < c->bits) c->bits = in[1].bits;
    if (bits < c->bits) c->bits = bits;
    return true;
}

static bool read_constant_within(reader *r, const ref *from, int depth, constant *c)
{
    enum { MAX_DEPTH = 8 };
    constant in[2] = {{0, 53}, {0, 53}};
    node n = read_node(r, from);
    if (n.kind == N_CONST) {
        int bits = float_bits_of(element_type_of(n.self.v));
        *c = (constant){n.value, bits ? bits : 53};
        return true;
    }
    bool folds = n.kind == N_CAST || n.kind == N_NEG || n.kind == N_RECIP || n.kind == N_SQRT || n.kind == N_RSQRT ||
                 n.kind == N_POW || n.kind == N_MUL || n.kind == N_DIV || n.kind == N_ADD || n.kind == N_SUB ||
                 n.kind == N_MAX || n.kind == N_MIN;
    if (!folds || depth > MAX_DEPTH) return false;
    // most often no constant: the second operand tells sooner
    for (int i = n.n_in - 1; i >= 0; i--)
        if (!read_constant_within(r, &n.in[i], depth + 1, &in[i])) return false;
    return fold_constant(&n, in, c);
}

// What was entered on the way is of no further use: a constant has no axes.
bool read_constant(reader *r, const ref *from, constant *c)
{
    const reader before = *r;
    bool found = read_constant_within(r, from, 0, c);
    *r = before;
    return found;
}

bool read_not(reader *r, const node *n, ref *x)
{
    constant c;
    MlirType t = element_type_of(n->self.v);
    if (n->kind == N_NOT) {
        *x = n->in[0];
        return true;
    }
    if ((n->kind != N_NE && n->kind != N_EQ) || !mlirTypeEqual(element_type_of(n->in[0].v), t)) return false;
    for (int i = 0; i < 2; i++)
        if (read_constant(r, &n->in[i], &c) && c.value == (n->kind == N_NE)) {
            *x = n->in[1 - i];
            return true;
        }
    return false;
}

bool read_negated(reader *r, const node *n, ref *x)
{
    constant c;
    if (n->kind == N_NEG) {
        *x = n->in[0];
        return true;
    }
    if (n->kind == N_SUB && read_constant(r, &n->in[0], &c) && c.value == 0) {
        *x = n->in[1];
        return true;
    }
    for (int i = 0; i < 2 && n->kind == N_MUL; i++)
        if (read_constant(r, &n->in[i], &c) && c.value == -1) {
            *x = n->in[1 - i];
            return true;
        }
    return false;
}

bool read_larger(reader *r, const node *n, ref of[2])
{
    if (n->kind == N_MAX || n->kind == N_SELECT)
        for (int i = 0; i < 2; i++) of[i] = n->in[n->kind == N_MAX ? i : 1 + i];
    if (n->kind != N_SELECT) return n->kind == N_MAX;
    node test = read_node(r, &n->in[0]);
    bool less = test.kind == N_LT || test.kind == N_LE, greater = test.kind == N_GT || test.kind == N_GE;
    return (less || greater) && same_value(r, &test.in[0], &of[less]) && same_value(r, &test.in[1], &of[!less]);
}

bool read_lower_bound(reader *r, const node *n, ref *x, double *bound)
{
    constant c;
    if (n->kind == N_CLAMP) {
        *x = n->in[0];
        *bound = n->value;
        return true;
    }
    if (n->kind == N_MAX) {
        int i = read_constant(r, &n->in[1], &c) ? 1 : read_constant(r, &n->in[0], &c) ? 0 : -1;
        if (i < 0) return false;
        *x = n->in[1 - i];
        *bound = c.value;
        return true;
    }
    if (n->kind != N_SELECT) return false;
    // x < c ? c : x, or x > c ? x : c; the constant may be compared with x as well
    node test = read_node(r, &n->in[0]);
    bool less = test.kind == N_LT || test.kind == N_LE, greater = test.kind == N_GT || test.kind == N_GE;
    if (!less && !greater) return false;
    constant limit;
    int at = read_constant(r, &test.in[1], &limit) ? 1 : read_constant(r, &test.in[0], &limit) ? 0 : -1;
    if (at == 0) less = !less;
    if (at < 0 || !read_constant(r, &n->in[less ? 1 : 2], &c) || c.value != limit.value) return false;
    *x = n->in[less ? 2 : 1];
    *bound = c.value;
    return same_value(r, x, &test.in[1 - at]);
}

bool same_ref(const ref *a, const ref *b)
{
    if (!mlirValueEqual(a->v, b->v)) return false;
    if (!step_is_tensor(a->v) && defining_op(a->v).ptr &&
        !step_body_owner(mlirOperationGetBlock(defining_op(a->v))).ptr)
        return true;
    return a->n == b->n && !memcmp(a->axis, b->axis, (size_t)a->n);
}

bool same_value(reader *r, const ref *a, const ref *b)
{
    node x = read_unwidened(r, a), y = read_unwidened(r, b);
    return same_ref(&x.self, &y.self);
}
