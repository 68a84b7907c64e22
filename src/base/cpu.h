// What this CPU can do, as far as kernels choose by it.
#ifndef WELFORD_BASE_CPU_H
#define WELFORD_BASE_CPU_H

#include "base/buffer.h"
#include "base/status.h"

typedef struct cpu_features {
    bool avx2;        // with FMA and F16C: the least that welford runs on
    bool avx512;      // F, BW, CD, DQ and VL
    bool avx512_vnni; // vpdpbusd on 512-bit registers
    bool avx512_bf16; // vdpbf16ps
    bool avx_vnni;    // vpdpbusd with VEX encoding on 256-bit registers
    uint64_t sets;    // a bit for each set of instructions (cpu_print_sets) that code for this CPU may hold
    char name[64];    // "native" or an LLVM CPU name
    char key[64];     // identifies CPU model and features in cache keys
} cpu_features;

// Reads CPUID (and XCR0: what the system saves). WELFORD_CPU, a name that cpu_named knows, forces less; a CPU that
// lacks the forced features, or AVX2, is WF_ERROR_UNSUPPORTED with what is missing.
wf_status cpu_detect(cpu_features *cpu, wf_error *err);

// A CPU type by its LLVM name ("haswell", "znver4"), to compile for it on any machine; "native" is what cpu_detect
// gives. An unknown name is WF_ERROR_USAGE with those that are known.
wf_status cpu_named(const char *name, cpu_features *cpu, wf_error *err);

// Appends the names of sets of instructions: "AVX512_VNNI, GFNI".
void cpu_print_sets(uint64_t sets, buffer *out);

#endif
