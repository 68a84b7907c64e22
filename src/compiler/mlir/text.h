// Text of MLIR's, from and to welford's own.
#ifndef WELFORD_COMPILER_MLIR_TEXT_H
#define WELFORD_COMPILER_MLIR_TEXT_H

#include <mlir-c/IR.h>
#include <string.h>

#include "base/buffer.h"
#include "base/status.h"

void append_text(MlirStringRef s, void *out); // to the buffer `out`: what MLIR's printers and writers call
void print_operation(MlirOperation op, buffer *out);
void print_location(MlirLocation location, buffer *out); // file:line:column, or "unknown"

// WF_ERROR_UNSUPPORTED: "place: op reason".
wf_status refuse_op(MlirOperation op, const char *reason, wf_error *err);

static inline MlirStringRef mlir_text(const char *s) { return mlirStringRefCreateFromCString(s); }

static inline bool mlir_text_is(MlirStringRef s, const char *text)
{
    return s.length == strlen(text) && !memcmp(s.data, text, s.length);
}

#endif
