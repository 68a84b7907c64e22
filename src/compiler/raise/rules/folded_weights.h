// Weights that depend on constants alone, such as integers with their scales, computed here.
#ifndef WELFORD_COMPILER_RAISE_RULES_FOLDED_WEIGHTS_H
#define WELFORD_COMPILER_RAISE_RULES_FOLDED_WEIGHTS_H

#include "compiler/raise/raise.h"

// v [1.., k, n], or [1.., n, k], as weights [n, k] in front of b: wf.blocks where all its values are exactly those of one
// of its formats, else a constant of floats. Null value: it depends on an argument or on an op that is not known, no
// integers are in it, or it is too large.
MlirValue fold_weights(op_builder *b, MlirValue v, bool rows_first, int64_t n, int64_t k);

#endif
