#include "compiler/nest/functions.h"

#include "compiler/kernel/math.h"

// c[0] + c[1] x + ... + c[n-1] x^(n-1)
static value polynomial(builder *b, value x, const double *c, int n)
{
    type t = mlirValueGetType(x);
    value y = const_f(b, t, c[n - 1]);
    for (int i = n - 1; i-- > 0;) y = fma_(b, y, x, const_f(b, t, c[i]));
    return y;
}

// Near 0 the series 2/sqrt(pi) (x - x^3/3 + x^5/10 - ...); elsewhere 1 - t P(t) e^(-x^2), t = 1 / (1 + p |x|):
// Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26.
value function_erf(builder *b, value x)
{
    static const double SERIES[] = {1.1283791670955126,    -0.37612638903183754, 0.11283791670955126,
                                    -0.026866170645131252, 0.005223977625442188, -0.0008548327023450853,
                                    0.00012055332981789664};
    static const double TAIL[] = {0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429};
    type t = mlirValueGetType(x);
    value one = const_f(b, t, 1), size = abs_f(b, x), square = mul_f(b, x, x);
    value near = mul_f(b, x, polynomial(b, square, SERIES, 7));
    value u = div_f(b, one, fma_(b, size, const_f(b, t, 0.3275911), one));
    value rest = mul_f(b, mul_f(b, u, polynomial(b, u, TAIL, 5)), math_exp(b, neg_f(b, square)));
    value far = sub_f(b, one, rest);
    far = select_(b, cmp_f(b, CMP_LT, x, const_f(b, t, 0)), neg_f(b, far), far);
    return select_(b, cmp_f(b, CMP_LT, size, const_f(b, t, 0.5)), near, far);
}

// x = m 2^e with m in [sqrt(1/2), sqrt(2)); log m = 2 atanh(s), s = (m - 1) / (m + 1), |s| < 0.172.
value function_log(builder *b, value x)
{
    static const double ATANH[] = {2.0, 2.0 / 3, 2.0 / 5, 2.0 / 7, 2.0 / 9};
    enum { SQRT_HALF = 0x3f3504f3, ONE = 0x3f800000, MANTISSA = 0x7fffff };
    type t = mlirValueGetType(x), i32 = with_element(b, t, b->i32);
    value zero = const_f(b, t, 0), one = const_f(b, t, 1);
    value small = cmp_f(b, CMP_LT, x, const_f(b, t, 0x1p-126)); // denormals are scaled up first
    value scaled = select_(b, small, mul_f(b, x, const_f(b, t, 0x1p25)), x);
    value bits = add_i(b, bitcast(b, scaled, i32), ONE - SQRT_HALF);
    value exponent = int_to_f(b, add_i(b, shr_i(b, bits, 23), -127), t);
    exponent = sub_f(b, exponent, select_(b, small, const_f(b, t, 25), zero));
    value m = bitcast(b, add_i(b, and_i(b, bits, MANTISSA), SQRT_HALF), t);
    value s = div_f(b, sub_f(b, m, one), add_f(b, m, one)), square = mul_f(b, s, s);
    value y = mul_f(b, s, polynomial(b, square, ATANH, 5));
    y = fma_(b, exponent, const_f(b, t, 1.42860676e-6), y); // log 2 in two parts: the first has few digits
    y = fma_(b, exponent, const_f(b, t, 0.693145751953125), y);
    value infinity = const_f(b, t, __builtin_inf());
    y = select_(b, cmp_f(b, CMP_LT, x, infinity), y, x); // inf and NaN stay
    y = select_(b, cmp_f(b, CMP_EQ, x, zero), const_f(b, t, -__builtin_inf()), y);
    return select_(b, cmp_f(b, CMP_LT, x, zero), const_f(b, t, __builtin_nan("")), y);
}
