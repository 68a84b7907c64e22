// y = x W^T (+ bias) (+ residual), or silu(x W0^T) * (x W1^T): the matrix products of a transformer.
//
//   x  [n_rows, cols]  f32, or q8 rows (kernel/rows/q8.h) where the weights are quantised and x is not `wide`
//   W  panels of 16 output features (runtime/weight/layout.h)
//   y  [n_rows, stride] f32, or q8 rows
//
// One tile is one panel (swiglu: a gate panel and its up panel; with q8 output two such pairs) times all rows: a thread
// reads its panels as one stream. Rows are taken in blocks that fit into the second-level cache, columns in chunks of
// which panel and rows fit into the first-level cache together, and within them register tiles of 6, 4, 2 and 1 rows
// times 16 features (12, 4, 2, 1 in 512 bits; 4, 2, 1 of Q8_0 on AVX2; of floats also 5 and 3, and in 512 bits 6). Sums
// lie on the stack until a block of rows is done, so that what follows (bias, residual, activation, quantising) is
// compiled once, for one row.
//
// Every output is summed in one order, whatever the number of rows and of threads:
//
//   quants   block by block of 32 columns, each added to the sum of those before
//   floats   chunk by chunk of 256 columns, each summed from zero on column by column (pair by pair with vdpbf16ps) and
//            then added to the sum of those before; then the last columns, fewer than 16, one by one
//
// One to three rows have too few sums in flight for the latency of a multiply-add: they take two chunks of floats side
// by side, which changes no sum and reads two streams.
//
// Rows of floats that are a multiple of 4 KiB apart are copied to others that are not, a block at a time, where 12 of them
// make a tile: they would share the 8 ways of their sets (GPT-2's product of 3072 columns: 89 to 109 GFLOP/s of 117).
//
// Cost a tile and row: 2 * 16 * cols operations, one panel of bytes for all rows together, whose second tile finds it
// in the first-level cache. Measured on one thread of a shared Zen 3 (AVX2, 3.2 GHz), 1536 columns, by linear_bench;
// ceilings (kernel/ceiling.h): f32 multiply-adds 104 GFLOP/s, vpmaddubsw and vpmaddwd 207 GOP/s, a loop that reads
// 17 GB/s. The last column is what llvm-mca expects of the loop of 512 rows on this CPU (bench/mca.py).
//
//          512 rows, GOP/s  of the ceiling  8 rows, GOP/s  1 row, of the reading loop  by llvm-mca
//   F32         101              97 %            39                  98 %                101 %
//   F16         101              97 %            78                  81 %                100 %
//   BF16        100              97 %            80                  84 %                 93 %
//   Q8_0        126              61 %           116                  85 %                 70 %
//   Q4_0        212             102 %           190                  86 %                 97 %
//   Q4_1        197              95 %           175                  88 %                101 %
//   Q5_0        169              82 %           148                  86 %                 84 %
//   Q5_1        166              80 %           139                  86 %                 80 %
//   Q4_K        193              93 %           171                 120 %                 92 %
//   Q5_K        158              76 %           136                 120 %                 76 %
//   Q6_K        155              75 %           132                 118 %                 75 %
//
// The loop that reads has no prefetching; with it it was slower, and why the K types read faster is not known.
//
// What bounds Q8_0 on AVX2: vpsignb, vpmaddubsw and vpmaddwd share two of the four units, and whatever is exact takes
// four instructions for 32 products. With x widened to i16 once a call and vpmaddwd alone (two of these, two additions)
// it was 1 to 4 % faster, which its code was not worth.
//
// With 512 bits, on one thread of a shared Zen 4 (2.6 GHz), 1536 columns; ceilings: f32 multiply-adds 118 GFLOP/s,
// vdpbf16ps 236, vpdpbusd 472. Of the two that follow, the first is what llvm-mca (bench/mca.py, LLVM 22) estimates of that
// loop, the second the bound of 8 vpdpbusd and what shares their units a row and block; the last is llvm-mca's estimate for
// Sapphire Rapids:
//
//             512 rows, GOP/s  of the ceiling  by llvm-mca  bound  Sapphire Rapids
//   F32            117              99 %          100 %                 100 %
//   F16            116              98 %          100 %                  92 %
//   BF16           203              86 %          100 %                 100 %
//   Q8_0           366              77 %           76 %      80 %        72 %
//   Q4_0           366              77 %           74 %      80 %        70 %
//   Q4_1           331              70 %           71 %      73 %        64 %
//   Q5_0           354              75 %           71 %      80 %        65 %
//   Q5_1           326              69 %           70 %      73 %        61 %
//   Q4_K           330              70 %           71 %      73 %        63 %
//   Q5_K           321              68 %           69 %      73 %        60 %
//   Q6_K           317              67 %           61 %      73 %        55 %
//
// Where the CPU has vdpbf16ps, x is rounded to bf16 for BF16 weights (linear_float.c): an NMSE of
// about 3e-6, at most 1.5e-5. All other float products differ from exact ones by f32 rounding alone.
#ifndef WELFORD_COMPILER_KERNEL_LINEAR_LINEAR_H
#define WELFORD_COMPILER_KERNEL_LINEAR_LINEAR_H

#include "compiler/kernel/kernels.h"
#include "runtime/weight/layout.h"

typedef struct linear_kernel {
    weight_layout layout; // one of the panel layouts
    int64_t cols;
    int64_t tail; // output features of the last panel, 1..15, or 0 when all panels are full
    bool bias, residual;
    bool gelu;           // with swiglu: gelu (its tanh form) in place of silu
    bool swiglu;         // panels alternate gate, up; excludes bias, residual and tail
    int64_t q8_features; // with swiglu only: y is q8 rows of that many features; 0: f32
    bool wide;           // x is f32 though the weights are quantised, as Q8_0 or Q4_0 (linear_wide.c)
} linear_kernel;

// Operands: 0 x, 1 W, 2 y, then bias [outputs] f32 and residual [n_rows, stride] f32 where asked for.
// Sizes: 0 n_rows, 1 stride of y and residual in floats, 2 number of tiles.
extern const kernel_kind LINEAR_KERNEL;

// Output features of one tile.
int64_t linear_tile_features(const linear_kernel *k);

#endif
