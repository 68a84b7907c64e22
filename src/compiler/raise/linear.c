// In:  x [.., m, k] times W^T, W [n, k] given transposed, or a constant [k, n]; [+ bias [n]]
// Out: wf.linear x, W, bias
//
// A constant is transposed here, so that every wf.linear has its weights as rows of output features.
#include <stdlib.h>
#include <string.h>

#include "compiler/raise/contraction.h"
#include "compiler/raise/layout.h"
#include "compiler/raise/norm_parts.h"

// The weights as they stand in the graph.
typedef struct weights {
    MlirValue v;     // dimensions of size 1, and [n, k] or [k, n]
    bool transposed; // [k, n]: a constant
    int64_t n, k;
} weights;

static bool is_constant(MlirValue v)
{
    MlirOperation op = defining_op(v);
    return op_is(op, "tosa.const") || op_is(op, "arith.constant") || op_is(op, "wf.weight");
}

static bool read_weights(matcher *m, const contraction *c, weights *w)
{
    ref from;
    if (!root_ref(c->rhs, &from)) return false;
    node n = read_node(&m->r, &from);
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
    w->n = dim_of(c->rhs, c->transposed ? row : column);
    w->k = dim_of(c->rhs, c->transposed ? column : row);
    if (w->n < 0 || w->k < 0) return false;
    int n_axis = c->transposed ? row : column, k_axis = c->transposed ? column : row;
    if (first == n_axis && second == k_axis) {
        w->transposed = false;
        // weights that the graph gives as [n, k] itself, or behind a transposition; not a product of two activations
        return is_constant(w->v) || !c->transposed;
    }
    w->transposed = true;
    return first == k_axis && second == n_axis && is_constant(w->v);
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
    int64_t shape[] = {w->n, w->k};
    MlirType type = tensor_of(2, shape, element_type_of(w->v));
    MlirAttribute a = is_constant(w->v) ? constant_attribute(w->v) : (MlirAttribute){0};
    if (w->transposed && a.ptr)
        a = transpose_constant(a, w, type);
    else if (a.ptr && mlirAttributeIsADenseElements(a))
        a = rank_of(w->v) == 2 ? (MlirAttribute){0} : mlirDenseElementsAttrReshapeGet(a, type);
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

// The bias that is added to a product: the addition, perhaps behind a reshape that adds or drops dimensions of size 1.
typedef struct addition {
    MlirValue bias, result; // null result: there is none
    MlirOperation reshape;  // null: the bias is added to the product itself
} addition;

static bool drops_only_ones(matcher *m, MlirValue reshaped, MlirValue input)
{
    ref from;
    if (!root_ref(reshaped, &from)) return false;
    node n = read_node(&m->r, &from);
    return n.tensor.v.ptr && mlirValueEqual(n.tensor.v, input); // only then it is looked through
}

static addition read_addition(matcher *m, MlirValue product)
{
    addition a = {0}, none = {0};
    MlirValue v = product;
    if (has_one_use(v)) {
        MlirOperation user = mlirOpOperandGetOwner(mlirValueGetFirstUse(v));
        if (mlirOperationGetNumResults(user) == 1 &&
            mlirValueEqual(reshape_input(mlirOperationGetResult(user, 0)), v)) {
            if (!drops_only_ones(m, mlirOperationGetResult(user, 0), v)) return none;
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
        if (op_is(user, "wf.softmax")) return true;
        contraction next;
        if (mlirOperationGetNumResults(user) != 1 || read_contraction(m, user, &next)) return false;
        v = mlirOperationGetResult(user, 0);
    }
    return false;
}

bool raise_linear(matcher *m, MlirOperation op)
{
    contraction c;
    weights w;
    if (!read_contraction(m, op, &c) || !read_weights(m, &c, &w)) return false;
    if (!is_constant(w.v) && leads_to_softmax(m, c.result)) return false;
    MlirValue bias = {0};
    if (c.init.ptr) { // sums that start from a bias
        ref root;
        if (!root_ref(c.init, &root) || !read_vector(m, &root, 1, &root, &bias, NULL))
            return near_miss(m, "the product is added to something that is no bias");
    }
    addition add = bias.ptr ? (addition){0} : read_addition(m, c.result);
    MlirValue result = add.result.ptr ? add.result : c.result;
    if (add.result.ptr) bias = add.bias;
    op_builder b = op_builder_before(defining_op(result));
    linear_parts parts = {.x = c.lhs,
                          .weights = {write_weights(&b, &w)},
                          .biases = {bias},
                          .n_weights = 1,
                          .n_biases = bias.ptr ? 1 : 0,
                          .result = mlirValueGetType(c.result)};
    MlirValue y = linear_write(&b, &parts);
    if (add.result.ptr && add.reshape.ptr) {
        MlirOperation reshape = mlirOperationClone(add.reshape);
        mlirOperationSetOperand(reshape, 0, y);
        mlirBlockInsertOwnedOperationBefore(b.block, b.before, reshape);
        y = mlirOperationGetResult(reshape, 0);
    }
    replace_value(result, y);
    return true;
}
