// CPU features by CPUID and XCR0.
//
// Source: Intel 64 and IA-32 Architectures Software Developer's Manual, vol. 2A, CPUID, leaves 0, 1, 7; vol. 1, 13.3
// (XCR0). A feature counts only when the system saves its registers too.
#include "base/cpu.h"

#include <cpuid.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { XCR0_YMM = 0x06, XCR0_ZMM = 0xe6 }; // SSE and AVX state; with opmask and both ZMM halves

typedef struct cpu_id {
    char vendor[13];
    unsigned family, model, stepping;
    uint32_t words[6]; // leaf 1 ecx; leaf 7.0 ebx, ecx, edx; leaf 7.1 eax; XCR0: all that features follow from
} cpu_id;

static uint32_t read_xcr0(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static bool bit(uint32_t word, int index) { return word >> index & 1; }

static cpu_id read_cpu_id(void)
{
    cpu_id id = {0};
    unsigned a, b, c, d;
    if (!__get_cpuid(0, &a, &b, &c, &d)) return id;
    memcpy(id.vendor, &b, 4);
    memcpy(id.vendor + 4, &d, 4);
    memcpy(id.vendor + 8, &c, 4);
    for (char *p = id.vendor; *p; p++)
        if ((*p < 'A' || *p > 'Z') && (*p < 'a' || *p > 'z')) *p = '_';

    __get_cpuid(1, &a, &b, &c, &d);
    unsigned family = a >> 8 & 15;
    id.family = family == 15 ? family + (a >> 20 & 255) : family;
    id.model = (a >> 4 & 15) | (family == 6 || family == 15 ? a >> 12 & 0xf0 : 0);
    id.stepping = a & 15;
    id.words[0] = c;
    if (bit(c, 27)) id.words[5] = read_xcr0(); // OSXSAVE: xgetbv may be used
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        id.words[1] = b, id.words[2] = c, id.words[3] = d;
        if (a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d)) id.words[4] = a;
    }
    return id;
}

static void find_features(const cpu_id *id, cpu_features *cpu)
{
    const uint32_t *w = id->words;
    bool ymm = (w[5] & XCR0_YMM) == XCR0_YMM, zmm = (w[5] & XCR0_ZMM) == XCR0_ZMM;
    cpu->avx2 = ymm && bit(w[0], 12) && bit(w[0], 28) && bit(w[0], 29) && bit(w[1], 5);  // FMA AVX F16C AVX2
    cpu->avx512 = cpu->avx2 && zmm && bit(w[1], 16) && bit(w[1], 17) && bit(w[1], 28) && // F DQ CD
                  bit(w[1], 30) && bit(w[1], 31);                                        // BW VL
    cpu->avx512_vnni = cpu->avx512 && bit(w[2], 11);
    cpu->avx512_bf16 = cpu->avx512 && bit(w[4], 5);
    cpu->avx_vnni = cpu->avx2 && bit(w[4], 4);
}

// What WELFORD_CPU may name, and what each has.
static const struct forced_cpu {
    const char *name;
    bool avx512, vnni, bf16;
} FORCED[] = {
    {"haswell", false, false, false},
    {"skylake-avx512", true, false, false},
    {"icelake-server", true, true, false},
    {"cooperlake", true, true, true},
};

static wf_status force_less(const char *name, cpu_features *cpu, wf_error *err)
{
    const struct forced_cpu *forced = NULL;
    for (size_t i = 0; i < sizeof FORCED / sizeof *FORCED; i++)
        if (!strcmp(name, FORCED[i].name)) forced = &FORCED[i];
    if (!forced)
        return error_set(
            err, WF_ERROR_UNSUPPORTED,
            "WELFORD_CPU: unknown CPU \"%.40s\" (haswell, skylake-avx512, icelake-server, cooperlake or native)", name);
    const char *missing = forced->avx512 && !cpu->avx512      ? "AVX-512 (F, BW, CD, DQ, VL)"
                          : forced->vnni && !cpu->avx512_vnni ? "AVX512_VNNI"
                          : forced->bf16 && !cpu->avx512_bf16 ? "AVX512_BF16"
                                                              : NULL;
    if (missing) return error_set(err, WF_ERROR_UNSUPPORTED, "WELFORD_CPU=%s: this CPU lacks %s", name, missing);
    cpu->avx512 = forced->avx512;
    cpu->avx512_vnni = forced->vnni;
    cpu->avx512_bf16 = forced->bf16;
    cpu->avx_vnni = false;
    return WF_OK;
}

// "AuthenticAMD-25.1.1-2-8f3c01aa-native": the letters say which features are used; the hash is over the CPUID words,
// since a virtual machine may hide features from a CPU of the same model. At most 63 characters.
static void make_key(const cpu_id *id, cpu_features *cpu)
{
    uint32_t hash = (uint32_t)XXH3_64bits(id->words, sizeof id->words);
    snprintf(cpu->key, sizeof cpu->key, "%s-%u.%u.%u-%s%s%s%s%s-%08x-%.14s", id->vendor, id->family, id->model,
             id->stepping, cpu->avx2 ? "2" : "", cpu->avx512 ? "5" : "", cpu->avx512_vnni ? "v" : "",
             cpu->avx512_bf16 ? "b" : "", cpu->avx_vnni ? "x" : "", hash, cpu->name);
}

wf_status cpu_detect(cpu_features *cpu, wf_error *err)
{
    *cpu = (cpu_features){0};
    cpu_id id = read_cpu_id();
    find_features(&id, cpu);
    if (!cpu->avx2)
        return error_set(err, WF_ERROR_UNSUPPORTED, "this CPU (%s family %u model %u) lacks AVX2, FMA or F16C",
                         id.vendor, id.family, id.model);
    const char *name = getenv("WELFORD_CPU");
    if (!name || !*name) name = "native";
    if (strcmp(name, "native")) TRY(force_less(name, cpu, err));
    snprintf(cpu->name, sizeof cpu->name, "%s", name);
    make_key(&id, cpu);
    return WF_OK;
}
