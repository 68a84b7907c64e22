#include "compiler/frontend/mlir/buffer_transfers.h"

#include <mlir-c/AffineExpr.h>
#include <mlir-c/AffineMap.h>

#include "compiler/mlir/text.h"

// The piece of a tensor that a transfer moves: at `first`, sizes of 1 but along the last axes.
typedef struct piece {
    int rank, n_vector;
    MlirValue first[MAX_RANK];
    int64_t sizes[MAX_RANK];
} piece;

static bool is_zero(MlirValue v)
{
    MlirOperation op = defining_op(v);
    return op_is(op, "arith.constant") && op_int(op, "value", -1) == 0;
}

// Whether the dimensions of the vector are the last ones of the buffer, in their order.
static bool is_last_axes(MlirAttribute map_attribute, int rank, int n)
{
    if (!map_attribute.ptr) return true;
    MlirAffineMap map = mlirAffineMapAttrGetValue(map_attribute);
    if (mlirAffineMapGetNumResults(map) != n) return false;
    for (int i = 0; i < n; i++) {
        MlirAffineExpr e = mlirAffineMapGetResult(map, i);
        if (!mlirAffineExprIsADim(e) || mlirAffineDimExprGetPosition(e) != rank - n + i) return false;
    }
    return true;
}

static bool is_in_bounds(MlirOperation op, int axis)
{
    MlirAttribute all = op_attribute(op, "in_bounds");
    return all.ptr && mlirBoolAttrGetValue(mlirArrayAttrGetElement(all, axis));
}

// False where some of the elements might not be there, or a mask or a permutation chooses them.
static bool read_piece(MlirOperation op, MlirValue base, MlirType vector, intptr_t first, piece *p)
{
    MlirType type = mlirValueGetType(base);
    int64_t at, n_masks = op_segment(op, 3, &at);
    *p = (piece){.rank = (int)mlirShapedTypeGetRank(type), .n_vector = (int)mlirShapedTypeGetRank(vector)};
    bool same = mlirTypeEqual(mlirShapedTypeGetElementType(type), mlirShapedTypeGetElementType(vector));
    bool scalable = mlirTypeIsAVector(vector) && mlirVectorTypeIsScalable(vector);
    if (p->rank > MAX_RANK || p->n_vector > p->rank || n_masks || !same || scalable) return false;
    if (!is_last_axes(op_attribute(op, "permutation_map"), p->rank, p->n_vector)) return false;
    for (int d = 0; d < p->rank; d++) {
        int axis = d - (p->rank - p->n_vector); // of the vector
        p->first[d] = mlirOperationGetOperand(op, first + d);
        p->sizes[d] = axis < 0 ? 1 : mlirShapedTypeGetDimSize(vector, axis);
        bool fits = !mlirShapedTypeIsDynamicDim(type, d) && p->sizes[d] <= mlirShapedTypeGetDimSize(type, d);
        if (axis >= 0 && !is_in_bounds(op, axis) && !(fits && is_zero(p->first[d]))) return false;
    }
    return true;
}

// tensor.extract_slice of operands[0], or tensor.insert_slice of it into operands[1].
static MlirValue build_slice(op_builder *b, const char *name, MlirType type, int n, const MlirValue *given,
                             const piece *p)
{
    MlirValue operands[2 + MAX_RANK];
    int64_t offsets[MAX_RANK], strides[MAX_RANK];
    int32_t segments[5] = {1, 1};
    int count = 0, k = n;
    for (; count < n; count++) operands[count] = given[count];
    for (int d = 0; d < p->rank; d++) {
        bool zero = is_zero(p->first[d]);
        offsets[d] = zero ? 0 : INT64_MIN;
        strides[d] = 1;
        if (!zero) operands[count++] = p->first[d];
    }
    segments[k++] = count - n;
    segments[k++] = 0;
    segments[k++] = 0;
    const MlirNamedAttribute attributes[] = {
        {mlirIdentifierGet(b->ctx, mlir_text("static_offsets")), mlirDenseI64ArrayGet(b->ctx, p->rank, offsets)},
        {mlirIdentifierGet(b->ctx, mlir_text("static_sizes")), mlirDenseI64ArrayGet(b->ctx, p->rank, p->sizes)},
        {mlirIdentifierGet(b->ctx, mlir_text("static_strides")), mlirDenseI64ArrayGet(b->ctx, p->rank, strides)},
        named_segments(b, k, segments),
    };
    return build_value(b, name, type, count, operands, 4, attributes);
}

static bool is_written_only(MlirValue v)
{
    MlirOpOperand use = mlirValueGetFirstUse(v);
    for (; !mlirOpOperandIsNull(use); use = mlirOpOperandGetNextUse(use))
        if (!op_is(mlirOpOperandGetOwner(use), "vector.transfer_write") || mlirOpOperandGetOperandNumber(use) != 0)
            return false;
    return true;
}

void buffer_transfer_read(buffers *s, MlirOperation op)
{
    MlirValue base = mlirOperationGetOperand(op, 0), y = mlirOperationGetResult(op, 0);
    MlirType vector = mlirValueGetType(y);
    piece p;
    if (!buffer_is(base)) return; // of a tensor
    if (!is_written_only(y) || !read_piece(op, base, vector, 1, &p)) {
        buffers_refuse(s, op, "on buffers cannot be compiled");
        return;
    }
    MlirValue x = buffer_read(s, op, base);
    if (s->status != WF_OK) return;
    op_builder b = op_builder_before(op);
    MlirType type = tensor_of(p.n_vector, p.sizes + p.rank - p.n_vector, mlirShapedTypeGetElementType(vector));
    replace_value(y, build_slice(&b, "tensor.extract_slice", type, 1, &x, &p));
    mlirOperationDestroy(op);
}

void buffer_transfer_write(buffers *s, MlirOperation op)
{
    MlirValue x = mlirOperationGetOperand(op, 0), base = mlirOperationGetOperand(op, 1);
    piece p;
    if (!buffer_is(base)) return;
    bool is_read = mlirTypeIsARankedTensor(mlirValueGetType(x)); // by what is a slice by now
    if (!is_read || mlirOperationGetNumResults(op) || !read_piece(op, base, mlirValueGetType(x), 2, &p)) {
        buffers_refuse(s, op, "on buffers cannot be compiled");
        return;
    }
    MlirValue operands[] = {x, buffer_read(s, op, base)};
    if (s->status != WF_OK) return;
    op_builder b = op_builder_before(op);
    MlirValue y = build_slice(&b, "tensor.insert_slice", mlirValueGetType(operands[1]), 2, operands, &p);
    buffer_write(s, op, base, y);
    mlirOperationDestroy(op);
}
