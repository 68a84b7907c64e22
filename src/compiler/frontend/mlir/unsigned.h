// In:  a function with integers that are unsigned by type (ui8), or signed (si8)
// Out: the same on integers without a sign of their own (i8), of the same bits; casts say what the sign was
#ifndef WELFORD_COMPILER_FRONTEND_MLIR_UNSIGNED_H
#define WELFORD_COMPILER_FRONTEND_MLIR_UNSIGNED_H

#include <mlir-c/IR.h>

#include "base/status.h"

// WF_ERROR_UNSUPPORTED names an op that depends on the sign and is not known here.
wf_status unsigned_to_signless(MlirOperation function, wf_error *err);

#endif
