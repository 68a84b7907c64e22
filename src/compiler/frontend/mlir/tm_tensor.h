// torch-mlir's own dialect, tm_tensor: what its linalg output leaves of scans, sorts, top-k, scatters and attention.
//
//   text     the dialect is not known to MLIR here, so its ops are brought to generic form first, which any parser takes
//   meaning  loops over tensors (an scf.for each, whose iterations run in parallel where they do not depend on each
//            other), with the op's region in them; attention is products and a softmax
#ifndef WELFORD_COMPILER_FRONTEND_MLIR_TM_TENSOR_H
#define WELFORD_COMPILER_FRONTEND_MLIR_TM_TENSOR_H

#include "base/view.h"
#include "compiler/dialect/context.h"

bool tm_tensor_is_in(view text);
// Appends the text with its tm_tensor ops in generic form. Lines stay lines.
void tm_tensor_rename(view text, buffer *out);

// Replaces all ops of it in the function. WF_ERROR_UNSUPPORTED names one whose form or sizes are not known.
wf_status tm_tensor_to_loops(compiler_context *c, MlirOperation function, wf_error *err);

#endif
