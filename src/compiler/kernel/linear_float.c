// Float weights times f32 activations, by fused multiply-add.
//
// A column costs, for a tile of 6 rows and two vectors, 12 FMA in 6 cycles, 6 broadcasts and 2 loads; widening f16 or
// bf16 weights is paid once for all rows.
#include "compiler/kernel/linear_parts.h"

// Weights of column `column + j`. Pairs of bf16 are loaded once for each of their two columns: registers are scarcer
// than loads.
static void load_column(linear *l, value panel, value column, int j, value w[MAX_VECTORS])
{
    builder *b = l->b;
    int n = b->target.lanes;
    bool pairs = l->k->layout == LAYOUT_BF16_X16, half = l->k->layout == LAYOUT_F16_X16;
    int64_t bytes = half || pairs ? 2 : 4;
    value line = mul_i(b, column, PANEL_ROWS * bytes);
    for (int v = 0; v < l->nv; v++) {
        if (pairs) {
            // as one i32, the even column in its low half
            value pair = load(b, panel, line, j / 2 * 64 + v * n * 4, vec(b, n, b->i32));
            w[v] = bitcast(b, j % 2 ? and_i(b, pair, -65536) : shl_i(b, pair, 16), l->vf);
        } else {
            w[v] = to_f32(b, load(b, panel, line, (j * PANEL_ROWS + v * n) * bytes, vec(b, n, half ? b->f16 : b->f32)));
        }
    }
}

void linear_float_columns(linear *l, int rows, value x_row, value column, int step, int chains, value panel,
                          const value *sums, value *next)
{
    builder *b = l->b;
    int per_chain = rows * l->nv;
    for (int i = 0; i < chains * per_chain; i++) next[i] = sums[i];
    value column_bytes = mul_i(b, column, 4);
    bool pairs = l->k->layout == LAYOUT_BF16_X16;
    int64_t bytes = l->k->layout == LAYOUT_F32_X16 ? 64 : 32; // of a column of the panel; f32 is as fast without
    if (rows <= FEW_ROWS && bytes == 32) linear_prefetch(b, at(b, panel, mul_i(b, column, bytes), 0), step * bytes);
    for (int j = 0; j < step; j++) {
        value w[MAX_VECTORS], *chain = next + (pairs ? j / 2 : j) % chains * per_chain;
        load_column(l, panel, column, j, w);
        for (int i = 0; i < rows; i++) {
            value x = splat(b, load(b, x_row, column_bytes, i * l->x_bytes + j * 4, b->f32), b->target.lanes);
            for (int v = 0; v < l->nv; v++) chain[i * l->nv + v] = fma_(b, x, w[v], chain[i * l->nv + v]);
        }
        // else LLVM keeps the pairs, and an accumulator has to go to memory and back each column
        if (pairs && chains == 1) chain[0] = pin(b, chain[0]);
    }
}
