// Quantised weights times f32 activations: what a graph says, whose activations nobody rounds. Weights become f32 in
// registers, d times the sum of x times q of a block of 32 columns, with q exact; so a product differs from one of f32
// weights by rounding alone, and reads a fourth or an eighth of its bytes.
//
// A column of 8 features costs a shift, a mask, a subtraction and a conversion, paid once for all rows of a tile, and a
// multiply-add a row.
#include "compiler/kernel/linear/linear_parts.h"

enum { GROUPS = 8, GROUP_COLUMNS = 4 };

// q of column `column` of a group, from the words that hold the group's columns a byte each.
static value widen_column(linear *l, value words, int column)
{
    builder *b = l->b;
    // signed bytes are made unsigned ones, with a zero point of 128
    bool is_signed = l->quant->low_bits == 8;
    int zero = is_signed ? 128 : l->quant->zero;
    value q = and_i(b, column ? shr_i(b, words, 8 * column) : words, 255);
    return int_to_f(b, zero ? add_i(b, q, -zero) : q, l->vf);
}

void linear_wide_block(linear *l, int rows, value x_row, value block, value panel, const value *sums, value *next)
{
    builder *b = l->b;
    const quant_format *f = l->quant;
    int n = b->target.lanes;
    value header = at(b, panel, mul_i(b, block, quant_step_bytes(f)), 0),
          base = at(b, header, (value){0}, quant_header_bytes(f));
    value x_block = mul_i(b, block, QUANT_BLOCK * 4), parts[MAX_SUMS];
    linear_prefetch(l, base, (value){0}, quant_step_bytes(f));
    for (int i = 0; i < rows * l->nv; i++) parts[i] = const_f(b, l->vf, 0);
    for (int g = 0; g < GROUPS; g++) {
        value words[MAX_VECTORS];
        for (int v = 0; v < l->nv; v++) {
            value bytes = linear_load_group(b, f, base, (value){0}, g, 4 * n, v * 4 * n, 0);
            if (f->low_bits == 8) bytes = xor_(b, bytes, const_int(b, mlirValueGetType(bytes), -128));
            words[v] = bitcast(b, bytes, vec(b, n, b->i32));
        }
        for (int j = 0; j < GROUP_COLUMNS; j++) {
            value q[MAX_VECTORS];
            for (int v = 0; v < l->nv; v++) q[v] = widen_column(l, words[v], j);
            for (int i = 0; i < rows; i++) {
                value x = splat(b, load(b, x_row, x_block, i * l->x_bytes + (g * GROUP_COLUMNS + j) * 4, b->f32), n);
                for (int v = 0; v < l->nv; v++) parts[i * l->nv + v] = fma_(b, x, q[v], parts[i * l->nv + v]);
            }
        }
    }
    for (int v = 0; v < l->nv; v++) {
        value d = to_f32(b, load(b, header, (value){0}, v * n * 2, vec(b, n, b->f16)));
        for (int i = 0; i < rows; i++) next[i * l->nv + v] = fma_(b, parts[i * l->nv + v], d, sums[i * l->nv + v]);
    }
}
