// Where upstream's fusion of elementwise ops has to stop.
//
// It joins a structured op with the only op that uses it, as far as that goes: a chain of a thousand ops becomes one
// body, in quadratic time, and a sum of forty tensors one op with forty operands, which no kernel takes. A value that
// is used a second time stays: here it becomes one more result of the function, until the fusion is over.
#ifndef WELFORD_COMPILER_NEST_CUTS_H
#define WELFORD_COMPILER_NEST_CUTS_H

#include <mlir-c/IR.h>

#include "base/status.h"

// Of a fused op. Beyond a hundred ops there is no memory traffic left to save; a kernel has 32 operands, results among
// them, and reads 16 tensors at computed indices.
enum { CUTS_MAX_OPS = 256, CUTS_MAX_INPUTS = 24, CUTS_MAX_EXTRACTS = 16 };

typedef struct cuts {
    MlirOperation function;
    MlirAttribute results; // what was said of each result; null: nothing
    intptr_t n_results, n; // of the function, and added to them
} cuts;

// Adds results to the function, of one block, so that no fused op exceeds the limits. WF_ERROR_MEMORY only.
wf_status cuts_make(MlirOperation function, cuts *c, wf_error *err);

// Takes them away again. WF_ERROR_MEMORY only.
wf_status cuts_end(cuts *c, wf_error *err);

#endif
