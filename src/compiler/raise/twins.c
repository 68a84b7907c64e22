// In:  a normalised value that several gammas scale: n = (x - mean) * inverse, n * gamma, n * other
// Out: as many equal values, each with one gamma, so that each becomes a norm
//
// Two norms of one value share their statistics, and merging equal values (CSE) leaves one of everything before gamma:
// the parallel attention and MLP of GPT-NeoX. What no norm takes is merged again.
#include "compiler/raise/norm_parts.h"
#include "compiler/raise/steps.h"

// Whether a use is a factor of a product.
static bool is_factor(MlirOpOperand use)
{
    MlirOperation user = mlirOpOperandGetOwner(use);
    MlirBlock body;
    if (op_is(user, "tosa.mul") || op_is(user, "arith.mulf")) return true;
    intptr_t i = mlirOpOperandGetOperandNumber(use);
    if (!is_structured(user, &body) || i >= mlirOperationGetNumOperands(user) - mlirOperationGetNumResults(user))
        return false;
    MlirOpOperand inner = mlirValueGetFirstUse(mlirBlockGetArgument(body, i));
    return !mlirOpOperandIsNull(inner) && op_is(mlirOpOperandGetOwner(inner), "arith.mulf") &&
           mlirOpOperandIsNull(mlirOpOperandGetNextUse(inner));
}

bool raise_twins(matcher *m, MlirOperation op)
{
    enum { MAX_TWINS = 16 };
    norm_core core;
    buffer *explain = m->explain;
    m->explain = NULL; // told by the rules of norms
    bool is_core = read_core(m, op, &core) && !core.near;
    m->explain = explain;
    if (!is_core) return false;
    MlirValue v = step_is_tensor(core.root.v) ? core.root.v : tensor_of_value(core.root.v);
    MlirOpOperand uses[MAX_TWINS];
    int n = 0;
    if (!v.ptr || mlirOperationGetNumResults(defining_op(v)) != 1) return false;
    for (MlirOpOperand use = mlirValueGetFirstUse(v); !mlirOpOperandIsNull(use) && n < MAX_TWINS;
         use = mlirOpOperandGetNextUse(use))
        if (is_factor(use)) uses[n++] = use;
    MlirOperation producer = defining_op(v);
    for (int i = 1; i < n; i++) {
        MlirOperation twin = mlirOperationClone(producer), user = mlirOpOperandGetOwner(uses[i]);
        mlirBlockInsertOwnedOperationBefore(mlirOperationGetBlock(producer), producer, twin);
        mlirOperationSetOperand(user, mlirOpOperandGetOperandNumber(uses[i]), mlirOperationGetResult(twin, 0));
    }
    return n > 1;
}
