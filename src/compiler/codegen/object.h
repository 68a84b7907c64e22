// From a module of kernels to machine code: MLIR lowering, LLVM passes, one relocatable object.
#ifndef WELFORD_COMPILER_CODEGEN_OBJECT_H
#define WELFORD_COMPILER_CODEGEN_OBJECT_H

#include "base/cpu.h"
#include "compiler/codegen/context.h"

// Compiles every func.func of `module` (which is consumed: lowered in place) for the given CPU; the object is appended
// to `object`. `assembly` (may be NULL) receives the same as text.
wf_status object_emit(compiler_context *c, MlirModule module, const cpu_features *cpu, buffer *object, buffer *assembly,
                      wf_error *err);

#endif
