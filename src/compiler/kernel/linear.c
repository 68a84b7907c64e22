#include "compiler/kernel/linear.h"

#include <stdio.h>

#include "compiler/kernel/math.h"
#include "compiler/kernel/q8.h"

enum { MAX_ROWS = 12, MAX_VECTORS = 2 }; // of a register tile: rows of x times vectors that make up a panel

// What the parts of one kernel share.
typedef struct linear {
    builder *b;
    const linear_kernel *k;
    int nv;             // vectors a panel: 1 or 2
    type vf;            // a vector of f32
    int64_t x_bytes;    // of one row of x
    int64_t panel_bytes;
    value x, w, y, bias, residual, stride, n_tiles;
} linear;

bool linear_takes_q8(weight_layout layout)
{
    return layout == LAYOUT_Q8_0_X16 || layout == LAYOUT_Q4_0_X16 || layout == LAYOUT_Q4_1_X16;
}

int64_t linear_tile_features(const linear_kernel *k) { return k->q8_features ? 2 * PANEL_ROWS : PANEL_ROWS; }

void linear_name(const linear_kernel *k, char name[96])
{
    char q8[32] = "", tail[16] = "";
    if (k->q8_features) snprintf(q8, sizeof q8, "_q8_%lld", (long long)k->q8_features);
    if (k->tail) snprintf(tail, sizeof tail, "_tail%d", (int)k->tail);
    snprintf(name, 96, "linear_%s_%lld%s%s%s%s%s", layout_name(k->layout), (long long)k->cols, k->bias ? "_bias" : "",
             k->residual ? "_residual" : "", k->swiglu ? "_swiglu" : "", q8, tail);
}

// ---- quantised weights times q8 activations: one step of the loop over blocks of 32 columns

// The 32 columns of 16 rows as bytes: q[g][v] covers columns 4g..4g+3 of the rows in vector v; 8 groups.
static void load_quants(linear *l, value block, int64_t offset, value q[8][MAX_VECTORS])
{
    builder *b = l->b;
    int bytes = 4 * b->target.lanes;
    type vb = vec(b, bytes, b->i8), vh = vec(b, bytes / 2, b->i16);
    bool four_bits = l->k->layout != LAYOUT_Q8_0_X16;
    for (int g = 0; g < (four_bits ? 4 : 8); g++)
        for (int v = 0; v < l->nv; v++) {
            value raw = load(b, block, (value){0}, offset + g * 64 + v * bytes, vb);
            if (!four_bits) {
                q[g][v] = raw;
                continue;
            }
            q[g][v] = and_i(b, raw, 15);
            value high = bitcast(b, shr_i(b, bitcast(b, raw, vh), 4), vb); // bytes cannot be shifted, pairs can
            q[g + 4][v] = and_i(b, high, 15);
        }
}

// Without vpdpbusd: all eight products of 4-bit weights fit 16 bits (8 * 2 * 15 * 127 < 32768), so they are summed there
// and widened once a block.
static value dot_block_4bit_avx2(builder *b, value (*q)[MAX_VECTORS], int v, const value a[8])
{
    type i16 = vec(b, 16, b->i16), i32 = vec(b, 8, b->i32);
    value sum = {0};
    for (int g = 0; g < 8; g++) {
        value operands[] = {q[g][v], a[g]};
        value pairs = intrinsic(b, "llvm.x86.avx2.pmadd.ub.sw", i16, 2, operands);
        sum = g ? add(b, sum, pairs) : pairs;
    }
    value operands[] = {sum, const_int(b, i16, 1)};
    return intrinsic(b, "llvm.x86.avx2.pmadd.wd", i32, 2, operands);
}

// Signed weights on AVX2: |w| * (a with w's sign); both fit (2 * 128 * 127 < 32768).
static value dot_block_8bit_avx2(builder *b, value (*magnitude)[MAX_VECTORS], value (*q)[MAX_VECTORS], int v,
                                 const value a[8])
{
    value sum = const_int(b, vec(b, 8, b->i32), 0);
    for (int g = 0; g < 8; g++) {
        value operands[] = {a[g], q[g][v]};
        value turned = intrinsic(b, "llvm.x86.avx2.psign.b", vec(b, 32, b->i8), 2, operands);
        sum = dot_u8s8(b, sum, magnitude[g][v], turned);
    }
    return sum;
}

static value dot_block_vnni(builder *b, value (*q)[MAX_VECTORS], int v, const value a[8])
{
    value sum = const_int(b, vec(b, b->target.lanes, b->i32), 0);
    for (int g = 0; g < 8; g++) sum = dot_u8s8(b, sum, q[g][v], a[g]);
    return sum;
}

// next = acc + d_w * (d_a * dot + offset * s_a) or, for Q4_1, acc + d_w * d_a * dot + m_w * s_a
static void quant_block(linear *l, int mr, value x_row, value block_index, value panel, const value *acc, value *next)
{
    builder *b = l->b;
    weight_layout layout = l->k->layout;
    bool q8 = layout == LAYOUT_Q8_0_X16, q4_1 = layout == LAYOUT_Q4_1_X16;
    int n = b->target.lanes;
    int64_t scale_bytes = q4_1 ? 64 : 32, block_bytes = scale_bytes + (q8 ? 512 : 256);
    value block = at(b, panel, mul_i(b, block_index, block_bytes), 0);
    value d[MAX_VECTORS], m[MAX_VECTORS], q[8][MAX_VECTORS], magnitude[8][MAX_VECTORS];
    for (int v = 0; v < l->nv; v++) {
        d[v] = to_f32(b, load(b, block, (value){0}, v * n * 2, vec(b, n, b->f16)));
        if (q4_1) m[v] = to_f32(b, load(b, block, (value){0}, 32 + v * n * 2, vec(b, n, b->f16)));
    }
    load_quants(l, block, scale_bytes, q);
    bool by_sign = q8 && !b->target.vpdpbusd;
    double offset = q4_1 ? 0 : q8 ? -128 : -8; // what the unsigned form added to each weight
    for (int g = 0; g < 8 && q8; g++)
        for (int v = 0; v < l->nv; v++) {
            type t = mlirValueGetType(q[g][v]);
            value zero = const_int(b, t, 0);
            if (by_sign)
                magnitude[g][v] = max_s(b, q[g][v], sub(b, zero, q[g][v])); // -128 stays 0x80 = 128 unsigned
            else
                q[g][v] = xor_(b, q[g][v], const_int(b, t, -128));
        }
    value quants = mul_i(b, block_index, Q8_BLOCK), scales = mul_i(b, block_index, 4);
    for (int i = 0; i < mr; i++) {
        int64_t row = i * l->x_bytes;
        value a[8];
        for (int g = 0; g < 8; g++) {
            value four = load(b, x_row, quants, row + g * 4, b->i32);
            a[g] = bitcast(b, splat(b, four, n), vec(b, 4 * n, b->i8));
        }
        value da = splat(b, load(b, x_row, scales, row + q8_scale_offset(l->k->cols), b->f32), n);
        value sa = splat(b, load(b, x_row, scales, row + q8_sum_offset(l->k->cols), b->f32), n);
        for (int v = 0; v < l->nv; v++) {
            value dot = by_sign               ? dot_block_8bit_avx2(b, magnitude, q, v, a)
                        : b->target.vpdpbusd ? dot_block_vnni(b, q, v, a)
                                             : dot_block_4bit_avx2(b, q, v, a);
            value sum = int_to_f(b, dot, l->vf), old = acc[i * l->nv + v], *out = &next[i * l->nv + v];
            if (q4_1) {
                *out = fma_(b, sa, m[v], fma_(b, mul_f(b, sum, da), d[v], old));
            } else {
                value corrected = by_sign ? mul_f(b, sum, da)
                                          : fma_(b, sum, da, mul_f(b, sa, const_f(b, l->vf, offset)));
                *out = fma_(b, corrected, d[v], old);
            }
        }
    }
}

// ---- float weights times f32 activations: one step over `step` columns

static void load_columns(linear *l, value panel, value column, int j, value w[2][MAX_VECTORS], int *n_columns)
{
    builder *b = l->b;
    int n = b->target.lanes;
    for (int v = 0; v < l->nv; v++) {
        if (l->k->layout == LAYOUT_BF16_X16) {
            // a pair of columns as one i32: the even one in its low half
            value pair = load(b, panel, mul_i(b, column, 32), j * 32 + v * n * 4, vec(b, n, b->i32));
            w[0][v] = bitcast(b, shl_i(b, pair, 16), l->vf);
            w[1][v] = bitcast(b, and_i(b, pair, -65536), l->vf);
        } else {
            bool half = l->k->layout == LAYOUT_F16_X16;
            int64_t bytes = half ? 2 : 4;
            value raw = load(b, panel, mul_i(b, column, 16 * bytes), j * 16 * bytes + v * n * bytes,
                             vec(b, n, half ? b->f16 : b->f32));
            w[0][v] = to_f32(b, raw);
        }
    }
    *n_columns = l->k->layout == LAYOUT_BF16_X16 ? 2 : 1;
}

// chains: how many sets of accumulators take turns, so that few rows do not wait for the latency of one addition
static void float_columns(linear *l, int mr, value x_row, value column, int step, int chains, value panel,
                          const value *acc, value *next)
{
    builder *b = l->b;
    int per_chain = mr * l->nv;
    for (int i = 0; i < chains * per_chain; i++) next[i] = acc[i];
    value column_bytes = mul_i(b, column, 4);
    for (int j = 0, chain = 0; j < step; chain = (chain + 1) % chains) {
        value w[2][MAX_VECTORS];
        int n_columns;
        load_columns(l, panel, column, j, w, &n_columns);
        for (int c = 0; c < n_columns && j + c < step; c++)
            for (int i = 0; i < mr; i++) {
                value x = splat(b, load(b, x_row, column_bytes, i * l->x_bytes + (j + c) * 4, b->f32), b->target.lanes);
                for (int v = 0; v < l->nv; v++) {
                    value *sum = &next[chain * per_chain + i * l->nv + v];
                    *sum = fma_(b, x, w[c][v], *sum);
                }
            }
        j += n_columns;
    }
}

// ---- one register tile: mr rows times one panel

static void accumulate(linear *l, int mr, value x_row, value panel, value *sums)
{
    builder *b = l->b;
    bool quantised = linear_takes_q8(l->k->layout);
    int per_chain = mr * l->nv, chains = 1;
    if (!quantised)
        while (2 * chains * per_chain <= 8) chains *= 2;
    int step = quantised ? 1 : l->k->layout == LAYOUT_BF16_X16 ? 2 * chains : chains;
    int n = chains * per_chain;
    value acc[LOOP_MAX], next[LOOP_MAX];
    for (int i = 0; i < n; i++) acc[i] = const_f(b, l->vf, 0);
    int64_t count = quantised ? l->k->cols / Q8_BLOCK : l->k->cols / step * step;
    if (count) {
        loop columns;
        loop_begin(b, &columns, const_i(b, 0), const_i(b, count), step, n, acc);
        if (quantised)
            quant_block(l, mr, x_row, columns.iv, panel, columns.args, next);
        else
            float_columns(l, mr, x_row, columns.iv, step, chains, panel, columns.args, next);
        loop_end(b, &columns, next);
        for (int i = 0; i < n; i++) acc[i] = columns.results[i];
    }
    if (!quantised && count < l->k->cols) {
        float_columns(l, mr, x_row, const_i(b, count), (int)(l->k->cols - count), chains, panel, acc, next);
        for (int i = 0; i < n; i++) acc[i] = next[i];
    }
    for (int i = 0; i < per_chain; i++) {
        for (int half = chains / 2; half >= 1; half /= 2)
            for (int c = 0; c < half; c++)
                acc[c * per_chain + i] = add_f(b, acc[c * per_chain + i], acc[(c + half) * per_chain + i]);
        sums[i] = acc[i];
    }
}

// Stores the first `tail` lanes of a panel's vectors one by one.
static void store_tail(linear *l, const value *sums, value p)
{
    builder *b = l->b;
    for (int lane = 0; lane < l->k->tail; lane++)
        store(b, extract(b, sums[lane / b->target.lanes], lane % b->target.lanes), p, (value){0}, lane * 4);
}

static void store_rows(linear *l, int mr, value row, value tile, value *sums)
{
    builder *b = l->b;
    int n = b->target.lanes;
    value feature = mul_i(b, tile, PANEL_ROWS * 4);
    for (int i = 0; i < mr; i++) {
        value offset = add(b, mul_i(b, mul(b, add_i(b, row, i), l->stride), 4), feature);
        for (int v = 0; v < l->nv; v++) {
            value *sum = &sums[i * l->nv + v];
            if (l->k->bias) *sum = add_f(b, *sum, load(b, l->bias, feature, v * n * 4, l->vf));
            if (l->k->residual && !l->k->tail) *sum = add_f(b, *sum, load(b, l->residual, offset, v * n * 4, l->vf));
        }
        value *row_sums = sums + i * l->nv;
        if (!l->k->tail) {
            for (int v = 0; v < l->nv; v++) store(b, row_sums[v], l->y, offset, v * n * 4);
            continue;
        }
        // the last panel may be narrower: nothing is read or written beyond its end
        branch last;
        if_begin(b, &last, cmp_i(b, CMP_EQ, add_i(b, tile, 1), l->n_tiles), 0, NULL);
        value kept[MAX_VECTORS];
        for (int v = 0; v < l->nv; v++) kept[v] = row_sums[v];
        for (int lane = 0; lane < l->k->tail && l->k->residual; lane++) {
            value *sum = &kept[lane / n];
            value r = load(b, l->residual, offset, lane * 4, b->f32);
            *sum = insert(b, add_f(b, extract(b, *sum, lane % n), r), *sum, lane % n);
        }
        store_tail(l, kept, at(b, l->y, offset, 0));
        if_else(b, &last, NULL);
        for (int v = 0; v < l->nv; v++) {
            value sum = row_sums[v];
            if (l->k->residual) sum = add_f(b, sum, load(b, l->residual, offset, v * n * 4, l->vf));
            store(b, sum, l->y, offset, v * n * 4);
        }
        if_end(b, &last, NULL);
    }
}

// `tile` counts pairs of gate and up panels (q8: twice that many pairs)
static void swiglu_rows(linear *l, int mr, value row, value tile, value x_row)
{
    builder *b = l->b;
    int n = b->target.lanes, pairs = l->k->q8_features ? 2 : 1;
    value out[2][MAX_ROWS * MAX_VECTORS];
    for (int p = 0; p < pairs; p++) {
        value first = at(b, l->w, mul_i(b, tile, 2 * pairs * l->panel_bytes), 2 * p * l->panel_bytes);
        value gate[MAX_ROWS * MAX_VECTORS], up[MAX_ROWS * MAX_VECTORS];
        accumulate(l, mr, x_row, first, gate);
        accumulate(l, mr, x_row, at(b, first, (value){0}, l->panel_bytes), up);
        for (int i = 0; i < mr * l->nv; i++) out[p][i] = mul_f(b, math_silu(b, gate[i]), up[i]);
    }
    for (int i = 0; i < mr; i++) {
        if (!l->k->q8_features) {
            value offset = add(b, mul_i(b, mul(b, add_i(b, row, i), l->stride), 4), mul_i(b, tile, PANEL_ROWS * 4));
            for (int v = 0; v < l->nv; v++) store(b, out[0][i * l->nv + v], l->y, offset, v * n * 4);
            continue;
        }
        value block[2 * MAX_VECTORS];
        for (int p = 0; p < 2; p++)
            for (int v = 0; v < l->nv; v++) block[p * l->nv + v] = out[p][i * l->nv + v];
        value y_row = at(b, l->y, mul_i(b, add_i(b, row, i), q8_row_bytes(l->k->q8_features)), 0);
        q8_store_block(b, block, y_row, tile, l->k->q8_features);
    }
}

static void build_rows(linear *l, int mr, value row, value tile)
{
    builder *b = l->b;
    value x_row = at(b, l->x, mul_i(b, row, l->x_bytes), 0);
    if (l->k->swiglu) {
        swiglu_rows(l, mr, row, tile, x_row);
        return;
    }
    value sums[MAX_ROWS * MAX_VECTORS];
    accumulate(l, mr, x_row, at(b, l->w, mul_i(b, tile, l->panel_bytes), 0), sums);
    store_rows(l, mr, row, tile, sums);
}

// Rows of a register tile. 16 registers: 4 rows of integers and their sums, or 6 rows of floats, times two vectors.
// 32 registers: 12 rows times one vector leave room for weights and activations.
static int tile_rows(const linear *l)
{
    if (l->b->target.lanes == 16) return 12;
    return linear_takes_q8(l->k->layout) ? 4 : 6;
}

void linear_build(builder *b, const linear_kernel *k, const char *name)
{
    kernel_begin(b, name);
    linear lin = {.b = b, .k = k, .nv = PANEL_ROWS / b->target.lanes, .vf = vec(b, b->target.lanes, b->f32)};
    linear *l = &lin;
    size_t panel_bytes = 0;
    layout_panel_bytes(k->layout, k->cols, &panel_bytes);
    l->panel_bytes = (int64_t)panel_bytes;
    l->x_bytes = linear_takes_q8(k->layout) ? q8_row_bytes(k->cols) : 4 * k->cols;
    l->x = operand(b, 0);
    l->w = operand(b, 1);
    l->y = operand(b, 2);
    if (k->bias) l->bias = operand(b, 3);
    if (k->residual) l->residual = operand(b, k->bias ? 4 : 3);
    value n_rows = dim(b, 0);
    l->stride = dim(b, 1);
    if (k->tail) l->n_tiles = dim(b, 2);

    loop tiles, rows;
    loop_begin(b, &tiles, b->begin, b->end, 1, 0, NULL);
    int mr = tile_rows(l);
    value whole = mul_i(b, div_i(b, n_rows, mr), mr);
    loop_begin(b, &rows, const_i(b, 0), whole, mr, 0, NULL);
    build_rows(l, mr, rows.iv, tiles.iv);
    loop_end(b, &rows, NULL);
    // what is left, fewer than mr rows, by the bits of its count
    value left = sub(b, n_rows, whole), row = whole;
    int bit = 1;
    while (2 * bit < mr) bit *= 2;
    for (; bit; bit /= 2) {
        value has = cmp_i(b, CMP_NE, and_i(b, left, bit), const_i(b, 0));
        branch some;
        if_begin(b, &some, has, 1, &b->i64);
        build_rows(l, bit, row, tiles.iv);
        value after = add_i(b, row, bit);
        if_else(b, &some, &after);
        if_end(b, &some, &row);
        row = some.results[0];
    }
    loop_end(b, &tiles, NULL);
    kernel_end(b);
}
