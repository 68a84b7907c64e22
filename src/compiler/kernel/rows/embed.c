#include "compiler/kernel/rows/embed.h"

#include "compiler/kernel/linear/linear_parts.h"

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
    const quant_format *f = layout_quant(k->layout);
    loop steps, blocks;
    loop_begin(b, &steps, const_i(b, 0), const_i(b, k->cols / (f->blocks * QUANT_BLOCK)), 1, 0, NULL);
    value step = at(b, panel, mul_i(b, steps.iv, quant_step_bytes(f)), 0), word = mul_i(b, lane, 4);
    loop_begin(b, &blocks, const_i(b, 0), const_i(b, f->blocks), 1, 0, NULL);
    value block = at(b, step, mul_i(b, blocks.iv, quant_block_bytes(f)), quant_header_bytes(f)), m = {0};
    value first = mul_i(b, add(b, mul_i(b, steps.iv, f->blocks), blocks.iv), QUANT_BLOCK);
    value scales[2] = {to_f32(b, load(b, step, mul_i(b, lane, 2), 0, b->f16))};
    if (f->min) m = to_f32(b, load(b, step, mul_i(b, lane, 2), 2 * PANEL_ROWS, b->f16));
    scales[1] = scales[0];
    for (int i = 0; i < 2 && f->scales; i++) {
        value byte = load(b, block, lane, i * PANEL_ROWS, b->i8);
        value factor = int_to_f(b, f->scales == 2 ? ext_s(b, byte, b->i32) : ext_u(b, byte, b->i32), b->f32);
        value *scaled = f->scales == 1 && i == 1 ? &m : &scales[i];
        *scaled = mul_f(b, *scaled, factor);
        if (f->scales == 1) scales[1] = scales[0];
    }
    for (int g = 0; g < 8; g++) {
        value q = linear_load_group(b, f, block, word, g, 4, 0, 0);
        store_four(b, k, add_i(b, q, -f->zero), scales[g / 4], m, y, add_i(b, first, g * 4));
    }
    loop_end(b, &blocks, NULL);
    loop_end(b, &steps, NULL);
}

static void float_row(builder *b, const embed_kernel *k, value panel, value lane, value y)
{
    loop columns;
    loop_begin(b, &columns, const_i(b, 0), const_i(b, k->cols), 1, 0, NULL);
    value column = columns.iv, x;
    const weight_type *t = weight_type_in(k->layout);
    if (t->pairs) {
        value pair = mul_i(b, div_i(b, column, 2), 64), in_pair = mul_i(b, and_i(b, column, 1), 2);
        value bits = load(b, panel, add(b, add(b, pair, mul_i(b, lane, 4)), in_pair), 0, b->i16);
        x = to_f32(b, bitcast(b, bits, b->bf16));
    } else {
        int64_t bytes = (int64_t)weight_type_file_bytes(t, 1);
        value offset = add(b, mul_i(b, column, 16 * bytes), mul_i(b, lane, bytes));
        x = to_f32(b, load(b, panel, offset, 0, bytes == 2 ? b->f16 : b->f32));
    }
    store(b, times_scale(b, k, x), y, mul_i(b, column, 4), 0);
    loop_end(b, &columns, NULL);
}

static void build_embed(builder *b, const void *params, const char *name)
{
    const embed_kernel *k = params;
    kernel_begin(b, name);
    value tokens = operand(b, 0), table = operand(b, 1), out = operand(b, 2);
    size_t panel_bytes = 0;
    layout_panel_bytes(k->layout, k->cols, &panel_bytes);
    loop rows;
    loop_begin(b, &rows, b->begin, b->end, 1, 0, NULL);
    value token = ext_u(b, load(b, tokens, mul_i(b, rows.iv, 4), 0, b->i32), b->i64);
    value panel = at(b, table, mul_i(b, div_i(b, token, PANEL_ROWS), (int64_t)panel_bytes), 0);
    value lane = rem_i(b, token, PANEL_ROWS), y = at(b, out, mul_i(b, rows.iv, 4 * k->cols), 0);
    if (layout_quant(k->layout))
        quantised_row(b, k, panel, lane, y);
    else
        float_row(b, k, panel, lane, y);
    loop_end(b, &rows, NULL);
    kernel_end(b);
}

static const kernel_field FIELDS[] = {
    KERNEL_TEXT(embed_kernel, layout, linear_layout_text, "_"),
    KERNEL_FIELD(embed_kernel, cols, FIELD_INT, "_"),
    KERNEL_FIELD(embed_kernel, scale, FIELD_F64, "_scale"),
};

const kernel_kind EMBED_KERNEL = {
    .name = "embed",
    .file = "kernel/rows/embed.c",
    .help = "rows of the embedding table, from any weight layout to f32",
    .build = build_embed,
    .params_bytes = sizeof(embed_kernel),
    .fields = FIELDS,
    .n_fields = sizeof FIELDS / sizeof *FIELDS,
};
