#include "compiler/raise/rules/contraction.h"

#include "compiler/raise/normal/layout.h"

#include <mlir-c/AffineExpr.h>
#include <mlir-c/AffineMap.h>

// Loop d at result i of a map; -1: no plain loop.
static int loop_at(MlirAffineMap map, int i)
{
    MlirAffineExpr e = mlirAffineMapGetResult(map, i);
    return mlirAffineExprIsADim(e) ? (int)mlirAffineDimExprGetPosition(e) : -1;
}

// out + lhs * rhs, each perhaps widened first.
bool is_multiply_add(MlirBlock body)
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

static void drop_zero(matcher *m, contraction *c)
{
    ref init;
    constant zero;
    if (root_ref(c->init, &init) && read_constant(&m->r, &init, &zero) && zero.value == 0) c->init = (MlirValue){0};
}

// One matrix for all that leads: lhs [.., k], rhs [k, n] or [n, k], out [.., n].
static bool read_shared(matcher *m, MlirOperation op, contraction *c)
{
    int left = mlirAffineMapGetNumResults(indexing_map(op, 0)) == 2 ? 1 : 0;
    MlirAffineMap lhs = indexing_map(op, left), rhs = indexing_map(op, 1 - left), out = indexing_map(op, 2);
    int last = (int)mlirAffineMapGetNumResults(out) - 1;
    if (mlirAffineMapGetNumResults(lhs) != last + 1 || mlirAffineMapGetNumResults(rhs) != 2) return false;
    for (int i = 0; i < last; i++)
        if (loop_at(out, i) < 0 || loop_at(lhs, i) != loop_at(out, i)) return false;
    int column = loop_at(out, last), inner = loop_at(lhs, last), first = loop_at(rhs, 0), second = loop_at(rhs, 1);
    bool straight = first == inner && second == column, transposed = first == column && second == inner;
    if (column < 0 || inner < 0 || column == inner || (!straight && !transposed)) return false;
    *c = (contraction){.lhs = mlirOperationGetOperand(op, left),
                       .rhs = mlirOperationGetOperand(op, 1 - left),
                       .transposed = transposed,
                       .init = mlirOperationGetOperand(op, 2),
                       .result = mlirOperationGetResult(op, 0)};
    drop_zero(m, c);
    return true;
}

static bool read_structured(matcher *m, MlirOperation op, MlirBlock body, contraction *c)
{
    if (mlirOperationGetNumOperands(op) != 3 || mlirOperationGetNumResults(op) != 1 || !is_multiply_add(body))
        return false;
    MlirAffineMap lhs = indexing_map(op, 0), rhs = indexing_map(op, 1), out = indexing_map(op, 2);
    int rank = (int)mlirAffineMapGetNumResults(out);
    if (rank < 2 || rank > MAX_AXES || mlirAffineMapGetNumDims(out) != rank + 1) return false;
    int left_rank = (int)mlirAffineMapGetNumResults(lhs), right_rank = (int)mlirAffineMapGetNumResults(rhs);
    if (left_rank != rank || right_rank != rank) {
        bool shared = (left_rank == rank && right_rank == 2) || (left_rank == 2 && right_rank == rank);
        return shared && rank > 2 && read_shared(m, op, c);
    }
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
    drop_zero(m, c);
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

// Attributes of tosa.conv2d: a list of integers that are all `value`.
static bool is_all(MlirOperation op, const char *name, int64_t value)
{
    MlirAttribute a = op_attribute(op, name);
    if (!a.ptr || !mlirAttributeIsADenseI64Array(a)) return false;
    for (intptr_t i = 0; i < mlirDenseArrayGetNumElements(a); i++)
        if (mlirDenseI64ArrayGetElement(a, i) != value) return false;
    return true;
}

bool read_convolution(MlirOperation op, contraction *c, MlirValue *bias)
{
    if (!op_is(op, "tosa.conv2d") || mlirOperationGetNumOperands(op) < 3 || !is_all(op, "pad", 0) ||
        !is_all(op, "stride", 1))
        return false;
    MlirValue x = mlirOperationGetOperand(op, 0), w = mlirOperationGetOperand(op, 1), y = mlirOperationGetResult(op, 0);
    *bias = mlirOperationGetOperand(op, 2);
    if (rank_of(x) != 4 || rank_of(w) != 4 || rank_of(*bias) != 1 || !float_bits_of(element_type_of(y))) return false;
    if (dim_of(w, 1) != 1 || dim_of(w, 2) != 1 || dim_of(*bias, 0) != dim_of(w, 0)) return false;
    if (!mlirTypeEqual(element_type_of(x), element_type_of(y))) return false;
    op_builder b = op_builder_before(op);
    *c = (contraction){.lhs = x, .rhs = build_squeeze(&b, w, 2), .transposed = true, .result = y};
    return true;
}
