// Pads with negative amounts, which cut.
#ifndef WELFORD_COMPILER_FRONTEND_MLIR_PADS_H
#define WELFORD_COMPILER_FRONTEND_MLIR_PADS_H

#include <mlir-c/IR.h>

// Marks each tensor.pad in `root` that may cut: upstream's folder drops a pad whose type does not change, though what
// is cut on one side and added on the other moves the elements.
void pads_keep(MlirOperation root);

#endif
