// Quantised weights times q8 activations: one block of 32 columns, 8 groups of 4, of a register tile.
//
// A group of one row of x is 4 bytes, broadcast; a vector of weights holds the same 4 columns of 8 or 16 features. The
// integer dot product of the whole block is exact, and becomes
//
//     sum += d_w (d_x dot - zero s_x)  or  sum += d_w d_x dot + m_w s_x          (s_x: d_x times the sum of x's quants)
//
// There are three ways to the dot product:
//
//   vpdpbusd    weights as unsigned bytes (q, or q + 128 for Q8_0), sums in i32.
//   unsigned    AVX2: vpmaddubsw gives i16 pairs. Those of several groups are added before they are widened by
//   vpmaddwd,
//               as many as fit: 2 * 127 * 15 * 8 and 2 * 127 * 31 * 4 are less than 2^15.
//   signed      AVX2, Q8_0: |w| times x with w's sign, widened at once: 2 * 128 * 127 < 2^15.
//
// Q6_K has a scale for each 16 columns, an integer, which vpmaddwd multiplies with. Its pairs are summed with wrapping
// arithmetic from minus zero times the sum of x on, since only the result has to fit: 2 * 127 * 32 * 4 < 2^15.
#include "compiler/kernel/linear_parts.h"
#include "compiler/kernel/q8.h"

enum { GROUPS = 8 };

// What is the same for all rows of a block.
typedef struct quant_block {
    value base;                  // its address
    value d[2][MAX_VECTORS];     // scales of the features as f32: of both halves where those differ
    value m[MAX_VECTORS];        // minimums, f32
    value words[2][MAX_VECTORS]; // the halves' integer scales, twice in each i32, for vpmaddwd
} quant_block;

static value shr_s(builder *b, value x, int64_t k)
{
    value operands[] = {x, const_int(b, mlirValueGetType(x), k)};
    return op1(b, "arith.shrsi", mlirValueGetType(x), 2, operands, 0, NULL);
}

static value maddubs(builder *b, value u, value s)
{
    value operands[] = {u, s};
    return intrinsic(b, "llvm.x86.avx2.pmadd.ub.sw", vec(b, 16, b->i16), 2, operands);
}

static value maddwd(builder *b, value x, value y)
{
    value operands[] = {x, y};
    return intrinsic(b, "llvm.x86.avx2.pmadd.wd", vec(b, 8, b->i32), 2, operands);
}

// Integer scales of half `half` of a block.
static value load_scales(linear *l, value block, int half, int v, bool is_signed)
{
    builder *b = l->b;
    int n = b->target.lanes;
    value bytes = load(b, block, (value){0}, half * PANEL_ROWS + v * n, vec(b, n, b->i8));
    type wide = vec(b, n, b->i32);
    return is_signed ? ext_s(b, bytes, wide) : ext_u(b, bytes, wide);
}

static quant_block begin_block(linear *l, value block, value panel, bool integer_scales)
{
    builder *b = l->b;
    const quant_format *f = l->quant;
    int n = b->target.lanes;
    value step = block, inside = {0};
    if (f->blocks > 1) {
        step = div_i(b, block, f->blocks);
        inside = mul_i(b, rem_i(b, block, f->blocks), quant_block_bytes(f));
    }
    value header = at(b, panel, mul_i(b, step, quant_step_bytes(f)), 0);
    quant_block q = {.base = at(b, header, inside, quant_header_bytes(f))};
    for (int v = 0; v < l->nv; v++) {
        value d = to_f32(b, load(b, header, (value){0}, v * n * 2, vec(b, n, b->f16)));
        q.d[0][v] = d;
        if (f->min) q.m[v] = to_f32(b, load(b, header, (value){0}, (PANEL_ROWS + v * n) * 2, vec(b, n, b->f16)));
        if (f->scales == 1) {
            q.d[0][v] = mul_f(b, d, int_to_f(b, load_scales(l, q.base, 0, v, false), l->vf));
            q.m[v] = mul_f(b, q.m[v], int_to_f(b, load_scales(l, q.base, 1, v, false), l->vf));
        }
        for (int half = 0; half < 2 && f->scales == 2; half++) {
            value scale = load_scales(l, q.base, half, v, true);
            if (!integer_scales)
                q.d[half][v] = mul_f(b, d, int_to_f(b, scale, l->vf));
            else
                q.words[half][v] =
                    bitcast(b, or_(b, and_i(b, scale, 0xffff), shl_i(b, scale, 16)), vec(b, 2 * n, b->i16));
        }
    }
    return q;
}

// Shifts each byte's bits by `left` (right where negative); bits that come in from the neighbour are masked by the
// caller, since bytes cannot be shifted, but pairs can.
static value shift_bytes(builder *b, value bytes, int left)
{
    type t = mlirValueGetType(bytes), pairs = vec(b, lanes(t) / 2, b->i16);
    if (!left) return bytes;
    value x = bitcast(b, bytes, pairs);
    return bitcast(b, left > 0 ? shl_i(b, x, left) : shr_i(b, x, -left), t);
}

value linear_load_group(builder *b, const quant_format *f, value block, value offset, int group, int bytes,
                        int64_t skip)
{
    type t = vec(b, bytes, b->i8);
    int64_t low_at = quant_low_offset(f) + skip;
    if (f->low_bits == 8) return load(b, block, offset, low_at + group * QUANT_LINE, t);
    value pair = load(b, block, offset, low_at + group % 4 * QUANT_LINE, t);
    value q = and_i(b, shift_bytes(b, pair, group < 4 ? 0 : -4), 15);
    if (!f->high_bits) return q;
    int bit = group * f->high_bits;
    value line = load(b, block, offset, quant_high_offset(f) + skip + bit / 8 * QUANT_LINE, t);
    return or_(b, q, and_i(b, shift_bytes(b, line, 4 - bit % 8), ((1 << f->high_bits) - 1) << 4));
}

// Group `group` of a row of x in all lanes.
static value load_x(linear *l, value x_row, value quants, int row, int group)
{
    builder *b = l->b;
    int n = b->target.lanes;
    value four = load(b, x_row, quants, row * l->x_bytes + group * 4, b->i32);
    return bitcast(b, splat(b, four, n), vec(b, 4 * n, b->i8));
}

// ---- dot products: dots[half][row * nv + v], i32; half 1 only where there are two scales

static void dot_vpdpbusd(linear *l, int rows, value x_row, value block, const quant_block *q, value dots[2][MAX_SUMS])
{
    builder *b = l->b;
    const quant_format *f = l->quant;
    int n = b->target.lanes, halves = f->scales == 2 ? 2 : 1;
    value quants = mul_i(b, block, Q8_BLOCK), zero = const_int(b, vec(b, n, b->i32), 0);
    for (int h = 0; h < halves; h++)
        for (int i = 0; i < rows * l->nv; i++) dots[h][i] = zero;
    for (int g = 0; g < GROUPS; g++) {
        value w[MAX_VECTORS];
        for (int v = 0; v < l->nv; v++) {
            w[v] = linear_load_group(b, f, q->base, (value){0}, g, 4 * n, v * n * 4);
            if (f->low_bits == 8) w[v] = xor_(b, w[v], const_int(b, mlirValueGetType(w[v]), -128));
        }
        for (int i = 0; i < rows; i++) {
            value x = load_x(l, x_row, quants, i, g);
            for (int v = 0; v < l->nv; v++) {
                value *dot = &dots[halves == 2 ? g / 4 : 0][i * l->nv + v];
                *dot = dot_u8s8(b, *dot, w[v], x);
            }
        }
    }
    if (halves == 1) return;
    // minus zero times the sum of each half of x, both sums in one i32
    for (int i = 0; i < rows; i++) {
        value pair = load(b, x_row, mul_i(b, block, 4), i * l->x_bytes + q8_half_offset(l->k->cols), b->i32);
        value both = splat(b, pair, n), factor = const_int(b, mlirValueGetType(both), f->zero);
        value sums[] = {shr_s(b, shl_i(b, both, 16), 16), shr_s(b, both, 16)};
        for (int h = 0; h < 2; h++)
            for (int v = 0; v < l->nv; v++)
                dots[h][i * l->nv + v] = sub(b, dots[h][i * l->nv + v], mul(b, sums[h], factor));
    }
}

static void dot_unsigned(linear *l, int rows, value x_row, value block, const quant_block *q, value *dots)
{
    builder *b = l->b;
    const quant_format *f = l->quant;
    int span = f->high_bits ? 4 : 8; // groups whose pairs fit into i16 together
    value quants = mul_i(b, block, Q8_BLOCK), ones = const_int(b, vec(b, 16, b->i16), 1), sums[MAX_SUMS];
    for (int g = 0; g < GROUPS; g++) {
        value w[MAX_VECTORS];
        for (int v = 0; v < l->nv; v++) w[v] = linear_load_group(b, f, q->base, (value){0}, g, 32, v * 32);
        for (int i = 0; i < rows; i++) {
            value x = load_x(l, x_row, quants, i, g), zeros = {0};
            if (f->scales == 2 && g % span == 0) {
                // half of zero times the sum, in both i16 of a pair
                value sum =
                    load(b, x_row, mul_i(b, block, 4), i * l->x_bytes + q8_half_offset(l->k->cols) + g / 2, b->i16);
                zeros = mul(b, splat(b, sum, 16), const_int(b, vec(b, 16, b->i16), f->zero / 2));
            }
            for (int v = 0; v < l->nv; v++) {
                value *sum = &sums[i * l->nv + v], pairs = maddubs(b, w[v], x);
                *sum = pin(b, g % span ? add(b, *sum, pairs) : zeros.ptr ? sub(b, pairs, zeros) : pairs);
            }
        }
        if (g % span != span - 1) continue;
        for (int i = 0; i < rows * l->nv; i++) {
            value wide = maddwd(b, sums[i], f->scales == 2 ? q->words[g / span][i % l->nv] : ones);
            dots[i] = g < span ? wide : add(b, dots[i], wide);
        }
    }
}

static void dot_signed(linear *l, int rows, value x_row, value block, const quant_block *q, value *dots)
{
    builder *b = l->b;
    value quants = mul_i(b, block, Q8_BLOCK), ones = const_int(b, vec(b, 16, b->i16), 1);
    for (int g = 0; g < GROUPS; g++) {
        value w[MAX_VECTORS], magnitude[MAX_VECTORS];
        for (int v = 0; v < l->nv; v++) {
            w[v] = linear_load_group(b, l->quant, q->base, (value){0}, g, 32, v * 32);
            type t = mlirValueGetType(w[v]);
            magnitude[v] = max_s(b, w[v], sub(b, const_int(b, t, 0), w[v])); // -128 stays 0x80 = 128 unsigned
        }
        for (int i = 0; i < rows; i++) {
            value x = load_x(l, x_row, quants, i, g);
            for (int v = 0; v < l->nv; v++) {
                value operands[] = {x, w[v]}, *dot = &dots[i * l->nv + v];
                value turned = intrinsic(b, "llvm.x86.avx2.psign.b", vec(b, 32, b->i8), 2, operands);
                value pairs = maddwd(b, maddubs(b, magnitude[v], turned), ones);
                *dot = pin(b, g ? add(b, *dot, pairs) : pairs);
            }
        }
    }
}

// ---- a block

void linear_quant_block(linear *l, int rows, value x_row, value block, value panel, const value *sums, value *next)
{
    builder *b = l->b;
    const quant_format *f = l->quant;
    int n = b->target.lanes;
    bool vpdpbusd = b->target.vpdpbusd, bytes = f->low_bits == 8, two_dots = f->scales == 2 && vpdpbusd;
    value dots[2][MAX_SUMS];
    quant_block q = begin_block(l, block, panel, !vpdpbusd);
    if (rows <= FEW_ROWS) linear_prefetch(b, q.base, quant_step_bytes(f) / f->blocks);
    if (vpdpbusd)
        dot_vpdpbusd(l, rows, x_row, block, &q, dots);
    else if (bytes)
        dot_signed(l, rows, x_row, block, &q, dots[0]);
    else
        dot_unsigned(l, rows, x_row, block, &q, dots[0]);
    // what the unsigned form of a weight has too much
    int zero = f->scales == 2 ? 0 : bytes ? (vpdpbusd ? 128 : 0) : f->zero;
    for (int i = 0; i < rows; i++) {
        value at_scale = mul_i(b, block, 4);
        value dx = splat(b, load(b, x_row, at_scale, i * l->x_bytes + q8_scale_offset(l->k->cols), b->f32), n),
              sx = {0};
        if (f->min || zero)
            sx = splat(b, load(b, x_row, at_scale, i * l->x_bytes + q8_sum_offset(l->k->cols), b->f32), n);
        if (zero) sx = mul_f(b, sx, const_f(b, l->vf, -zero));
        for (int v = 0; v < l->nv; v++) {
            int at = i * l->nv + v;
            value dot = int_to_f(b, dots[0][at], l->vf), sum = sums[at];
            if (two_dots) {
                dot = fma_(b, dot, q.d[0][v], mul_f(b, int_to_f(b, dots[1][at], l->vf), q.d[1][v]));
                next[at] = fma_(b, dot, dx, sum);
                continue;
            }
            value scaled = zero ? fma_(b, dot, dx, sx) : mul_f(b, dot, dx);
            sum = fma_(b, scaled, q.d[0][v], sum);
            next[at] = pin(b, f->min ? fma_(b, sx, q.m[v], sum) : sum);
        }
    }
}
