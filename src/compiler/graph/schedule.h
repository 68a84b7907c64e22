// From a function of linalg, tensor and wf ops on tensors of fixed size to kernels and the calls that run them.
#ifndef WELFORD_COMPILER_GRAPH_SCHEDULE_H
#define WELFORD_COMPILER_GRAPH_SCHEDULE_H

#include "compiler/kernel/builder.h"
#include "runtime/plan.h"

// Fills the plan, adds the kernels to `kernels` and appends the bytes of FUNCTION_CONSTANTS to `constants`. What cannot
// be compiled is WF_ERROR_UNSUPPORTED with its name and location. `chain`: calls that allow it run tile by tile
// together (plan_call.chained).
wf_status schedule_function(MlirOperation function, builder *kernels, bool chain, plan *out, buffer *constants,
                            wf_error *err);

// Whether a kernel exists for this wf op; others have to be written out in linalg first (decompose.h).
bool schedule_has_kernel(MlirOperation op);

#endif
