// Polynomials are minimax fits of our own (Lawson's iteration on Chebyshev nodes); the bound beside each is theirs, the
// bounds in math.h include the rounding of the evaluation. Argument reduction after W. J. Cody and W. Waite, "Software
// Manual for the Elementary Functions", 1980: ln 2 in two parts, the first with enough trailing zeros that n * LN2_HIGH
// is exact.
#include "compiler/kernel/math.h"

// Adding 1.5 * 2^23 to |x| < 2^22 leaves round(x), ties to even, in the low bits of the sum's mantissa.
static const double ROUNDING = 12582912;
static const double LN2_HIGH = 0.693145751953125, LN2_LOW = 1.42860682030941723e-6;

static value constant_like(builder *b, value x, double c) { return const_f(b, mlirValueGetType(x), c); }

// c[0] + c[1] x + ... + c[n-1] x^(n-1)
static value polynomial(builder *b, value x, const double *c, int n)
{
    value y = constant_like(b, x, c[n - 1]);
    for (int i = n - 2; i >= 0; i--) y = fma_(b, y, x, constant_like(b, x, c[i]));
    return y;
}

static value bits_of(builder *b, value x) { return bitcast(b, x, with_element(b, mlirValueGetType(x), b->i32)); }

// e^x = p * 2^n, n as what `rounded` has in its low bits, 1/sqrt2 <= p <= sqrt2; |x| <= 104.
static value exp_parts(builder *b, value x, value *rounded)
{
    // e^r = 1 + r + r^2 q(r), |r| <= ln2 / 2, relative error 3.1e-9
    static const double Q[] = {0.4999999343, 0.166665204, 0.04166839079, 0.008368745196, 0.001381454011};
    *rounded = fma_(b, x, constant_like(b, x, 1.44269504088896341), constant_like(b, x, ROUNDING));
    value n = sub_f(b, *rounded, constant_like(b, x, ROUNDING));
    value r = fma_(b, n, constant_like(b, x, -LN2_LOW), fma_(b, n, constant_like(b, x, -LN2_HIGH), x));
    return add_f(b, fma_(b, mul_f(b, r, r), polynomial(b, r, Q, 5), r), constant_like(b, x, 1));
}

// y where the result is finite, else inf, or NaN where x is.
static value or_not_finite(builder *b, value x, value y)
{
    value not_finite = add_f(b, x, constant_like(b, x, __builtin_inf()));
    return select_(b, cmp_f(b, CMP_LE, x, constant_like(b, x, 88.72283)), y, not_finite);
}

// As math_exp, but 0 where the result would be denormal.
static value exp_normal(builder *b, value x)
{
    value rounded, p = exp_parts(b, x, &rounded);
    // times 2^n by adding n to the exponent of p: also for n = 128 and n = -126, where the result is normal though 2^n
    // or p * 2^n on the way need not be
    value y = bitcast(b, add(b, bits_of(b, p), shl_i(b, bits_of(b, rounded), 23)), mlirValueGetType(x));
    y = select_(b, cmp_f(b, CMP_LT, x, constant_like(b, x, -87.3365)), constant_like(b, x, 0), y);
    return or_not_finite(b, x, y);
}

value math_exp(builder *b, value x)
{
    type t = mlirValueGetType(x), i32 = with_element(b, t, b->i32);
    value rounded, p = exp_parts(b, x, &rounded);
    // as above; small results by way of 2^64 times as much, so that they are rounded once where they are denormal
    value small = cmp_f(b, CMP_LT, x, constant_like(b, x, -87));
    value up = select_(b, small, const_int(b, i32, 64 << 23), const_int(b, i32, 0));
    value down = select_(b, small, constant_like(b, x, 0x1p-64), constant_like(b, x, 1));
    value y = bitcast(b, add(b, add(b, bits_of(b, p), shl_i(b, bits_of(b, rounded), 23)), up), t);
    y = select_(b, cmp_f(b, CMP_LT, x, constant_like(b, x, -104)), constant_like(b, x, 0), mul_f(b, y, down));
    return or_not_finite(b, x, y);
}

value math_exp2_nonpositive(builder *b, value x)
{
    // 2^r, |r| <= 1/2, relative error 9.2e-8
    static const double P[] = {1, 0.6931469771, 0.2402224143, 0.05550734259, 0.009671555317, 0.001326467272};
    type t = mlirValueGetType(x);
    x = max_f(b, constant_like(b, x, -127), x); // in this order NaN stays
    // 127 more: the low bits are then the biased exponent of 2^n, 0 for n = -127
    value rounded = add_f(b, x, constant_like(b, x, ROUNDING + 127));
    value r = sub_f(b, x, sub_f(b, rounded, constant_like(b, x, ROUNDING + 127)));
    value scale = bitcast(b, shl_i(b, bits_of(b, rounded), 23), t);
    return mul_f(b, polynomial(b, r, P, 6), scale);
}

value math_silu(builder *b, value x)
{
    return div_f(b, x, add_f(b, exp_normal(b, neg_f(b, x)), constant_like(b, x, 1)));
}

value math_gelu_tanh(builder *b, value x)
{
    // 0.5 (1 + tanh u) = 1 / (1 + e^-2u), without the cancellation of the left side at u << 0
    static const double TWICE_ROOT = 1.59576912160573071; // 2 sqrt(2/pi)
    value square = mul_f(b, x, x);
    value slope = fma_(b, square, constant_like(b, x, -0.044715 * TWICE_ROOT), constant_like(b, x, -TWICE_ROOT));
    return div_f(b, x, add_f(b, exp_normal(b, mul_f(b, x, slope)), constant_like(b, x, 1)));
}

static value with_sign_of(builder *b, value x, value magnitude)
{
    value sign = and_i(b, bits_of(b, x), INT32_MIN);
    return bitcast(b, or_(b, bits_of(b, magnitude), sign), mlirValueGetType(x));
}

value math_tanh(builder *b, value x)
{
    // tanh x = x + x^3 p(x^2), |x| < 1, relative error 4.6e-9; beyond, 1 - 2 / (e^2|x| + 1) loses nothing
    static const double P[] = {-0.3333329543,  0.1333234454,   -0.0538798004,   0.02148665096,
                               -0.00794609678, 0.002301357618, -0.0003584500206};
    value magnitude = abs_f(b, x), square = mul_f(b, x, x);
    value near = fma_(b, mul_f(b, square, polynomial(b, square, P, 7)), magnitude, magnitude);
    value one = constant_like(b, x, 1), grown = exp_normal(b, add_f(b, magnitude, magnitude));
    value far = sub_f(b, one, div_f(b, constant_like(b, x, 2), add_f(b, grown, one)));
    return with_sign_of(b, x, select_(b, cmp_f(b, CMP_LT, magnitude, one), near, far));
}

value math_erf(builder *b, value x)
{
    // erf x = x + x p(x^2), |x| < 1, relative error 1.2e-9; beyond, 1 - e^q(|x|), error 1.1e-9 of erf x, and 1 from 3.93 on
    static const double P[] = {0.128379166,    -0.3761262582,    0.1128358515,   -0.02685381187,
                               0.005188327556, -0.0008010192488, 7.853857596e-05};
    static const double Q[] = {-0.0003415131216, -1.127089232,    -0.638144762,   -0.103106818,
                               0.02183809529,    -0.002947666364, 0.0001863800388};
    value magnitude = abs_f(b, x), square = mul_f(b, x, x), one = constant_like(b, x, 1);
    value near = fma_(b, magnitude, polynomial(b, square, P, 7), magnitude);
    value kept = min_f(b, constant_like(b, x, 3.93), magnitude); // in this order NaN stays
    value far = sub_f(b, one, exp_normal(b, polynomial(b, kept, Q, 7)));
    return with_sign_of(b, x, select_(b, cmp_f(b, CMP_LT, magnitude, one), near, far));
}
