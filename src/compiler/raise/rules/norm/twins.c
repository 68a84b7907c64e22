// In:  a normalised value that several gammas scale: n = (x - mean) * inverse, n * gamma, n * other
// Out: as many equal values, each with one gamma, so that each becomes a norm
//
// Two norms of one value share their statistics, and merging equal values (CSE) leaves one of everything before gamma:
// the parallel attention and MLP of GPT-NeoX. What no norm takes is merged again.
#include "compiler/raise/normal/steps.h"
#include "compiler/raise/rules/norm/norm_parts.h"

#include <mlir-c/AffineMap.h>

// Whether v is computed from `input`. `steps` bounds the walk.
static bool depends_on(MlirValue v, MlirValue input, int *steps)
{
    if (mlirValueEqual(v, input)) return true;
    MlirOperation op = defining_op(v);
    if (!step_is_tensor(v)) // in a body: it may depend on all that the op is of
        op = step_body_owner(op.ptr ? mlirOperationGetBlock(op) : mlirBlockArgumentGetOwner(v));
    if (!op.ptr || ++*steps > 256) return false;
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); i++)
        if (depends_on(mlirOperationGetOperand(op, i), input, steps)) return true;
    return false;
}

// The other factor where a use is a factor of a product; null value: it is none.
static MlirValue other_factor(MlirOpOperand use)
{
    MlirOperation user = mlirOpOperandGetOwner(use);
    MlirBlock body;
    intptr_t i = mlirOpOperandGetOperandNumber(use);
    bool structured = is_structured(user, &body);
    if (structured) {
        intptr_t n_inputs = mlirOperationGetNumOperands(user) - mlirOperationGetNumResults(user);
        if (!mlirAffineMapIsIdentity(indexing_map(user, i)) || !mlirAffineMapIsIdentity(indexing_map(user, n_inputs)))
            return (MlirValue){0}; // a product of matrices, perhaps
        MlirOpOperand inner = {0};
        if (i < n_inputs) inner = mlirValueGetFirstUse(mlirBlockGetArgument(body, i));
        if (mlirOpOperandIsNull(inner) || !mlirOpOperandIsNull(mlirOpOperandGetNextUse(inner))) return (MlirValue){0};
        user = mlirOpOperandGetOwner(inner);
        i = mlirOpOperandGetOperandNumber(inner);
    }
    if ((!op_is(user, "tosa.mul") && !op_is(user, "arith.mulf")) || i > 1) return (MlirValue){0};
    MlirValue other = mlirOperationGetOperand(user, 1 - i);
    if (!structured || !mlirValueIsABlockArgument(other)) return other;
    return mlirOperationGetOperand(mlirOpOperandGetOwner(use), mlirBlockArgumentGetArgNumber(other));
}

// Whether it is a factor like gamma: not x, nor its mean, of which the statistic is.
static bool is_scaled(const norm_core *core, MlirOpOperand use)
{
    int steps = 0;
    MlirValue other = other_factor(use);
    return other.ptr && !depends_on(core->statistic.v, other, &steps);
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
    int n = 0, n_gammas = 0;
    if (!v.ptr || mlirOperationGetNumResults(defining_op(v)) != 1) return false;
    for (MlirOpOperand use = mlirValueGetFirstUse(v); !mlirOpOperandIsNull(use) && n < MAX_TWINS;
         use = mlirOpOperandGetNextUse(use))
        if (is_scaled(&core, use)) uses[n++] = use;
    MlirOperation producer = defining_op(v);
    MlirValue gammas[MAX_TWINS], values[MAX_TWINS]; // the value of each gamma; the first keeps v
    for (int i = 0; i < n; i++) {
        MlirOperation user = mlirOpOperandGetOwner(uses[i]);
        ref at;
        MlirValue gamma = other_factor(uses[i]);
        if (root_ref(gamma, &at)) gamma = read_unwidened(&m->r, &at).self.v; // however it is broadcast
        int k = 0;
        while (k < n_gammas && !mlirValueEqual(gammas[k], gamma)) k++;
        if (k == n_gammas) {
            MlirOperation twin = k ? mlirOperationClone(producer) : producer;
            if (k) mlirBlockInsertOwnedOperationBefore(mlirOperationGetBlock(producer), producer, twin);
            gammas[k] = gamma;
            values[k] = mlirOperationGetResult(twin, 0);
            n_gammas++;
        }
        mlirOperationSetOperand(user, mlirOpOperandGetOperandNumber(uses[i]), values[k]);
    }
    return n_gammas > 1;
}
