// Token embedding: y[i] = scale * table[token[i]], read from the packed table, which may be the output head's too.
//
// One tile is one token. A row of a packed matrix lies scattered, 4 bytes (or one value) every 64 (or 16 values): that
// costs a cache line each, a few microseconds a token.
#ifndef WELFORD_COMPILER_KERNEL_ROWS_EMBED_H
#define WELFORD_COMPILER_KERNEL_ROWS_EMBED_H

#include "compiler/kernel/kernels.h"
#include "runtime/weight/layout.h"

typedef struct embed_kernel {
    weight_layout layout;
    int64_t cols;
    double scale; // 1 for most models; Gemma multiplies by sqrt(cols)
} embed_kernel;

// Operands: 0 tokens [n_tokens] i32, checked by the caller, 1 table, 2 y [n_tokens, cols] f32. No sizes.
extern const kernel_kind EMBED_KERNEL;

#endif
