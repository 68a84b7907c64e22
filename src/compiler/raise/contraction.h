// Matrix products, whatever op computes them: tosa.matmul, linalg.matmul and its kin, a linalg.generic that multiplies
// and adds.
#ifndef WELFORD_COMPILER_RAISE_CONTRACTION_H
#define WELFORD_COMPILER_RAISE_CONTRACTION_H

#include "compiler/raise/raise.h"

typedef struct contraction {
    MlirValue lhs, rhs; // lhs [batch.., m, k]; rhs [batch.., k, n], or [batch.., n, k] when `transposed`
    bool transposed;
    MlirValue init;   // what the sums start from; null value: zero
    MlirValue result; // [batch.., m, n]
} contraction;

bool read_contraction(matcher *m, MlirOperation op, contraction *c);

#endif
