#include "compiler/kernel/rows/q8.h"

// Four vectors of 8 i32 in -128..127 as one of 32 i8. The packs work within 128-bit halves, so that groups of four come
// out as 0 2 4 6 1 3 5 7.
static value narrow_block(builder *b, const value *q)
{
    type i16 = vec(b, 16, b->i16), i8 = vec(b, 32, b->i8), i32 = vec(b, 8, b->i32);
    value words[] = {intrinsic(b, "llvm.x86.avx2.packssdw", i16, 2, q),
                     intrinsic(b, "llvm.x86.avx2.packssdw", i16, 2, q + 2)};
    value bytes = intrinsic(b, "llvm.x86.avx2.packsswb", i8, 2, words);
    static const int64_t order[] = {0, 4, 1, 5, 2, 6, 3, 7};
    value groups = bitcast(b, bytes, i32);
    return bitcast(b, shuffle(b, groups, groups, 8, order), i8);
}

// The largest magnitude, on the bits: as integers they are ordered as the numbers are, with NaN above all, so that a
// NaN anywhere gives a NaN scale.
static value largest_magnitude(builder *b, const value *x, int n)
{
    type i32 = with_element(b, mlirValueGetType(x[0]), b->i32);
    value largest = {0};
    for (int v = 0; v < n; v++) {
        value bits = and_i(b, bitcast(b, x[v], i32), INT32_MAX);
        largest = v ? max_s(b, largest, bits) : bits;
    }
    return bitcast(b, max_of_s(b, largest), b->f32);
}

// Sums of the i32 at 4k and 4k + 1, and of those at 4k + 2 and 4k + 3.
static void sum_pairs(builder *b, value x, value sums[2])
{
    static const int64_t low[] = {0, 1, 2, 3, 4, 5, 6, 7}, high[] = {8, 9, 10, 11, 12, 13, 14, 15};
    for (int n = lanes(mlirValueGetType(x)) / 2; n >= 4; n /= 2)
        x = add(b, shuffle(b, x, x, n, low), shuffle(b, x, x, n, n == 8 ? high : low + 4));
    static const int64_t even[] = {0, 2}, odd[] = {1, 3};
    value pairs = add(b, shuffle(b, x, x, 2, even), shuffle(b, x, x, 2, odd));
    for (int i = 0; i < 2; i++) sums[i] = extract(b, pairs, i);
}

// Stores t of both halves, and z.
static void store_starts(builder *b, value sums[2][2], value row, value offset, int64_t n)
{
    bool vpdpbusd = b->target.vpdpbusd;
    value z = {0};
    for (int half = 0; half < 2; half++) {
        value t;
        if (vpdpbusd) {
            t = mul_i(b, add(b, sums[half][0], sums[half][1]), -128);
            z = half ? add(b, z, t) : t;
        } else {
            t = or_(b, and_i(b, mul_i(b, sums[half][0], -32), 0xffff), shl_i(b, mul_i(b, sums[half][1], -32), 16));
        }
        store(b, t, row, add(b, offset, offset), q8_half_offset(n) + 4 * half);
    }
    if (vpdpbusd) store(b, z, row, offset, q8_start_offset(n));
}

value q8_quantize(builder *b, const value *x, value *q)
{
    static const double ROUNDING =
        12582912; // 1.5 * 2^23: adding it leaves the nearest integer in the low mantissa bits
    type t = mlirValueGetType(x[0]), i32 = with_element(b, t, b->i32);
    int width = lanes(t), n_vectors = Q8_BLOCK / width;
    value largest = largest_magnitude(b, x, n_vectors);
    // below 2^-120 the reciprocal would overflow: such blocks become zeros, 1e-36 off at most
    value inverse = select_(b, cmp_f(b, CMP_GT, largest, const_f(b, b->f32, 0x1p-120)),
                            div_f(b, const_f(b, b->f32, 127), largest), const_f(b, b->f32, 0));
    value scale = splat(b, inverse, width);
    for (int v = 0; v < n_vectors; v++) {
        value rounded = fma_(b, x[v], scale, const_f(b, t, ROUNDING));
        q[v] = sub(b, bitcast(b, rounded, i32), const_int(b, i32, 0x4b400000)); // the bits of ROUNDING
    }
    return mul_f(b, largest, const_f(b, b->f32, 1.0 / 127));
}

void q8_store_block(builder *b, const value *x, value row, value block, int64_t n)
{
    int width = lanes(mlirValueGetType(x[0]));
    value q[Q8_BLOCK / 8], d = q8_quantize(b, x, q);
    value quants_at = at(b, row, mul_i(b, block, Q8_BLOCK), 0);
    for (int v = 0; v < Q8_BLOCK / width && width == 16; v++)
        store(b, trunc_i(b, q[v], vec(b, 16, b->i8)), quants_at, (value){0}, v * 16);
    if (width == 8) store(b, narrow_block(b, q), quants_at, (value){0}, 0);
    value sums[2][2], offset = mul_i(b, block, 4);
    for (int half = 0; half < 2; half++)
        sum_pairs(b, width == 16 ? q[half] : add(b, q[2 * half], q[2 * half + 1]), sums[half]);
    value sum = add(b, add(b, sums[0][0], sums[0][1]), add(b, sums[1][0], sums[1][1]));
    store(b, d, row, offset, q8_scale_offset(n));
    store(b, mul_f(b, d, int_to_f(b, sum, b->f32)), row, offset, q8_sum_offset(n));
    store_starts(b, sums, row, offset, n);
}
