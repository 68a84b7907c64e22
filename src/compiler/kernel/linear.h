// y = x W^T (+ bias) (+ residual), or silu(x W0^T) * (x W1^T): the matrix products of a transformer.
//
//   x  [n_rows, cols]  f32, or q8 rows (kernel/q8.h) where the weights are quantised
//   W  panels of 16 output features (runtime/layout.h)
//   y  [n_rows, stride] f32, or q8 rows
//
// One tile is one panel (swiglu: a gate panel and its up panel; with q8 output two such pairs) times all rows: a thread
// reads its panels as one stream. Rows are taken in blocks that fit into the second-level cache, columns in chunks of
// which panel and rows fit into the first-level cache together, and within them register tiles of 6, 4, 2 and 1 rows
// times 16 features (12, 4, 2, 1 in 512 bits; 4, 2, 1 of Q8_0 on AVX2). Sums lie on the stack until a block of rows is
// done, so that what follows (bias, residual, activation, quantising) is compiled once, for one row.
//
// Cost a tile and row: 2 * 16 * cols operations, one panel of bytes for all rows together. Measured on one thread of a
// Zen 3 (AVX2, 3.2 GHz), 1536 columns; peaks: f32 FMA 104 GFLOP/s, vpmaddubsw 415 GOP/s (linear_bench):
//
//                512 rows, GOP/s     1 row, part of the read bandwidth
//   F32            100   (96 %)         98 %
//   F16  BF16      101   (97 %)         84 to 90 %
//   Q8_0           127   (31 %)         81 to 90 %
//   Q4_0 Q4_1      205   (49 %)         83 to 92 %
//   Q4_K           192   (46 %)         92 to 97 %
//   Q5_0 Q5_1 Q5_K 160   (39 %)         82 to 95 %
//   Q6_K           148   (36 %)         83 % and more
//
// The machine was shared. The first column is the best of several runs: others of the 4 to 6 bit types were up to a
// third lower, most often those of the K types and of Q5_0. The second is the range over two sizes.
//
// What bounds the integer kernels: each vpmaddubsw is followed by an addition, and a loop of nothing but these two
// (with their broadcasts) reaches 81 % of the peak on this CPU. A block of 32 columns and 12 sums takes 96 such pairs,
// and then 12 times widening, converting, scaling and adding. Q8_0 has vpsignb and vpmaddwd in each group besides: its
// inner loop alone reaches 40 %.
// Against a peak of one vpmaddubsw and one vpmaddwd a step, half as high, the same figures are 98 % for Q4_0 and 61 %
// for Q8_0.
//
// 4 rows of Q4_0, 1536 columns, reached 155 to 165 GOP/s, 74 to 78 % of the read bandwidth of the same run; as two
// tiles of 2 rows 103 to 105 GOP/s and 52 to 53 %.
//
// Where the CPU has vdpbf16ps, calls of 8 rows and more round x to bf16 for BF16 weights (linear_float.c): an NMSE of
// about 1e-6, at most 1e-5. All other float products differ from exact ones by f32 rounding alone. What llvm-mca 22
// expects of the inner loops in 512 bits on a Zen 4, which has one such unit: 48 vdpbf16ps in 48.4 cycles (99 %), 96
// vpdpbusd in 113 cycles (Q4_0, Q8_0: 85 %); no register is spilled in them.
#ifndef WELFORD_COMPILER_KERNEL_LINEAR_H
#define WELFORD_COMPILER_KERNEL_LINEAR_H

#include "compiler/kernel/builder.h"
#include "runtime/layout.h"

typedef struct linear_kernel {
    weight_layout layout; // one of the panel layouts
    int64_t cols;
    int64_t tail; // output features of the last panel, 1..15, or 0 when all panels are full
    bool bias, residual;
    bool gelu;           // with swiglu: gelu (its tanh form) in place of silu
    bool swiglu;         // panels alternate gate, up; excludes bias, residual and tail
    int64_t q8_features; // with swiglu only: y is q8 rows of that many features; 0: f32
} linear_kernel;

// Operands: 0 x, 1 W, 2 y, then bias [outputs] f32 and residual [n_rows, stride] f32 where asked for.
// Sizes: 0 n_rows, 1 stride of y and residual in floats, 2 number of tiles.
void linear_name(const linear_kernel *k, char name[96]);
void linear_build(builder *b, const linear_kernel *k, const char *name);

bool linear_takes_q8(weight_layout layout);
// Output features of one tile.
int64_t linear_tile_features(const linear_kernel *k);

#endif
