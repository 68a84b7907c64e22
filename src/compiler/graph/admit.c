#include "compiler/graph/admit.h"

#include <mlir-c/BuiltinAttributes.h>
#include <mlir-c/BuiltinTypes.h>

#include "compiler/codegen/context.h"
#include "compiler/dialect/wf.h"

typedef struct admission {
    wf_error *err;
    wf_status status;
} admission;

static void refuse(admission *a, MlirOperation op, const char *reason)
{
    buffer where = {0};
    print_location(mlirOperationGetLocation(op), &where);
    MlirStringRef name = mlirIdentifierStr(mlirOperationGetName(op));
    a->status = error_set(a->err, WF_ERROR_UNSUPPORTED, "%s: %.*s %s", buffer_view(&where).data, (int)name.length,
                          name.data, reason);
    buffer_free(&where);
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
    bool ranked = mlirTypeIsARankedTensor(t);
    if (ranked && !mlirAttributeIsNull(mlirRankedTensorTypeGetEncoding(t)))
        refuse(a, op, "has a tensor with an encoding: tensor encodings cannot be compiled");
}

static MlirWalkResult admit_op(MlirOperation op, void *context)
{
    admission *a = context;
    for (size_t i = 0; i < sizeof REFUSED / sizeof *REFUSED && a->status == WF_OK; i++)
        if (op_is(op, REFUSED[i].op)) refuse(a, op, REFUSED[i].reason);
    for (intptr_t i = 0; i < mlirOperationGetNumResults(op); i++)
        admit_type(a, op, mlirValueGetType(mlirOperationGetResult(op, i)));
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); i++) // arguments of blocks among them
        admit_type(a, op, mlirValueGetType(mlirOperationGetOperand(op, i)));
    return a->status == WF_OK ? MlirWalkResultAdvance : MlirWalkResultInterrupt;
}

wf_status admit_function(MlirOperation function, wf_error *err)
{
    admission a = {err, WF_OK};
    mlirOperationWalk(function, admit_op, &a, MlirWalkPreOrder);
    return a.status;
}
