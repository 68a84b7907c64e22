// Loops, branches and single elements: what an scf.for, scf.while or scf.if over tensors computes, in one kernel.
//
// Every tensor has a place in memory before the kernel is built (lower/routine_call.c); the tensors that go through a
// loop or out of a branch share theirs wherever nobody looks at the older one, so that single elements are written in
// place. Ops on whole tensors inside are loops over their elements, one after the other.
#ifndef WELFORD_COMPILER_NEST_ROUTINE_H
#define WELFORD_COMPILER_NEST_ROUTINE_H

#include "compiler/nest/nest.h"

typedef struct routine {
    MlirOperation op;
    nest places;     // its gathers: all tensors, contiguous; and the buffers and checks of a nest
    int64_t n_tiles; // above 1: the iterations of op, which do not depend on each other
    int n_scalars;   // scalar results of op that others use: result scalars[i] goes into scalar_places[i]
    const int *scalars;
    const gather *scalar_places;
} routine;

// No two share a kernel.
typedef struct routine_kernel {
    const routine *r;
    // what became of building it: WF_ERROR_UNSUPPORTED names an op that cannot be compiled, with its place
    wf_status *status;
    wf_error *err;
} routine_kernel;

extern const kernel_kind ROUTINE_KERNEL;

#endif
