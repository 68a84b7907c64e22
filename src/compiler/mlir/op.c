#include "compiler/mlir/op.h"

#include <string.h>

#include "compiler/mlir/text.h"

bool op_is(MlirOperation op, const char *name)
{
    return op.ptr && mlir_text_is(mlirIdentifierStr(mlirOperationGetName(op)), name);
}

bool op_name_starts_with(MlirOperation op, const char *prefix)
{
    if (!op.ptr) return false;
    MlirStringRef s = mlirIdentifierStr(mlirOperationGetName(op));
    return s.length >= strlen(prefix) && !memcmp(s.data, prefix, strlen(prefix));
}

MlirOperation defining_op(MlirValue v)
{
    return v.ptr && mlirValueIsAOpResult(v) ? mlirOpResultGetOwner(v) : (MlirOperation){0};
}

bool has_no_use(MlirValue v) { return mlirOpOperandIsNull(mlirValueGetFirstUse(v)); }

bool has_one_use(MlirValue v)
{
    MlirOpOperand use = mlirValueGetFirstUse(v);
    return !mlirOpOperandIsNull(use) && mlirOpOperandIsNull(mlirOpOperandGetNextUse(use));
}

MlirAttribute op_attribute(MlirOperation op, const char *name)
{
    return mlirOperationGetAttributeByName(op, mlir_text(name));
}

int64_t op_int(MlirOperation op, const char *name, int64_t fallback)
{
    MlirAttribute a = op_attribute(op, name);
    return a.ptr && mlirAttributeIsAInteger(a) ? mlirIntegerAttrGetValueInt(a) : fallback;
}

double op_float(MlirOperation op, const char *name, double fallback)
{
    MlirAttribute a = op_attribute(op, name);
    return a.ptr && mlirAttributeIsAFloat(a) ? mlirFloatAttrGetValueDouble(a) : fallback;
}

bool op_bool(MlirOperation op, const char *name)
{
    MlirAttribute a = op_attribute(op, name);
    return a.ptr && mlirAttributeIsABool(a) && mlirBoolAttrGetValue(a);
}

MlirStringRef op_string(MlirOperation op, const char *name)
{
    MlirAttribute a = op_attribute(op, name);
    return a.ptr && mlirAttributeIsAString(a) ? mlirStringAttrGetValue(a) : (MlirStringRef){"", 0};
}

int64_t op_segment(MlirOperation op, int segment, int64_t *first)
{
    MlirAttribute sizes = op_attribute(op, "operandSegmentSizes");
    *first = 0;
    if (!sizes.ptr) return 0;
    for (int i = 0; i < segment; i++) *first += mlirDenseI32ArrayGetElement(sizes, i);
    return mlirDenseI32ArrayGetElement(sizes, segment);
}

MlirBlock function_body(MlirOperation function)
{
    bool one = mlirOperationGetNumRegions(function) == 1;
    return one ? mlirRegionGetFirstBlock(mlirOperationGetRegion(function, 0)) : (MlirBlock){0};
}

MlirOperation find_function(MlirModule module, MlirStringRef name)
{
    MlirOperation op = mlirBlockGetFirstOperation(mlirModuleGetBody(module));
    while (op.ptr && !(op_is(op, "func.func") && mlirStringRefEqual(op_string(op, "sym_name"), name)))
        op = mlirOperationGetNextInBlock(op);
    return op;
}

int rank_of(MlirValue v)
{
    MlirType t = mlirValueGetType(v);
    return mlirTypeIsAShaped(t) && mlirShapedTypeHasRank(t) ? (int)mlirShapedTypeGetRank(t) : -1;
}

int64_t dim_of(MlirValue v, int axis)
{
    MlirType t = mlirValueGetType(v);
    return mlirShapedTypeIsDynamicDim(t, axis) ? -1 : mlirShapedTypeGetDimSize(t, axis);
}

MlirType element_type_of(MlirValue v)
{
    MlirType t = mlirValueGetType(v);
    return mlirTypeIsAShaped(t) ? mlirShapedTypeGetElementType(t) : t;
}
