// Elementary functions of f32 by way of f64: with 29 bits to spare, textbook formulas round to the right float but once
// in millions, and no step overflows, underflows or cancels where the result does not.
//
// Polynomials are minimax fits of our own, as in math.c, with the relative error beside each.
#include "compiler/kernel/math.h"

#include <math.h>
#include <string.h>

// 1.5 * 2^52: added to |x| < 2^51, the sum has round(x), ties to even, in its low bits.
static const double ROUNDING = 6755399441055744.0;

static value like(builder *b, value x, double c) { return const_f(b, mlirValueGetType(x), c); }

static value bits_of(builder *b, value x) { return bitcast(b, x, with_element(b, mlirValueGetType(x), b->i64)); }

static value float_of(builder *b, value bits)
{
    return bitcast(b, bits, with_element(b, mlirValueGetType(bits), b->f64));
}

// c[0] + c[1] x + ... + c[n-1] x^(n-1)
static value polynomial(builder *b, value x, const double *c, int n)
{
    value y = like(b, x, c[n - 1]);
    for (int i = n - 2; i >= 0; i--) y = fma_(b, y, x, like(b, x, c[i]));
    return y;
}

static value sign_of(builder *b, value x) { return and_i(b, bits_of(b, x), INT64_MIN); }

static value with_sign(builder *b, value magnitude, value sign)
{
    return float_of(b, or_(b, bits_of(b, magnitude), sign));
}

static value is(builder *b, compare how, value x, double c) { return cmp_f(b, how, x, like(b, x, c)); }

// y, or x itself where x is NaN.
static value keep_nan(builder *b, value x, value y) { return select_(b, cmp_f(b, CMP_EQ, x, x), y, x); }

// ---- exponentials

// 2^t for |t| <= 1000; beyond 200, which no float reaches, any number as large or as small.
static value exp2_of(builder *b, value t)
{
    // (2^r - 1) / r, |r| <= 1/2: 5.4e-14
    static const double P[] = {0.69314718055994706,    0.24022650695813036,    0.055504108664538511,
                               0.0096181291593940774,  0.0013333558223689729,  0.00015403455859286375,
                               1.5252658250086704e-05, 1.3255223176855679e-06, 1.0208833600700018e-07};
    t = min_f(b, max_f(b, t, like(b, t, -200)), like(b, t, 200));
    value rounded = add_f(b, t, like(b, t, ROUNDING)), r = sub_f(b, t, sub_f(b, rounded, like(b, t, ROUNDING)));
    value p = fma_(b, r, polynomial(b, r, P, 9), like(b, t, 1));
    return float_of(b, add(b, bits_of(b, p), shl_i(b, bits_of(b, rounded), 52)));
}

// e^x - 1
static value expm1_of(builder *b, value x)
{
    // (e^r - 1) / r, |r| <= ln2 / 2: 7.8e-14
    static const double P[] = {0.99999999999998856,    0.49999999999800371,    0.16666666666948687,
                               0.041666666889477823,   0.0083333332287602643,  0.0013888821913553373,
                               0.00019841375464853009, 2.4876055376317102e-05, 2.7555572517175093e-06};
    value kept = min_f(b, max_f(b, x, like(b, x, -150)), like(b, x, 150));
    value rounded = fma_(b, kept, like(b, x, M_LOG2E), like(b, x, ROUNDING));
    value n = sub_f(b, rounded, like(b, x, ROUNDING)), r = fma_(b, n, like(b, x, -M_LN2), kept);
    value power = float_of(b, shl_i(b, add_i(b, bits_of(b, rounded), 1023), 52)); // 2^n
    value y = fma_(b, mul_f(b, r, polynomial(b, r, P, 9)), power, sub_f(b, power, like(b, x, 1)));
    y = select_(b, is(b, CMP_EQ, n, 0), mul_f(b, r, polynomial(b, r, P, 9)), y); // -0 stays
    return keep_nan(b, x, y);
}

static value do_exp2(builder *b, value x) { return keep_nan(b, x, exp2_of(b, x)); }

static value do_sinh(builder *b, value x)
{
    value sign = sign_of(b, x), t = expm1_of(b, abs_f(b, x));
    value y = mul_f(b, add_f(b, t, div_f(b, t, add_f(b, t, like(b, x, 1)))), like(b, x, 0.5));
    return with_sign(b, y, sign);
}

static value do_cosh(builder *b, value x)
{
    value e = do_exp2(b, mul_f(b, abs_f(b, x), like(b, x, M_LOG2E)));
    return mul_f(b, add_f(b, e, div_f(b, like(b, x, 1), e)), like(b, x, 0.5));
}

// ---- logarithms

// log x / log 2 * scale for x > 0 that is normal as f64; 0 gives -inf, less NaN.
static value log_of(builder *b, value x, double log_of_two)
{
    // atanh(s) / s in s^2, s = (m - 1) / (m + 1), sqrt(1/2) <= m < sqrt(2): 6.7e-16
    static const double P[] = {0.99999999999999989, 0.33333333333270787,  0.20000000033427906, 0.14285707590287777,
                               0.11111747727641444, 0.090599684124391067, 0.084309638159955541};
    static const int64_t ROOT = INT64_C(0x3fe6a09e667f3bcd), ONE = INT64_C(0x3ff0000000000000); // sqrt(1/2), 1
    static const int64_t MANTISSA = (INT64_C(1) << 52) - 1, TWO52 = INT64_C(0x4330000000000000);
    value bits = add_i(b, bits_of(b, x), ONE - ROOT), one = like(b, x, 1);
    // the exponent as the low bits of 2^52 + exponent
    value exponent = sub_f(b, float_of(b, add_i(b, shr_i(b, bits, 52), TWO52)), like(b, x, 0x1p52 + 1023));
    value m = float_of(b, add_i(b, and_i(b, bits, MANTISSA), ROOT));
    value s = div_f(b, sub_f(b, m, one), add_f(b, m, one)), square = mul_f(b, s, s);
    value y = mul_f(b, mul_f(b, s, like(b, x, 2 * log_of_two / M_LN2)), polynomial(b, square, P, 7));
    y = fma_(b, exponent, like(b, x, log_of_two), y);
    y = select_(b, is(b, CMP_LT, x, INFINITY), y, x); // inf and NaN stay
    y = select_(b, is(b, CMP_EQ, x, 0), like(b, x, -INFINITY), y);
    return select_(b, is(b, CMP_LT, x, 0), like(b, x, NAN), y);
}

static value do_log(builder *b, value x) { return log_of(b, x, M_LN2); }
static value do_log2(builder *b, value x) { return log_of(b, x, 1); }
static value do_log10(builder *b, value x) { return log_of(b, x, 0.30102999566398119521); }

// What 1 + x loses of x comes back as a correction: log(u) + (x - (u - 1)) / u.
static value do_log1p(builder *b, value x)
{
    value one = like(b, x, 1), u = add_f(b, x, one);
    value lost = div_f(b, sub_f(b, x, sub_f(b, u, one)), u), y = do_log(b, u);
    value use = and_(b, is(b, CMP_GT, u, 0), is(b, CMP_LT, x, INFINITY));
    y = select_(b, use, add_f(b, y, lost), y);
    return select_(b, is(b, CMP_EQ, x, 0), x, y); // -0 stays
}

static value do_asinh(builder *b, value x)
{
    value a = abs_f(b, x), square = mul_f(b, a, a), one = like(b, x, 1);
    value root = sqrt_f(b, add_f(b, square, one));
    value y = do_log1p(b, add_f(b, a, div_f(b, square, add_f(b, root, one))));
    y = select_(b, is(b, CMP_LT, a, INFINITY), y, a);
    return with_sign(b, y, sign_of(b, x));
}

static value do_acosh(builder *b, value x)
{
    value t = sub_f(b, x, like(b, x, 1)), root = sqrt_f(b, fma_(b, t, t, add_f(b, t, t)));
    value y = do_log1p(b, add_f(b, t, root));
    return keep_nan(b, x, select_(b, is(b, CMP_GE, x, 1), y, like(b, x, NAN)));
}

static value do_atanh(builder *b, value x)
{
    value a = abs_f(b, x);
    value y = do_log1p(b, div_f(b, add_f(b, a, a), sub_f(b, like(b, x, 1), a)));
    return with_sign(b, mul_f(b, y, like(b, x, 0.5)), sign_of(b, x));
}

static value do_cbrt(builder *b, value x)
{
    value y = exp2_of(b, mul_f(b, do_log2(b, abs_f(b, x)), like(b, x, 1.0 / 3)));
    y = select_(b, is(b, CMP_EQ, x, 0), x, y);
    return keep_nan(b, x, with_sign(b, y, sign_of(b, x)));
}

// ---- powers

static value xor_of(builder *b, value condition)
{
    return xor_(b, condition, const_int(b, mlirValueGetType(condition), -1));
}

// As C's pow: 1 where x is 1 or y is 0, NaN where x < 0 and y is no whole number, the sign of x where y is odd.
static value do_pow(builder *b, value x, value y)
{
    value a = abs_f(b, x), one = like(b, x, 1), is_one = cmp_f(b, CMP_EQ, a, one);
    value exponent = mul_f(b, y, do_log2(b, a));
    exponent = select_(b, is_one, like(b, x, 0), exponent); // 1^inf
    value power = exp2_of(b, exponent), size = abs_f(b, y);
    // From 2^24 on all floats are even; below, adding 2^52 rounds to a whole number, and shows whether it is odd.
    value sum = add_f(b, size, like(b, x, 0x1p52)), small = is(b, CMP_LT, size, 0x1p24);
    value whole = cmp_f(b, CMP_EQ, sub_f(b, sum, like(b, x, 0x1p52)), size);
    whole = or_(b, whole, xor_of(b, small));
    value odd =
        and_(b, cmp_i(b, CMP_NE, and_i(b, bits_of(b, sum), 1), const_int(b, mlirValueGetType(bits_of(b, x)), 0)),
             and_(b, whole, small));
    value negative = select_(b, odd, sign_of(b, x), const_int(b, mlirValueGetType(bits_of(b, x)), 0));
    power = with_sign(b, power, negative);
    value outside = and_(b, and_(b, is(b, CMP_LT, x, 0), is(b, CMP_GT, x, -INFINITY)), xor_of(b, whole));
    power = select_(b, outside, like(b, x, NAN), power);
    power = keep_nan(b, y, keep_nan(b, x, power));
    value always = or_(b, is(b, CMP_EQ, y, 0), cmp_f(b, CMP_EQ, x, one));
    return select_(b, always, one, power);
}

// ---- circular functions

typedef struct angle {
    value r, quarters; // x = quarters * pi/2 + r, |r| <= pi/4; quarters in the low bits
} angle;

// Two parts of pi/2 after Cody and Waite: |x| < 2^30 leaves r exact to 2^-53 + 2^-76. Beyond MATH_MAX_ANGLE the caller
// has another way.
static angle reduce(builder *b, value x)
{
    value rounded = fma_(b, x, like(b, x, M_2_PI), like(b, x, ROUNDING)), n = sub_f(b, rounded, like(b, x, ROUNDING));
    value r = fma_(b, n, like(b, x, -M_PI_2), x);
    r = fma_(b, n, like(b, x, -6.123233995736766e-17), r);
    return (angle){select_(b, is(b, CMP_EQ, x, 0), x, r), bits_of(b, rounded)};
}

static value sin_near(builder *b, value r)
{
    static const double P[] = {-0.16666666666627986, 0.008333333324613678, -0.00019841263457902054,
                               2.7555279231209032e-06, -2.4755903397944462e-08}; // 5.4e-15
    value square = mul_f(b, r, r);
    value y = fma_(b, mul_f(b, r, square), polynomial(b, square, P, 5), r);
    return select_(b, is(b, CMP_EQ, r, 0), r, y); // -0 stays
}

static value cos_near(builder *b, value r)
{
    static const double P[] = {1,
                               -0.5,
                               0.041666666666595298,
                               -0.0013888888877371987,
                               2.4801580573580403e-05,
                               -2.7555494625542035e-07,
                               2.0643063643981162e-09}; // 9.4e-17
    return polynomial(b, mul_f(b, r, r), P, 7);
}

static value is_odd(builder *b, value quarters)
{
    return cmp_i(b, CMP_NE, and_i(b, quarters, 1), const_int(b, mlirValueGetType(quarters), 0));
}

static value wave(builder *b, value x, int64_t shift)
{
    angle a = reduce(b, x);
    value quarters = add_i(b, a.quarters, shift);
    value y = select_(b, is_odd(b, quarters), cos_near(b, a.r), sin_near(b, a.r));
    return float_of(b, xor_(b, bits_of(b, y), shl_i(b, shr_i(b, quarters, 1), 63)));
}

static value do_sin(builder *b, value x) { return wave(b, x, 0); }
static value do_cos(builder *b, value x) { return wave(b, x, 1); }

static value do_tan(builder *b, value x)
{
    angle a = reduce(b, x);
    value sine = sin_near(b, a.r), cosine = cos_near(b, a.r), odd = is_odd(b, a.quarters);
    return div_f(b, select_(b, odd, neg_f(b, cosine), sine), select_(b, odd, sine, cosine));
}

// ---- their inverses

// atan(above / below) for both >= 0, any of them inf but not both, any 0 but not both
static value atan_of_ratio(builder *b, value above, value below)
{
    // (atan t / t - 1) / t^2 in t^2, |t| <= tan(pi/8): 2.7e-14
    static const double P[] = {-0.33333333331696469,  0.19999999685522687,   -0.14285693591064394,
                               0.11110449864693543,   -0.090791360977543645, 0.075685294954142973,
                               -0.058910204589528059, 0.030894149692072954};
    static const double TAN_8 = 0.41421356237309505, TAN_3_8 = 2.4142135623730950;
    // turned by pi/4 or pi/2 towards 0
    value near = cmp_f(b, CMP_LE, above, mul_f(b, below, like(b, above, TAN_8)));
    value far = cmp_f(b, CMP_GE, above, mul_f(b, below, like(b, above, TAN_3_8)));
    value top = select_(b, far, neg_f(b, below), sub_f(b, above, below));
    value bottom = select_(b, far, above, add_f(b, above, below));
    value t = div_f(b, select_(b, near, above, top), select_(b, near, below, bottom)), square = mul_f(b, t, t);
    value y = fma_(b, mul_f(b, t, square), polynomial(b, square, P, 8), t);
    value turn = select_(b, near, like(b, above, 0), select_(b, far, like(b, above, M_PI_2), like(b, above, M_PI_4)));
    return add_f(b, y, turn);
}

static value do_atan(builder *b, value x)
{
    value y = atan_of_ratio(b, abs_f(b, x), like(b, x, 1));
    return keep_nan(b, x, with_sign(b, y, sign_of(b, x)));
}

static value do_atan2(builder *b, value y, value x)
{
    value above = abs_f(b, y), below = abs_f(b, x), zero = like(b, x, 0), one = like(b, x, 1);
    value both_zero = and_(b, cmp_f(b, CMP_EQ, above, zero), cmp_f(b, CMP_EQ, below, zero));
    value both_inf = and_(b, is(b, CMP_EQ, above, INFINITY), is(b, CMP_EQ, below, INFINITY));
    above = select_(b, both_inf, one, above);
    below = select_(b, or_(b, both_inf, both_zero), one, below);
    value turn = atan_of_ratio(b, above, below);
    value left = cmp_i(b, CMP_LT, bits_of(b, x), const_int(b, mlirValueGetType(bits_of(b, x)), 0));
    turn = select_(b, left, sub_f(b, like(b, x, M_PI), turn), turn);
    turn = with_sign(b, turn, sign_of(b, y));
    return keep_nan(b, x, keep_nan(b, y, turn));
}

// asin x = atan(x / sqrt(1 - x^2)), of a negative root NaN.
static value do_asin(builder *b, value x)
{
    value one = like(b, x, 1), a = abs_f(b, x), rest = sqrt_f(b, mul_f(b, sub_f(b, one, a), add_f(b, one, a)));
    return keep_nan(b, rest, with_sign(b, atan_of_ratio(b, a, rest), sign_of(b, x)));
}

static value do_acos(builder *b, value x)
{
    value one = like(b, x, 1), a = abs_f(b, x), rest = sqrt_f(b, mul_f(b, sub_f(b, one, a), add_f(b, one, a)));
    value y = atan_of_ratio(b, rest, a);
    return keep_nan(b, rest, select_(b, is(b, CMP_LT, x, 0), sub_f(b, like(b, x, M_PI), y), y));
}

// ---- the error function's rest

// e^(-x^2) W(x) for x >= 0, W a polynomial in t = (x - 3) / (x + 3); 2 - that of |x| for x < 0.
static value do_erfc(builder *b, value x)
{
    // 3.2e-11 for x <= 10.2, where the result is less than the least float
    static const double P[] = {0.1790011511809147,     -0.32623356014602661,   0.24560380195526066,
                               -0.15011593102971205,   0.071665828811642046,   -0.024392583884237252,
                               0.0042692150399069161,  0.00070832721763922871, -0.0005972925646019968,
                               4.3258554899944799e-05, 6.3953685793581973e-05, -9.5471686756772738e-06,
                               -6.694597072071929e-06};
    value a = min_f(b, abs_f(b, x), like(b, x, 12));
    value t = div_f(b, sub_f(b, a, like(b, x, 3)), add_f(b, a, like(b, x, 3)));
    value y = mul_f(b, polynomial(b, t, P, 13), exp2_of(b, mul_f(b, mul_f(b, a, a), like(b, x, -M_LOG2E))));
    y = select_(b, is(b, CMP_LT, x, 0), sub_f(b, like(b, x, 2), y), y);
    return keep_nan(b, x, y);
}

// ---- the table

static const struct {
    const char *name;
    value (*one)(builder *, value);
    value (*two)(builder *, value, value);
    bool of_angle;
} FUNCTIONS[] = {
    {"exp2", do_exp2, NULL, false},   {"expm1", expm1_of, NULL, false}, {"sinh", do_sinh, NULL, false},
    {"cosh", do_cosh, NULL, false},   {"log", do_log, NULL, false},     {"log2", do_log2, NULL, false},
    {"log10", do_log10, NULL, false}, {"log1p", do_log1p, NULL, false}, {"asinh", do_asinh, NULL, false},
    {"acosh", do_acosh, NULL, false}, {"atanh", do_atanh, NULL, false}, {"cbrt", do_cbrt, NULL, false},
    {"pow", NULL, do_pow, false},     {"sin", do_sin, NULL, true},      {"cos", do_cos, NULL, true},
    {"tan", do_tan, NULL, true},      {"atan", do_atan, NULL, false},   {"atan2", NULL, do_atan2, false},
    {"asin", do_asin, NULL, false},   {"acos", do_acos, NULL, false},   {"erfc", do_erfc, NULL, false},
};

static int find(const char *name)
{
    for (int i = 0; i < (int)(sizeof FUNCTIONS / sizeof *FUNCTIONS); i++)
        if (!strcmp(FUNCTIONS[i].name, name)) return i;
    return -1;
}

bool math_has(const char *name) { return find(name) >= 0; }
bool math_is_of_angle(const char *name) { return find(name) >= 0 && FUNCTIONS[find(name)].of_angle; }

value math_by_name(builder *b, const char *name, const value *x)
{
    int f = find(name);
    type narrow = mlirValueGetType(x[0]), wide = with_element(b, narrow, b->f64);
    value first = ext_f(b, x[0], wide);
    value y = FUNCTIONS[f].two ? FUNCTIONS[f].two(b, first, ext_f(b, x[1], wide)) : FUNCTIONS[f].one(b, first);
    return trunc_f(b, y, narrow);
}
