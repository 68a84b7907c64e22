// The simple layouts come from one move: a transpose of words, [16 rows][n] -> [n][16 rows]. A word is 4 bytes: one
// f32, two bf16, four or eight quants, two f16 (which are parted afterwards). The others are read block by block into
// single quants first, since their bits lie in another order. Blocks of the file:
//
// clang-format off
//     Q8_0   f16 d;           i8 q[32]                          34 bytes   w = d q
//     Q4_0   f16 d;           u8 q[16]                          18         w = d (q - 8)     value j in the low nibble of
//     Q4_1   f16 d; f16 m;    u8 q[16]                          20         w = d q + m       q[j], value 16 + j in its
//     Q5_0   f16 d;           u32 h; u8 q[16]                   22         w = d (q - 16)    high nibble; bit 4 of value
//     Q5_1   f16 d; f16 m;    u32 h; u8 q[16]                   24         w = d q + m       j in bit j of h
//     Q4_K   f16 d; f16 dmin; u8 s[12]; u8 q[128]              144         w = d a q - dmin b
//     Q5_K   f16 d; f16 dmin; u8 s[12]; u8 h[32]; u8 q[128]    176
//     Q6_K   u8 q[128]; u8 h[64]; i8 a[16]; f16 d              210         w = d a (q - 32)
// clang-format on
//
// K types have 256 values a block. Q4_K and Q5_K: value 64p + i in the low and 64p + 32 + i in the high nibble of
// q[32p + i], fifth bits in bits 2p and 2p + 1 of h[i]; a and b of eight times 32 values, six bits each, in s (see
// unpack_scales). Q6_K: value 128p + i and 128p + 64 + i in the nibbles of q[64p + i] (i < 64), their upper two bits in
// bits 2j, 2j + 1 of h[32p + i % 32], where j = 0..3 is which 32 values of the 128 they are; a for each 16 values.
//
// Source: https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h
#include "runtime/weight/pack_panel.h"

#include <string.h>

#include "runtime/weight/weight_type.h"

enum { WORD = 4, HALF_BYTES = 2, LINE = PANEL_ROWS * WORD };

// Inlined into one function a type, so that sizes which it knows become constants.
#define ALWAYS_INLINE static inline __attribute__((always_inline))

ALWAYS_INLINE void transpose_words(const unsigned char *in, size_t row_bytes, size_t n_words, unsigned char *out)
{
    for (size_t w = 0; w < n_words; w++)
        for (size_t r = 0; r < PANEL_ROWS; r++) memcpy(out + w * LINE + r * WORD, in + r * row_bytes + w * WORD, WORD);
}

ALWAYS_INLINE void copy_halves(const unsigned char *in, size_t row_bytes, unsigned char *out)
{
    for (size_t r = 0; r < PANEL_ROWS; r++) memcpy(out + r * HALF_BYTES, in + r * row_bytes, HALF_BYTES);
}

// n_scales numbers of f16 and n_words words of quants a block.
ALWAYS_INLINE void pack_blocks(const unsigned char *in, size_t row_bytes, int64_t cols, size_t n_scales, size_t n_words,
                               unsigned char *out)
{
    for (int64_t b = 0; b < cols / QUANT_BLOCK; b++) {
        for (size_t s = 0; s < n_scales; s++, out += PANEL_ROWS * HALF_BYTES, in += HALF_BYTES)
            copy_halves(in, row_bytes, out);
        transpose_words(in, row_bytes, n_words, out);
        in += n_words * WORD;
        out += n_words * LINE;
    }
}

void panel_pack_q8_0(const unsigned char *rows, size_t row_bytes, int64_t cols, unsigned char *out)
{
    pack_blocks(rows, row_bytes, cols, 1, 8, out);
}

void panel_pack_q4_0(const unsigned char *rows, size_t row_bytes, int64_t cols, unsigned char *out)
{
    pack_blocks(rows, row_bytes, cols, 1, 4, out);
}

void panel_pack_q4_1(const unsigned char *rows, size_t row_bytes, int64_t cols, unsigned char *out)
{
    pack_blocks(rows, row_bytes, cols, 2, 4, out);
}

void panel_pack_f32(const unsigned char *rows, size_t row_bytes, int64_t cols, unsigned char *out)
{
    transpose_words(rows, row_bytes, (size_t)cols, out);
}

// Pairs of columns are words; an odd last column leaves the upper halves of its words zero.
void panel_pack_bf16(const unsigned char *rows, size_t row_bytes, int64_t cols, unsigned char *out)
{
    size_t pairs = (size_t)cols / 2;
    transpose_words(rows, row_bytes, pairs, out);
    if (cols % 2 == 0) return;
    memset(out + pairs * LINE, 0, LINE);
    for (size_t r = 0; r < PANEL_ROWS; r++)
        memcpy(out + pairs * LINE + r * WORD, rows + r * row_bytes + pairs * WORD, HALF_BYTES);
}

// A pair of columns is a line of words, whose lower halves are the first column and whose upper halves the second.
void panel_pack_f16(const unsigned char *rows, size_t row_bytes, int64_t cols, unsigned char *out)
{
    uint32_t line[PANEL_ROWS];
    uint16_t columns[2][PANEL_ROWS];
    for (int64_t pair = 0; pair < cols / 2; pair++, rows += WORD, out += LINE) {
        for (size_t r = 0; r < PANEL_ROWS; r++) memcpy(&line[r], rows + r * row_bytes, WORD);
        for (size_t r = 0; r < PANEL_ROWS; r++) columns[0][r] = (uint16_t)line[r];
        for (size_t r = 0; r < PANEL_ROWS; r++) columns[1][r] = (uint16_t)(line[r] >> 16);
        memcpy(out, columns, LINE);
    }
    if (cols % 2) copy_halves(rows, row_bytes, out);
}

// ---- blocks whose bits lie in another order

enum { STEP_COLUMNS = 256, STEP_BLOCKS = 8 };

// One row's block, its quants apart.
typedef struct quants {
    unsigned char d[HALF_BYTES], m[HALF_BYTES];
    unsigned char scales[STEP_BLOCKS][2]; // a and b, or a of the first and of the last 16 values
    unsigned char q[STEP_COLUMNS];
} quants;

// Quants are taken apart and put together eight or four at a time, a byte each of a word (the CPU's, little endian).
static uint64_t load_8(const unsigned char *in)
{
    uint64_t x;
    memcpy(&x, in, sizeof x);
    return x;
}

static uint32_t load_4(const unsigned char *in)
{
    uint32_t x;
    memcpy(&x, in, sizeof x);
    return x;
}

static void store_8(unsigned char *out, uint64_t x) { memcpy(out, &x, sizeof x); }

static uint64_t all_8(unsigned byte) { return byte * UINT64_C(0x0101010101010101); }

// `mask` of every byte, which reaches from bit `from` on, moved to bit `to`.
ALWAYS_INLINE uint64_t move_bits(uint64_t x, unsigned mask, int from, int to)
{
    return (x >> from & all_8(mask)) << to;
}

// Bit i of a byte in bit 4 of byte i.
static uint64_t spread_bits(unsigned char bits)
{
    uint64_t apart = bits * all_8(1) & UINT64_C(0x8040201008040201); // one bit a byte, each in its own place
    return ((apart + all_8(0x7f)) | apart) >> 3 & all_8(16);         // a carry into bit 7, or bit 7 itself
}

ALWAYS_INLINE void read_q5(const unsigned char *in, bool min, quants *out)
{
    memcpy(out->d, in, HALF_BYTES);
    if (min) memcpy(out->m, in + HALF_BYTES, HALF_BYTES);
    const unsigned char *high = in + (min ? 2 : 1) * HALF_BYTES, *low = high + 4;
    for (int i = 0; i < 2; i++) {
        uint64_t pairs = load_8(low + 8 * i);
        store_8(out->q + 8 * i, move_bits(pairs, 15, 0, 0) | spread_bits(high[i]));
        store_8(out->q + 16 + 8 * i, move_bits(pairs, 15, 4, 0) | spread_bits(high[2 + i]));
    }
}

static void read_q5_0(const unsigned char *in, quants *out) { read_q5(in, false, out); }

static void read_q5_1(const unsigned char *in, quants *out) { read_q5(in, true, out); }

// Six bits each of a[8] and b[8]. The low six bits of s[0..3] and s[4..7] are a[0..3] and b[0..3]; the nibbles of
// s[8..11] are the low four bits of a[4..7] and b[4..7], and the top two bits of s[0..7] their upper two.
static void unpack_scales(const unsigned char s[12], unsigned char scales[STEP_BLOCKS][2])
{
    for (int i = 0; i < 4; i++) {
        scales[i][0] = s[i] & 63;
        scales[i][1] = s[4 + i] & 63;
        scales[4 + i][0] = (unsigned char)((s[8 + i] & 15) | s[i] >> 6 << 4);
        scales[4 + i][1] = (unsigned char)(s[8 + i] >> 4 | s[4 + i] >> 6 << 4);
    }
}

ALWAYS_INLINE void read_q45_k(const unsigned char *in, bool five, quants *out)
{
    memcpy(out->d, in, HALF_BYTES);
    memcpy(out->m, in + HALF_BYTES, HALF_BYTES);
    out->m[1] ^= 0x80; // the sign: the minimum is subtracted in the file
    unpack_scales(in + 4, out->scales);
    const unsigned char *high = in + 16, *low = five ? high + 32 : high;
    for (int p = 0; p < 4; p++)
        for (int i = 0; i < 32; i += 8) {
            uint64_t pairs = load_8(low + 32 * p + i), fifth = five ? load_8(high + i) : 0;
            unsigned char *q = out->q + 64 * p + i;
            store_8(q, move_bits(pairs, 15, 0, 0) | move_bits(fifth, 1, 2 * p, 4));
            store_8(q + 32, move_bits(pairs, 15, 4, 0) | move_bits(fifth, 1, 2 * p + 1, 4));
        }
}

static void read_q4_k(const unsigned char *in, quants *out) { read_q45_k(in, false, out); }

static void read_q5_k(const unsigned char *in, quants *out) { read_q45_k(in, true, out); }

static void read_q6_k(const unsigned char *in, quants *out)
{
    const unsigned char *scales = in + 192;
    memcpy(out->scales, scales, sizeof out->scales);
    memcpy(out->d, scales + sizeof out->scales, HALF_BYTES);
    for (int p = 0; p < 2; p++) {
        const unsigned char *low = in + 64 * p, *high = in + 128 + 32 * p;
        unsigned char *q = out->q + 128 * p;
        for (int i = 0; i < 32; i += 8) {
            uint64_t first = load_8(low + i), second = load_8(low + 32 + i), upper = load_8(high + i);
            store_8(q + i, move_bits(first, 15, 0, 0) | move_bits(upper, 3, 0, 4));
            store_8(q + 32 + i, move_bits(second, 15, 0, 0) | move_bits(upper, 3, 2, 4));
            store_8(q + 64 + i, move_bits(first, 15, 4, 0) | move_bits(upper, 3, 4, 4));
            store_8(q + 96 + i, move_bits(second, 15, 4, 0) | move_bits(upper, 3, 6, 4));
        }
    }
}

// Writes one row of a block of a step; `f` and what it leads to are constants where this is inlined.
ALWAYS_INLINE void write_block(const quant_format *f, const unsigned char *q, unsigned char *low, unsigned char *high)
{
    for (int g = 0; g < 4; g++, low += LINE) {
        uint32_t word = (load_4(q + 4 * g) & 0x0f0f0f0f) | (load_4(q + 16 + 4 * g) & 0x0f0f0f0f) << 4;
        memcpy(low, &word, WORD);
    }
    int groups = f->high_bits ? 8 / f->high_bits : 0; // of four columns a line
    uint32_t mask = f->high_bits == 1 ? 0x01010101 : 0x03030303;
    for (int line = 0; line < f->high_bits; line++, high += LINE, q += groups * WORD) {
        uint32_t word = 0;
        for (int g = 0; g < groups; g++) word |= (load_4(q + 4 * g) >> 4 & mask) << g * f->high_bits;
        memcpy(high, &word, WORD);
    }
}

// Writes one row of a step of a panel.
ALWAYS_INLINE void write_quants(const quant_format *f, const quants *in, size_t row, unsigned char *step)
{
    memcpy(step + HALF_BYTES * row, in->d, HALF_BYTES);
    if (f->min) memcpy(step + HALF_BYTES * (PANEL_ROWS + row), in->m, HALF_BYTES);
    for (int b = 0; b < f->blocks; b++) {
        unsigned char *block = step + quant_header_bytes(f) + b * quant_block_bytes(f);
        for (size_t s = 0; f->scales && s < 2; s++) block[s * PANEL_ROWS + row] = in->scales[b][s];
        write_block(f, in->q + b * QUANT_BLOCK, block + quant_low_offset(f) + row * WORD,
                    block + quant_high_offset(f) + row * WORD);
    }
}

// `layout` and `read` are constants where this is inlined, and so is what the format says.
ALWAYS_INLINE void pack_quants(const unsigned char *rows, size_t row_bytes, int64_t cols, weight_layout layout,
                               void (*read)(const unsigned char *in, quants *out), unsigned char *out)
{
    const weight_type *t = weight_type_in(layout);
    const quant_format format = t->quant, *f = &format;
    int64_t step = f->blocks * QUANT_BLOCK;
    size_t block_bytes = weight_type_file_bytes(t, step);
    for (int64_t s = 0; s < cols / step; s++, rows += block_bytes, out += quant_step_bytes(f))
        for (size_t r = 0; r < PANEL_ROWS; r++) {
            quants block;
            read(rows + r * row_bytes, &block);
            write_quants(f, &block, r, out);
        }
}

void panel_pack_q5_0(const unsigned char *rows, size_t row_bytes, int64_t cols, unsigned char *out)
{
    pack_quants(rows, row_bytes, cols, LAYOUT_Q5_0_X16, read_q5_0, out);
}

void panel_pack_q5_1(const unsigned char *rows, size_t row_bytes, int64_t cols, unsigned char *out)
{
    pack_quants(rows, row_bytes, cols, LAYOUT_Q5_1_X16, read_q5_1, out);
}

void panel_pack_q4_k(const unsigned char *rows, size_t row_bytes, int64_t cols, unsigned char *out)
{
    pack_quants(rows, row_bytes, cols, LAYOUT_Q4_K_X16, read_q4_k, out);
}

void panel_pack_q5_k(const unsigned char *rows, size_t row_bytes, int64_t cols, unsigned char *out)
{
    pack_quants(rows, row_bytes, cols, LAYOUT_Q5_K_X16, read_q5_k, out);
}

void panel_pack_q6_k(const unsigned char *rows, size_t row_bytes, int64_t cols, unsigned char *out)
{
    pack_quants(rows, row_bytes, cols, LAYOUT_Q6_K_X16, read_q6_k, out);
}

// ---- any type and any number of rows

bool panel_takes(weight_layout layout, tensor_type type)
{
    const weight_type *to = weight_type_in(layout), *from = weight_type_of(type);
    if (layout == LAYOUT_PLAIN) return true;
    if (!from) return false;
    if (layout == LAYOUT_VECTOR_F32) return from->widen;
    return from == to || (to && to->narrow && from->widen);
}

enum { CHUNK = 256, CHUNK_BYTES = CHUNK * 4 }; // columns; bytes of a row of the widest type

// A chunk's share of a panel must be the panel of as many columns: whole blocks of every layout, whole pairs of bf16.
_Static_assert(CHUNK % STEP_COLUMNS == 0 && CHUNK % 2 == 0, "a chunk is made of whole blocks");

// A panel is one stream over its columns, so it can be made a few columns at a time: rows of CHUNK columns are brought
// to the file's form of the layout's type, on the stack, beside zeros for rows that are missing, and packed as if they
// had been stored so. (Blocks of zeros have d = 0 and m = 0.)
static void pack_by_chunks(const weight_type *to, const weight_type *from, const unsigned char *rows, size_t row_bytes,
                           size_t n_rows, int64_t cols, unsigned char *out)
{
    float x[CHUNK];
    unsigned char chunk[PANEL_ROWS * CHUNK_BYTES];
    size_t panel_bytes;
    memset(chunk + n_rows * CHUNK_BYTES, 0, (PANEL_ROWS - n_rows) * CHUNK_BYTES);
    for (int64_t begin = 0; begin < cols; begin += CHUNK, out += panel_bytes) {
        int64_t n = cols - begin < CHUNK ? cols - begin : CHUNK;
        for (size_t r = 0; r < n_rows; r++) {
            const unsigned char *in = rows + r * row_bytes + weight_type_file_bytes(from, begin);
            if (from == to) {
                memcpy(chunk + r * CHUNK_BYTES, in, weight_type_file_bytes(to, n));
            } else {
                from->widen(in, n, x);
                to->narrow(x, n, chunk + r * CHUNK_BYTES);
            }
        }
        to->pack(chunk, CHUNK_BYTES, n, out);
        if (!layout_panel_bytes(to->layout, n, &panel_bytes)) return; // cols suit the layout: they were checked
    }
}

void panel_pack(weight_layout layout, tensor_type type, const unsigned char *rows, size_t row_bytes, size_t n_rows,
                int64_t cols, unsigned char *out)
{
    const weight_type *to = weight_type_in(layout), *from = weight_type_of(type);
    if (from == to && n_rows == PANEL_ROWS)
        to->pack(rows, row_bytes, cols, out);
    else
        pack_by_chunks(to, from, rows, row_bytes, n_rows, cols, out);
}

void panel_pack_vector(tensor_type type, const unsigned char *values, int64_t cols, bool plus_one, unsigned char *out)
{
    float x[CHUNK];
    const weight_type *from = weight_type_of(type);
    for (int64_t begin = 0; begin < cols; begin += CHUNK) {
        int64_t n = cols - begin < CHUNK ? cols - begin : CHUNK;
        from->widen(values + weight_type_file_bytes(from, begin), n, x);
        for (int64_t i = 0; i < n && plus_one; i++) x[i] += 1;
        memcpy(out + 4 * begin, x, (size_t)n * sizeof *x);
    }
}
