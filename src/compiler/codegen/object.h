// From a module of kernels to machine code: MLIR lowering, LLVM passes, one relocatable object.
#ifndef WELFORD_COMPILER_CODEGEN_OBJECT_H
#define WELFORD_COMPILER_CODEGEN_OBJECT_H

#include "base/cpu.h"
#include "compiler/dialect/context.h"
#include "runtime/program/executable.h"

// Compiles every func.func of `module` (which is consumed: lowered in place) for the given CPU; the object is appended
// to `object`. `assembly` (may be NULL) receives the same as text.
wf_status object_emit(compiler_context *c, MlirModule module, const cpu_features *cpu, buffer *object, buffer *assembly,
                      wf_error *err);

// A whole program: the kernels (consumed) are dealt out over OBJECT_PARTS objects that n_threads threads make side by
// side, and the image of program, objects and constants is appended to `image`. Which kernel goes where depends on the
// kernels alone, so that any number of threads makes the same program.
enum { OBJECT_PARTS = 4 }; // more than two, since kernels differ in size: a thread that is done early takes another
wf_status program_emit(compiler_context *c, const program *p, MlirModule kernels, const cpu_features *cpu,
                       int n_threads, view constants, buffer *image, wf_error *err);

#endif
