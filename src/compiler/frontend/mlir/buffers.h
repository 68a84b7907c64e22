// In:  a function that works on buffers (memref), wholly or in part
// Out: one on tensors: what is stored makes a new tensor, which loops and branches carry; loads are tensor.extract
#ifndef WELFORD_COMPILER_FRONTEND_MLIR_BUFFERS_H
#define WELFORD_COMPILER_FRONTEND_MLIR_BUFFERS_H

#include "compiler/dialect/context.h"

// Arguments that are buffers become tensors; those that the function writes are results as well, behind its own and in
// their order. WF_ERROR_UNSUPPORTED names an op on buffers that has no meaning here, such as one of the vector dialect.
wf_status buffers_to_tensors(compiler_context *c, MlirModule module, MlirOperation function, wf_error *err);

#endif
