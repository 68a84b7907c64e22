// What the tests of norm kernels and the table of their errors share: arrays of any type, hard and degenerate data, and
// norms in float64.
#ifndef WELFORD_COMPILER_KERNEL_NORM_NORM_DATA_H
#define WELFORD_COMPILER_KERNEL_NORM_NORM_DATA_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "compiler/kernel/norm/norm.h"
#include "compiler/kernel/testing.h"

typedef struct norm {
    norm_kernel k;
    bool layer;
} norm;

// ---- arrays of any of the types

static inline size_t type_bytes(tensor_type t) { return t == TENSOR_F32 ? 4 : 2; }

static inline float round_to(tensor_type t, double x)
{
    // double to float to 16 bits rounds twice: to odd first, so that the second rounding sees what was cut off
    float f = (float)x;
    if (t == TENSOR_F32) return f;
    if ((double)f != x && isfinite(f)) {
        uint32_t bits = float_bits(f);
        if (fabs((double)f) > fabs(x)) bits--;
        f = float_of_bits(bits | 1);
    }
    return t == TENSOR_F16 ? half_to_float(half_from_float(f)) : bfloat_to_float(bfloat_from_float(f));
}

static inline void set(tensor_type t, void *array, int64_t i, double x)
{
    float f = round_to(t, x);
    uint16_t h = t == TENSOR_F16 ? half_from_float(f) : bfloat_from_float(f);
    if (t == TENSOR_F32)
        memcpy((char *)array + 4 * i, &f, 4);
    else
        memcpy((char *)array + 2 * i, &h, 2);
}

static inline float get(tensor_type t, const void *array, int64_t i)
{
    float f;
    uint16_t h;
    memcpy(&f, (const char *)array + (size_t)i * type_bytes(t), t == TENSOR_F32 ? 4 : 2);
    memcpy(&h, (const char *)array + (size_t)i * type_bytes(t), 2);
    return t == TENSOR_F32 ? f : t == TENSOR_F16 ? half_to_float(h) : bfloat_to_float(h);
}

// ---- data

typedef enum data_kind {
    NORMAL,
    LARGE_MEAN,
    OUTLIER,
    CONSTANT,
    ZERO,
    DENORMAL,
    HUGE,
    ALMOST_MAX,
    RAMP,
    DROWNED, // its deviation is less than the root of most eps
    N_KINDS
} data_kind;
static const char *const KINDS[] = {"N(0, 1)",  "mean 1e4", "outlier 1e4", "constant", "zero",
                                    "denormal", "1e30",     "3e38",        "ramp",     "drowned"};

static inline double sample(data_kind kind, tensor_type t, int64_t row, int64_t col, int64_t cols, rng *random)
{
    double z = (double)random_normal(random);
    switch (kind) {
    case LARGE_MEAN: return 1e4 + z;
    case OUTLIER: return col == row % cols ? 1e4 : z;
    case CONSTANT: return 1.1 + 1000.3 * (double)row;
    case ZERO: return 0;
    case DENORMAL: return z * (t == TENSOR_F16 ? 1e-6 : 1e-40);
    case HUGE: return z * (t == TENSOR_F16 ? 1e4 : 1e30);
    case ALMOST_MAX: return (col % 3 ? 1 : -0.5) * (t == TENSOR_F16 ? 65000 : 3.3e38);
    case RAMP: return (double)col - 0.25 * (double)cols;
    case DROWNED: return 0.008 + 2e-5 * z;
    default: return z;
    }
}

// ---- reference

// The float64 normalisation of a row, before gamma. The mean is summed in more: constant rows show its last bits.
static inline void normalise_row(const norm *n, const double *x, double *y)
{
    long double sum = 0;
    double square = 0, cols = (double)n->k.cols;
    for (int64_t i = 0; i < n->k.cols && n->layer; i++) sum += x[i];
    double mean = (double)(sum / n->k.cols);
    for (int64_t i = 0; i < n->k.cols; i++) square += (x[i] - mean) * (x[i] - mean);
    for (int64_t i = 0; i < n->k.cols; i++) y[i] = (x[i] - mean) / sqrt(square / cols + n->k.eps);
}

// Without eps, or nearly so, a layer_norm of a constant row, and an rms_norm of zeros, is 0/0.
static inline bool is_defined(const norm *n, data_kind kind)
{
    if (n->k.eps > 1e-30) return true;
    return n->layer ? n->k.cols > 2 && kind != CONSTANT && kind != ZERO : kind != ZERO;
}

#endif
