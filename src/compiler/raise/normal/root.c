// Where a rule stands: the ref that it starts from, the tensors at it, and who uses them.
#include "compiler/raise/normal/normal.h"
#include "compiler/raise/normal/steps.h"

#include <mlir-c/AffineMap.h>

bool root_ref(MlirValue v, ref *r)
{
    if (step_is_tensor(v)) {
        if (!step_start_ref(r, v)) return false;
        for (int i = 0; i < r->n; i++) step_set_axis(r, i, (signed char)i);
        return true;
    }
    MlirOperation op = defining_op(v);
    MlirOperation owner = op.ptr ? step_body_owner(mlirOperationGetBlock(op)) : (MlirOperation){0};
    if (!owner.ptr || mlirOperationGetNumResults(owner) != 1) return false;
    MlirAffineMap out = indexing_map(owner, mlirOperationGetNumOperands(owner) - 1);
    if (!mlirAffineMapIsIdentity(out) || mlirAffineMapGetNumDims(out) > MAX_AXES) return false;
    MlirValue tensor = mlirOperationGetResult(owner, 0);
    *r = (ref){.v = v, .n = rank_of(tensor)};
    for (int i = 0; i < r->n; i++) r->axis[i] = dim_of(tensor, i) == 1 ? AXIS_ZERO : (signed char)i;
    return true;
}

MlirValue root_tensor(const ref *root)
{
    if (step_is_tensor(root->v)) return root->v;
    return mlirOperationGetResult(mlirBlockGetParentOperation(mlirOperationGetBlock(defining_op(root->v))), 0);
}

// Whether a ref is a tensor with the root's own axes.
static bool is_identity(const ref *root, const ref *r)
{
    MlirValue tensor = root_tensor(root);
    if (!r->v.ptr || !step_is_tensor(r->v) || r->n != rank_of(tensor)) return false;
    for (int i = 0; i < r->n; i++)
        if (dim_of(r->v, i) != dim_of(tensor, i) || (r->axis[i] != i && dim_of(tensor, i) != 1)) return false;
    return true;
}

MlirValue operand_at_root(reader *r, const ref *root, const ref *from)
{
    node n = read_unwidened(r, from);
    if (is_identity(root, &n.tensor)) return n.tensor.v;
    return is_identity(root, &n.first) ? n.first.v : (MlirValue){0};
}

// ---- users

MlirOperation primitive_user(MlirValue *v)
{
    for (int step = 0; step < 8 && has_one_use(*v); step++) {
        MlirOpOperand use = mlirValueGetFirstUse(*v);
        MlirOperation user = mlirOpOperandGetOwner(use);
        intptr_t i = mlirOpOperandGetOperandNumber(use);
        MlirBlock body;
        if (op_is(user, "linalg.yield")) {
            MlirOperation owner = mlirOperationGetParentOperation(user);
            ref root;
            if (!is_structured(owner, NULL) || mlirOperationGetNumResults(owner) != 1 || !root_ref(*v, &root)) break;
            *v = mlirOperationGetResult(owner, 0);
        } else if (is_structured(user, &body)) {
            intptr_t inputs = mlirOperationGetNumOperands(user) - mlirOperationGetNumResults(user);
            if (i >= inputs || mlirOperationGetNumResults(user) != 1 || mlirBlockGetNumArguments(body) <= i ||
                !mlirAffineMapIsIdentity(indexing_map(user, i)) || !mlirAffineMapIsIdentity(indexing_map(user, inputs)))
                break;
            *v = mlirBlockGetArgument(body, i);
        } else {
            return user;
        }
    }
    return (MlirOperation){0};
}

MlirValue tensor_of_value(MlirValue v)
{
    if (step_is_tensor(v)) return v;
    if (!has_one_use(v)) return (MlirValue){0};
    MlirOperation user = mlirOpOperandGetOwner(mlirValueGetFirstUse(v));
    ref root;
    return op_is(user, "linalg.yield") && root_ref(v, &root) ? root_tensor(&root) : (MlirValue){0};
}
