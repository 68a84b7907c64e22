#include "compiler/nest/nest.h"

bool access_add_linear(MlirAffineExpr x, int64_t stride, access *a)
{
    if (mlirAffineExprIsAConstant(x)) {
        a->offset += stride * mlirAffineConstantExprGetValue(x);
        return true;
    }
    if (mlirAffineExprIsADim(x)) {
        a->coef[mlirAffineDimExprGetPosition(x)] += stride;
        return true;
    }
    if (mlirAffineExprIsAAdd(x))
        return access_add_linear(mlirAffineBinaryOpExprGetLHS(x), stride, a) &&
               access_add_linear(mlirAffineBinaryOpExprGetRHS(x), stride, a);
    if (!mlirAffineExprIsAMul(x)) return false;
    MlirAffineExpr left = mlirAffineBinaryOpExprGetLHS(x), right = mlirAffineBinaryOpExprGetRHS(x);
    if (!mlirAffineExprIsAConstant(right)) return false;
    return access_add_linear(left, stride * mlirAffineConstantExprGetValue(right), a);
}
