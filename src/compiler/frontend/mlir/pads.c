#include "compiler/frontend/mlir/pads.h"

#include <mlir-c/BuiltinAttributes.h>

#include "compiler/mlir/op.h"
#include "compiler/mlir/text.h"

static void keep_pad(MlirOperation op, void *context)
{
    (void)context;
    if (!op_is(op, "tensor.pad")) return;
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

void pads_keep(MlirOperation root) { for_each_op(root, keep_pad, NULL); }
