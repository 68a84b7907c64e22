// In:  tensor.generate, tosa.cond_if, scf.if and scf.for, sizes fixed
// Out: linalg.generic; both branches, and selects; the rounds of a short loop over whole tensors, one after the other.
//      What has another form stays
#ifndef WELFORD_COMPILER_FRONTEND_MLIR_REGIONS_H
#define WELFORD_COMPILER_FRONTEND_MLIR_REGIONS_H

#include "compiler/dialect/context.h"

wf_status regions_flatten(compiler_context *c, MlirModule module, MlirOperation function, wf_error *err);
// Puts scalar results of loops and branches that stay into tensors of one element, which others read: before lowering,
// and after the last canonical form.
void regions_box_scalars(MlirOperation function);

// Slices that are inserted at a computed place become loops of one round, whose kernel checks that place (nest/routine.h).
void regions_wrap_slices(MlirOperation function);

#endif
