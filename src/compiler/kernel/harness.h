// Compiles single kernels and loads them into this process: for tests and benchmarks of kernels.
#ifndef WELFORD_COMPILER_KERNEL_HARNESS_H
#define WELFORD_COMPILER_KERNEL_HARNESS_H

#include "compiler/dialect/context.h"
#include "compiler/kernel/kernels.h"
#include "runtime/program/kernel.h"

typedef struct harness {
    compiler_context context;
    cpu_features cpu;
    builder builder; // kernels go here (harness_add), then call harness_compile
    char **names;    // of those that were added
    int n_names;
    void *code;
    size_t code_bytes;
} harness;

// `cpu_name`: as WELFORD_CPU takes it; "native" for all that this CPU has. "emulated-avx512" generates the code of
// 512-bit kernels with its special instructions written out in plain vector arithmetic, so that any AVX2 CPU runs their
// logic; "emulated-avx512f" does without VNNI and BF16, "emulated-avx-vnni" has 256 bits and vpdpbusd.
wf_status harness_open(harness *h, const char *cpu_name, wf_error *err);

// CPUs that need not be this one, of all kinds that kernels tell apart: for a look at the code that they would get.
enum { N_HARNESS_CPUS = 8 };
extern const char *const HARNESS_CPUS[N_HARNESS_CPUS];
wf_status harness_open_other(harness *h, const char *cpu_name, wf_error *err);
wf_status harness_assembly(harness *h, buffer *assembly, wf_error *err); // of what was built; once, not compiled too

// Builds a kernel, unless one of this name is there already; its name, which is the harness's.
const char *harness_add(harness *h, const kernel_kind *kind, const void *params);

// Compiles what was built and looks up `n` kernels by name. Once a harness. WELFORD_DUMP_ASM=FILE keeps the assembly.
wf_status harness_compile(harness *h, const char *const *names, int n, kernel_fn *functions, wf_error *err);
void harness_close(harness *h);

#endif
