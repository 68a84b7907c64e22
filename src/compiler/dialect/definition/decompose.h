// The wf ops written out in linalg: what they mean, op by op, in a form that any compiler understands (wf.mlir).
//
// It is the definition that the kernels are held to, and the way in which ops run that no kernel takes (a type, a rank,
// a mask that is rare). Some ops of TOSA, tensor and linalg that upstream does not lower are defined too.
#ifndef WELFORD_COMPILER_DIALECT_DEFINITION_DECOMPOSE_H
#define WELFORD_COMPILER_DIALECT_DEFINITION_DECOMPOSE_H

#include "compiler/dialect/context.h"

// Replaces every op with a definition that `keep` (may be NULL: none) does not want. A wf op without a definition, or
// with sizes that are not known where its definition needs them, is WF_ERROR_UNSUPPORTED with its name and location.
wf_status decompose_function(compiler_context *c, MlirOperation function, bool (*keep)(MlirOperation op),
                             wf_error *err);

#endif
