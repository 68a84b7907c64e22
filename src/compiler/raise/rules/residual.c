// In:  x + linear(..), or x + y that is normed, both of the result's type
// Out: arith.addf, as the checkpoint frontend writes it, so that fusions know one form
#include "compiler/raise/raise.h"

// Reshapes around the sum are looked through here, and moved after it later (rows.c).
enum { MAX_RESHAPES = 4 };

static bool is_normed(MlirValue v, int depth)
{
    for (MlirOpOperand use = mlirValueGetFirstUse(v); !mlirOpOperandIsNull(use); use = mlirOpOperandGetNextUse(use)) {
        MlirOperation user = mlirOpOperandGetOwner(use);
        norm_op norm;
        if (norm_read(user, &norm) && mlirValueEqual(norm.x, v)) return true;
        if (depth == MAX_RESHAPES || mlirOperationGetNumResults(user) != 1) continue;
        MlirValue next = mlirOperationGetResult(user, 0);
        if (mlirValueEqual(reshape_input(next), v) && is_normed(next, depth + 1)) return true;
    }
    return false;
}

static bool is_linear(MlirValue v)
{
    for (int step = 0; step < MAX_RESHAPES && reshape_input(v).ptr; step++) v = reshape_input(v);
    linear_op linear;
    return linear_read(defining_op(v), &linear);
}

bool raise_residual(matcher *m, MlirOperation op)
{
    ref root;
    if (mlirOperationGetNumResults(op) != 1 || is_structured(op, NULL) ||
        !root_ref(mlirOperationGetResult(op, 0), &root))
        return false;
    MlirValue result = tensor_of_value(root.v);
    node n = read_node(&m->r, &root);
    if (n.kind != N_ADD || !mlirOperationEqual(n.op, op) || !result.ptr || op_is(defining_op(result), "arith.addf"))
        return false;
    MlirType type = mlirValueGetType(result);
    if (!float_bits_of(mlirShapedTypeGetElementType(type))) return false;
    MlirValue operands[2];
    bool is_residual = is_normed(result, 0);
    for (int i = 0; i < 2; i++) {
        operands[i] = operand_at_root(&m->r, &root, &n.in[i]);
        if (!operands[i].ptr || !mlirTypeEqual(mlirValueGetType(operands[i]), type)) return false;
        is_residual = is_residual || is_linear(operands[i]);
    }
    if (!is_residual) return false;
    op_builder b = op_builder_before(defining_op(result));
    replace_value(result, build_value(&b, "arith.addf", type, 2, operands, 0, NULL));
    return true;
}
