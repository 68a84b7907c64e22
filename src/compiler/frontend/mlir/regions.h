// In:  tensor.generate, tosa.cond_if and scf.if, sizes fixed
// Out: linalg.generic; both branches, and selects. What has another form stays
#ifndef WELFORD_COMPILER_FRONTEND_MLIR_REGIONS_H
#define WELFORD_COMPILER_FRONTEND_MLIR_REGIONS_H

#include "compiler/dialect/context.h"

wf_status regions_flatten(compiler_context *c, MlirModule module, MlirOperation function, wf_error *err);

#endif
