// Graph files of other worlds: what they are, and what to do.
#ifndef WELFORD_COMPILER_FRONTEND_MLIR_FOREIGN_H
#define WELFORD_COMPILER_FRONTEND_MLIR_FOREIGN_H

#include "base/status.h"
#include "base/view.h"

// WF_ERROR_FORMAT: a file that is no MLIR, by its first bytes.
wf_status foreign_check(view file, const char *name, wf_error *err);

// Why a file was not read, in words for who has it at hand: MLIR's own `reason` names neither a dialect that it does
// not know, nor the version that wrote bytecode.
wf_status foreign_explain(view file, const char *name, const char *reason, wf_error *err);

#endif
