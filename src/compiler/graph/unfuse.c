#include "compiler/graph/unfuse.h"

#include "compiler/codegen/context.h"

enum { MAX_RANK = 8, MAX_ATTRIBUTES = 8 };

// The features [first, first + those of `type`) of every row of x.
static MlirValue build_slice(op_builder *b, MlirValue x, int64_t first, MlirType type)
{
    int rank = rank_of(x);
    int64_t offsets[MAX_RANK] = {0}, sizes[MAX_RANK], strides[MAX_RANK];
    for (int d = 0; d < rank; d++) {
        sizes[d] = mlirShapedTypeGetDimSize(type, d);
        strides[d] = 1;
    }
    offsets[rank - 1] = first;
    const struct {
        const char *name;
        const int64_t *values;
    } lists[] = {{"static_offsets", offsets}, {"static_sizes", sizes}, {"static_strides", strides}};
    MlirNamedAttribute attributes[4];
    for (int i = 0; i < 3; i++)
        attributes[i] = (MlirNamedAttribute){mlirIdentifierGet(b->ctx, mlir_text(lists[i].name)),
                                             mlirDenseI64ArrayGet(b->ctx, rank, lists[i].values)};
    attributes[3] = named_segments(b, 4, (const int32_t[]){1, 0, 0, 0});
    return build_value(b, "tensor.extract_slice", type, 1, &x, 4, attributes);
}

static void unfuse_columns(MlirOperation op)
{
    MlirValue x = mlirOperationGetOperand(op, 0), y = mlirOperationGetResult(op, 0);
    int rank = rank_of(x);
    int64_t first = op_int(op, "first", 0), width = dim_of(y, rank - 1);
    if (rank < 1 || rank > MAX_RANK || rank_of(y) != rank || first < 0 || width < 0 ||
        first > dim_of(x, rank - 1) - width)
        return;
    for (int d = 0; d + 1 < rank; d++)
        if (dim_of(x, d) < 0 || dim_of(x, d) != dim_of(y, d)) return;
    op_builder b = op_builder_before(op);
    replace_value(y, build_slice(&b, x, first, mlirValueGetType(y)));
    mlirOperationDestroy(op);
}

// Columns of a linear of several weights that are the features of one weight become that weight's linear.
static void replace_columns(MlirValue all, int64_t first, MlirValue part)
{
    MlirOpOperand use = mlirValueGetFirstUse(all);
    while (!mlirOpOperandIsNull(use)) {
        MlirOperation user = mlirOpOperandGetOwner(use);
        use = mlirOpOperandGetNextUse(use);
        if (!op_is(user, "wf.columns") || op_int(user, "first", 0) != first) continue;
        MlirValue columns = mlirOperationGetResult(user, 0);
        if (!mlirTypeEqual(mlirValueGetType(columns), mlirValueGetType(part))) continue;
        replace_value(columns, part);
    }
}

static void unfuse_linear(MlirOperation op, unfused *count)
{
    linear_parts parts;
    if (!linear_read(op, &parts) || parts.n_weights < 2 || parts.residual.ptr) return;
    if (parts.n_biases && parts.n_biases != parts.n_weights) return;
    MlirValue result = mlirOperationGetResult(op, 0), products[LINEAR_MAX_WEIGHTS];
    int rank = rank_of(result);
    int64_t shape[MAX_RANK], first = 0;
    if (rank < 1 || rank > MAX_RANK) return;
    *(parts.swiglu ? &count->linear_swiglu : &count->qkv) += 1;
    for (int d = 0; d < rank; d++) shape[d] = dim_of(result, d);
    op_builder b = op_builder_before(op);
    for (int i = 0; i < parts.n_weights; i++) {
        linear_parts one = {.x = parts.x, .weights = {parts.weights[i]}, .n_weights = 1};
        if (parts.n_biases) one.biases[0] = parts.biases[i];
        one.n_biases = parts.n_biases > 0;
        shape[rank - 1] = dim_of(parts.weights[i], 0);
        one.result = tensor_of(rank, shape, element_type_of(result));
        products[i] = linear_write(&b, &one);
        if (!parts.swiglu) replace_columns(result, first, products[i]);
        first += shape[rank - 1];
    }
    MlirNamedAttribute attribute =
        parts.swiglu ? named_string(&b, "activation", "gelu") : named_int(&b, "dim", rank - 1);
    MlirValue whole =
        parts.swiglu
            ? build_value(&b, "wf.swiglu", mlirValueGetType(result), 2, products, parts.gelu, &attribute)
            : build_value(&b, "tensor.concat", mlirValueGetType(result), parts.n_weights, products, 1, &attribute);
    replace_value(result, whole);
    mlirOperationDestroy(op);
}

static void unfuse_residual_norm(MlirOperation op, unfused *count)
{
    if (mlirOperationGetNumAttributes(op) > MAX_ATTRIBUTES) return;
    MlirNamedAttribute attributes[MAX_ATTRIBUTES];
    intptr_t n = mlirOperationGetNumAttributes(op), n_operands = mlirOperationGetNumOperands(op);
    for (intptr_t i = 0; i < n; i++) attributes[i] = mlirOperationGetAttribute(op, i);
    MlirValue operands[] = {mlirOperationGetOperand(op, 0), mlirOperationGetOperand(op, 1)};
    MlirValue h = mlirOperationGetResult(op, 0), y = mlirOperationGetResult(op, 1);
    op_builder b = op_builder_before(op);
    operands[0] = build_value(&b, "arith.addf", mlirValueGetType(h), 2, operands, 0, NULL);
    if (n_operands == 3) operands[1] = mlirOperationGetOperand(op, 2);
    replace_value(h, operands[0]);
    replace_value(
        y, build_value(&b, "wf.rms_norm", mlirValueGetType(y), (int)n_operands - 1, operands, (int)n, attributes));
    mlirOperationDestroy(op);
    count->residual_norm++;
}

typedef struct wanted {
    bool (*keep)(MlirOperation op);
    unfused count;
} wanted;

static void unfuse(MlirOperation op, void *context)
{
    wanted *w = context;
    if (op_is(op, "wf.columns"))
        unfuse_columns(op);
    else if (w->keep && w->keep(op))
        return;
    else if (op_is(op, "wf.linear"))
        unfuse_linear(op, &w->count);
    else if (op_is(op, "wf.residual_norm"))
        unfuse_residual_norm(op, &w->count);
}

unfused unfuse_function(MlirOperation function, bool (*keep)(MlirOperation op))
{
    wanted w = {.keep = keep};
    for_each_op(function, unfuse, &w);
    wf_erase_dead(function);
    return w.count;
}
