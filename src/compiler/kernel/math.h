// Elementary functions on f32 vectors, inlined into kernels.
#ifndef WELFORD_COMPILER_KERNEL_MATH_H
#define WELFORD_COMPILER_KERNEL_MATH_H

#include "compiler/kernel/builder.h"

// ---- in f32: bounds are in ulp, of the result's float; tested by math_test.c, over all floats by math_bench.c

// e^x: 1.1 ulp, denormal results too; above 88.7 it is inf; NaN stays.
value math_exp(builder *b, value x);

// 2^x for x <= 0, as online softmax needs it: relative error below 2e-7, exactly 1 at 0, exactly 0 below -126.5; NaN
// stays, -inf gives 0. Half the work of math_exp.
value math_exp2_nonpositive(builder *b, value x);

// x / (1 + e^-x), the SiLU of https://arxiv.org/abs/1702.03118.
value math_silu(builder *b, value x);

// 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), GELU's tanh form (https://arxiv.org/abs/1606.08415), as GeGLU uses
// it. -inf gives NaN, as in the formula; so it does in math_silu.
value math_gelu_tanh(builder *b, value x);

// 2 ulp; NaN stays.
value math_tanh(builder *b, value x);
value math_erf(builder *b, value x);

// ---- by way of f64: 0.51 ulp, denormals and special values as C's functions have them

// Whether there is a vector form of the math dialect's op of this name: "log1p", "pow" (of powf).
bool math_has(const char *name);

// Whether it holds for |x| < MATH_MAX_ANGLE only, as sin, cos and tan do: beyond, the caller needs another way.
#define MATH_MAX_ANGLE 0x1p30
bool math_is_of_angle(const char *name);

// f(x[0]), or f(x[0], x[1]): f32, or vectors of it.
value math_by_name(builder *b, const char *name, const value *x);

#endif
