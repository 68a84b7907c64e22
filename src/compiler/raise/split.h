// Values in the body of a structured op as tensors of their own.
#ifndef WELFORD_COMPILER_RAISE_SPLIT_H
#define WELFORD_COMPILER_RAISE_SPLIT_H

#include "compiler/raise/normal.h"

// Computes a scalar of an elementwise op's body by an op of its own; *tensor is its result, with axes as `from` has
// them. False when the scalar depends on more than the op's inputs.
bool scalar_as_tensor(const ref *from, ref *tensor);
// Writes an elementwise op anew, with a tensor over all its loops in place of a scalar of its body and of what only
// that needs.
bool replace_scalar(MlirValue scalar, MlirValue tensor);

#endif
