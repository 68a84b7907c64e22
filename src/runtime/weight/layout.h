// How weights lie in a pack: the form that kernels stream.
//
// A matrix [rows, cols] (rows = output features, cols = input features, as the checkpoint stores it) is cut into panels
// of 16 rows; the last panel is padded with zero rows. One panel is one contiguous stream over the columns, so a thread
// that owns a range of panels reads one stream, at decode and at prefill alike. The layout is the same for every CPU:
// AVX-512 kernels take a line of 16 rows as one vector, AVX2 kernels as two.
//
// clang-format off
//   F32_X16   [panel][col][16]              f32
//   F16_X16   [panel][col][16]              f16
//   BF16_X16  [panel][col/2][16][2]         bf16, pairs of columns as VNNI instructions read them; odd cols: zero padded
//   Q8_0_X16  [panel][col/32]  { f16 d[16]; i8 q[8][16][4]; }                               544 bytes
//   Q4_0_X16  [panel][col/32]  { f16 d[16]; u8 q[4][16][4]; }                               288
//   Q4_1_X16  [panel][col/32]  { f16 d[16]; f16 m[16]; u8 q[4][16][4]; }                    320
//   Q5_0_X16  [panel][col/32]  { f16 d[16]; u8 q[4][16][4]; u8 h[1][16][4]; }               352
//   Q5_1_X16  [panel][col/32]  { f16 d[16]; f16 m[16]; u8 q[4][16][4]; u8 h[1][16][4]; }    384
//   Q4_K_X16  [panel][col/256] { f16 d[16]; f16 m[16];                                     2368
//                                { u8 a[16]; u8 b[16]; u8 q[4][16][4]; } [8] }
//   Q5_K_X16  [panel][col/256] { f16 d[16]; f16 m[16];                                     2880
//                                { u8 a[16]; u8 b[16]; u8 q[4][16][4]; u8 h[1][16][4]; } [8] }
//   Q6_K_X16  [panel][col/256] { f16 d[16];                                                3360
//                                { i8 a[2][16]; u8 q[4][16][4]; u8 h[2][16][4]; } [8] }
// clang-format on
//
// A quantised block holds 32 columns. For Q8_0, q[g][row][j] is column 4g + j of that row; for the others its low
// nibble is column 4g + j (g = 0..3) and its high nibble column 16 + 4g + j. The bits above the fourth lie in h: one
// bit a column, bit g of h[0][row][j] for column 4g + j (g = 0..7), or two bits, bits 2g and 2g + 1 of h[g/4][row][j].
// The value is
//
//   Q8_0  d q      Q4_0  d (q - 8)      Q5_0  d (q - 16)      Q4_1 Q5_1  d q + m
//   Q4_K Q5_K  d a q + m b      Q6_K  d a[col/16] (q - 32)
//
// The numbers are the file's own: none is rounded again. What changes is that the K types' scales of 6 bits become
// bytes (4.625 bits a weight instead of 4.5), and that m has the sign which the formula wants.
// Formats: https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h (block_q8_0, ...).
//
//   VECTOR_F32  [cols]  f32: norm weights and biases, converted from F32, F16 or BF16
//   PLAIN       [cols]  bytes: any tensor as it is stored, which a graph reads otherwise than as the matrix of a linear
#ifndef WELFORD_RUNTIME_WEIGHT_LAYOUT_H
#define WELFORD_RUNTIME_WEIGHT_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PANEL_ROWS = 16, QUANT_BLOCK = 32, QUANT_LINE = 64 }; // a line: 4 bytes of each row

typedef enum weight_layout {
    LAYOUT_PLAIN,
    LAYOUT_VECTOR_F32,
    LAYOUT_F32_X16,
    LAYOUT_F16_X16,
    LAYOUT_BF16_X16,
    LAYOUT_Q8_0_X16,
    LAYOUT_Q4_0_X16,
    LAYOUT_Q4_1_X16,
    LAYOUT_Q5_0_X16,
    LAYOUT_Q5_1_X16,
    LAYOUT_Q4_K_X16,
    LAYOUT_Q5_K_X16,
    LAYOUT_Q6_K_X16,
    LAYOUT_COUNT
} weight_layout;

// "f32x16", "q4_1x16", ... ; NULL for a value out of range.
const char *layout_name(weight_layout layout);

// Bytes of one panel of `cols` columns (of the whole for VECTOR_F32 and PLAIN); false on overflow or when cols is no
// multiple of the layout's block.
bool layout_panel_bytes(weight_layout layout, int64_t cols, size_t *bytes);

// What a quantised layout's blocks hold, as drawn above. All that reads or writes blocks goes by this table.
typedef struct quant_format {
    int blocks;    // of 32 columns in a step: 1, or 8 with a common d and m
    int scales;    // integer factors a block and row: none, 1 (a, and b where there is m), 2 (a for each 16 columns)
    int low_bits;  // a column has in q: 4, or 8 for a signed byte
    int high_bits; // a column has in h: 0, 1 or 2
    int zero;      // subtracted from q
    bool min;      // there is m
} quant_format;

// NULL for layouts of floats.
const quant_format *layout_quant(weight_layout layout);

// Byte offsets in a step and in its blocks.
static inline int64_t quant_header_bytes(const quant_format *f) { return PANEL_ROWS * 2 * (f->min ? 2 : 1); }
static inline int64_t quant_low_offset(const quant_format *f) { return f->scales ? 2 * PANEL_ROWS : 0; }
static inline int64_t quant_high_offset(const quant_format *f)
{
    return quant_low_offset(f) + f->low_bits * QUANT_LINE;
}
static inline int64_t quant_block_bytes(const quant_format *f)
{
    return quant_high_offset(f) + f->high_bits * QUANT_LINE;
}
static inline int64_t quant_step_bytes(const quant_format *f)
{
    return quant_header_bytes(f) + f->blocks * quant_block_bytes(f);
}

#endif
