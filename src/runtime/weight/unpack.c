#include "runtime/weight/unpack.h"

#include <string.h>

#include "base/half.h"

static uint16_t load_u16(const unsigned char *p) { return (uint16_t)(p[0] | p[1] << 8); }

static float load_f32(const unsigned char *p)
{
    uint32_t bits = (uint32_t)load_u16(p) | (uint32_t)load_u16(p + 2) << 16;
    return float_of_bits(bits);
}

// Column `col` of row `row` (0..15) of a quantised step; formats in layout.h.
static float unpack_value(const quant_format *f, const unsigned char *step, size_t row, size_t col)
{
    double d = (double)half_to_float(load_u16(step + 2 * row)), m = 0;
    if (f->min) m = (double)half_to_float(load_u16(step + 2 * (PANEL_ROWS + row)));
    const unsigned char *block = step + quant_header_bytes(f) + (int64_t)(col / QUANT_BLOCK) * quant_block_bytes(f);
    const unsigned char *low = block + quant_low_offset(f), *high = block + quant_high_offset(f);
    size_t c = col % QUANT_BLOCK, group = c / 4, byte = row * 4 + c % 4;
    if (f->scales == 1) d *= block[row], m *= block[PANEL_ROWS + row];
    if (f->scales == 2) d *= (int8_t)block[c / 16 * PANEL_ROWS + row];
    if (f->low_bits == 8) return (float)(d * (int8_t)low[group * QUANT_LINE + byte]);
    int pair = low[group % 4 * QUANT_LINE + byte], q = group < 4 ? pair & 15 : pair >> 4;
    if (f->high_bits) {
        size_t bit = group * (size_t)f->high_bits;
        q |= (high[bit / 8 * QUANT_LINE + byte] >> bit % 8 & ((1 << f->high_bits) - 1)) << 4;
    }
    // Both products have at most 25 digits and share a grid of 2^-24: the sum is exact in f64.
    return (float)(d * (q - f->zero) + m);
}

void panel_unpack_f32(const weight_type *t, const unsigned char *panel, size_t row, size_t cols, float *out)
{
    (void)t;
    for (size_t c = 0; c < cols; c++) out[c] = load_f32(panel + (c * PANEL_ROWS + row) * 4);
}

void panel_unpack_f16(const weight_type *t, const unsigned char *panel, size_t row, size_t cols, float *out)
{
    (void)t;
    for (size_t c = 0; c < cols; c++) out[c] = half_to_float(load_u16(panel + (c * PANEL_ROWS + row) * 2));
}

void panel_unpack_bf16(const weight_type *t, const unsigned char *panel, size_t row, size_t cols, float *out)
{
    (void)t;
    for (size_t c = 0; c < cols; c++)
        out[c] = bfloat_to_float(load_u16(panel + ((c / 2 * PANEL_ROWS + row) * 2 + c % 2) * 2));
}

void panel_unpack_quant(const weight_type *t, const unsigned char *panel, size_t row, size_t cols, float *out)
{
    size_t columns = (size_t)t->quant.blocks * QUANT_BLOCK, step_bytes = (size_t)quant_step_bytes(&t->quant);
    for (size_t c = 0; c < cols; c++)
        out[c] = unpack_value(&t->quant, panel + c / columns * step_bytes, row, c % columns);
}

void weight_unpack_row(weight_layout layout, const unsigned char *packed, int64_t cols, int64_t row, float *out)
{
    const weight_type *t = weight_type_in(layout);
    size_t panel_bytes, n = (size_t)cols, r = (size_t)row;
    if (!layout_panel_bytes(layout, cols, &panel_bytes)) return;
    if (t)
        t->unpack(t, packed + r / PANEL_ROWS * panel_bytes, r % PANEL_ROWS, n, out);
    else
        for (size_t c = 0; c < n; c++) out[c] = load_f32(packed + (r * n + c) * 4);
}
