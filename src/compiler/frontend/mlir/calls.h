// Calls of other functions of the file.
#ifndef WELFORD_COMPILER_FRONTEND_MLIR_CALLS_H
#define WELFORD_COMPILER_FRONTEND_MLIR_CALLS_H

#include <mlir-c/IR.h>

#include "base/status.h"

// Inlines what the entry calls, in regions too, and drops all other functions. Declarations of the helpers that tests
// print and measure with (provide_helper in calls.c) are provided: what they print is not, and their clock stands
// still. WF_ERROR_UNSUPPORTED names a function that is only declared, is not in the file, has branches or is recursive.
wf_status calls_inline(MlirModule module, MlirOperation entry, wf_error *err);

#endif
