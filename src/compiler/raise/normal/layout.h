// Where heads lie. The wf ops take activations as rows of features, [batch, sequence, heads * dim] or, for one
// sequence, [sequence, heads * dim]; graphs carry [batch, heads, sequence, dim] between reshapes and transpositions.
#ifndef WELFORD_COMPILER_RAISE_NORMAL_LAYOUT_H
#define WELFORD_COMPILER_RAISE_NORMAL_LAYOUT_H

#include "compiler/raise/normal/normal.h"

// The rows that a value [batch, heads, sequence, dim] was made of, where that can be seen; else ops that make them.
// `sequence_first`: the value is [batch, sequence, heads, dim].
MlirValue rows_of_heads(op_builder *b, MlirValue v, bool sequence_first);
// Back: rows to the shape of `like` [batch, heads, sequence, dim], or with sequence before heads.
MlirValue heads_of_rows(op_builder *b, MlirValue rows, MlirType like, bool sequence_first);
// Back to a result [batch, heads, sequence, dim], or with the leading axes merged.
MlirValue heads_of_rows_like(op_builder *b, MlirValue rows, int64_t n_heads, MlirType like);

MlirValue build_dim(op_builder *b, MlirValue v, int axis);
MlirValue build_empty_like(op_builder *b, MlirValue v);
MlirValue build_transpose(op_builder *b, MlirValue v, const int *perm);
MlirValue build_last_transpose(op_builder *b, MlirValue v); // of the last two dimensions
MlirValue build_batch_of_one(op_builder *b, MlirValue v);   // with a first dimension of size 1
// Merges dimensions [first, first + n) of a tensor into one.
MlirValue build_collapse(op_builder *b, MlirValue v, int first, int n);
// v without its dimensions of size 1; its other dimensions as a tensor of rank `rank` or less. Rank stays when it is
// small.
MlirValue build_squeeze(op_builder *b, MlirValue v, int rank);
// `size` elements along the last axis, from the first on.
MlirValue build_features(op_builder *b, MlirValue v, int64_t size, int64_t stride);
// Splits dimension `first` of v into n of `type`, the result's type; at most one of them is dynamic, and then it is the
// size of v's dimension (the others are 1).
MlirValue build_expand(op_builder *b, MlirValue v, int first, int n, MlirType type);

// Drops reshapes and transpositions that undo each other, as raising leaves them between wf ops.
void fold_layout(MlirOperation root);

#endif
