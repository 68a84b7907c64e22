// Elementary functions on f32 vectors, inlined into kernels.
#ifndef WELFORD_COMPILER_KERNEL_MATH_H
#define WELFORD_COMPILER_KERNEL_MATH_H

#include "compiler/kernel/builder.h"

// e^x: relative error below 2e-7 where the result is normal; below -87.3 it is flushed to 0, above 88.7 it is inf; NaN
// stays.
value math_exp(builder *b, value x);

// 2^x for x <= 0, as online softmax needs it: relative error below 2e-7, exactly 1 at 0, exactly 0 below -126.5; NaN
// stays, -inf gives 0. Half the work of math_exp.
value math_exp2_nonpositive(builder *b, value x);

// x / (1 + e^-x), the SiLU of https://arxiv.org/abs/1702.03118.
value math_silu(builder *b, value x);

// 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), GELU's tanh form (https://arxiv.org/abs/1606.08415), as GeGLU uses
// it. -inf gives NaN, as in the formula; so it does in math_silu.
value math_gelu_tanh(builder *b, value x);

// Relative error below 5e-7; NaN stays.
value math_tanh(builder *b, value x);

#endif
