#include "compiler/frontend/mlir/admit.h"

#include <mlir-c/BuiltinTypes.h>

#include "base/buffer.h"
#include "compiler/mlir/op.h"
#include "compiler/mlir/text.h"

typedef struct admission {
    wf_error *err;
    wf_status status;
} admission;

static void refuse(admission *a, MlirOperation op, const char *reason) { a->status = refuse_op(op, reason, a->err); }

static void refuse_type(admission *a, MlirOperation op, MlirType t)
{
    buffer reason = {0};
    buffer_printf(&reason, "has elements of type ");
    mlirTypePrint(t, append_text, &reason);
    buffer_printf(&reason, ", which cannot be compiled");
    refuse(a, op, buffer_view(&reason).data);
    buffer_free(&reason);
}

static const struct {
    const char *op, *reason;
} REFUSED[] = {
    {"tosa.while_loop", "is a loop, which cannot be compiled"},
    {"tosa.custom", "is no op of TOSA itself: its meaning is not known"},
};

static void admit_type(admission *a, MlirOperation op, MlirType t)
{
    if (a->status != WF_OK) return;
    MlirType e = mlirTypeIsAShaped(t) ? mlirShapedTypeGetElementType(t) : t;
    bool ranked = mlirTypeIsARankedTensor(t);
    if (ranked && !mlirAttributeIsNull(mlirRankedTensorTypeGetEncoding(t)))
        refuse(a, op, "has a tensor with an encoding: tensor encodings cannot be compiled");
    else if (mlirTypeIsAFloat(e) && !mlirTypeIsAF16(e) && !mlirTypeIsABF16(e) && !mlirTypeIsAF32(e) &&
             !mlirTypeIsAF64(e))
        refuse_type(a, op, e);
}

// Branches of cf between blocks, unlike those of scf, have no value that both ways could be selected by.
static void admit_block(admission *a, MlirOperation function)
{
    MlirBlock block = mlirRegionGetFirstBlock(mlirOperationGetRegion(function, 0));
    if (mlirBlockGetNextInRegion(block).ptr)
        refuse(a, mlirBlockGetTerminator(block), "leads to other blocks, which cannot be compiled");
}

static MlirWalkResult admit_op(MlirOperation op, void *context)
{
    admission *a = context;
    for (size_t i = 0; i < sizeof REFUSED / sizeof *REFUSED && a->status == WF_OK; i++)
        if (op_is(op, REFUSED[i].op)) refuse(a, op, REFUSED[i].reason);
    // unknown ops are read from files that have tm_tensor (graph_file.c)
    bool known =
        mlirContextIsRegisteredOperation(mlirOperationGetContext(op), mlirIdentifierStr(mlirOperationGetName(op)));
    if (a->status == WF_OK && !known && !op_name_starts_with(op, "tm_tensor."))
        refuse(a, op, "is of a dialect that is not known here");
    for (intptr_t i = 0; i < mlirOperationGetNumResults(op); i++)
        admit_type(a, op, mlirValueGetType(mlirOperationGetResult(op, i)));
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); i++) // arguments of blocks among them
        admit_type(a, op, mlirValueGetType(mlirOperationGetOperand(op, i)));
    return a->status == WF_OK ? MlirWalkResultAdvance : MlirWalkResultInterrupt;
}

wf_status admit_function(MlirOperation function, wf_error *err)
{
    admission a = {err, WF_OK};
    admit_block(&a, function);
    if (a.status != WF_OK) return a.status;
    mlirOperationWalk(function, admit_op, &a, MlirWalkPreOrder);
    return a.status;
}
