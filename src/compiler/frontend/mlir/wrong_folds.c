#include "compiler/frontend/mlir/wrong_folds.h"

#include <mlir-c/BuiltinAttributes.h>

#include "compiler/mlir/build.h"
#include "compiler/mlir/text.h"

enum { MAX_RANK = 16 };

static void keep_pad(MlirOperation op)
{
    static const char *const SIDES[] = {"static_low", "static_high"};
    bool cuts = false;
    for (int side = 0; side < 2; side++) {
        MlirAttribute amounts = op_attribute(op, SIDES[side]);
        intptr_t n = amounts.ptr ? mlirDenseArrayGetNumElements(amounts) : 0;
        for (intptr_t d = 0; d < n; d++) cuts = cuts || mlirDenseI64ArrayGetElement(amounts, d) < 0; // or is computed
    }
    if (!cuts) return;
    MlirContext ctx = mlirOperationGetContext(op);
    mlirOperationSetInherentAttributeByName(op, mlir_text("nofold"), mlirUnitAttrGet(ctx));
}

static void widen_truth(MlirOperation op)
{
    MlirValue x = mlirOperationGetOperand(op, 0);
    MlirType from = mlirValueGetType(x), to = mlirValueGetType(mlirOperationGetResult(op, 0));
    if (!mlirTypeIsARankedTensor(from) || mlirShapedTypeGetRank(from) > MAX_RANK || !mlirTypeIsAShaped(to)) return;
    MlirType element = mlirShapedTypeGetElementType(from);
    if (!mlirTypeIsAInteger(element) || mlirIntegerTypeGetWidth(element) != 1) return;
    if (!mlirTypeIsAFloat(mlirShapedTypeGetElementType(to))) return;
    op_builder b = op_builder_before(op);
    MlirType wide = tensor_like(from, mlirIntegerTypeGet(b.ctx, 8));
    mlirOperationSetOperand(op, 0, build_value(&b, "tosa.cast", wide, 1, &x, 0, NULL));
}

static void avoid(MlirOperation op, void *context)
{
    (void)context;
    if (op_is(op, "tensor.pad")) keep_pad(op);
    if (op_is(op, "tosa.cast")) widen_truth(op);
}

void wrong_folds_avoid(MlirOperation root) { for_each_op(root, avoid, NULL); }
