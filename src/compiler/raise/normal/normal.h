// The normal form that raising rules match on: one way to look at a value, whatever dialect computed it.
//
// Nothing is rewritten. A `ref` names a value together with what indexes it; read_node says which primitive computes
// it, from which refs. So one rule reads TOSA, linalg (generic and named), and arith and math on tensors:
//
//   %7 = tosa.mul %x, %r               MUL  x[0, 1, 2]  r[0, 1, -]
//   %7 = linalg.generic { mulf %in, %in_0 }    the same; the body's arguments are looked through to %x and %r
//
//   axes of a ref   0 1 2 …   an axis of the root, the result that the rule started from
//                   AXIS_ZERO the dimension has size 1 (broadcast, or kept by a reduction)
//                   AXIS_BOUND + i   runs inside the i-th reduction that was entered
//                   AXIS_FRESH + i   a dimension that a reshape made of several, or one of several made of one
//
// Looked through, because refs express them: broadcasts, transpositions, reshapes that add or drop dimensions of size
// 1, tensor.cast, identity. A scalar in the body of a structured op is a value like any other; its axes are the op's
// loops.
#ifndef WELFORD_COMPILER_RAISE_NORMAL_NORMAL_H
#define WELFORD_COMPILER_RAISE_NORMAL_NORMAL_H

#include "compiler/dialect/wf.h"

// Of the values on the way: upstream writes a tile of rank 5 as a broadcast of rank 10.
enum { MAX_AXES = 16, AXIS_ZERO = -1, AXIS_BOUND = 16, MAX_BOUND = 84, AXIS_FRESH = 100, MAX_FRESH = 27 };

typedef struct ref {
    MlirValue v;
    int n; // axes: a tensor's rank, or the loops of the op in whose body a scalar stands
    signed char axis[MAX_AXES];
} ref;

typedef enum node_kind {
    N_LEAF, // an argument, or an op that the normal form does not know
    N_CONST,
    N_ADD,
    N_SUB,
    N_MUL,
    N_DIV,
    N_POW,
    N_MAX,
    N_MIN,
    N_AND,
    N_OR,
    N_NEG,
    N_ABS,
    N_SQRT,
    N_RSQRT,
    N_RECIP,
    N_EXP,
    N_LOG,
    N_SIGMOID,
    N_SIN,
    N_COS,
    N_TANH,
    N_ERF,
    N_NOT,
    N_CAST,
    N_SELECT, // condition, then, else
    N_CLAMP,  // in[0], but not below `value`
    N_EQ,
    N_NE,
    N_GT,
    N_GE,
    N_LT,
    N_LE,
    N_INDEX, // the index along axis[0] of `self`
    N_SIZE,  // of axis `dim` of in[0], as a number
    N_SUM,
    N_DOT, // the sum of in[0] * in[1]; read when the reader is `deep`
    N_REDUCE_MAX,
    N_REDUCE_AND,
    N_REDUCE_OR // over the bound axes [bound, bound + n_bound) of in[0]
} node_kind;

typedef struct node {
    node_kind kind;
    ref self;   // the value that the primitive computes, all else looked through
    ref first;  // the first tensor on the way there, and
    ref tensor; // the last: what an op can take as operand; null value: none
    MlirOperation op;
    int n_in;
    ref in[3];
    double value; // N_CONST, N_CLAMP
    int bound, n_bound, dim;
    unsigned single; // bits of the bound axes that have size 1
} node;

// A dimension and those that a reshape made of it, or of which it was made.
enum { MAX_GROUPS = 8, MAX_PARTS = 5 };
typedef struct axis_group {
    signed char whole, part[MAX_PARTS];
    int64_t size[MAX_PARTS];
    int n;
    bool fresh_parts; // the parts got axes of their own; else the whole did
} axis_group;

// Reading enters reductions, and each gets axes of its own.
typedef struct reader {
    int n_bound;
    bool deep; // reshapes that regroup dimensions and matrix products are looked into, too
    int n_fresh, n_groups;
    axis_group groups[MAX_GROUPS];
} reader;

// Whether an axis is the root's, or a part of it, or has it as a part.
bool axis_covers(const reader *r, signed char axis, signed char root_axis);
// The group that an axis is a fresh part of, or the fresh whole of; NULL: none.
const axis_group *axis_as_part(const reader *r, signed char axis, int *place);
const axis_group *axis_as_whole(const reader *r, signed char axis);

// The ref of a root: a tensor, or a scalar in the body of an elementwise structured op whose result has the loops'
// axes. False when the value is neither, or has more than MAX_AXES axes.
bool root_ref(MlirValue v, ref *r);
// The tensor that a root ref stands for: itself, or the result of its structured op.
MlirValue root_tensor(const ref *root);

node read_node(reader *r, const ref *from);
// As read_node, looking through casts to wider floats too (f16, bf16 → f32 → f64: they change no value).
node read_unwidened(reader *r, const ref *from);
// As read_node, looking through every cast between floats.
node read_uncast(reader *r, const ref *from);

// A splat constant behind casts, products, quotients and roots of constants. `bits`: significant bits of the narrowest
// float type it went through.
typedef struct constant {
    double value;
    int bits;
} constant;
bool read_constant(reader *r, const ref *from, constant *c);

// not x, of booleans: also unequal to true, equal to false.
bool read_not(reader *r, const node *n, ref *x);
// -x: negated, subtracted from 0, or times -1.
bool read_negated(reader *r, const node *n, ref *x);
// The larger of two values: a maximum, or a selection by comparison.
bool read_larger(reader *r, const node *n, ref of[2]);
// max(x, bound), however it is spelled: a maximum, a clamp, a selection of the larger one.
bool read_lower_bound(reader *r, const node *n, ref *x, double *bound);

bool same_ref(const ref *a, const ref *b);
bool same_value(reader *r, const ref *a, const ref *b); // read through widening casts, both are the same

// The tensor behind a ref that has the root's own axes and shape, before casts to wider floats; null value: there is
// none.
MlirValue operand_at_root(reader *r, const ref *root, const ref *from);

// The one primitive that uses *v, looking through the edges of elementwise structured ops; null op when there is no
// such. *v becomes the operand as that primitive sees it.
MlirOperation primitive_user(MlirValue *v);
// The tensor that holds a value: itself, or the result whose body yields it; null value when there is none.
MlirValue tensor_of_value(MlirValue v);

int float_bits_of(MlirType t); // significant bits: bf16 8, f16 11, f32 24, f64 53; 0: no such float

// ---- ops by shape, for rules that look at the layout itself

// The input of a reshape of any dialect (tosa.reshape, tensor.expand_shape, collapse_shape, reshape): null when v is
// none.
MlirValue reshape_input(MlirValue v);
// Whether a tensor.reshape to sizes computed at run time keeps the last two dimensions.
bool keeps_last_axes(MlirValue reshaped);
// The input of a transposition; result dimension i is input dimension perm[i].
MlirValue transpose_input(MlirValue v, int perm[MAX_AXES]);

// A structured op of linalg on tensors: `body` its block.
bool is_structured(MlirOperation op, MlirBlock *body);
MlirAffineMap indexing_map(MlirOperation op, intptr_t operand);

// The integers of a dense constant or a tosa.const_shape; the count, -1 when v is no such constant or too long.
int read_integers(MlirValue v, int64_t out[], int max);

#endif
