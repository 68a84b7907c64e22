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

value math_exp(builder *b, value x)
{
    // e^r = 1 + r + r^2 q(r), |r| <= ln2 / 2, relative error 3.1e-9
    static const double Q[] = {0.4999999343, 0.166665204, 0.04166839079, 0.008368745196, 0.001381454011};
    type t = mlirValueGetType(x);
    value rounded = fma_(b, x, constant_like(b, x, 1.44269504088896341), constant_like(b, x, ROUNDING));
    value n = sub_f(b, rounded, constant_like(b, x, ROUNDING));
    value r = fma_(b, n, constant_like(b, x, -LN2_LOW), fma_(b, n, constant_like(b, x, -LN2_HIGH), x));
    value one = constant_like(b, x, 1);
    value p = add_f(b, fma_(b, mul_f(b, r, r), polynomial(b, r, Q, 5), r), one);
    // times 2^n by adding n to the exponent of p, 1/sqrt2 <= p <= sqrt2: also for n = 128 and n = -126, where the
    // result is normal though 2^n or p * 2^n on the way need not be
    value y = bitcast(b, add(b, bits_of(b, p), shl_i(b, bits_of(b, rounded), 23)), t);
    y = select_(b, cmp_f(b, CMP_LT, x, constant_like(b, x, -87.3365)), constant_like(b, x, 0), y);
    value not_finite = add_f(b, x, constant_like(b, x, __builtin_inf())); // inf, or NaN where x is
    return select_(b, cmp_f(b, CMP_LE, x, constant_like(b, x, 88.72283)), y, not_finite);
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

value math_silu(builder *b, value x) { return div_f(b, x, add_f(b, math_exp(b, neg_f(b, x)), constant_like(b, x, 1))); }

value math_gelu_tanh(builder *b, value x)
{
    // 0.5 (1 + tanh u) = 1 / (1 + e^-2u), without the cancellation of the left side at u << 0
    static const double TWICE_ROOT = 1.59576912160573071; // 2 sqrt(2/pi)
    value square = mul_f(b, x, x);
    value slope = fma_(b, square, constant_like(b, x, -0.044715 * TWICE_ROOT), constant_like(b, x, -TWICE_ROOT));
    return div_f(b, x, add_f(b, math_exp(b, mul_f(b, x, slope)), constant_like(b, x, 1)));
}

value math_tanh(builder *b, value x)
{
    // tanh x = x + x^3 p(x^2), |x| < 0.625, relative error 4.4e-9; beyond, 1 - 2 / (e^2|x| + 1) loses nothing
    static const double P[] = {-0.3333328194, 0.1333144219, -0.05373971461, 0.02063908562, -0.005704985092};
    value magnitude = abs_f(b, x), square = mul_f(b, x, x);
    value near = fma_(b, mul_f(b, square, polynomial(b, square, P, 5)), x, x);
    value one = constant_like(b, x, 1), grown = math_exp(b, add_f(b, magnitude, magnitude));
    value far = sub_f(b, one, div_f(b, constant_like(b, x, 2), add_f(b, grown, one)));
    value sign = and_i(b, bits_of(b, x), INT32_MIN);
    far = bitcast(b, or_(b, bits_of(b, far), sign), mlirValueGetType(x));
    return select_(b, cmp_f(b, CMP_LT, magnitude, constant_like(b, x, 0.625)), near, far);
}
