// Measured values.
#ifndef WELFORD_BASE_SAMPLES_H
#define WELFORD_BASE_SAMPLES_H

#include <stdint.h>
#include <stdlib.h>

static inline int samples_compare(const void *x, const void *y)
{
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

static inline void samples_sort(double *samples, int64_t n)
{
    qsort(samples, (size_t)n, sizeof *samples, samples_compare);
}

// The value below which a part q of the n sorted samples lies, between its neighbours where it falls between two.
static inline double samples_quantile(const double *sorted, int64_t n, double q)
{
    double place = q * (double)(n - 1);
    int64_t below = (int64_t)place, above = below + 1 < n ? below + 1 : below;
    return sorted[below] + (place - (double)below) * (sorted[above] - sorted[below]);
}

#endif
