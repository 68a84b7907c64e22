// RMSNorm and LayerNorm of rows.
//
//   rms_norm    y = x / sqrt(mean(x^2) + eps) * gamma             https://arxiv.org/abs/1910.07467
//   layer_norm  y = (x - mean(x)) / sqrt(var(x) + eps) * gamma    https://arxiv.org/abs/1607.06450
//
//   x, residual, h [n_rows, cols]   f32, f16, bf16 or f64, all three the same
//   y              [n_rows, cols]   f32, f16, bf16 or q8 rows (kernel/rows/q8.h); its element type is independent of x's
//   gamma, beta    [cols]           f32, f16 or bf16
//
// All arithmetic is f32 (with f64, which all arrays must be then, f64), statistics are finished in f64; y is rounded
// once. One tile is one row, or a part of one. y may be x, and h may be x or residual, where their element types agree.
//
// Inf and NaN go through as in the formulas above, and so as in PyTorch: a row with a NaN gives NaN throughout;
// rms_norm of a row with an inf gives NaN there and zeros elsewhere, layer_norm gives NaN throughout. Finite rows give
// finite results, also where their squares overflow or underflow f32, which plain f32 arithmetic turns into zeros or
// NaN.
#ifndef WELFORD_COMPILER_KERNEL_NORM_NORM_H
#define WELFORD_COMPILER_KERNEL_NORM_NORM_H

#include "compiler/kernel/kernels.h"
#include "format/tensor_type.h"

// How layer_norm finds mean and variance; rms_norm reads a row once either way. docs/norms.md has the measurements.
typedef enum norm_strategy {
    NORM_BY_SIZE = 0, // two-pass for rows that fit in the second-level cache, else online
    NORM_TWO_PASS,    // mean, then the sums of x - mean and its square, which also correct the mean (norm_two_pass.c)
    NORM_ONLINE,      // Welford's update in vector lanes, merged by Chan's formula (norm_online.c)
} norm_strategy;

// Few and long rows are cut into parts of columns, so that threads can share them: one kernel finds the moments of
// every part of every row, the next one merges those of a row, and writes its parts. The cut depends on `cols` alone,
// and so results do not depend on the number of threads.
typedef enum norm_stage {
    NORM_ROWS = 0, // one tile is a row, done at once
    NORM_READ_PARTS,
    NORM_WRITE_PARTS,
} norm_stage;

typedef struct norm_kernel {
    int64_t cols; // 1 .. 2^24
    double eps;   // added to the mean square or variance, inside the root
    bool gamma;
    bool out_q8;              // y is q8 rows; cols must be a multiple of 32
    bool plus_one;            // multiplies by 1 + gamma
    bool beta;                // added last
    bool residual;            // norm of h = x + residual, rounded to their type; h is written as well
    bool round_before_gamma;  // rounds to x's type between the normalisation and gamma, as Llama in bf16 does
    tensor_type x, y, weight; // F32 (which is 0), F16 or BF16, or all F64; weight: of gamma and beta
    norm_strategy strategy;
    norm_stage stage; // of parts: not with out_q8
} norm_kernel;

// Operands: 0 x, 1 y, then those asked for, in this order: gamma, beta, residual, h. No sizes.
// NORM_READ_PARTS:  x, moments, then residual, h. NORM_WRITE_PARTS (of h, without `residual`): x, y, moments, gamma,
// beta. Tile t is part t % n of row t / n, where n is norm_part_count(cols). moments [n_rows, n, 2] f64.
enum { NORM_MOMENTS_BYTES = 16 }; // of one part
int64_t norm_part_count(int64_t cols);

extern const kernel_kind RMS_NORM_KERNEL, LAYER_NORM_KERNEL;

#endif
