// From a module of kernels to machine code: MLIR lowering, LLVM passes, one relocatable object.
#ifndef WELFORD_COMPILER_CODEGEN_OBJECT_H
#define WELFORD_COMPILER_CODEGEN_OBJECT_H

#include "base/cpu.h"
#include "compiler/codegen/context.h"

// Compiles every func.func of `module` (which is consumed: lowered in place) for the given CPU; the object is appended
// to `object`. `assembly` (may be NULL) receives the same as text.
wf_status object_emit(compiler_context *c, MlirModule module, const cpu_features *cpu, buffer *object, buffer *assembly,
                      wf_error *err);

// The same for kernels that call nothing, dealt out over OBJECT_PARTS objects that n_threads threads make side by side.
// Which kernel goes where does not depend on the threads. Objects without kernels stay empty.
enum { OBJECT_PARTS = 4 };
wf_status objects_emit(compiler_context *c, MlirModule module, const cpu_features *cpu, int n_threads,
                       buffer objects[OBJECT_PARTS], wf_error *err);

#endif
