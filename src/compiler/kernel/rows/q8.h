// Activations as 8-bit integers, the form in which quantised linear kernels read them.
//
// A row of n features (n a multiple of 32) is
//
//     i8  q[n]         quants, -127..127
//     f32 d[n/32]      scale of each block of 32: max|x| / 127
//     f32 s[n/32]      d * (sum of the block's quants), for weights with a minimum
//     i32 z[n/32]      where integer products of the 32 quants begin, and
//     i32 t[n/16]      those of each 16, for weights with a scale for each 16
//
// padded to a multiple of 64 bytes. x is about d * q, rounded to nearest even.
//
// Integer products take one operand as unsigned: weights with an offset, whose product with the sum of x is subtracted
// again, before the first product is added. For vpdpbusd the offset is 128: z and t are -128 times the sum. Without it
// only t is used, by weights with an offset of 32, in two i16: -32 times the sum of the quants that vpmaddubsw adds up
// in the lower i16 of each i32 (4k and 4k + 1), and the same for the upper (4k + 2, 4k + 3); z is not written.
#ifndef WELFORD_COMPILER_KERNEL_ROWS_Q8_H
#define WELFORD_COMPILER_KERNEL_ROWS_Q8_H

#include "compiler/kernel/builder.h"

enum { Q8_BLOCK = 32 };

static inline int64_t q8_row_bytes(int64_t n) { return (n + n / 2 + n / 8 + 63) / 64 * 64; }
static inline int64_t q8_scale_offset(int64_t n) { return n; }                // of d[0] in a row
static inline int64_t q8_sum_offset(int64_t n) { return n + n / 8; }          // of s[0] in a row
static inline int64_t q8_start_offset(int64_t n) { return n + n / 4; }        // of z[0] in a row
static inline int64_t q8_half_offset(int64_t n) { return n + n / 4 + n / 8; } // of t[0] in a row

// Quantises 32 values as above, x as 32 / lanes f32 vectors: q gets as many vectors of i32. Returns d.
value q8_quantize(builder *b, const value *x, value *q);

// Stores block `block` (i64) of a row at address `row`: x holds its 32 values as 32 / lanes f32 vectors, in order.
void q8_store_block(builder *b, const value *x, value row, value block, int64_t n);

#endif
