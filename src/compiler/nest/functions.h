// Elementary functions on f32 vectors that kernel/math.h does not have.
#ifndef WELFORD_COMPILER_NEST_FUNCTIONS_H
#define WELFORD_COMPILER_NEST_FUNCTIONS_H

#include "compiler/kernel/builder.h"

// Absolute error below 4e-7, relative below 6e-7; NaN stays.
value function_erf(builder *b, value x);

// Error below 2e-7 of the larger of |log x| and 1, also for denormals; 0 gives -inf, negative numbers give NaN.
value function_log(builder *b, value x);

#endif
