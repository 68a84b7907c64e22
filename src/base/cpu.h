// What this CPU can do, as far as kernels choose by it.
#ifndef WELFORD_BASE_CPU_H
#define WELFORD_BASE_CPU_H

#include "base/status.h"

typedef struct cpu_features {
    bool avx2;        // with FMA and F16C: the least that welford runs on
    bool avx512;      // F, BW, CD, DQ and VL
    bool avx512_vnni; // vpdpbusd on 512-bit registers
    bool avx512_bf16; // vdpbf16ps
    bool avx_vnni;    // vpdpbusd with VEX encoding on 256-bit registers
    char name[64];    // "native" or the name that WELFORD_CPU forces: an LLVM CPU name
    char key[64];     // identifies CPU model and features in cache keys
} cpu_features;

// Reads CPUID (and XCR0: what the system saves). WELFORD_CPU=haswell|skylake-avx512|icelake-server|cooperlake|native
// forces less; a CPU that lacks the forced features, or AVX2, is WF_ERROR_UNSUPPORTED with what is missing.
wf_status cpu_detect(cpu_features *cpu, wf_error *err);

#endif
