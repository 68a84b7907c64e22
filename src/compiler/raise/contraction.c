#include "compiler/raise/contraction.h"

#include <mlir-c/AffineExpr.h>
#include <mlir-c/AffineMap.h>

// Loop d at result i of a map; -1: no plain loop.
static int loop_at(MlirAffineMap map, int i)
{
    MlirAffineExpr e = mlirAffineMapGetResult(map, i);
    return mlirAffineExprIsADim(e) ? (int)mlirAffineDimExprGetPosition(e) : -1;
}

// out + lhs * rhs, each perhaps widened first.
static bool is_multiply_add(MlirBlock body)
{
    MlirValue arguments[3];
    if (mlirBlockGetNumArguments(body) != 3) return false;
    for (int i = 0; i < 3; i++) arguments[i] = mlirBlockGetArgument(body, i);
    MlirOperation yield = mlirBlockGetTerminator(body);
    MlirOperation sum = defining_op(mlirOperationGetOperand(yield, 0));
    if (!op_is(sum, "arith.addf")) return false;
    int out = mlirValueEqual(mlirOperationGetOperand(sum, 0), arguments[2]) ? 0 : 1;
    if (!mlirValueEqual(mlirOperationGetOperand(sum, out), arguments[2])) return false;
    MlirOperation product = defining_op(mlirOperationGetOperand(sum, 1 - out));
    if (!op_is(product, "arith.mulf")) return false;
    bool used[2] = {false, false};
    for (int i = 0; i < 2; i++) {
        MlirValue factor = mlirOperationGetOperand(product, i);
        while (op_is(defining_op(factor), "arith.extf")) factor = mlirOperationGetOperand(defining_op(factor), 0);
        for (int k = 0; k < 2; k++) used[k] = used[k] || mlirValueEqual(factor, arguments[k]);
    }
    return used[0] && used[1];
}

static bool read_structured(matcher *m, MlirOperation op, MlirBlock body, contraction *c)
{
    if (mlirOperationGetNumOperands(op) != 3 || mlirOperationGetNumResults(op) != 1 || !is_multiply_add(body))
        return false;
    MlirAffineMap lhs = indexing_map(op, 0), rhs = indexing_map(op, 1), out = indexing_map(op, 2);
    int rank = (int)mlirAffineMapGetNumResults(out);
    if (rank < 2 || rank > MAX_AXES || mlirAffineMapGetNumDims(out) != rank + 1) return false;
    if (mlirAffineMapGetNumResults(lhs) != rank || mlirAffineMapGetNumResults(rhs) != rank) return false;
    for (int i = 0; i < rank - 2; i++)
        if (loop_at(out, i) < 0 || loop_at(lhs, i) != loop_at(out, i) || loop_at(rhs, i) != loop_at(out, i))
            return false;
    int row = loop_at(out, rank - 2), column = loop_at(out, rank - 1);
    int left = loop_at(lhs, rank - 2) == row ? 0 : 1; // the product has no order
    if (left == 1) {
        MlirAffineMap other = lhs;
        lhs = rhs;
        rhs = other;
    }
    int inner = loop_at(lhs, rank - 1);
    if (row < 0 || column < 0 || inner < 0 || inner == row || inner == column || row == column) return false;
    if (loop_at(lhs, rank - 2) != row) return false;
    int before = loop_at(rhs, rank - 2), last = loop_at(rhs, rank - 1);
    if (!(before == inner && last == column) && !(before == column && last == inner)) return false;
    *c = (contraction){.lhs = mlirOperationGetOperand(op, left),
                       .rhs = mlirOperationGetOperand(op, 1 - left),
                       .transposed = last == inner,
                       .init = mlirOperationGetOperand(op, 2),
                       .result = mlirOperationGetResult(op, 0)};
    ref init;
    constant zero;
    if (root_ref(c->init, &init) && read_constant(&m->r, &init, &zero) && zero.value == 0) c->init = (MlirValue){0};
    return true;
}

bool read_contraction(matcher *m, MlirOperation op, contraction *c)
{
    MlirBlock body;
    if (op_is(op, "tosa.matmul")) {
        *c = (contraction){.lhs = mlirOperationGetOperand(op, 0),
                           .rhs = mlirOperationGetOperand(op, 1),
                           .result = mlirOperationGetResult(op, 0)};
        return rank_of(c->lhs) == 3 && rank_of(c->rhs) == 3 && float_bits_of(element_type_of(c->result)) > 0;
    }
    return is_structured(op, &body) && read_structured(m, op, body, c);
}
