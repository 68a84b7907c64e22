// TOSA as LLVM 17 to 20 printed it, brought to today's form. Its ops differ in attributes that are operands now, in
// missing zero points, and in ranks that were broadcast: today's parser refuses them one by one. So a text is read with
// every tosa.x named old_tosa.x, an op that MLIR does not know and takes as it is, and each is built anew.
#ifndef WELFORD_COMPILER_FRONTEND_MLIR_OLD_TOSA_H
#define WELFORD_COMPILER_FRONTEND_MLIR_OLD_TOSA_H

#include <mlir-c/IR.h>

#include "base/buffer.h"
#include "base/status.h"
#include "base/view.h"

// Appends the text with its TOSA ops in generic form, under their old names. Lines stay lines.
void old_tosa_rename(view text, buffer *out);

// Builds today's ops for all old ones of a module. *n_old: ops whose form was an older one. WF_ERROR_UNSUPPORTED: a
// form that is not read, with its place.
wf_status old_tosa_upgrade(MlirModule module, int *n_old, wf_error *err);

#endif
