// Matrix products, whatever op computes them: tosa.matmul, linalg.matmul and its kin, a linalg.generic that multiplies
// and adds.
#ifndef WELFORD_COMPILER_RAISE_RULES_CONTRACTION_H
#define WELFORD_COMPILER_RAISE_RULES_CONTRACTION_H

#include "compiler/raise/raise.h"

typedef struct contraction {
    // lhs [batch.., m, k]; rhs [batch.., k, n], or [batch.., n, k] when `transposed`; one rhs [k, n] may serve all
    // batches
    MlirValue lhs, rhs;
    bool transposed;
    MlirValue init;   // what the sums start from; null value: zero
    MlirValue result; // [batch.., m, n]
} contraction;

// Whether a body of three arguments computes out + lhs * rhs, each factor perhaps widened first.
bool is_multiply_add(MlirBlock body);
bool read_contraction(matcher *m, MlirOperation op, contraction *c);
// tosa.conv2d with a kernel of 1 x 1 and a stride of 1: x [.., k] times w [n, k], and a bias [n].
bool read_convolution(MlirOperation op, contraction *c, MlirValue *bias);

#endif
