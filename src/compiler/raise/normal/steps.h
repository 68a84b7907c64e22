// Single steps from a ref to what it is computed from: the parts of read_node.
#ifndef WELFORD_COMPILER_RAISE_NORMAL_STEPS_H
#define WELFORD_COMPILER_RAISE_NORMAL_STEPS_H

#include "compiler/raise/normal/normal.h"

bool step_is_tensor(MlirValue v);
bool step_start_ref(ref *r, MlirValue v); // without axes; false when they are too many
void step_set_axis(ref *r, int i, signed char axis);

// The tensor behind a block argument of a structured op, indexed as the body sees it.
bool step_enter_argument(const ref *from, MlirOperation op, ref *to);
// The value that a structured op yields for `from`, indexed by its loops; *reduced says which loops no axis of the
// result drives: they are reductions.
bool step_enter_body(const ref *from, MlirOperation op, MlirBlock body, ref *to, bool reduced[MAX_AXES]);
// Axes of a reshape's input, when the reshape only adds and drops dimensions of size 1.
bool step_enter_reshape(const ref *from, MlirValue input, ref *to);
// The input of any other reshape, where its dimensions can be told apart.
bool step_regroup(reader *r, const ref *from, ref *to);
// The x of an scf.if that broadcasts it where its size is 1; null value when the op is another.
MlirValue step_unless_broadcast(reader *r, const ref *from, MlirOperation op);
// What made the size of v along `axis`: the index that its tensor.empty was given; null value when that is not seen.
MlirValue step_made_size(MlirValue v, int axis);
// A size behind casts of integers and the test for -1, which no size of a tensor is.
MlirValue step_strip_size(MlirValue v);
// Whether the size, an index, is what v was made with along `axis`; is the same as v's size there.
bool step_is_sized_by(MlirValue v, int axis, MlirValue size);
bool step_is_size(MlirValue size, MlirValue v, int axis);
// The tensor of a tensor.extract whose indices are loops of the body that it stands in.
bool step_enter_extract(const ref *from, MlirOperation op, ref *to);

// The structured op in whose body a block lies directly; null op when there is none.
MlirOperation step_body_owner(MlirBlock block);
bool step_splat_value(MlirAttribute a, double *value); // of a scalar, or of a dense constant of equal elements

// Replaces a tensor.dim of what an op made by the size that it was made with, for a size is no use of a value; and
// broadcasts by what they repeat, where the sizes are shown to be the same.
void step_fold_sizes(MlirOperation op, void *context);
// Follows the size of *v along *axis to where it comes from, through ops whose result is as large as an operand.
void step_size_origin(MlirValue *v, int *axis);

node_kind step_compare_kind(MlirOperation op);      // of arith.cmpi and cmpf; N_LEAF: none that is known
bool step_index_value(MlirValue v, int64_t *value); // a constant integer

#endif
