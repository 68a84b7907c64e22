#include "compiler/mlir/build.h"

#include <stdlib.h>

#include "compiler/mlir/text.h"

enum { MAX_LOOPS = 16 }; // of an op, or axes of a tensor: no caller has more

op_builder op_builder_before(MlirOperation op)
{
    return (op_builder){mlirOperationGetContext(op), mlirOperationGetLocation(op), mlirOperationGetBlock(op), op};
}

op_builder op_builder_at_end(MlirBlock block, MlirLocation loc)
{
    return (op_builder){mlirLocationGetContext(loc), loc, block, {0}};
}

static MlirNamedAttribute named(op_builder *b, const char *name, MlirAttribute a)
{
    return mlirNamedAttributeGet(mlirIdentifierGet(b->ctx, mlir_text(name)), a);
}

MlirNamedAttribute named_int(op_builder *b, const char *name, int64_t v)
{
    return named(b, name, mlirIntegerAttrGet(mlirIntegerTypeGet(b->ctx, 64), v));
}

MlirNamedAttribute named_float(op_builder *b, const char *name, double v)
{
    return named(b, name, mlirFloatAttrDoubleGet(b->ctx, mlirF64TypeGet(b->ctx), v));
}

MlirNamedAttribute named_bool(op_builder *b, const char *name, bool v)
{
    return named(b, name, mlirBoolAttrGet(b->ctx, v));
}

MlirNamedAttribute named_string(op_builder *b, const char *name, const char *v)
{
    return named(b, name, mlirStringAttrGet(b->ctx, mlir_text(v)));
}

MlirNamedAttribute named_type(op_builder *b, const char *name, MlirType v)
{
    return named(b, name, mlirTypeAttrGet(v));
}

MlirNamedAttribute named_segments(op_builder *b, int n, const int32_t *sizes)
{
    return named(b, "operandSegmentSizes", mlirDenseI32ArrayGet(b->ctx, n, sizes));
}

MlirOperation build_op(op_builder *b, const char *name, int n_results, const MlirType *results, int n_operands,
                       const MlirValue *operands, int n_attributes, const MlirNamedAttribute *attributes)
{
    MlirOperationState state = mlirOperationStateGet(mlir_text(name), b->loc);
    mlirOperationStateAddResults(&state, n_results, results);
    mlirOperationStateAddOperands(&state, n_operands, operands);
    mlirOperationStateAddAttributes(&state, n_attributes, attributes);
    MlirOperation op = mlirOperationCreate(&state);
    if (b->before.ptr)
        mlirBlockInsertOwnedOperationBefore(b->block, b->before, op);
    else
        mlirBlockAppendOwnedOperation(b->block, op);
    return op;
}

MlirValue build_value(op_builder *b, const char *name, MlirType result, int n_operands, const MlirValue *operands,
                      int n_attributes, const MlirNamedAttribute *attributes)
{
    return mlirOperationGetResult(build_op(b, name, 1, &result, n_operands, operands, n_attributes, attributes), 0);
}

MlirValue build_generic(op_builder *b, int n, const MlirValue *operands, const MlirAttribute *maps, int n_loops,
                        const bool *reduces, MlirBlock body)
{
    MlirAttribute iterators[MAX_LOOPS];
    for (int d = 0; d < n_loops; d++) {
        bool reduction = reduces && reduces[d];
        iterators[d] = mlirAttributeParseGet(
            b->ctx, mlir_text(reduction ? "#linalg.iterator_type<reduction>" : "#linalg.iterator_type<parallel>"));
    }
    int32_t segments[] = {n - 1, 1};
    MlirNamedAttribute attributes[] = {
        mlirNamedAttributeGet(mlirIdentifierGet(b->ctx, mlir_text("indexing_maps")), mlirArrayAttrGet(b->ctx, n, maps)),
        mlirNamedAttributeGet(mlirIdentifierGet(b->ctx, mlir_text("iterator_types")),
                              mlirArrayAttrGet(b->ctx, n_loops, iterators)),
        named_segments(b, 2, segments),
    };
    MlirType type = mlirValueGetType(operands[n - 1]);
    MlirRegion region = mlirRegionCreate();
    mlirRegionAppendOwnedBlock(region, body);
    MlirOperationState state = mlirOperationStateGet(mlir_text("linalg.generic"), b->loc);
    mlirOperationStateAddResults(&state, 1, &type);
    mlirOperationStateAddOperands(&state, n, operands);
    mlirOperationStateAddAttributes(&state, 3, attributes);
    mlirOperationStateAddOwnedRegions(&state, 1, &region);
    MlirOperation op = mlirOperationCreate(&state);
    mlirBlockInsertOwnedOperationBefore(b->block, b->before, op);
    return mlirOperationGetResult(op, 0);
}

MlirType tensor_of(int rank, const int64_t *shape, MlirType element)
{
    int64_t sizes[MAX_LOOPS];
    for (int i = 0; i < rank; i++) sizes[i] = shape[i] < 0 ? mlirShapedTypeGetDynamicSize() : shape[i];
    return mlirRankedTensorTypeGet(rank, sizes, element, mlirAttributeGetNull());
}

MlirType tensor_like(MlirType shaped, MlirType element)
{
    int64_t sizes[MAX_LOOPS]; // with MLIR's own sign for an open one
    intptr_t rank = mlirShapedTypeGetRank(shaped);
    for (intptr_t d = 0; d < rank; d++) sizes[d] = mlirShapedTypeGetDimSize(shaped, d);
    return mlirRankedTensorTypeGet(rank, sizes, element, mlirAttributeGetNull());
}

MlirType tensor2(int64_t rows, int64_t cols, MlirType element)
{
    return tensor_of(2, (int64_t[]){rows, cols}, element);
}

void replace_value(MlirValue from, MlirValue to) { mlirValueReplaceAllUsesOfWith(from, to); }

MlirValue build_static_slice(op_builder *b, const char *name, MlirType type, int n, const MlirValue *operands, int rank,
                             const int64_t *offsets, const int64_t *sizes, const int64_t *strides)
{
    const struct {
        const char *name;
        const int64_t *values;
    } lists[] = {{"static_offsets", offsets}, {"static_sizes", sizes}, {"static_strides", strides}};
    MlirNamedAttribute attributes[4];
    for (int i = 0; i < 3; i++)
        attributes[i] = mlirNamedAttributeGet(mlirIdentifierGet(b->ctx, mlir_text(lists[i].name)),
                                              mlirDenseI64ArrayGet(b->ctx, rank, lists[i].values));
    const int32_t one[] = {1, 0, 0, 0}, two[] = {1, 1, 0, 0, 0};
    attributes[3] = n == 1 ? named_segments(b, 4, one) : named_segments(b, 5, two);
    return build_value(b, name, type, n, operands, 4, attributes);
}

void move_ops(MlirBlock from, MlirOperation end, MlirBlock to, MlirOperation before)
{
    MlirOperation next;
    for (MlirOperation op = mlirBlockGetFirstOperation(from); !mlirOperationEqual(op, end); op = next) {
        next = mlirOperationGetNextInBlock(op);
        mlirOperationRemoveFromParent(op);
        if (before.ptr)
            mlirBlockInsertOwnedOperationBefore(to, before, op);
        else
            mlirBlockAppendOwnedOperation(to, op);
    }
}

void inline_block(MlirBlock body, MlirOperation end, MlirOperation op)
{
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); i++)
        replace_value(mlirBlockGetArgument(body, i), mlirOperationGetOperand(op, i));
    move_ops(body, end, mlirOperationGetBlock(op), op);
    for (intptr_t i = 0; i < mlirOperationGetNumResults(op); i++)
        replace_value(mlirOperationGetResult(op, i), mlirOperationGetOperand(end, i));
    mlirOperationDestroy(op);
}

bool update_function_type(MlirOperation function)
{
    MlirBlock entry = function_body(function);
    MlirOperation end = mlirBlockGetTerminator(entry);
    intptr_t n = mlirBlockGetNumArguments(entry), m = mlirOperationGetNumOperands(end);
    MlirType *types = calloc((size_t)(n + m + 1), sizeof *types);
    if (!types) return false;
    for (intptr_t i = 0; i < n; i++) types[i] = mlirValueGetType(mlirBlockGetArgument(entry, i));
    for (intptr_t i = 0; i < m; i++) types[n + i] = mlirValueGetType(mlirOperationGetOperand(end, i));
    MlirType type = mlirFunctionTypeGet(mlirOperationGetContext(function), n, types, m, types + n);
    mlirOperationSetAttributeByName(function, mlir_text("function_type"), mlirTypeAttrGet(type));
    free(types);
    return true;
}
