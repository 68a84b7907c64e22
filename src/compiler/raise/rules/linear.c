// In:  x [.., m, k] times W^T, W [n, k] given transposed, or a constant or an argument [k, n]; [+ bias [n]]; or
//      tosa.conv2d with a kernel of 1 x 1
// Out: wf.linear x, W, bias
//
// A constant is transposed here, an argument by an op, so that every wf.linear has its weights as rows of output
// features. Integers with their scales are computed here (folded_weights.h).
#include <stdlib.h>
#include <string.h>

#include "compiler/raise/normal/layout.h"
#include "compiler/raise/normal/strided.h"
#include "compiler/raise/rules/contraction.h"
#include "compiler/raise/rules/folded_weights.h"
#include "compiler/raise/rules/norm/norm_parts.h"

// The weights as they stand in the graph.
typedef struct weights {
    MlirValue v;        // dimensions of size 1, and [n, k] or [k, n]
    MlirValue constant; // that v is a reshape of; null value: none
    MlirValue folded;   // [n, k], computed from constants; null value: as they stand
    bool transposed;    // [k, n]: a constant, or an argument
    int64_t n, k;
} weights;

static bool is_constant(MlirValue v)
{
    MlirOperation op = defining_op(v);
    weight_op weight;
    return op_is(op, "tosa.const") || op_is(op, "arith.constant") || weight_read(op, &weight);
}

// The constant that v is a reshape of, or itself; null value when there is none.
static MlirValue constant_behind(matcher *m, MlirValue v)
{
    enum { MAX_STEPS = 8 };
    strided s;
    if (!strided_start(&s, v)) return is_constant(v) ? v : (MlirValue){0};
    for (int step = 0; step < MAX_STEPS && is_in_order(&s, v); step++) {
        if (is_constant(s.v)) return s.v;
        if (!strided_step(&m->r, &s, false)) break;
    }
    return (MlirValue){0};
}

// Weights that are computed from constants.
static bool read_folded(matcher *m, const contraction *c, weights *w)
{
    int rank = rank_of(c->rhs);
    op_builder b = op_builder_before(m->root);
    *w = (weights){.v = c->rhs,
                   .n = dim_of(c->rhs, rank - (c->transposed ? 2 : 1)),
                   .k = dim_of(c->rhs, rank - (c->transposed ? 1 : 2))};
    for (int d = 0; d + 2 < rank; d++)
        if (dim_of(c->rhs, d) != 1) return false;
    if (w->n < 1 || w->k < 1) return false;
    w->folded = w->constant = fold_weights(&b, c->rhs, c->transposed, w->n, w->k);
    return w->folded.ptr != NULL;
}

static bool read_weights(matcher *m, const contraction *c, weights *w)
{
    ref from;
    *w = (weights){0};
    if (!root_ref(c->rhs, &from)) return false;
    node n = read_unwidened(&m->r, &from); // stored as f16 or bf16, widened here
    int first = -1, second = -1, count = 0, row = from.n - 2, column = from.n - 1;
    if (!n.tensor.v.ptr) return false;
    for (int j = 0; j < n.tensor.n; j++) {
        if (n.tensor.axis[j] == AXIS_ZERO) continue;
        if (count++ == 0)
            first = n.tensor.axis[j];
        else
            second = n.tensor.axis[j];
    }
    if (count != 2) return false;
    w->v = n.tensor.v;
    w->constant = constant_behind(m, w->v);
    w->n = dim_of(c->rhs, c->transposed ? row : column);
    w->k = dim_of(c->rhs, c->transposed ? column : row);
    if (w->n < 0 || w->k < 0) return false;
    int n_axis = c->transposed ? row : column, k_axis = c->transposed ? column : row;
    if (first == n_axis && second == k_axis) {
        w->transposed = false;
        // weights that the graph gives as [n, k] itself, or behind a transposition; not a product of two activations
        return w->constant.ptr || !c->transposed || mlirValueIsABlockArgument(w->v);
    }
    w->transposed = true;
    if (first != k_axis || second != n_axis) return false;
    return w->constant.ptr || (mlirValueIsABlockArgument(w->v) && rank_of(w->v) == 2);
}

static MlirAttribute constant_attribute(MlirValue v)
{
    MlirOperation op = defining_op(v);
    return op_attribute(op, op_is(op, "tosa.const") ? "values" : "value");
}

static size_t element_bytes(MlirType t)
{
    int bits = float_bits_of(t);
    return bits == 24 ? 4 : bits == 53 ? 8 : bits ? 2 : 0;
}

// A dense constant [k, n] as [n, k]; null attribute when it is none, or out of memory.
static MlirAttribute transpose_constant(MlirAttribute a, const weights *w, MlirType type)
{
    size_t size = element_bytes(mlirShapedTypeGetElementType(type)), n = (size_t)w->n, k = (size_t)w->k;
    if (!mlirAttributeIsADenseElements(a) || !size) return (MlirAttribute){0};
    if (mlirDenseElementsAttrIsSplat(a)) return mlirDenseElementsAttrReshapeGet(a, type);
    const char *from = mlirDenseElementsAttrGetRawData(a);
    char *to = malloc(n * k * size);
    if (!to) return (MlirAttribute){0};
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < k; j++) memcpy(to + (i * k + j) * size, from + (j * n + i) * size, size);
    MlirAttribute result = mlirDenseElementsAttrRawBufferGet(type, n * k * size, to);
    free(to);
    return result;
}

// [n, k]
static MlirValue write_weights(op_builder *b, const weights *w)
{
    if (w->folded.ptr) return w->folded;
    int64_t shape[] = {w->n, w->k};
    MlirType type = tensor_of(2, shape, element_type_of(w->v));
    MlirAttribute a = w->constant.ptr ? constant_attribute(w->constant) : (MlirAttribute){0};
    if (w->transposed && a.ptr)
        a = transpose_constant(a, w, type);
    else if (a.ptr && mlirAttributeIsADenseElements(a))
        a = rank_of(w->constant) == 2 ? (MlirAttribute){0} : mlirDenseElementsAttrReshapeGet(a, type);
    else
        a = (MlirAttribute){0};
    if (a.ptr) {
        MlirNamedAttribute value =
            mlirNamedAttributeGet(mlirIdentifierGet(b->ctx, mlirStringRefCreateFromCString("value")), a);
        return build_value(b, "arith.constant", type, 0, NULL, 1, &value);
    }
    int swap[] = {1, 0};
    MlirValue v = build_squeeze(b, w->v, 2);
    return w->transposed ? build_transpose(b, v, swap) : v;
}

// The bias that is added to a product: the addition, perhaps behind a reshape of all but the features.
typedef struct addition {
    MlirValue bias, result; // null result: there is none
    MlirOperation reshape;  // null: the bias is added to the product itself
} addition;

static addition read_addition(matcher *m, MlirValue product)
{
    addition a = {0}, none = {0};
    MlirValue v = product;
    if (has_one_use(v)) {
        MlirOperation user = mlirOpOperandGetOwner(mlirValueGetFirstUse(v));
        if (mlirOperationGetNumResults(user) == 1 &&
            mlirValueEqual(reshape_input(mlirOperationGetResult(user, 0)), v)) {
            if (!keeps_last(mlirOperationGetResult(user, 0), 1)) return none;
            a.reshape = user;
            v = mlirOperationGetResult(user, 0);
        }
    }
    MlirValue reshaped = v;
    MlirOperation user = primitive_user(&v);
    ref root;
    if (!user.ptr || mlirOperationGetNumResults(user) != 1 || !root_ref(mlirOperationGetResult(user, 0), &root))
        return none;
    node n = read_node(&m->r, &root);
    if (n.kind != N_ADD || !mlirOperationEqual(n.op, user)) return none;
    int other = mlirValueEqual(n.in[0].v, v) ? 1 : 0;
    a.result = tensor_of_value(root.v);
    if (!a.result.ptr || !mlirTypeEqual(mlirValueGetType(a.result), mlirValueGetType(reshaped))) return none;
    return read_vector(m, &root, 1, &n.in[other], &a.bias, NULL) ? a : none;
}

// Whether a softmax follows, perhaps after a scale and a mask: what looks like given weights are keys that heads share.
static bool leads_to_softmax(matcher *m, MlirValue v)
{
    enum { MAX_STEPS = 8 };
    for (int step = 0; step < MAX_STEPS && !has_no_use(v); step++) {
        MlirOperation user = mlirOpOperandGetOwner(mlirValueGetFirstUse(v));
        softmax_op softmax;
        contraction next;
        if (softmax_read(user, &softmax)) return true;
        if (mlirOperationGetNumResults(user) != 1 || read_contraction(m, user, &next)) return false;
        v = mlirOperationGetResult(user, 0);
    }
    return false;
}

// Whether x is the weights of an attention: what looks like given weights are values that heads share.
static bool comes_from_softmax(matcher *m, MlirValue x)
{
    enum { MAX_STEPS = 8 };
    strided s;
    softmax_op softmax;
    if (!strided_start(&s, x)) return false;
    for (int step = 0; step < MAX_STEPS; step++)
        if (softmax_read(defining_op(s.v), &softmax) || !strided_step(&m->r, &s, false)) break;
    return softmax_read(defining_op(s.v), &softmax);
}

bool raise_linear(matcher *m, MlirOperation op)
{
    contraction c;
    weights w;
    MlirValue bias = {0};
    if (!read_contraction(m, op, &c) && !read_convolution(op, &c, &bias)) return false;
    if (!read_weights(m, &c, &w) && !read_folded(m, &c, &w)) return false;
    if (!w.constant.ptr && (leads_to_softmax(m, c.result) || comes_from_softmax(m, c.lhs))) return false;
    ref root;
    if (c.init.ptr && root_ref(c.init, &root)) read_vector(m, &root, 1, &root, &bias, NULL); // sums start from a bias
    bool adds = c.init.ptr && !bias.ptr;                                                     // or from anything else
    addition add = bias.ptr || adds ? (addition){0} : read_addition(m, c.result);
    MlirValue result = add.result.ptr ? add.result : c.result;
    if (add.result.ptr) bias = add.bias;
    op_builder b = op_builder_before(defining_op(result));
    linear_op linear = {
        .x = c.lhs, .weights = {write_weights(&b, &w)}, .biases = {bias}, .y = {.type = mlirValueGetType(c.result)}};
    MlirValue y = linear_write(&b, &linear);
    if (add.result.ptr && add.reshape.ptr) {
        MlirOperation reshape = mlirOperationClone(add.reshape);
        mlirOperationSetOperand(reshape, 0, y);
        mlirBlockInsertOwnedOperationBefore(b.block, b.before, reshape);
        y = mlirOperationGetResult(reshape, 0);
    }
    MlirValue terms[] = {c.init, y};
    if (adds) y = build_value(&b, "arith.addf", mlirValueGetType(y), 2, terms, 0, NULL);
    replace_value(result, y);
    return true;
}
