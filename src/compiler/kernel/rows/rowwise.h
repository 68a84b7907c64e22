// Small kernels that work row by row: what is left between the matrix products when it is not fused into them.
//
// One tile is one row of `cols` f32 values.
#ifndef WELFORD_COMPILER_KERNEL_ROWS_ROWWISE_H
#define WELFORD_COMPILER_KERNEL_ROWS_ROWWISE_H

#include "compiler/kernel/kernels.h"

typedef enum rowwise_op {
    ROWWISE_ADD,      // x + y
    ROWWISE_SWIGLU,   // silu(x) * y
    ROWWISE_GEGLU,    // gelu(x) * y, in its tanh form
    ROWWISE_SOFTCAP,  // cap * tanh(x / cap); the output may be x
    ROWWISE_QUANTIZE, // x as q8
    ROWWISE_GATHER,   // x[which[row]]: selects rows
    ROWWISE_COUNT
} rowwise_op;

typedef struct rowwise_kernel {
    rowwise_op op;
    int64_t cols;
    bool out_q8; // the result is quantised (cols a multiple of 32); always for QUANTIZE, never for GATHER and SOFTCAP
    double cap;  // SOFTCAP
} rowwise_kernel;

// Operands: 0 x, 1 y or which [n_rows] i32 (QUANTIZE, SOFTCAP: none), then the output. No sizes.
extern const kernel_kind ROWWISE_KERNELS[ROWWISE_COUNT];

#endif
