// The values of tensors that depend on constants alone, computed: causal masks, position tables.
#ifndef WELFORD_COMPILER_RAISE_NORMAL_CONSTANT_H
#define WELFORD_COMPILER_RAISE_NORMAL_CONSTANT_H

#include "base/arena.h"
#include "compiler/raise/normal/normal.h"

typedef struct const_tensor {
    int rank;
    int64_t shape[MAX_AXES], count;
    double *data; // row-major; integers and booleans as numbers. Owned by the evaluator's arena
} const_tensor;

// Values are computed once and kept until evaluator_free.
typedef struct evaluator {
    arena memory;
    struct evaluated *first;
    int64_t most;   // elements that a tensor may have
    int64_t budget; // elements that may still be computed
    int depth;
} evaluator;

evaluator evaluator_start(void);
void evaluator_free(evaluator *e);

// NULL when the value depends on an argument, on an op that is not known here, or is too large.
const const_tensor *evaluate(evaluator *e, MlirValue v);

// Of a structured op that yields elements of a tensor by tensor.extract at places that depend on constants alone: the
// offset in that tensor of every element of the result. NULL: it is another op, or they are not known.
const const_tensor *evaluate_places(evaluator *e, MlirOperation op);

#endif
