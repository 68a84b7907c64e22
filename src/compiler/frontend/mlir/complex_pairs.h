// In:  a function on tensors of complex numbers
// Out: the same on pairs of tensors, the real and the imaginary parts. An argument or result of complex numbers is an
//      array of floats with a last axis of 2
#ifndef WELFORD_COMPILER_FRONTEND_MLIR_COMPLEX_PAIRS_H
#define WELFORD_COMPILER_FRONTEND_MLIR_COMPLEX_PAIRS_H

#include "compiler/dialect/context.h"

// WF_ERROR_UNSUPPORTED names an op on complex numbers that has no meaning here.
wf_status complex_to_pairs(compiler_context *c, MlirModule module, MlirOperation function, wf_error *err);

#endif
