// What tests and benchmarks of kernels share: reproducible random numbers, aligned memory, a clock.
#ifndef WELFORD_COMPILER_KERNEL_TESTING_H
#define WELFORD_COMPILER_KERNEL_TESTING_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

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

#endif
