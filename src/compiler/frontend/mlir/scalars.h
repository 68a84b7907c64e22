// In:  a function with scalars among its arguments and results
// Out: tensors without dimensions in their place, index as i64
#ifndef WELFORD_COMPILER_FRONTEND_MLIR_SCALARS_H
#define WELFORD_COMPILER_FRONTEND_MLIR_SCALARS_H

#include <mlir-c/IR.h>

void scalars_to_tensors(MlirOperation function);

#endif
