// Parts of the evaluator (constant.h): each fills t with the values of an op, and is false when they are not known.
#ifndef WELFORD_COMPILER_RAISE_NORMAL_CONSTANT_PARTS_H
#define WELFORD_COMPILER_RAISE_NORMAL_CONSTANT_PARTS_H

#include "compiler/raise/normal/constant.h"

// The index of the i-th element.
void constant_unravel(const const_tensor *t, int64_t i, int64_t index[MAX_AXES]);
// The element at an index; along axes of size 1 at 0. False beyond the end.
bool constant_fetch(const const_tensor *t, const int64_t *index, double *value);

bool constant_fill_transposed(const const_tensor *in, const int *perm, const_tensor *t);
// tosa.slice, tosa.pad, tosa.tile of `in`
bool constant_fill_moved(evaluator *e, MlirOperation op, const const_tensor *in, const_tensor *t);
// tosa.concat, tosa.gather, tensor.insert_slice, tensor.pad
bool constant_fill_concat(evaluator *e, MlirOperation op, const_tensor *t);
bool constant_fill_gather(evaluator *e, MlirOperation op, const_tensor *t);
bool constant_fill_insertion(evaluator *e, MlirOperation op, const_tensor *t);
bool constant_fill_padded(evaluator *e, MlirOperation op, const_tensor *t);
// what tensor.extract_slice cuts out of `in`; or, with in NULL, what tensor.insert_slice makes of t by `part`
bool constant_fill_window(MlirOperation op, const const_tensor *part, const const_tensor *in, const_tensor *t);

#endif
