#include "compiler/raise/normal/layout.h"

#include <string.h>

#include "compiler/mlir/text.h"
#include "compiler/raise/normal/strided.h"

enum { SEQUENCE = 2 }; // [batch, heads, sequence, dim]

// ---- building

static MlirNamedAttribute named_attribute(op_builder *b, const char *name, MlirAttribute a)
{
    return mlirNamedAttributeGet(mlirIdentifierGet(b->ctx, mlir_text(name)), a);
}

static MlirValue build_index(op_builder *b, int64_t value)
{
    MlirType index = mlirIndexTypeGet(b->ctx);
    MlirNamedAttribute attribute = named_attribute(b, "value", mlirIntegerAttrGet(index, value));
    return build_value(b, "arith.constant", index, 0, NULL, 1, &attribute);
}

MlirValue build_dim(op_builder *b, MlirValue v, int axis)
{
    MlirValue operands[] = {v, build_index(b, axis)};
    return build_value(b, "tensor.dim", mlirIndexTypeGet(b->ctx), 2, operands, 0, NULL);
}

MlirValue build_empty_like(op_builder *b, MlirValue v)
{
    MlirValue dynamic[MAX_AXES];
    int n = 0;
    for (int i = 0; i < rank_of(v); i++)
        if (dim_of(v, i) < 0) dynamic[n++] = build_dim(b, v, i);
    return build_value(b, "tensor.empty", mlirValueGetType(v), n, dynamic, 0, NULL);
}

MlirValue build_transpose(op_builder *b, MlirValue v, const int *perm)
{
    int rank = rank_of(v), n_dynamic = 0;
    int64_t shape[MAX_AXES], permutation[MAX_AXES];
    MlirValue dynamic[MAX_AXES];
    for (int i = 0; i < rank; i++) {
        permutation[i] = perm[i];
        shape[i] = dim_of(v, perm[i]);
        if (shape[i] < 0) dynamic[n_dynamic++] = build_dim(b, v, perm[i]);
    }
    MlirType type = tensor_of(rank, shape, element_type_of(v));
    MlirValue operands[] = {v, build_value(b, "tensor.empty", type, n_dynamic, dynamic, 0, NULL)};
    MlirNamedAttribute attribute = named_attribute(b, "permutation", mlirDenseI64ArrayGet(b->ctx, rank, permutation));

    // the op carries its meaning as a body: yield the input
    MlirType scalars[] = {element_type_of(v), element_type_of(v)};
    MlirLocation locations[] = {b->loc, b->loc};
    MlirBlock block = mlirBlockCreate(2, scalars, locations);
    op_builder body = op_builder_at_end(block, b->loc);
    MlirValue yielded = mlirBlockGetArgument(block, 0);
    build_op(&body, "linalg.yield", 0, NULL, 1, &yielded, 0, NULL);
    MlirRegion region = mlirRegionCreate();
    mlirRegionAppendOwnedBlock(region, block);
    MlirOperationState state = mlirOperationStateGet(mlir_text("linalg.transpose"), b->loc);
    mlirOperationStateAddResults(&state, 1, &type);
    mlirOperationStateAddOperands(&state, 2, operands);
    mlirOperationStateAddAttributes(&state, 1, &attribute);
    mlirOperationStateAddOwnedRegions(&state, 1, &region);
    MlirOperation op = mlirOperationCreate(&state);
    mlirBlockInsertOwnedOperationBefore(b->block, b->before, op);
    return mlirOperationGetResult(op, 0);
}

// [[0], .., [first, .., first + n - 1], ..] over `rank` dimensions
static MlirAttribute reassociation(op_builder *b, int rank, int first, int n)
{
    MlirAttribute groups[MAX_AXES], members[MAX_AXES];
    int n_groups = 0;
    for (int i = 0; i < rank;) {
        int size = i == first ? n : 1;
        for (int j = 0; j < size; j++) members[j] = mlirIntegerAttrGet(mlirIntegerTypeGet(b->ctx, 64), i + j);
        groups[n_groups++] = mlirArrayAttrGet(b->ctx, size, members);
        i += size;
    }
    return mlirArrayAttrGet(b->ctx, n_groups, groups);
}

MlirValue build_collapse(op_builder *b, MlirValue v, int first, int n)
{
    int rank = rank_of(v);
    int64_t shape[MAX_AXES];
    int k = 0;
    for (int i = 0; i < rank; i++) {
        int64_t size = dim_of(v, i);
        if (i > first && i < first + n)
            shape[k - 1] = shape[k - 1] < 0 || size < 0 ? -1 : shape[k - 1] * size;
        else
            shape[k++] = size;
    }
    MlirNamedAttribute attribute = named_attribute(b, "reassociation", reassociation(b, rank, first, n));
    return build_value(b, "tensor.collapse_shape", tensor_of(k, shape, element_type_of(v)), 1, &v, 1, &attribute);
}

MlirValue build_expand(op_builder *b, MlirValue v, int first, int n, MlirType type)
{
    int rank = (int)mlirShapedTypeGetRank(type), n_dynamic = 0;
    int64_t shape[MAX_AXES];
    MlirValue operands[1 + MAX_AXES] = {v};
    for (int i = 0; i < rank; i++) {
        bool dynamic = mlirShapedTypeIsDynamicDim(type, i);
        shape[i] = dynamic ? mlirShapedTypeGetDynamicSize() : mlirShapedTypeGetDimSize(type, i);
        int source = i < first ? i : i < first + n ? first : i - n + 1;
        if (dynamic) operands[1 + n_dynamic++] = build_dim(b, v, source);
    }
    MlirNamedAttribute attributes[] = {
        named_attribute(b, "reassociation", reassociation(b, rank, first, n)),
        named_attribute(b, "static_output_shape", mlirDenseI64ArrayGet(b->ctx, rank, shape)),
    };
    return build_value(b, "tensor.expand_shape", type, 1 + n_dynamic, operands, 2, attributes);
}

MlirValue build_squeeze(op_builder *b, MlirValue v, int rank)
{
    for (int i = 0; rank_of(v) > rank && i < rank_of(v);) {
        if (dim_of(v, i) != 1) {
            i++;
            continue;
        }
        bool last = i + 1 == rank_of(v);
        v = build_collapse(b, v, last ? i - 1 : i, 2);
    }
    return v;
}

MlirValue build_features(op_builder *b, MlirValue v, int64_t size, int64_t stride)
{
    int rank = rank_of(v), n_dynamic = 0;
    int64_t zeros[MAX_AXES] = {0}, strides[MAX_AXES], sizes[MAX_AXES], shape[MAX_AXES];
    MlirValue operands[1 + MAX_AXES] = {v};
    for (int i = 0; i < rank; i++) {
        strides[i] = i + 1 == rank ? stride : 1;
        shape[i] = i + 1 == rank ? size : dim_of(v, i);
        sizes[i] = shape[i] < 0 ? mlirShapedTypeGetDynamicSize() : shape[i];
        if (shape[i] < 0) operands[1 + n_dynamic++] = build_dim(b, v, i);
    }
    int32_t segments[] = {1, 0, n_dynamic, 0};
    MlirNamedAttribute attributes[] = {
        named_attribute(b, "static_offsets", mlirDenseI64ArrayGet(b->ctx, rank, zeros)),
        named_attribute(b, "static_sizes", mlirDenseI64ArrayGet(b->ctx, rank, sizes)),
        named_attribute(b, "static_strides", mlirDenseI64ArrayGet(b->ctx, rank, strides)),
        named_segments(b, 4, segments),
    };
    return build_value(b, "tensor.extract_slice", tensor_of(rank, shape, element_type_of(v)), 1 + n_dynamic, operands,
                       4, attributes);
}

// ---- heads and rows

static bool swaps_heads(const int *perm) { return perm[0] == 0 && perm[1] == 2 && perm[2] == 1 && perm[3] == 3; }

// [.., sequence, heads * dim] for a value [batch, sequence, heads, dim]: a reshape's input, seen through further
// reshapes that only add dimensions of size 1. Null value when the reshape is another.
static MlirValue rows_behind_reshape(MlirValue split)
{
    MlirValue rows = reshape_input(split);
    if (!rows.ptr || rank_of(split) != 4) return (MlirValue){0};
    reader r = {0};
    ref from;
    if (!root_ref(rows, &from)) return (MlirValue){0};
    node n = read_node(&r, &from);
    MlirValue candidates[] = {n.tensor.v, rows};
    int64_t heads = dim_of(split, 2), dim = dim_of(split, 3);
    if (heads < 0 || dim < 0) return (MlirValue){0};
    for (int i = 0; i < 2; i++) {
        MlirValue v = candidates[i];
        int rank = v.ptr ? rank_of(v) : 0;
        if ((rank != 2 && rank != 3) || dim_of(v, rank - 1) != heads * dim) continue;
        if (dim_of(v, rank - 2) != dim_of(split, 1)) continue;
        if (rank == 3 ? dim_of(v, 0) != dim_of(split, 0) : dim_of(split, 0) != 1) continue;
        // the way from v to rows must keep the order of elements: no transposition
        bool ordered = true;
        for (int j = 0, last = -1; i == 0 && j < n.tensor.n; j++) {
            int axis = n.tensor.axis[j];
            if (axis == AXIS_ZERO) continue;
            ordered = ordered && axis > last;
            last = axis;
        }
        if (ordered && !(dim_of(split, 0) < 0 && dim_of(split, 1) < 0)) return v;
    }
    return (MlirValue){0};
}

MlirValue rows_of_heads(op_builder *b, MlirValue v, bool sequence_first)
{
    int perm[MAX_AXES];
    if (!sequence_first) {
        MlirValue split = transpose_input(v, perm);
        if (split.ptr && swaps_heads(perm)) {
            v = split;
        } else {
            int swap[] = {0, 2, 1, 3};
            v = build_transpose(b, v, swap);
        }
    }
    MlirValue rows = rows_behind_reshape(v);
    return rows.ptr ? rows : build_collapse(b, v, 2, 2);
}

MlirValue build_batch_of_one(op_builder *b, MlirValue v)
{
    int64_t shape[1 + MAX_AXES] = {1};
    int rank = rank_of(v);
    for (int i = 0; i < rank; i++) shape[i + 1] = dim_of(v, i);
    return build_expand(b, v, 0, 2, tensor_of(rank + 1, shape, element_type_of(v)));
}

MlirValue build_last_transpose(op_builder *b, MlirValue v)
{
    int perm[MAX_AXES], rank = rank_of(v);
    for (int i = 0; i < rank; i++) perm[i] = i < rank - 2 ? i : i == rank - 2 ? rank - 1 : rank - 2;
    return build_transpose(b, v, perm);
}

MlirValue heads_of_rows_like(op_builder *b, MlirValue rows, int64_t n_heads, MlirType like)
{
    if (mlirShapedTypeGetRank(like) == 4) return heads_of_rows(b, rows, like, false);
    int rank = rank_of(rows);
    const int64_t four[] = {rank == 3 ? dim_of(rows, 0) : 1, n_heads, dim_of(rows, rank - 2),
                            dim_of(rows, rank - 1) / n_heads};
    MlirType split = tensor_of(4, four, mlirShapedTypeGetElementType(like));
    MlirValue v = heads_of_rows(b, rows, split, false);
    for (int64_t left = mlirShapedTypeGetRank(like); rank_of(v) > left;) v = build_collapse(b, v, 0, 2);
    return v;
}

MlirValue heads_of_rows(op_builder *b, MlirValue rows, MlirType like, bool sequence_first)
{
    int64_t shape[4];
    for (int i = 0; i < 4; i++) {
        int from = sequence_first || i == 0 || i == 3 ? i : 3 - i;
        shape[i] = mlirShapedTypeIsDynamicDim(like, from) ? -1 : mlirShapedTypeGetDimSize(like, from);
    }
    MlirType split = tensor_of(4, shape, mlirShapedTypeGetElementType(like));
    MlirValue v = rows;
    if (rank_of(v) == 2) { // one sequence: [sequence, features]
        int64_t three[] = {1, dim_of(rows, 0), dim_of(rows, 1)};
        v = build_expand(b, v, 0, 2, tensor_of(3, three, element_type_of(rows)));
    }
    v = build_expand(b, v, 2, 2, split);
    int swap[] = {0, 2, 1, 3};
    return sequence_first ? v : build_transpose(b, v, swap);
}

// ---- folding

static void fold(MlirOperation op, void *context)
{
    (void)context;
    int perm[MAX_AXES];
    if (mlirOperationGetNumResults(op) != 1) return;
    MlirValue v = mlirOperationGetResult(op, 0);
    if (!reshape_input(v).ptr && !transpose_input(v, perm).ptr) return;
    MlirValue same = behind_moves(v);
    if (same.ptr) replace_value(v, same);
}

void fold_layout(MlirOperation root) { for_each_op(root, fold, NULL); }
