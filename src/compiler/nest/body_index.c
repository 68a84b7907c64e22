// Indices in bodies: linalg.index, affine.apply, casts, and the ops of the index dialect; all are i64 here.
#include <mlir-c/AffineExpr.h>
#include <mlir-c/AffineMap.h>
#include <string.h>

#include "compiler/mlir/op.h"
#include "compiler/nest/body.h"

static value run_index(body *e, MlirOperation op)
{
    builder *b = e->b;
    int64_t l = op_int(op, "dim", 0);
    value iv = e->iv[l].ptr ? e->iv[l] : const_i(b, 0);
    if (e->lanes == 1) return iv;
    value x = splat(b, iv, e->lanes);
    return l == e->vector_loop ? add(b, x, iota(b, e->lanes, b->i64)) : x;
}

static value run_affine(body *e, MlirOperation op, MlirAffineExpr x, intptr_t n_dims)
{
    builder *b = e->b;
    type t = body_lanes_of(e, b->i64);
    if (mlirAffineExprIsAConstant(x)) return const_int(b, t, mlirAffineConstantExprGetValue(x));
    if (mlirAffineExprIsADim(x)) return body_get(e, mlirOperationGetOperand(op, mlirAffineDimExprGetPosition(x)));
    if (mlirAffineExprIsASymbol(x))
        return body_get(e, mlirOperationGetOperand(op, n_dims + mlirAffineSymbolExprGetPosition(x)));
    value left = run_affine(e, op, mlirAffineBinaryOpExprGetLHS(x), n_dims);
    value right = run_affine(e, op, mlirAffineBinaryOpExprGetRHS(x), n_dims);
    if (e->status != WF_OK) return left;
    if (mlirAffineExprIsAAdd(x)) return add(b, left, right);
    if (mlirAffineExprIsAMul(x)) return mul(b, left, right);
    value operands[] = {left, right};
    if (mlirAffineExprIsAFloorDiv(x)) return op1(b, "arith.floordivsi", t, 2, operands, 0, NULL);
    if (mlirAffineExprIsACeilDiv(x)) return op1(b, "arith.ceildivsi", t, 2, operands, 0, NULL);
    // x mod y = x - floor(x / y) * y
    return sub(b, left, mul(b, op1(b, "arith.floordivsi", t, 2, operands, 0, NULL), right));
}

static value run_index_cast(body *e, MlirOperation op, bool is_signed)
{
    builder *b = e->b;
    value x = body_get(e, mlirOperationGetOperand(op, 0));
    if (e->status != WF_OK) return x;
    type from = mlirValueGetType(x), to = body_lanes_of(e, mlirValueGetType(mlirOperationGetResult(op, 0)));
    unsigned from_bits = mlirIntegerTypeGetWidth(element_of(from)), to_bits = mlirIntegerTypeGetWidth(element_of(to));
    if (from_bits == to_bits) return x;
    if (from_bits > to_bits) return trunc_i(b, x, to);
    return is_signed ? ext_s(b, x, to) : ext_u(b, x, to);
}

// Ops of the index dialect, as those of arith on i64.
static const char *index_twin(MlirOperation op)
{
    static const char *const TWINS[][2] = {
        {"index.add", "arith.addi"},   {"index.sub", "arith.subi"},   {"index.mul", "arith.muli"},
        {"index.divs", "arith.divsi"}, {"index.divu", "arith.divui"}, {"index.rems", "arith.remsi"},
        {"index.remu", "arith.remui"}, {"index.maxs", "arith.maxsi"}, {"index.maxu", "arith.maxui"},
        {"index.mins", "arith.minsi"}, {"index.minu", "arith.minui"}, {"index.and", "arith.andi"},
        {"index.or", "arith.ori"},     {"index.xor", "arith.xori"},   {"index.shl", "arith.shli"},
        {"index.shrs", "arith.shrsi"}, {"index.shru", "arith.shrui"},
    };
    for (size_t i = 0; i < sizeof TWINS / sizeof *TWINS; i++)
        if (op_is(op, TWINS[i][0])) return TWINS[i][1];
    return NULL;
}

static value run_twin(body *e, MlirOperation op)
{
    builder *b = e->b;
    type t = body_lanes_of(e, b->i64);
    if (op_is(op, "index.constant")) return const_int(b, t, op_int(op, "value", 0));
    if (op_is(op, "index.casts") || op_is(op, "index.castu")) return run_index_cast(e, op, op_is(op, "index.casts"));
    const char *twin = index_twin(op);
    if (!twin) return body_refuse(e, op, " cannot be compiled");
    value x[2];
    for (int i = 0; i < 2; i++) x[i] = body_get(e, mlirOperationGetOperand(op, i));
    if (e->status != WF_OK) return (value){0};
    if (!strncmp(twin, "arith.div", 9) || !strncmp(twin, "arith.rem", 9)) x[1] = body_guard_divisor(e, op, x);
    return op1(b, twin, t, 2, x, 0, NULL);
}

bool body_is_index_op(MlirOperation op)
{
    return op_is(op, "linalg.index") || op_is(op, "affine.apply") || op_is(op, "arith.index_cast") ||
           op_is(op, "arith.index_castui") || op_name_starts_with(op, "index.");
}

value body_index(body *e, MlirOperation op)
{
    if (op_is(op, "linalg.index")) return run_index(e, op);
    if (op_is(op, "arith.index_cast")) return run_index_cast(e, op, true);
    if (op_is(op, "arith.index_castui")) return run_index_cast(e, op, false);
    if (op_name_starts_with(op, "index.")) return run_twin(e, op);
    MlirAffineMap map = mlirAffineMapAttrGetValue(op_attribute(op, "map"));
    return run_affine(e, op, mlirAffineMapGetResult(map, 0), mlirAffineMapGetNumDims(map));
}
