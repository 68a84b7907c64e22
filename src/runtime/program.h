// A program: a plan and the machine code of its kernels, in one image that can be cached and loaded without the
// compiler.
//
//   offset 0   magic "WFPROG01"
//   8          u64  bytes of the whole image
//   16         u64  XXH3-64 of everything after this field
//   24         u64  bytes of the plan, which is then padded to 16
//   32         u64  bytes of the object, which is then padded to 16
//   40         u64  zero
//   48         plan (plan_write)
//   ...        relocatable ELF object for x86-64 with the kernels as global functions; it refers to no outside symbol
#ifndef WELFORD_RUNTIME_PROGRAM_H
#define WELFORD_RUNTIME_PROGRAM_H

#include "runtime/kernel.h"
#include "runtime/plan.h"

typedef struct program {
    plan plan;
    kernel_fn *kernels; // [plan.n_kernels]
    void *code;         // mapped read and execute only
    size_t code_bytes;
} program;

// Appends an image.
void program_write(const plan *p, const void *object, size_t object_bytes, buffer *out);

// Checks and loads an image (which may be freed afterwards). Damaged images are WF_ERROR_FORMAT, never a crash.
wf_status program_load(const void *image, size_t bytes, const char *name, program *prog, wf_error *err);
void program_free(program *prog);

// The object loader alone (for tests of single kernels): finds `n` global functions by name.
wf_status object_load(const void *object, size_t bytes, const char *name, const char *const *symbols, size_t n,
                      kernel_fn *functions, void **code, size_t *code_bytes, wf_error *err);
void object_unload(void *code, size_t code_bytes);

#endif
