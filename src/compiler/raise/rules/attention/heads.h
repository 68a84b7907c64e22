// Where the heads of q, k and v lie: the operands of batched matrix products [lead.., sequence, features], lead axes
// batch and heads, traced back to the tensors that they were made of.
#ifndef WELFORD_COMPILER_RAISE_RULES_ATTENTION_HEADS_H
#define WELFORD_COMPILER_RAISE_RULES_ATTENTION_HEADS_H

#include "compiler/raise/normal/strided.h"

typedef enum heads_layout {
    HEADS_NONE,
    HEADS_FLAT,     // as in the product: one head, what leads is the batch
    HEADS_FIRST,    // [batch, heads, sequence, dim]
    SEQUENCE_FIRST, // [batch, sequence, heads, dim]
    FEATURES_FIRST, // [batch, heads, dim, sequence]
    HEADS_IN_ROWS,  // [sequence, heads * dim], perhaps behind a batch
} heads_layout;

typedef struct heads {
    heads_layout layout;
    MlirValue v;
    int64_t n;            // heads
    int64_t group;        // how many heads of the product share one
    int64_t batch;        // 1, -1: not known before run time
    int64_t batch_weight; // heads of the product in a batch, where there is a batch
    int64_t length, dim;
    int ones;     // axes of size 1 in front of these
    double scale; // the operand is v times this
} heads;

// Tensors with heads that the operand is traced back to, the deepest last; and the operand itself, perhaps transposed
// (layout HEADS_NONE: it is not laid out so).
enum { MAX_TRACES = 6 };
typedef struct heads_trace {
    heads deep[MAX_TRACES], flat;
    int n;
} heads_trace;

// `transposed`: the operand is [lead.., features, sequence]. `scales`: constant factors are taken out.
void read_heads(reader *r, MlirValue operand, bool transposed, bool scales, heads_trace *t);

// [.., sequence, heads * dim]
MlirValue write_rows(op_builder *b, const heads *h);

#endif
