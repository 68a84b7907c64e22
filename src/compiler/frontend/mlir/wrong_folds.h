// Ops that upstream's folders compute wrongly.
#ifndef WELFORD_COMPILER_FRONTEND_MLIR_WRONG_FOLDS_H
#define WELFORD_COMPILER_FRONTEND_MLIR_WRONG_FOLDS_H

#include <mlir-c/IR.h>

// Writes them in `root` such that they are not folded, or rightly. Once more does nothing.
//   tensor.pad that may cut      dropped if its type does not change, though what is cut on one side and added on the
//                                other moves the elements
//   tosa.cast of i1 to floats    -1 for a constant that is true all over; by way of i8 it is 1
void wrong_folds_avoid(MlirOperation root);

#endif
