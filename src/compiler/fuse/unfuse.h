// In:  fused wf ops: linear of several weights, residual_norm; columns
// Out: where no kernel takes them, the ops that they were fused from; columns as slices, which cost nothing
#ifndef WELFORD_COMPILER_FUSE_UNFUSE_H
#define WELFORD_COMPILER_FUSE_UNFUSE_H

#include "compiler/dialect/wf.h"

// Sizes must be fixed. `keep` (may be NULL: none) tells what to leave as it is. What has no meaning stays too.
void unfuse_function(MlirOperation function, bool (*keep)(MlirOperation op));

#endif
