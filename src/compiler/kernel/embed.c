#include "compiler/kernel/embed.h"

#include <stdio.h>
#include <string.h>

void embed_name(const embed_kernel *k, char name[96])
{
    float scale = (float)k->scale;
    uint32_t bits;
    memcpy(&bits, &scale, sizeof bits);
    snprintf(name, 96, "embed_%s_%lld_scale%08x", layout_name(k->layout), (long long)k->cols, bits);
}

static value times_scale(builder *b, const embed_kernel *k, value x)
{
    return k->scale == 1 ? x : mul_f(b, x, const_f(b, mlirValueGetType(x), k->scale));
}

// Four columns of one row: quants (i8) to f32, scaled.
static void store_four(builder *b, const embed_kernel *k, value quants, value d, value m, value y, value column)
{
    type f4 = vec(b, 4, b->f32);
    value q = int_to_f(b, ext_s(b, quants, vec(b, 4, b->i32)), f4), dv = splat(b, d, 4);
    value x = m.ptr ? fma_(b, q, dv, splat(b, m, 4)) : mul_f(b, q, dv);
    store(b, times_scale(b, k, x), y, mul_i(b, column, 4), 0);
}

static void quantised_row(builder *b, const embed_kernel *k, value panel, value lane, value y)
{
    bool q8 = k->layout == LAYOUT_Q8_0_X16, q4_1 = k->layout == LAYOUT_Q4_1_X16;
    int64_t scale_bytes = q4_1 ? 64 : 32, block_bytes = scale_bytes + (q8 ? 512 : 256);
    type b4 = vec(b, 4, b->i8);
    loop blocks;
    loop_begin(b, &blocks, const_i(b, 0), const_i(b, k->cols / QUANT_BLOCK), 1, 0, NULL);
    value block = at(b, panel, mul_i(b, blocks.iv, block_bytes), 0);
    value scales = mul_i(b, lane, 2), m = {0};
    value d = to_f32(b, load(b, block, scales, 0, b->f16));
    if (q4_1) m = to_f32(b, load(b, block, scales, 32, b->f16));
    for (int g = 0; g < (q8 ? 8 : 4); g++) {
        value raw = load(b, block, mul_i(b, lane, 4), scale_bytes + g * 64, b4);
        value column = add_i(b, mul_i(b, blocks.iv, QUANT_BLOCK), g * 4);
        if (q8) {
            store_four(b, k, raw, d, m, y, column);
            continue;
        }
        int64_t zero_point = k->layout == LAYOUT_Q4_0_X16 ? -8 : 0;
        store_four(b, k, add_i(b, and_i(b, raw, 15), zero_point), d, m, y, column);
        store_four(b, k, add_i(b, shr_i(b, raw, 4), zero_point), d, m, y, add_i(b, column, 16));
    }
    loop_end(b, &blocks, NULL);
}

static void float_row(builder *b, const embed_kernel *k, value panel, value lane, value y)
{
    loop columns;
    loop_begin(b, &columns, const_i(b, 0), const_i(b, k->cols), 1, 0, NULL);
    value column = columns.iv, x;
    if (k->layout == LAYOUT_BF16_X16) {
        value pair = mul_i(b, div_i(b, column, 2), 64), in_pair = mul_i(b, and_i(b, column, 1), 2);
        value bits = load(b, panel, add(b, add(b, pair, mul_i(b, lane, 4)), in_pair), 0, b->i16);
        x = to_f32(b, bitcast(b, bits, b->bf16));
    } else {
        int64_t bytes = k->layout == LAYOUT_F16_X16 ? 2 : 4;
        value offset = add(b, mul_i(b, column, 16 * bytes), mul_i(b, lane, bytes));
        x = to_f32(b, load(b, panel, offset, 0, bytes == 2 ? b->f16 : b->f32));
    }
    store(b, times_scale(b, k, x), y, mul_i(b, column, 4), 0);
    loop_end(b, &columns, NULL);
}

void embed_build(builder *b, const embed_kernel *k, const char *name)
{
    kernel_begin(b, name);
    value tokens = operand(b, 0), table = operand(b, 1), out = operand(b, 2);
    size_t panel_bytes = 0;
    layout_panel_bytes(k->layout, k->cols, &panel_bytes);
    loop rows;
    loop_begin(b, &rows, b->begin, b->end, 1, 0, NULL);
    value token = ext_u(b, load(b, tokens, mul_i(b, rows.iv, 4), 0, b->i32), b->i64);
    value panel = at(b, table, mul_i(b, div_i(b, token, PANEL_ROWS), (int64_t)panel_bytes), 0);
    value lane = rem_i(b, token, PANEL_ROWS), y = at(b, out, mul_i(b, rows.iv, 4 * k->cols), 0);
    if (k->layout == LAYOUT_Q8_0_X16 || k->layout == LAYOUT_Q4_0_X16 || k->layout == LAYOUT_Q4_1_X16)
        quantised_row(b, k, panel, lane, y);
    else
        float_row(b, k, panel, lane, y);
    loop_end(b, &rows, NULL);
    kernel_end(b);
}
