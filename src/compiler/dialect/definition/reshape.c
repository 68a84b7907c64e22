// Tensors seen with other dimensions.
#include "compiler/dialect/definition/definition.h"

static MlirNamedAttribute named(const op_builder *b, const char *name, MlirAttribute a)
{
    return mlirNamedAttributeGet(mlirIdentifierGet(b->ctx, mlir_text(name)), a);
}

static bool count(int rank, const int64_t *dims, int64_t *n)
{
    *n = 1;
    for (int d = 0; d < rank; d++)
        if (dims[d] < 0 || __builtin_mul_overflow(*n, dims[d], n)) return false;
    return true;
}

// Of fixed sizes.
static MlirValue reshape_fixed(op_builder *b, MlirValue v, int rank, const int64_t *dims)
{
    const int64_t n = rank;
    MlirType i64 = mlirIntegerTypeGet(b->ctx, 64), shape_type = tensor_of(1, &n, i64);
    MlirNamedAttribute shape = named(b, "value", mlirDenseElementsAttrInt64Get(shape_type, rank, dims));
    MlirValue operands[] = {v, build_value(b, "arith.constant", shape_type, 0, NULL, 1, &shape)};
    return build_value(b, "tensor.reshape", tensor_of(rank, dims, element_type_of(v)), 2, operands, 0, NULL);
}

// ---- rows: [.., c], of which the axes in front may be open

// The first of the last axes that have c elements together; below 1 when there is none, or none is left in front.
static int find_row(int rank, const int64_t *dims, int64_t c)
{
    int64_t n = 1;
    int d = rank;
    while (d > 0 && dims[d - 1] >= 0 && (n < c || d == rank) && !__builtin_mul_overflow(n, dims[d - 1], &n)) d--;
    return n == c ? d : 0;
}

// [[0, .., row - 1], [row, .., rank - 1]]
static MlirAttribute groups_of(const op_builder *b, int rank, int row)
{
    MlirAttribute axes[DEFINITION_MAX_RANK], groups[2];
    for (int d = 0; d < rank; d++) axes[d] = mlirIntegerAttrGet(mlirIntegerTypeGet(b->ctx, 64), d);
    groups[0] = mlirArrayAttrGet(b->ctx, row, axes);
    groups[1] = mlirArrayAttrGet(b->ctx, rank - row, axes + row);
    return mlirArrayAttrGet(b->ctx, 2, groups);
}

static MlirValue collapse_rows(op_builder *b, MlirValue v, int row, int64_t c)
{
    int64_t rows = 1;
    if (rank_of(v) == 2) return v;
    for (int d = 0; d < row; d++) rows = rows < 0 || dim_of(v, d) < 0 ? -1 : rows * dim_of(v, d);
    MlirNamedAttribute groups = named(b, "reassociation", groups_of(b, rank_of(v), row));
    return build_value(b, "tensor.collapse_shape", tensor2(rows, c, element_type_of(v)), 1, &v, 1, &groups);
}

static MlirValue build_dim(op_builder *b, MlirValue v, int axis)
{
    MlirType index = mlirIndexTypeGet(b->ctx);
    MlirNamedAttribute value = named(b, "value", mlirIntegerAttrGet(index, axis));
    MlirValue operands[] = {v, build_value(b, "arith.constant", index, 0, NULL, 1, &value)};
    return build_value(b, "tensor.dim", index, 2, operands, 0, NULL);
}

static MlirValue expand_rows(op_builder *b, MlirValue v, int rank, const int64_t *dims, int row, MlirValue like)
{
    int64_t sizes[DEFINITION_MAX_RANK];
    MlirValue operands[DEFINITION_MAX_RANK + 1] = {v};
    int n = 1;
    if (rank == 2) return v;
    for (int d = 0; d < rank; d++) {
        sizes[d] = dims[d] < 0 ? mlirShapedTypeGetDynamicSize() : dims[d];
        if (dims[d] >= 0) continue;
        if (like.ptr ? rank_of(like) != rank : d > 0) return (MlirValue){0};
        operands[n++] = like.ptr ? build_dim(b, like, d) : build_dim(b, v, 0);
    }
    MlirNamedAttribute attributes[] = {
        named(b, "reassociation", groups_of(b, rank, row)),
        named(b, "static_output_shape", mlirDenseI64ArrayGet(b->ctx, rank, sizes)),
    };
    MlirType type = tensor_of(rank, dims, element_type_of(v));
    return build_value(b, "tensor.expand_shape", type, n, operands, 2, attributes);
}

MlirValue reshape(op_builder *b, MlirValue v, int rank, const int64_t *dims, MlirValue like)
{
    int64_t from[DEFINITION_MAX_RANK], n_from, n_to;
    int from_rank = rank_of(v);
    if (from_rank > DEFINITION_MAX_RANK || rank > DEFINITION_MAX_RANK) return (MlirValue){0};
    bool same = from_rank == rank;
    for (int d = 0; d < from_rank; d++) {
        from[d] = dim_of(v, d);
        same = same && from[d] == dims[d];
    }
    if (same) return v;
    bool fixed = count(from_rank, from, &n_from), to_fixed = count(rank, dims, &n_to);
    if (fixed && to_fixed) return n_from == n_to ? reshape_fixed(b, v, rank, dims) : (MlirValue){0};
    if (fixed != to_fixed || rank < 2 || from_rank < 2) return (MlirValue){0};
    int64_t c = rank == 2 ? dims[1] : from[from_rank - 1]; // one of them has the rows that the definition sees
    int row_from = find_row(from_rank, from, c), row_to = find_row(rank, dims, c);
    if (row_from < 1 || row_to < 1) return (MlirValue){0};
    return expand_rows(b, collapse_rows(b, v, row_from, c), rank, dims, row_to, like);
}
