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

// The words that all features follow from. XCR0 comes last.
enum { LEAF_1C, LEAF_7B, LEAF_7C, LEAF_7D, LEAF_7_1A, LEAF_7_1D, LEAF_EXTENDED_C, XCR0, N_WORDS };
enum { XCR0_YMM = 0x06, XCR0_ZMM = 0xe6 }; // SSE and AVX state; with opmask and both ZMM halves

typedef struct cpu_id {
    char vendor[13];
    unsigned family, model, stepping;
    uint32_t words[N_WORDS];
} cpu_id;

// Sets of instructions that a code generator chooses by itself, and the bits that tell them; what it never chooses
// (AES, RDRAND, AMX) is not here.
enum {
    AVX2,
    BMI,
    AVX512,
    AVX512_VNNI,
    AVX512_BF16,
    AVX_VNNI,
    AVX512_IFMA,
    AVX512_VBMI,
    AVX512_VBMI2,
    AVX512_BITALG,
    AVX512_VPOPCNTDQ,
    AVX512_FP16,
    GFNI,
    AVX_IFMA,
    AVX_NE_CONVERT,
    AVX_VNNI_INT8,
    AVX_VNNI_INT16,
    AVX10,
    APX,
    SSE4A,
    XOP,
    FMA4,
    TBM,
    N_SETS
};

static const struct instruction_set {
    const char *name;
    uint32_t bits[N_WORDS];
} SETS[N_SETS] = {
    [AVX2] = {"AVX2 (with FMA, F16C)",
              {[LEAF_1C] = 1u << 12 | 1u << 28 | 1u << 29, [LEAF_7B] = 1u << 5, [XCR0] = XCR0_YMM}},
    [BMI] = {"BMI (1, 2, LZCNT, MOVBE)",
             {[LEAF_1C] = 1u << 22, [LEAF_7B] = 1u << 3 | 1u << 8, [LEAF_EXTENDED_C] = 1u << 5}},
    [AVX512] = {"AVX-512 (F, BW, CD, DQ, VL)",
                {[LEAF_7B] = 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31, [XCR0] = XCR0_ZMM}},
    [AVX512_VNNI] = {"AVX512_VNNI", {[LEAF_7C] = 1u << 11, [XCR0] = XCR0_ZMM}},
    [AVX512_BF16] = {"AVX512_BF16", {[LEAF_7_1A] = 1u << 5, [XCR0] = XCR0_ZMM}},
    [AVX_VNNI] = {"AVX_VNNI", {[LEAF_7_1A] = 1u << 4, [XCR0] = XCR0_YMM}},
    [AVX512_IFMA] = {"AVX512_IFMA", {[LEAF_7B] = 1u << 21, [XCR0] = XCR0_ZMM}},
    [AVX512_VBMI] = {"AVX512_VBMI", {[LEAF_7C] = 1u << 1, [XCR0] = XCR0_ZMM}},
    [AVX512_VBMI2] = {"AVX512_VBMI2", {[LEAF_7C] = 1u << 6, [XCR0] = XCR0_ZMM}},
    [AVX512_BITALG] = {"AVX512_BITALG", {[LEAF_7C] = 1u << 12, [XCR0] = XCR0_ZMM}},
    [AVX512_VPOPCNTDQ] = {"AVX512_VPOPCNTDQ", {[LEAF_7C] = 1u << 14, [XCR0] = XCR0_ZMM}},
    [AVX512_FP16] = {"AVX512_FP16", {[LEAF_7D] = 1u << 23, [XCR0] = XCR0_ZMM}},
    [GFNI] = {"GFNI", {[LEAF_7C] = 1u << 8}},
    [AVX_IFMA] = {"AVX_IFMA", {[LEAF_7_1A] = 1u << 23, [XCR0] = XCR0_YMM}},
    [AVX_NE_CONVERT] = {"AVX_NE_CONVERT", {[LEAF_7_1D] = 1u << 5, [XCR0] = XCR0_YMM}},
    [AVX_VNNI_INT8] = {"AVX_VNNI_INT8", {[LEAF_7_1D] = 1u << 4, [XCR0] = XCR0_YMM}},
    [AVX_VNNI_INT16] = {"AVX_VNNI_INT16", {[LEAF_7_1D] = 1u << 10, [XCR0] = XCR0_YMM}},
    [AVX10] = {"AVX10", {[LEAF_7_1D] = 1u << 19, [XCR0] = XCR0_ZMM}},
    [APX] = {"APX", {[LEAF_7_1D] = 1u << 21, [XCR0] = 1u << 19}},
    [SSE4A] = {"SSE4A", {[LEAF_EXTENDED_C] = 1u << 6}},
    [XOP] = {"XOP", {[LEAF_EXTENDED_C] = 1u << 11, [XCR0] = XCR0_YMM}},
    [FMA4] = {"FMA4", {[LEAF_EXTENDED_C] = 1u << 16, [XCR0] = XCR0_YMM}},
    [TBM] = {"TBM", {[LEAF_EXTENDED_C] = 1u << 21}},
};

#define SET(name) ((uint64_t)1 << (name))
#define V3 (SET(AVX2) | SET(BMI))
#define ICELAKE                                                                                                        \
    (V3 | SET(AVX512) | SET(AVX512_VNNI) | SET(AVX512_IFMA) | SET(AVX512_VBMI) | SET(AVX512_VBMI2) |                   \
     SET(AVX512_BITALG) | SET(AVX512_VPOPCNTDQ) | SET(GFNI))

// CPU types by their LLVM names, and what LLVM takes each to have (llvm/lib/Target/X86/X86.td).
static const struct cpu_type {
    const char *name;
    uint64_t sets;
} TYPES[] = {
    {"x86-64-v3", V3},
    {"haswell", V3},
    {"skylake", V3},
    {"alderlake", V3 | SET(AVX_VNNI) | SET(GFNI)},
    {"x86-64-v4", V3 | SET(AVX512)},
    {"skylake-avx512", V3 | SET(AVX512)},
    {"cascadelake", V3 | SET(AVX512) | SET(AVX512_VNNI)},
    {"cooperlake", V3 | SET(AVX512) | SET(AVX512_VNNI) | SET(AVX512_BF16)},
    {"icelake-client", ICELAKE},
    {"icelake-server", ICELAKE},
    {"sapphirerapids", ICELAKE | SET(AVX512_BF16) | SET(AVX512_FP16) | SET(AVX_VNNI)},
    {"znver1", V3 | SET(SSE4A)},
    {"znver2", V3 | SET(SSE4A)},
    {"znver3", V3 | SET(SSE4A)},
    {"znver4", ICELAKE | SET(AVX512_BF16) | SET(SSE4A)},
    {"znver5", ICELAKE | SET(AVX512_BF16) | SET(AVX_VNNI) | SET(SSE4A)},
};
enum { N_TYPES = sizeof TYPES / sizeof *TYPES };

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
    id.words[LEAF_1C] = c;
    if (bit(c, 27)) id.words[XCR0] = read_xcr0(); // OSXSAVE: xgetbv may be used
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        id.words[LEAF_7B] = b, id.words[LEAF_7C] = c, id.words[LEAF_7D] = d;
        if (a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d)) id.words[LEAF_7_1A] = a, id.words[LEAF_7_1D] = d;
    }
    if (__get_cpuid(0x80000001, &a, &b, &c, &d)) id.words[LEAF_EXTENDED_C] = c;
    return id;
}

static uint64_t find_sets(const cpu_id *id)
{
    uint64_t sets = 0;
    for (int s = 0; s < N_SETS; s++) {
        bool all = true;
        for (int w = 0; w < N_WORDS; w++) all &= (id->words[w] & SETS[s].bits[w]) == SETS[s].bits[w];
        if (all) sets |= SET(s);
    }
    return sets;
}

void cpu_print_sets(uint64_t sets, buffer *out)
{
    const char *separator = "";
    for (int s = 0; s < N_SETS; s++) {
        if (!(sets & SET(s))) continue;
        buffer_printf(out, "%s%s", separator, SETS[s].name);
        separator = ", ";
    }
    if (sets >> N_SETS) buffer_printf(out, "%ssets that are not known here", separator);
}

static void set_features(const char *name, uint64_t sets, cpu_features *cpu)
{
    *cpu = (cpu_features){.sets = sets};
    cpu->avx2 = sets & SET(AVX2);
    cpu->avx512 = cpu->avx2 && sets & SET(AVX512);
    cpu->avx512_vnni = cpu->avx512 && sets & SET(AVX512_VNNI);
    cpu->avx512_bf16 = cpu->avx512 && sets & SET(AVX512_BF16);
    cpu->avx_vnni = cpu->avx2 && sets & SET(AVX_VNNI);
    snprintf(cpu->name, sizeof cpu->name, "%s", name);
}

// "AuthenticAMD-25.1.1-8f3c01aa": the hash is over the CPUID words, since a virtual machine may hide features from a
// CPU of the same model. Code for a named type is the same wherever it is made.
static void make_key(const cpu_id *id, cpu_features *cpu)
{
    uint32_t hash = (uint32_t)XXH3_64bits(id->words, sizeof id->words);
    snprintf(cpu->key, sizeof cpu->key, "%s-%u.%u.%u-%08x", id->vendor, id->family, id->model, id->stepping, hash);
}

static const struct cpu_type *find_type(const char *name)
{
    for (int i = 0; i < N_TYPES; i++)
        if (!strcmp(name, TYPES[i].name)) return &TYPES[i];
    return NULL;
}

static wf_status refuse_name(const char *where, const char *name, wf_status status, wf_error *err)
{
    buffer names = {0};
    for (int i = 0; i < N_TYPES; i++) buffer_printf(&names, "%s, ", TYPES[i].name);
    error_set(err, status, "%sunknown CPU \"%.40s\" (%snative)", where, name, buffer_view(&names).data);
    buffer_free(&names);
    return status;
}

static void set_type(const struct cpu_type *type, cpu_features *cpu)
{
    set_features(type->name, type->sets, cpu);
    snprintf(cpu->key, sizeof cpu->key, "%s-%llx", type->name, (unsigned long long)type->sets);
}

static wf_status force_less(const char *name, uint64_t has, cpu_features *cpu, wf_error *err)
{
    const struct cpu_type *type = find_type(name);
    if (!type) return refuse_name("WELFORD_CPU: ", name, WF_ERROR_UNSUPPORTED, err);
    set_type(type, cpu);
    if (!(cpu->sets & ~has)) return WF_OK;
    buffer missing = {0};
    cpu_print_sets(cpu->sets & ~has, &missing);
    error_set(err, WF_ERROR_UNSUPPORTED, "WELFORD_CPU=%s: this CPU lacks %s", name, buffer_view(&missing).data);
    buffer_free(&missing);
    return WF_ERROR_UNSUPPORTED;
}

wf_status cpu_detect(cpu_features *cpu, wf_error *err)
{
    cpu_id id = read_cpu_id();
    set_features("native", find_sets(&id), cpu);
    if (!cpu->avx2)
        return error_set(err, WF_ERROR_UNSUPPORTED, "this CPU (%s family %u model %u) lacks AVX2, FMA or F16C",
                         id.vendor, id.family, id.model);
    const char *name = getenv("WELFORD_CPU");
    if (name && *name && strcmp(name, "native")) return force_less(name, cpu->sets, cpu, err);
    make_key(&id, cpu);
    return WF_OK;
}

wf_status cpu_named(const char *name, cpu_features *cpu, wf_error *err)
{
    const struct cpu_type *type = find_type(name);
    if (!strcmp(name, "native")) return cpu_detect(cpu, err);
    if (!type) return refuse_name("", name, WF_ERROR_USAGE, err);
    set_type(type, cpu);
    return WF_OK;
}
