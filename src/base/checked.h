// Arithmetic on sizes that come from files: false on overflow, the result only when it fits.
#ifndef WELFORD_BASE_CHECKED_H
#define WELFORD_BASE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool checked_add(size_t a, size_t b, size_t *sum) { return !__builtin_add_overflow(a, b, sum); }
static inline bool checked_mul(size_t a, size_t b, size_t *product) { return !__builtin_mul_overflow(a, b, product); }

// Rounds up to a multiple of `alignment`, a power of two.
static inline bool checked_align(size_t a, size_t alignment, size_t *aligned)
{
    size_t sum;
    if (!checked_add(a, alignment - 1, &sum)) return false;
    *aligned = sum & ~(alignment - 1);
    return true;
}

#endif
