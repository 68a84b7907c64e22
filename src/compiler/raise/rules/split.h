// Values in the body of a structured op as tensors of their own.
#ifndef WELFORD_COMPILER_RAISE_RULES_SPLIT_H
#define WELFORD_COMPILER_RAISE_RULES_SPLIT_H

#include "compiler/raise/normal/normal.h"

// Computes a scalar of an elementwise op's body by an op of its own; *tensor is its result, with axes as `from` has
// them. False when the scalar depends on more than the op's inputs.
bool scalar_as_tensor(const ref *from, ref *tensor);
// The tensor of the root's shape that a value is, or a new one that computes it; null value: it has another shape, or
// depends on more than the inputs of the op in whose body it stands.
MlirValue take_operand(reader *r, const ref *root, const ref *from);
// The tensor that holds the value of a root, which is about to be replaced: one that there is, or a new one, which the
// op in whose body the scalar stands takes as an input. Null value: it depends on more than the op's inputs.
MlirValue take_result(const ref *root);

// out + lhs * rhs, operands {lhs, rhs, out} as the maps of the loops say; lhs and rhs are widened to the type of out.
MlirValue build_product(op_builder *b, const MlirValue operands[3], const MlirAttribute maps[3], int n_loops,
                        const bool *reduces);
// x [* scale] [+ shift], each along the axes of x that its ref says; null values: none.
MlirValue build_affine(op_builder *b, MlirValue x, const ref *scale, const ref *shift);
// Writes an elementwise op anew, with a tensor over all its loops in place of a scalar of its body and of what only
// that needs.
bool replace_scalar(MlirValue scalar, MlirValue tensor);

#endif
