// In:  act(gate) * up, in any order: silu(gate) = gate * sigmoid(gate) = gate / (1 + exp(-gate)),
//      gelu(gate) = gate / 2 * (1 + tanh(sqrt(2 / pi) (gate + 0.044715 gate^3))) or gate / 2 * (1 + erf(gate /
//      sqrt(2)))
// Out: wf.glu gate, up {activation, rounded}: act(gate) is rounded to that type before the product, where it is
//
// https://arxiv.org/abs/2002.05202, https://arxiv.org/abs/1606.08415
#include <math.h>

#include "base/half.h"
#include "compiler/raise/normal/polynomial.h"
#include "compiler/raise/raise.h"
#include "compiler/raise/rules/split.h"

static bool is_one(matcher *m, const ref *r)
{
    constant c;
    return read_constant(&m->r, r, &c) && c.value == 1;
}

// 1 + exp(-x)
static bool read_one_plus_exp(matcher *m, const ref *from, ref *x)
{
    node sum = read_uncast(&m->r, from);
    if (sum.kind != N_ADD) return false;
    int one = is_one(m, &sum.in[0]) ? 0 : is_one(m, &sum.in[1]) ? 1 : -1;
    if (one < 0) return false;
    node exponential = read_uncast(&m->r, &sum.in[1 - one]);
    if (exponential.kind != N_EXP) return false;
    node negated = read_uncast(&m->r, &exponential.in[0]);
    return read_negated(&m->r, &negated, x);
}

static bool read_sigmoid(matcher *m, const ref *from, ref *x)
{
    node n = read_uncast(&m->r, from);
    if (n.kind == N_SIGMOID) {
        *x = n.in[0];
        return true;
    }
    if (n.kind == N_RECIP) return read_one_plus_exp(m, &n.in[0], x);
    return n.kind == N_DIV && is_one(m, &n.in[0]) && read_one_plus_exp(m, &n.in[1], x);
}

static bool read_silu(matcher *m, const ref *from, ref *gate)
{
    node n = read_uncast(&m->r, from);
    ref x;
    if (n.kind == N_DIV && read_one_plus_exp(m, &n.in[1], &x) && same_value(&m->r, &x, &n.in[0])) {
        *gate = n.in[0];
        return true;
    }
    for (int i = 0; i < 2 && n.kind == N_MUL; i++)
        if (read_sigmoid(m, &n.in[i], &x) && same_value(&m->r, &x, &n.in[1 - i])) {
            *gate = n.in[1 - i];
            return true;
        }
    return false;
}

// (sigmoid(gate) * up) * gate
static bool read_split(matcher *m, const ref *product, const ref *gate, ref *up)
{
    node n = read_unwidened(&m->r, product);
    ref x;
    for (int i = 0; i < 2 && n.kind == N_MUL; i++)
        if (read_sigmoid(m, &n.in[i], &x) && same_value(&m->r, &x, gate)) {
            *up = n.in[1 - i];
            return true;
        }
    return false;
}

// ---- gelu

// The factors of a product that are no constants, and the constants together.
typedef struct factors {
    ref of[4];
    int n;
    double constant;
} factors;

static bool collect_factors(matcher *m, const ref *from, factors *f, int depth)
{
    constant c;
    if (read_constant(&m->r, from, &c)) {
        f->constant *= c.value;
        return true;
    }
    node n = read_uncast(&m->r, from);
    if (n.kind == N_MUL && depth < 8)
        return collect_factors(m, &n.in[0], f, depth + 1) && collect_factors(m, &n.in[1], f, depth + 1);
    if (n.kind == N_DIV && depth < 8 && read_constant(&m->r, &n.in[1], &c)) {
        f->constant /= c.value;
        return collect_factors(m, &n.in[0], f, depth + 1);
    }
    if (f->n == (int)(sizeof f->of / sizeof *f->of)) return false;
    f->of[f->n++] = *from;
    return true;
}

// a + b * s(x), s = tanh or erf.
typedef struct saturation {
    node_kind kind;
    double a, b;
    ref x;
} saturation;

static bool read_saturation(matcher *m, const ref *from, saturation *s)
{
    constant c;
    node sum = read_uncast(&m->r, from);
    if (sum.kind != N_ADD) return false;
    int at = read_constant(&m->r, &sum.in[0], &c) ? 0 : read_constant(&m->r, &sum.in[1], &c) ? 1 : -1;
    factors f = {.constant = 1};
    if (at < 0 || !collect_factors(m, &sum.in[1 - at], &f, 0) || f.n != 1) return false;
    node n = read_uncast(&m->r, &f.of[0]);
    *s = (saturation){n.kind, c.value, f.constant, n.in[0]};
    return n.kind == N_TANH || n.kind == N_ERF;
}

// Constants are written with a few digits, or rounded to 16 bits. torch-mlir's linalg has sqrt(2 / pi) as 0.797724,
// which moves results in the fifth digit: that is another function, and told so.
static bool is_constant(double x, double y)
{
    return fabs(x - y) <= 1e-5 * fabs(y) || x == bfloat_to_float(bfloat_from_float((float)y)) ||
           x == half_to_float(half_from_float((float)y));
}

static bool read_gelu(matcher *m, const ref *from, ref *gate, glu_activation *activation)
{
    factors f = {.constant = 1};
    saturation s;
    polynomial p;
    if (!collect_factors(m, from, &f, 0) || f.n != 2) return false;
    int at = read_saturation(m, &f.of[0], &s) ? 0 : read_saturation(m, &f.of[1], &s) ? 1 : -1;
    if (at < 0) return false;
    *gate = f.of[1 - at];
    if (!read_polynomial(&m->r, &s.x, gate, &p)) return near_miss(m, "tanh or erf are of another value than the gate");
    *activation = s.kind == N_TANH ? GLU_GELU_TANH : GLU_GELU;
    double linear = s.kind == N_TANH ? sqrt(2 / 3.14159265358979324) : sqrt(0.5),
           cube = s.kind == N_TANH ? 0.044715 : 0;
    bool same = p.of[0] == 0 && p.of[2] == 0 && is_constant(p.of[1], linear) && is_constant(p.of[3] / p.of[1], cube);
    if (!same)
        return near_miss(m, "%s is of %g gate + %g gate^3, gelu's of %g gate + %g gate^3",
                         s.kind == N_TANH ? "tanh" : "erf", p.of[1], p.of[3], linear, cube * linear);
    if (!is_constant(f.constant * s.a, 0.5) || !is_constant(f.constant * s.b, 0.5))
        return near_miss(m, "the gate is times %g + %g %s(..), not 1/2 of each", f.constant * s.a, f.constant * s.b,
                         s.kind == N_TANH ? "tanh" : "erf");
    return true;
}

// Notes x * sigmoid(k x), where k is not 1.
static void note_quick_gelu(matcher *m, const ref *from)
{
    node n = read_uncast(&m->r, from);
    for (int i = 0; i < 2 && n.kind == N_MUL; i++) {
        ref x;
        polynomial p;
        if (read_sigmoid(m, &n.in[i], &x) && read_polynomial(&m->r, &x, &n.in[1 - i], &p) && p.of[1] != 1 &&
            p.of[0] == 0)
            near_miss(m, "the gate is times sigmoid of %g times itself: gelu's quick form, not silu", p.of[1]);
    }
}

// Whether the product is a factor of another one, where what is missing may still come.
static bool is_factor_of_product(const node *n)
{
    MlirValue v = n->self.v;
    MlirOperation user = primitive_user(&v);
    return op_is(user, "tosa.mul") || op_is(user, "arith.mulf");
}

// Notes act(gate) * up of activations that the op has not: GLU's own sigmoid, and relu.
static void note_other_gate(matcher *m, const node *n)
{
    constant c;
    for (int i = 0; i < 2 && float_bits_of(element_type_of(n->self.v)); i++) {
        ref x;
        double bound;
        node act = read_uncast(&m->r, &n->in[i]);
        bool relu = read_lower_bound(&m->r, &act, &x, &bound) && bound == 0;
        if ((!relu && !read_sigmoid(m, &n->in[i], &x)) || is_factor_of_product(n)) continue;
        // a value times its own, or times a constant, is no gate
        if (same_value(&m->r, &n->in[1 - i], &x) || same_value(&m->r, &n->in[1 - i], &n->in[i]) ||
            read_constant(&m->r, &n->in[1 - i], &c))
            continue;
        near_miss(m, "%s(gate) * up: of gated products the op has silu's and gelu's only", relu ? "relu" : "sigmoid");
        return;
    }
}

// ---- the op

// What the op computes from gate and up.
typedef struct gated {
    ref gate, up;
    glu_activation activation;
    MlirType rounded;  // null: it is not
    MlirValue reshape; // stands between the activation and the product; null value: nothing does
} gated;

static bool read_activation(matcher *m, const ref *from, gated *g)
{
    g->activation = GLU_SILU;
    if (!read_silu(m, from, &g->gate) && !read_gelu(m, from, &g->gate, &g->activation)) return false;
    MlirType type = element_type_of(from->v);
    if (float_bits_of(type) < 24) g->rounded = type;
    return true;
}

// reshape(act(gate)): the gate as a tensor before the reshape, which then takes it instead.
static bool read_reshaped_activation(matcher *m, const ref *at, const ref *from, gated *g)
{
    ref root;
    MlirValue reshape = operand_at_root(&m->r, at, from);
    MlirValue inner = reshape.ptr ? reshape_input(reshape) : reshape;
    if (!inner.ptr || !root_ref(inner, &root) || !read_activation(m, &root, g)) return false;
    MlirValue gate = take_operand(&m->r, &root, &g->gate);
    if (!gate.ptr || !mlirTypeEqual(mlirValueGetType(gate), mlirValueGetType(inner))) return false;
    g->reshape = reshape;
    return root_ref(gate, &g->gate);
}

static bool read_gated(matcher *m, const ref *root, const node *n, gated *g)
{
    for (int i = 0; i < 2; i++) {
        *g = (gated){.up = n->in[1 - i]};
        if (read_activation(m, &n->in[i], g) || read_reshaped_activation(m, root, &n->in[i], g)) return true;
        if (read_split(m, &n->in[i], &n->in[1 - i], &g->up)) {
            g->gate = n->in[1 - i];
            return true;
        }
    }
    for (int i = 0; i < 2; i++) note_quick_gelu(m, &n->in[i]);
    note_other_gate(m, n);
    return false;
}

static MlirValue take_gate(matcher *m, const ref *root, const gated *g)
{
    if (!g->reshape.ptr) return take_operand(&m->r, root, &g->gate);
    MlirOperation reshape = mlirOperationClone(defining_op(g->reshape));
    mlirOperationSetOperand(reshape, 0, g->gate.v);
    MlirOperation before = defining_op(g->reshape);
    mlirBlockInsertOwnedOperationBefore(mlirOperationGetBlock(before), before, reshape);
    ref reshaped = *root;
    reshaped.v = mlirOperationGetResult(reshape, 0);
    return mlirTypeEqual(mlirValueGetType(reshaped.v), mlirValueGetType(root_tensor(root))) ? reshaped.v
                                                                                            : (MlirValue){0};
}

bool raise_swiglu(matcher *m, MlirOperation op)
{
    ref root;
    gated g;
    if (mlirOperationGetNumResults(op) != 1 || is_structured(op, NULL) ||
        !root_ref(mlirOperationGetResult(op, 0), &root))
        return false;
    node n = read_node(&m->r, &root);
    if (n.kind != N_MUL || !mlirOperationEqual(n.op, op) || !read_gated(m, &root, &n, &g)) return false;
    MlirValue operands[] = {take_gate(m, &root, &g), take_operand(&m->r, &root, &g.up)};
    if (!operands[0].ptr) return near_miss(m, "gate is not a tensor of the result's shape");
    if (!operands[1].ptr) return near_miss(m, "up is not a tensor of the result's shape");
    MlirValue result = take_result(&root);
    if (!result.ptr) return near_miss(m, "the result is no tensor");
    op_builder b = op_builder_before(defining_op(result));
    mark_pattern(m, result, 2, operands);
    glu_op glu = {.gate = operands[0],
                  .up = operands[1],
                  .activation = g.activation,
                  .rounded = g.rounded,
                  .y = {.type = mlirValueGetType(result)}};
    replace_value(result, glu_write(&b, &glu));
    return true;
}
