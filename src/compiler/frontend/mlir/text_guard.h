// What MLIR's text parser does not survive, found before it reads a file: nesting that exhausts the stack, lists of
// axes that are none, resources of impossible alignment.
#ifndef WELFORD_COMPILER_FRONTEND_MLIR_TEXT_GUARD_H
#define WELFORD_COMPILER_FRONTEND_MLIR_TEXT_GUARD_H

#include "base/status.h"
#include "base/view.h"

// WF_ERROR_FORMAT: "name:line:column: reason". Text that passes may be wrong in any other way.
wf_status text_guard_check(view text, const char *name, wf_error *err);

#endif
