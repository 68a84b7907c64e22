#include "compiler/dialect/definition/definition.h"
#include "compiler/fuse/unfuse.h"

enum { MAX_RANK = 8 };

// The features [first, first + those of `type`) of every row of x.
static MlirValue build_columns(op_builder *b, MlirValue x, int64_t first, MlirType type)
{
    int rank = rank_of(x);
    int64_t offsets[MAX_RANK] = {0}, sizes[MAX_RANK], strides[MAX_RANK];
    for (int d = 0; d < rank; d++) {
        sizes[d] = mlirShapedTypeGetDimSize(type, d);
        strides[d] = 1;
    }
    offsets[rank - 1] = first;
    return build_static_slice(b, "tensor.extract_slice", type, 1, &x, rank, offsets, sizes, strides);
}

static void unfuse_columns(MlirOperation op, const columns_op *columns)
{
    MlirValue x = columns->x, y = columns->y.value;
    int rank = rank_of(x);
    int64_t first = columns->first, width = dim_of(y, rank - 1);
    if (rank < 1 || rank > MAX_RANK || width < 0 || first > dim_of(x, rank - 1) - width) return;
    for (int d = 0; d + 1 < rank; d++)
        if (dim_of(x, d) < 0 || dim_of(x, d) != dim_of(y, d)) return;
    op_builder b = op_builder_before(op);
    replace_value(y, build_columns(&b, x, first, columns->y.type));
    mlirOperationDestroy(op);
}

// Columns of a linear of several weights that are the features of one weight become that weight's linear.
static void replace_columns(MlirValue all, int64_t first, MlirValue part)
{
    MlirOpOperand use = mlirValueGetFirstUse(all);
    while (!mlirOpOperandIsNull(use)) {
        columns_op columns;
        bool cut = columns_read(mlirOpOperandGetOwner(use), &columns);
        use = mlirOpOperandGetNextUse(use);
        if (cut && columns.first == first && mlirTypeEqual(columns.y.type, mlirValueGetType(part)))
            replace_value(columns.y.value, part);
    }
}

// The residual with the shape of y; null where sizes are not known.
static MlirValue shape_residual(op_builder *b, MlirValue residual, MlirValue y)
{
    int64_t shape[MAX_RANK];
    for (int d = 0; d < rank_of(y); d++) shape[d] = dim_of(y, d);
    if (!mlirShapedTypeHasStaticShape(mlirValueGetType(y))) return (MlirValue){0};
    return reshape(b, residual, rank_of(y), shape, (MlirValue){0});
}

static void unfuse_linear(MlirOperation op, const linear_op *linear)
{
    if (linear->n_weights < 2) return;
    MlirValue result = linear->y.value, residual = linear->residual, products[LINEAR_MAX_WEIGHTS], whole;
    int rank = rank_of(result);
    int64_t shape[MAX_RANK], first = 0;
    if (rank > MAX_RANK) return;
    op_builder b = op_builder_before(op);
    if (residual.ptr) residual = shape_residual(&b, residual, result);
    if (linear->residual.ptr && !residual.ptr) return;
    for (int d = 0; d < rank; d++) shape[d] = dim_of(result, d);
    for (int i = 0; i < linear->n_weights; i++) {
        linear_op one = {.x = linear->x, .weights = {linear->weights[i]}, .biases = {linear->biases[i]}};
        shape[rank - 1] = dim_of(linear->weights[i], 0);
        one.y.type = tensor_of(rank, shape, element_type_of(result));
        if (residual.ptr)
            one.residual = build_columns(&b, residual, first, tensor_of(rank, shape, element_type_of(residual)));
        products[i] = linear_write(&b, &one);
        if (!linear->glu) replace_columns(result, first, products[i]);
        first += shape[rank - 1];
    }
    if (linear->glu) {
        glu_op glu = {.gate = products[0], .up = products[1], .activation = linear->glu, .y = linear->y};
        whole = glu_write(&b, &glu);
    } else {
        MlirNamedAttribute dim = named_int(&b, "dim", rank - 1);
        whole = build_value(&b, "tensor.concat", linear->y.type, linear->n_weights, products, 1, &dim);
    }
    replace_value(result, whole);
    mlirOperationDestroy(op);
}

static void unfuse_residual_norm(MlirOperation op, const norm_op *residual)
{
    op_builder b = op_builder_before(op);
    MlirValue terms[] = {residual->x, residual->residual};
    norm_op norm = *residual;
    norm.kind = NORM_RMS;
    norm.residual = (MlirValue){0};
    norm.x = build_value(&b, "arith.addf", residual->sum.type, 2, terms, 0, NULL);
    replace_value(residual->sum.value, norm.x);
    replace_value(residual->y.value, norm_write(&b, &norm));
    mlirOperationDestroy(op);
}

typedef struct wanted {
    bool (*keep)(MlirOperation op);
} wanted;

static void unfuse(MlirOperation op, void *context)
{
    wanted *w = context;
    columns_op columns;
    linear_op linear;
    norm_op norm;
    if (columns_read(op, &columns))
        unfuse_columns(op, &columns);
    else if (w->keep && w->keep(op))
        return;
    else if (linear_read(op, &linear))
        unfuse_linear(op, &linear);
    else if (norm_read(op, &norm) && norm.kind == NORM_RESIDUAL)
        unfuse_residual_norm(op, &norm);
}

void unfuse_function(MlirOperation function, bool (*keep)(MlirOperation op))
{
    wanted w = {.keep = keep};
    for_each_op(function, unfuse, &w);
    erase_dead(function);
}
