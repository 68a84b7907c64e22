// What the files of the linear kernel share: linear.c walks tiles, rows and columns and finishes what was summed;
// linear_quant.c, linear_wide.c and linear_float.c are the inner loops.
#ifndef WELFORD_COMPILER_KERNEL_LINEAR_LINEAR_PARTS_H
#define WELFORD_COMPILER_KERNEL_LINEAR_LINEAR_PARTS_H

#include "compiler/kernel/linear/linear.h"
#include "runtime/weight/weight_type.h"

enum { MAX_VECTORS = 2, MAX_SUMS = 24 }; // of a panel, and of a register tile

typedef struct linear {
    builder *b;
    const linear_kernel *k;
    const weight_type *weights;
    const quant_format *quant; // of the weights; NULL for floats
    int nv;                    // vectors a panel: 1 or 2
    type vf;                   // a vector of f32
    bool rounded;              // x is bf16, rounded from f32 (linear_round_rows)
    int64_t x_bytes;           // of one row of x
    int64_t panel_bytes;
    value x, w, y, bias, residual, stride, n_tiles;
} linear;

// The layout in a kernel's name.
static inline const char *linear_layout_text(int layout) { return layout_name((weight_layout)layout); }

// The instructions in flight do not reach far enough ahead of themselves for the bandwidth of memory: 56 to 66 % of it for
// quantised weights of one row without prefetching. A core has few places for lines on their way to its first-level
// cache, and arithmetic waits when they are full: the second level takes lines from far ahead while 8 rows compute (on a
// Zen 4 8 rows of Q8_0 1.5 times as fast as with the first level, F16 1 row 1.2 times). Q4_K and Q5_K are the exception,
// one row 1.6 times slower so, and why is not known.
enum { PREFETCH_NEAR = 2048, PREFETCH_FAR = 8192 }; // bytes
static inline void linear_prefetch(linear *l, value weights, value offset, int64_t bytes)
{
    bool near = l->quant && l->quant->blocks > 1 && l->quant->min;
    for (int64_t at = 0; at < bytes; at += 64)
        prefetch(l->b, weights, offset, (near ? PREFETCH_NEAR : PREFETCH_FAR) + at, near ? 1 : 2);
}

// One step over the columns of a register tile of `rows` rows: sums[row * nv + v] becomes next[...].

// Block `block` (i64) of 32 columns.
void linear_quant_block(linear *l, int rows, value x_row, value block, value panel, const value *sums, value *next);

// The same of x in f32, for formats with one scale a block and no minimum.
void linear_wide_block(linear *l, int rows, value x_row, value block, value panel, const value *sums, value *next);

// `bytes` bytes of a group's quants (0..255, or signed where low_bits is 8) of a block: 4 for each feature, from the
// one on that lies `offset` (i64, or none) and `skip` bytes into a line. `up`: times 2^up, which has to fit.
value linear_load_group(builder *b, const quant_format *f, value block, value offset, int group, int bytes,
                        int64_t skip, int up);

// Rows of f32 as bf16, rounded to nearest even, with zeros at their ends. A row is an odd number of cache lines, so
// that the rows of a tile do not fall into the same sets.
static inline int64_t linear_rounded_bytes(int64_t cols) { return (cols + 31) / 32 * 64 | 64; }
void linear_round_rows(linear *l, value x, value n_rows, value rounded);

// Floats: columns column .. column + step - 1, in this order.
void linear_float_columns(linear *l, int rows, value x_row, value column, int step, value panel, const value *sums,
                          value *next);

#endif
