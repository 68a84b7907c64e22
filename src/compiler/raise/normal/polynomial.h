// Values as polynomials of another value, up to the third power: products, sums, quotients by constants, powers.
#ifndef WELFORD_COMPILER_RAISE_NORMAL_POLYNOMIAL_H
#define WELFORD_COMPILER_RAISE_NORMAL_POLYNOMIAL_H

#include "compiler/raise/normal/normal.h"

enum { MAX_DEGREE = 3 };
typedef struct polynomial {
    double of[MAX_DEGREE + 1]; // the coefficient of each power
} polynomial;

// False when `from` depends on something else than x, or on a higher power of it.
bool read_polynomial(reader *r, const ref *from, const ref *x, polynomial *p);

#endif
