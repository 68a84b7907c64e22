// What exec cannot compile whatever its shapes, named before upstream's steps give reasons of their own.
#ifndef WELFORD_COMPILER_FRONTEND_MLIR_ADMIT_H
#define WELFORD_COMPILER_FRONTEND_MLIR_ADMIT_H

#include <mlir-c/IR.h>

#include "base/status.h"

// WF_ERROR_UNSUPPORTED: "place: op reason" of the first such op in the function.
wf_status admit_function(MlirOperation function, wf_error *err);

#endif
