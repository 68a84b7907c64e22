// Float weights times f32 activations, by fused multiply-add.
//
// A column costs, for a tile of 6 rows and two vectors, 12 FMA in 6 cycles, 6 broadcasts and 2 loads; widening f16 or bf16
// weights is paid once for all rows.
#include "compiler/kernel/linear_parts.h"

// Weights of the one or two columns from `column + j` on.
static int load_columns(linear *l, value panel, value column, int j, value w[2][MAX_VECTORS])
{
    builder *b = l->b;
    int n = b->target.lanes;
    bool pairs = l->k->layout == LAYOUT_BF16_X16, half = l->k->layout == LAYOUT_F16_X16;
    int64_t bytes = half || pairs ? 2 : 4;
    value line = mul_i(b, column, PANEL_ROWS * bytes);
    for (int v = 0; v < l->nv; v++) {
        if (pairs) {
            // a pair of columns as one i32: the even one in its low half
            value pair = load(b, panel, line, j * 32 + v * n * 4, vec(b, n, b->i32));
            w[0][v] = bitcast(b, shl_i(b, pair, 16), l->vf);
            w[1][v] = bitcast(b, and_i(b, pair, -65536), l->vf);
        } else {
            w[0][v] = to_f32(b, load(b, panel, line, (j * PANEL_ROWS + v * n) * bytes, vec(b, n, half ? b->f16 : b->f32)));
        }
    }
    return pairs ? 2 : 1;
}

void linear_float_columns(linear *l, int rows, value x_row, value column, int step, int chains, value panel,
                          const value *sums, value *next)
{
    builder *b = l->b;
    int per_chain = rows * l->nv;
    for (int i = 0; i < chains * per_chain; i++) next[i] = sums[i];
    value column_bytes = mul_i(b, column, 4);
    for (int j = 0, chain = 0; j < step; chain = (chain + 1) % chains) {
        value w[2][MAX_VECTORS];
        int n_columns = load_columns(l, panel, column, j, w);
        for (int c = 0; c < n_columns && j + c < step; c++)
            for (int i = 0; i < rows; i++) {
                value x = splat(b, load(b, x_row, column_bytes, i * l->x_bytes + (j + c) * 4, b->f32), b->target.lanes);
                for (int v = 0; v < l->nv; v++) {
                    value *sum = &next[chain * per_chain + i * l->nv + v];
                    *sum = fma_(b, x, w[c][v], *sum);
                }
            }
        j += n_columns;
    }
}
