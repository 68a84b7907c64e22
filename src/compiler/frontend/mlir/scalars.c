#include "compiler/frontend/mlir/scalars.h"

#include "compiler/mlir/build.h"

static bool is_scalar(MlirValue v)
{
    MlirType t = mlirValueGetType(v);
    return mlirTypeIsAFloat(t) || mlirTypeIsAIndex(t) || mlirTypeIsAInteger(t);
}

static MlirType type_in_memory(MlirValue v)
{
    MlirType t = mlirValueGetType(v);
    return mlirTypeIsAIndex(t) ? mlirIntegerTypeGet(mlirTypeGetContext(t), 64) : t;
}

static MlirValue cast_index(op_builder *b, MlirValue v, MlirType type)
{
    return mlirTypeEqual(mlirValueGetType(v), type) ? v : build_value(b, "arith.index_cast", type, 1, &v, 0, NULL);
}

void scalars_to_tensors(MlirOperation function)
{
    MlirBlock entry = mlirRegionGetFirstBlock(mlirOperationGetRegion(function, 0));
    MlirOperation first = mlirBlockGetFirstOperation(entry), end = mlirBlockGetTerminator(entry);
    if (!end.ptr || !op_is(end, "func.return")) return;
    op_builder b = op_builder_before(first);
    for (intptr_t i = 0; i < mlirBlockGetNumArguments(entry); i++) {
        MlirValue v = mlirBlockGetArgument(entry, i);
        if (!is_scalar(v)) continue;
        MlirType t = type_in_memory(v);
        MlirValue x = mlirBlockInsertArgument(entry, i, tensor_of(0, NULL, t), mlirOperationGetLocation(function));
        replace_value(v, cast_index(&b, build_value(&b, "tensor.extract", t, 1, &x, 0, NULL), mlirValueGetType(v)));
        mlirBlockEraseArgument(entry, (unsigned)i + 1);
    }
    b = op_builder_before(end);
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(end); i++) {
        MlirValue v = mlirOperationGetOperand(end, i);
        if (!is_scalar(v)) continue;
        MlirType t = type_in_memory(v);
        v = cast_index(&b, v, t);
        mlirOperationSetOperand(end, i, build_value(&b, "tensor.from_elements", tensor_of(0, NULL, t), 1, &v, 0, NULL));
    }
    update_function_type(function);
}
