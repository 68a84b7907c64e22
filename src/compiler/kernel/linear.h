// y = x W^T (+ bias) (+ residual), or silu(x W0^T) * (x W1^T): the matrix products of a transformer.
//
//   x  [n_rows, cols]  f32, or q8 rows (kernel/q8.h) where the weights are quantised
//   W  panels of 16 output features (runtime/layout.h)
//   y  [n_rows, stride] f32, or q8 rows
//
// One tile is one panel (swiglu: a gate panel and its up panel; with q8 output two such pairs) times all rows: a thread
// reads its panels as one stream, and for prefill a panel stays in the first-level cache while the activations pass by.
// Cost a tile and row: 2 * 16 * cols operations, one panel of bytes for all rows together.
#ifndef WELFORD_COMPILER_KERNEL_LINEAR_H
#define WELFORD_COMPILER_KERNEL_LINEAR_H

#include "compiler/kernel/builder.h"
#include "runtime/layout.h"

typedef struct linear_kernel {
    weight_layout layout; // one of the panel layouts
    int64_t cols;
    int64_t tail;         // output features of the last panel, 1..15, or 0 when all panels are full
    bool bias, residual;
    bool gelu;            // with swiglu: gelu (its tanh form) in place of silu
    bool swiglu;          // panels alternate gate, up; excludes bias, residual and tail
    int64_t q8_features;  // with swiglu only: y is q8 rows of that many features; 0: f32
} linear_kernel;

// Operands: 0 x, 1 W, 2 y, then bias [outputs] f32 and residual [n_rows, stride] f32 where asked for.
// Sizes: 0 n_rows, 1 stride of y and residual in floats, 2 number of tiles.
void linear_name(const linear_kernel *k, char name[96]);
void linear_build(builder *b, const linear_kernel *k, const char *name);

bool linear_takes_q8(weight_layout layout);
// Output features of one tile.
int64_t linear_tile_features(const linear_kernel *k);

#endif
