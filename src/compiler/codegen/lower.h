// From a function of wf ops to a plan: every op becomes one or two kernel calls.
#ifndef WELFORD_COMPILER_CODEGEN_LOWER_H
#define WELFORD_COMPILER_CODEGEN_LOWER_H

#include "compiler/codegen/shards.h"
#include "compiler/frontend/frontend.h"
#include "runtime/compiler.h"

// Fills `out` (empty, owned by the caller) and adds the kernels that it calls to `kernels`. An op that no kernel
// implements is WF_ERROR_UNSUPPORTED with its name and location.
wf_status lower_to_plan(MlirOperation function, const checkpoint *file, const model_facts *facts,
                        const compile_options *options, kernel_shards *kernels, plan *out, wf_error *err);

#endif
