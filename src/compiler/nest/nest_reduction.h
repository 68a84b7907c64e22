// Bodies that reduce: what they combine, and how.
#ifndef WELFORD_COMPILER_NEST_NEST_REDUCTION_H
#define WELFORD_COMPILER_NEST_NEST_REDUCTION_H

#include "compiler/nest/nest.h"

// out = out OP term: ops whose partial results can be combined in any order, and what they start from.
typedef enum identity { IDENTITY_ZERO, IDENTITY_ONE, IDENTITY_LOWEST, IDENTITY_HIGHEST, IDENTITY_ONES } identity;
typedef struct combiner {
    const char *name;
    identity start;
} combiner;

typedef struct reduction_of {
    const combiner *combiner;
    MlirValue term; // what is combined
    MlirOperation op;
} reduction_of;

// Reads output `o` of the body as a reduction. False when the body is none, or looks at the output elsewhere too.
bool nest_read_reduction(const nest *n, int o, reduction_of *r);
bool nest_has_reductions(const nest *n);
// The type to reduce in: 16-bit floats in f32.
MlirType nest_reduced_type(builder *b, MlirType element);
// What changes nothing, in a type or vector type.
value nest_identity(builder *b, identity start, MlirType t);

#endif
