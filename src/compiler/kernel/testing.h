// What tests and benchmarks of kernels share: reproducible random numbers, aligned memory, a clock, and a kernel that
// runs at the peak of the arithmetic unit.
#ifndef WELFORD_COMPILER_KERNEL_TESTING_H
#define WELFORD_COMPILER_KERNEL_TESTING_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "compiler/kernel/builder.h"

// AVX2 code and the logic of AVX-512 code, on any CPU.
static const char *const TEST_CPUS[] = {"native", "haswell", "emulated-avx512"};
enum { N_TEST_CPUS = sizeof TEST_CPUS / sizeof *TEST_CPUS };

// Knuth's MMIX generator.
typedef struct rng {
    uint64_t state;
} rng;

static inline uint32_t random_bits(rng *r)
{
    r->state = r->state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(r->state >> 32);
}

// Mean 0, variance 1, within -6 to 6: the sum of twelve uniform numbers.
static inline float random_normal(rng *r)
{
    double sum = 0;
    for (int i = 0; i < 12; i++) sum += random_bits(r) / 4294967296.0;
    return (float)(sum - 6);
}

// Aligned to 64, with at least 64 bytes behind the end, all of value `byte`: 0xff and 0x7f make NaN where nothing is
// written.
static inline void *filled_memory(size_t bytes, int byte)
{
    bytes = (bytes + 127) / 64 * 64;
    void *p = aligned_alloc(64, bytes);
    if (!p) {
        fprintf(stderr, "no memory for %zu bytes\n", bytes);
        exit(1);
    }
    return memset(p, byte, bytes);
}

// ---- the peak: independent chains of the instruction that multiplies, in registers

typedef enum peak_kind { PEAK_FMA, PEAK_INT } peak_kind; // f32 FMA; vpdpbusd, or vpmaddubsw where there is none

enum { PEAK_CHAINS = 10, PEAK_ROUNDS = 40000 };

static inline int peak_lanes(const kernel_target *target, peak_kind kind)
{
    return kind == PEAK_INT && !target->vpdpbusd ? 8 : target->lanes;
}

// Operations of one tile, a multiplication and an addition as two.
static inline double peak_tile_ops(const kernel_target *target, peak_kind kind)
{
    return (kind == PEAK_INT ? 8.0 : 2.0) * (double)(peak_lanes(target, kind) * PEAK_CHAINS * PEAK_ROUNDS);
}

// Operand 0: 1 KiB of numbers.
static inline void peak_build(builder *b, peak_kind kind, const char *name)
{
    int n = peak_lanes(&b->target, kind);
    type v = vec(b, n, kind == PEAK_INT ? b->i32 : b->f32), bytes = vec(b, 4 * n, b->i8);
    kernel_begin(b, name);
    value y = operand(b, 0), x = load(b, y, (value){0}, 0, v), acc[PEAK_CHAINS];
    loop tiles, rounds;
    loop_begin(b, &tiles, b->begin, b->end, 1, 0, NULL);
    for (int i = 0; i < PEAK_CHAINS; i++) acc[i] = load(b, y, (value){0}, 64, v);
    loop_begin(b, &rounds, const_i(b, 0), const_i(b, PEAK_ROUNDS), 1, PEAK_CHAINS, acc);
    for (int i = 0; i < PEAK_CHAINS; i++) {
        if (kind == PEAK_FMA) {
            acc[i] = fma_(b, rounds.args[i], x, x);
        } else if (b->target.vpdpbusd) {
            acc[i] = dot_u8s8(b, rounds.args[i], bitcast(b, x, bytes), bitcast(b, x, bytes));
        } else {
            value operands[] = {bitcast(b, rounds.args[i], bytes), bitcast(b, x, bytes)};
            acc[i] = bitcast(b, intrinsic(b, "llvm.x86.avx2.pmadd.ub.sw", vec(b, 2 * n, b->i16), 2, operands), v);
        }
    }
    loop_end(b, &rounds, acc);
    for (int i = 0; i < PEAK_CHAINS; i++) store(b, rounds.results[i], y, (value){0}, 128 + 64 * i);
    loop_end(b, &tiles, NULL);
    kernel_end(b);
}

#endif
