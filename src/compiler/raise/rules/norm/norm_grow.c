// A norm around its core: x, and what follows it: rounding, gamma, beta.
#include "compiler/mlir/text.h"
#include "compiler/raise/normal/layout.h"
#include "compiler/raise/normal/steps.h"
#include "compiler/raise/rules/norm/norm_parts.h"
#include "compiler/raise/rules/split.h"

#include <string.h>

#include <mlir-c/BuiltinAttributes.h>

// ---- operands

// The axes of a tensor as a permutation of the root's.
static bool is_permuted(const norm_core *core, const ref *r, int perm[MAX_AXES])
{
    MlirValue tensor = root_tensor(&core->root);
    if (!r->v.ptr || !step_is_tensor(r->v) || r->n != core->rank) return false;
    for (int i = 0; i < core->rank; i++) {
        perm[i] = -1;
        for (int j = 0; j < r->n; j++)
            if (r->axis[j] == i) perm[i] = j;
        if (perm[i] < 0 || dim_of(r->v, perm[i]) != dim_of(tensor, i)) return false;
    }
    return true;
}

// x as a tensor of the root's shape. Where fusion left it within a body, or in another order of dimensions, an op is
// written for it.
static bool read_x(matcher *m, const norm_core *core, const ref *x, norm_result *out)
{
    int perm[MAX_AXES];
    ref computed;
    out->x = operand_at_root(&m->r, &core->root, x);
    if (!out->x.ptr) {
        node n = read_unwidened(&m->r, x);
        op_builder b = op_builder_before(defining_op(root_tensor(&core->root)));
        if (is_permuted(core, &n.tensor, perm))
            out->x = build_transpose(&b, n.tensor.v, perm);
        else if (scalar_as_tensor(x, &computed))
            out->x = operand_at_root(&m->r, &core->root, &computed);
    }
    if (!out->x.ptr) return near_miss(m, "x is not a tensor of the result's shape");
    return float_bits_of(element_type_of(out->x)) > 0;
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

// What stands as gamma or beta, but along other axes than a vector would: a tensor that is broadcast to the root.
static bool take_beside(matcher *m, const norm_core *core, const ref *from, ref *beside)
{
    node n = read_unwidened(&m->r, from);
    const ref *candidates[] = {&n.first, &n.tensor};
    for (int i = 0; i < 2; i++) {
        const ref *t = candidates[i];
        bool fits =
            t->v.ptr && step_is_tensor(t->v) && mlirTypeEqual(element_type_of(t->v), element_type_of(core->root.v));
        for (int j = 0; fits && j < t->n; j++) fits = t->axis[j] == AXIS_ZERO || t->axis[j] < core->rank;
        if (!fits) continue;
        *beside = *t;
        return true;
    }
    return false;
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

static const char GAMMA_ELSEWHERE[] =
    "gamma is along axis %d, not along what is normalised: it is applied after the op";

// ---- growing

// A match in growth: `value` is what it computes so far, `out` what has been settled for a tensor.
typedef struct growth {
    MlirValue value;
    bool has_gamma;
    bool wide; // x is f64, and so are gamma, beta and the result
    MlirType rounded;
} growth;

static bool is_as_wide(MlirValue v, bool wide) { return (float_bits_of(element_type_of(v)) > 24) == wide; }

static void settle(const growth *g, norm_result *pending, norm_result *out)
{
    MlirValue tensor = tensor_of_value(g->value);
    if ((float_bits_of(element_type_of(g->value)) > 24) != g->wide) return;
    pending->result = tensor.ptr ? tensor : g->value;
    pending->rounded = pending->gamma.ptr ? g->rounded : (MlirType){0};
    *out = *pending;
}

// Takes one more op into the match. False: it does not belong to it.
static bool take_user(matcher *m, const norm_core *core, bool wants_beta, growth *g, norm_result *pending,
                      norm_result *out)
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
        if (!bits || g->wide) return false;
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
            if (axis >= 0) near_miss(m, GAMMA_ELSEWHERE, axis);
            return false;
        }
        if (!is_as_wide(pending->gamma, g->wide)) {
            pending->gamma = (MlirValue){0};
            pending->plus_one = false;
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
    if (!is_as_wide(pending->beta, g->wide)) {
        pending->beta = (MlirValue){0};
        return false;
    }
    g->has_gamma = true; // what would follow is no gamma
    g->value = result;
    settle(g, pending, out);
    return true;
}

// The gain as a gamma. False: the match has one already, or sizes are not known, or products are rounded.
static bool write_gain(const norm_core *core, norm_result *out)
{
    MlirValue tensor = root_tensor(&core->root);
    MlirType element = element_type_of(core->root.v);
    int64_t shape[MAX_AXES];
    for (int i = 0; i < out->n_axes; i++) {
        shape[i] = dim_of(tensor, core->rank - out->n_axes + i);
        if (shape[i] < 0) return false;
    }
    if (out->gamma.ptr || float_bits_of(element) < 24) return false;
    op_builder b = op_builder_before(defining_op(tensor));
    MlirType type = tensor_of(out->n_axes, shape, element);
    MlirAttribute value = mlirDenseElementsAttrSplatGet(type, mlirFloatAttrDoubleGet(b.ctx, element, out->gain));
    MlirNamedAttribute named = mlirNamedAttributeGet(mlirIdentifierGet(b.ctx, mlir_text("value")), value);
    out->gamma = build_value(&b, "arith.constant", type, 0, NULL, 1, &named);
    return true;
}

// gamma and beta that the core has already, as vectors or beside the op.
static bool read_affine(matcher *m, const norm_core *core, const ref *gamma, const ref *beta, norm_result *out)
{
    if (gamma->v.ptr && !read_vector(m, &core->root, out->n_axes, gamma, &out->gamma, &out->plus_one)) {
        int axis = wrong_axis(m, core, out->n_axes, gamma);
        if (!take_beside(m, core, gamma, &out->factor))
            return near_miss(m, "a factor beside the root is no vector along what is normalised");
        if (axis >= 0) near_miss(m, GAMMA_ELSEWHERE, axis);
    }
    if (!beta || !beta->v.ptr) return true;
    bool vector = !out->factor.v.ptr && read_vector(m, &core->root, out->n_axes, beta, &out->beta, NULL);
    return vector || take_beside(m, core, beta, &out->addend) ||
           near_miss(m, "beta is no vector along what is normalised");
}

bool grow_norm(matcher *m, const norm_core *core, const ref *x, const ref *gamma, const ref *beta, norm_result *out)
{
    if (!read_affine(m, core, gamma, beta, out)) return false;
    bool beside = out->factor.v.ptr || out->addend.v.ptr;
    if (out->gain != 1 && !write_gain(core, out))
        return near_miss(m, "a constant factor %g beside the root", out->gain);
    bool wide = float_bits_of(element_type_of(read_unwidened(&m->r, x).self.v)) > 24;
    if (out->gamma.ptr && !is_as_wide(out->gamma, wide)) return near_miss(m, "x and gamma: one is f64, one is not");
    if (out->beta.ptr && !is_as_wide(out->beta, wide)) return near_miss(m, "x and beta: one is f64, one is not");
    norm_result pending = *out;
    growth g = {.value = core->root.v, .has_gamma = out->gamma.ptr || out->beta.ptr || beside, .wide = wide};
    MlirType element = element_type_of(core->root.v);
    if (float_bits_of(element) < 24 && !out->gamma.ptr) g.rounded = element;
    out->result = (MlirValue){0};
    settle(&g, &pending, out);
    if (beside && float_bits_of(element) < 24) return near_miss(m, "a factor beside the root, of rounded products");
    for (int step = 0; !beside && step < 8 && take_user(m, core, beta != NULL, &g, &pending, out); step++) continue;
    if (!out->result.ptr) return near_miss(m, "x and the result: one is f64, one is not");
    return read_x(m, core, x, out);
}

bool write_norm(matcher *m, const norm_core *core, const norm_result *n, norm_kind kind)
{
    bool is_tensor = step_is_tensor(n->result);
    MlirOperation op = defining_op(n->result);
    if (!is_tensor) op = mlirOperationGetParentOperation(op);
    op_builder b = op_builder_before(op);
    MlirType result = mlirValueGetType(n->result);
    if (!is_tensor) {
        MlirValue like = root_tensor(&core->root);
        int64_t shape[MAX_AXES];
        for (int i = 0; i < core->rank; i++) shape[i] = dim_of(like, i);
        result = tensor_of(core->rank, shape, result);
    }
    norm_op norm = {.kind = kind,
                    .x = n->x,
                    .gamma = n->gamma,
                    .beta = n->beta,
                    .eps = n->eps,
                    .plus_one = n->plus_one,
                    .axes = n->n_axes,
                    .rounded = n->rounded,
                    .y = {.type = result}};
    MlirValue inputs[3] = {n->x};
    int n_inputs = 1;
    if (n->gamma.ptr) inputs[n_inputs++] = n->gamma;
    if (n->beta.ptr) inputs[n_inputs++] = n->beta;
    mark_pattern(m, n->result, n_inputs, inputs);
    MlirValue y = norm_write(&b, &norm);
    if (n->factor.v.ptr || n->addend.v.ptr) y = build_affine(&b, y, &n->factor, &n->addend);
    if (is_tensor) {
        replace_value(n->result, y);
        return true;
    }
    return replace_scalar(n->result, y) || near_miss(m, "the normalised value is no tensor");
}
