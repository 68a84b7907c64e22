// Quantised weights times q8 activations: one block of 32 columns, 8 groups of 4, of a register tile.
//
// A group of one row of x is 4 bytes, broadcast; a vector of weights holds the same 4 columns of 8 or 16 features. The
// integer dot product of the whole block is exact, and becomes
//
//     sum += d_w d_x dot (+ m_w s_x)          (s_x: d_x times the sum of x's quants)
//
// There are three ways to the dot product:
//
//   vpdpbusd    weights as unsigned bytes, sums in i32. Weights with a zero point are taken times a power of two that
//               makes it 128 (of Q8_0: 0 + 128), and sums begin with what that has too much (kernel/rows/q8.h): nothing but
//               a conversion and two multiplications is left to do, which the units of vpdpbusd share on many CPUs.
//   unsigned    AVX2: vpmaddubsw gives i16 pairs. Those of several groups are added before they are widened by
//               vpmaddwd, as many as fit: 2 * 127 * 15 * 8 and 2 * 127 * 31 * 4 are less than 2^15. A zero point is
//               subtracted times s_x.
//   signed      AVX2, Q8_0: |w| times x with w's sign, widened at once: 2 * 128 * 127 < 2^15.
//
// Q6_K has a scale for each 16 columns, an integer, which vpmaddwd multiplies with on AVX2. Its pairs are summed with
// wrapping arithmetic from minus zero times the sum of their quants of x on, since only the result has to fit:
// 127 * 32 * 8 < 2^15.
#include <math.h>

#include "compiler/kernel/linear/linear_parts.h"
#include "compiler/kernel/rows/q8.h"

enum { GROUPS = 8 };

// What is the same for all rows of a block.
typedef struct quant_block {
    value base;                  // its address
    value d[2][MAX_VECTORS];     // scales of the features as f32: of both halves where those differ
    value m[MAX_VECTORS];        // minimums, f32
    value words[2][MAX_VECTORS]; // the halves' integer scales, twice in each i32, for vpmaddwd
} quant_block;

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

// `up`: the weights are taken times 2^up.
static quant_block begin_block(linear *l, value block, value panel, bool integer_scales, int up)
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
        if (up) d = mul_f(b, d, const_f(b, l->vf, ldexp(1, -up)));
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
                        int64_t skip, int up)
{
    type t = vec(b, bytes, b->i8);
    int64_t low_at = quant_low_offset(f) + skip;
    if (f->low_bits == 8) return load(b, block, offset, low_at + group * QUANT_LINE, t);
    value pair = load(b, block, offset, low_at + group % 4 * QUANT_LINE, t);
    value q = and_i(b, shift_bytes(b, pair, group < 4 ? up : up - 4), (int8_t)(15 << up));
    if (!f->high_bits) return q;
    int bit = group * f->high_bits;
    value line = load(b, block, offset, quant_high_offset(f) + skip + bit / 8 * QUANT_LINE, t);
    int mask = ((1 << f->high_bits) - 1) << (4 + up);
    return or_(b, q, and_i(b, shift_bytes(b, line, 4 + up - bit % 8), (int8_t)mask));
}

// Group `group` of a row of x in all lanes.
static value load_x(linear *l, value x_row, value quants, int row, int group)
{
    builder *b = l->b;
    int n = b->target.lanes;
    value four = load(b, x_row, quants, row * l->x_bytes + group * 4, b->i32);
    return bitcast(b, splat(b, four, n), vec(b, 4 * n, b->i8));
}

// x's number `block` of those that lie `at` bytes into row `row`, in all lanes.
static value load_number(linear *l, value x_row, value block, int row, int64_t at, type t)
{
    builder *b = l->b;
    value number = load(b, x_row, mul_i(b, block, 4), row * l->x_bytes + at, t);
    return splat(b, number, b->target.lanes);
}

// ---- with vpdpbusd

enum { ROWS_AT_ONCE = 4 }; // in 512 bits, half of it with two scales: beside 8 vectors of weights and 12 sums

// The offset of x's start in its row, and which of those, for half `half` (or all) of a block.
static value load_start(linear *l, value x_row, value block, int row, int half)
{
    builder *b = l->b;
    int64_t cols = l->k->cols;
    if (l->quant->min) return const_int(b, vec(b, b->target.lanes, b->i32), 0);
    if (l->quant->scales < 2) return load_number(l, x_row, block, row, q8_start_offset(cols), b->i32);
    return load_number(l, x_row, mul_i(b, block, 2), row, q8_half_offset(cols) + 4 * half, b->i32);
}

// Weights with a zero point are shifted to the top of their bytes, where it is 128.
static int scale_up(const quant_format *f) { return f->min ? 0 : 8 - f->low_bits - f->high_bits; }

// Vector v of group `group` of the weights.
static value load_unsigned(linear *l, const quant_block *q, int group, int v)
{
    builder *b = l->b;
    int n = b->target.lanes;
    value w = linear_load_group(b, l->quant, q->base, (value){0}, group, 4 * n, v * n * 4, scale_up(l->quant));
    return l->quant->low_bits == 8 ? xor_(b, w, const_int(b, mlirValueGetType(w), -128)) : w;
}

// Rows first .. first + rows - 1 of a tile. w: the groups' vectors, empty where not yet loaded.
static void add_vpdpbusd(linear *l, int first, int rows, value x_row, value block, const quant_block *q,
                         value w[GROUPS][MAX_VECTORS], const value *sums, value *next)
{
    builder *b = l->b;
    int halves = l->quant->scales == 2 ? 2 : 1;
    value quants = mul_i(b, block, Q8_BLOCK), dots[MAX_SUMS], scaled[MAX_SUMS];
    for (int g = 0; g < GROUPS; g++) {
        int half = g * halves / GROUPS;
        for (int i = 0; i < rows; i++) {
            value x = load_x(l, x_row, quants, first + i, g);
            for (int v = 0; v < l->nv; v++) {
                value *dot = &dots[i * l->nv + v];
                if (!w[g][v].ptr) w[g][v] = load_unsigned(l, q, g, v);
                if (g % (GROUPS / halves) == 0) *dot = load_start(l, x_row, block, first + i, half);
                *dot = dot_u8s8(b, *dot, w[g][v], x);
            }
        }
        if ((g + 1) % (GROUPS / halves)) continue;
        for (int i = 0; i < rows * l->nv; i++) {
            value dot = int_to_f(b, dots[i], l->vf), d = q->d[half][i % l->nv];
            scaled[i] = half ? fma_(b, dot, d, scaled[i]) : mul_f(b, dot, d);
        }
    }
    for (int i = 0; i < rows * l->nv; i++) {
        int row = first + i / l->nv, at = row * l->nv + i % l->nv;
        value dx = load_number(l, x_row, block, row, q8_scale_offset(l->k->cols), b->f32), sum = sums[at];
        if (l->quant->min) {
            value sx = load_number(l, x_row, block, row, q8_sum_offset(l->k->cols), b->f32);
            sum = fma_(b, sx, q->m[i % l->nv], sum);
        }
        next[at] = fma_(b, scaled[i], dx, sum);
    }
}

static void add_block_vpdpbusd(linear *l, int rows, value x_row, value block, const quant_block *q, const value *sums,
                               value *next)
{
    value w[GROUPS][MAX_VECTORS] = {0};
    int at_once = l->b->target.registers < 32 ? rows : l->quant->scales == 2 ? ROWS_AT_ONCE / 2 : ROWS_AT_ONCE;
    for (int first = 0; first < rows; first += at_once)
        add_vpdpbusd(l, first, rows - first < at_once ? rows - first : at_once, x_row, block, q, w, sums, next);
}

// ---- with AVX2: dots[row * nv + v], i32

static void dot_unsigned(linear *l, int rows, value x_row, value block, const quant_block *q, value *dots)
{
    builder *b = l->b;
    const quant_format *f = l->quant;
    int span = f->high_bits ? 4 : 8; // groups whose pairs fit into i16 together
    value quants = mul_i(b, block, Q8_BLOCK), ones = const_int(b, vec(b, 16, b->i16), 1), sums[MAX_SUMS];
    for (int g = 0; g < GROUPS; g++) {
        value w[MAX_VECTORS];
        for (int v = 0; v < l->nv; v++) w[v] = linear_load_group(b, f, q->base, (value){0}, g, 32, v * 32, 0);
        for (int i = 0; i < rows; i++) {
            value x = load_x(l, x_row, quants, i, g), zeros = {0};
            if (f->scales == 2 && g % span == 0) {
                int64_t half = q8_half_offset(l->k->cols) + g / span * 4;
                zeros = bitcast(b, load_number(l, x_row, mul_i(b, block, 2), i, half, b->i32), vec(b, 16, b->i16));
            }
            for (int v = 0; v < l->nv; v++) {
                value *sum = &sums[i * l->nv + v], pairs = maddubs(b, w[v], x);
                *sum = pin(b, g % span ? add(b, *sum, pairs) : zeros.ptr ? add(b, pairs, zeros) : pairs);
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
            w[v] = linear_load_group(b, l->quant, q->base, (value){0}, g, 32, v * 32, 0);
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

static void add_block_avx2(linear *l, int rows, value x_row, value block, const quant_block *q, const value *sums,
                           value *next)
{
    builder *b = l->b;
    const quant_format *f = l->quant;
    int zero = f->scales == 2 || f->low_bits == 8 ? 0 : f->zero;
    value dots[MAX_SUMS];
    (f->low_bits == 8 ? dot_signed : dot_unsigned)(l, rows, x_row, block, q, dots);
    for (int i = 0; i < rows; i++) {
        value dx = load_number(l, x_row, block, i, q8_scale_offset(l->k->cols), b->f32), sx = {0};
        if (f->min || zero) sx = load_number(l, x_row, block, i, q8_sum_offset(l->k->cols), b->f32);
        if (zero) sx = mul_f(b, sx, const_f(b, l->vf, -zero));
        for (int v = 0; v < l->nv; v++) {
            int at = i * l->nv + v;
            value dot = int_to_f(b, dots[at], l->vf), scaled = zero ? fma_(b, dot, dx, sx) : mul_f(b, dot, dx);
            value sum = fma_(b, scaled, q->d[0][v], sums[at]);
            next[at] = pin(b, f->min ? fma_(b, sx, q->m[v], sum) : sum);
        }
    }
}

// ---- a block

void linear_quant_block(linear *l, int rows, value x_row, value block, value panel, const value *sums, value *next)
{
    bool vpdpbusd = l->b->target.vpdpbusd;
    quant_block q = begin_block(l, block, panel, !vpdpbusd, vpdpbusd ? scale_up(l->quant) : 0);
    linear_prefetch(l, q.base, (value){0}, quant_step_bytes(l->quant) / l->quant->blocks);
    (vpdpbusd ? add_block_vpdpbusd : add_block_avx2)(l, rows, x_row, block, &q, sums, next);
}
