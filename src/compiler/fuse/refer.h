// Weights of graphs by reference: what a wf.linear multiplies with, and its biases, become wf.weight ops, as in the graph
// of a checkpoint, so that passes and kernels are the same.
//
// In:  linear(x, W [, b]), W and b constants, or arguments that were declared to be weights, also behind transpositions
//      and reshapes, or W blocks of constants
// Out: linear(x, wf.weight {name} [, wf.weight {name}]), where a kernel takes it
//
// A constant is named by what it holds, and its elements go to a list (mlir/constant_tensor.h); an argument has the name
// that it was given by. The wf.weight is of the type that it is packed in, the list says in which it is stored.
#ifndef WELFORD_COMPILER_FUSE_REFER_H
#define WELFORD_COMPILER_FUSE_REFER_H

#include "compiler/fuse/pass.h"
#include "compiler/lower/lower.h"

typedef struct refer_options {
    const graph_argument *arguments; // [of the function]
    checkpoint *weights;             // the list: what was declared, without data; constants are added
    const weight_type *packed_as;    // the type that float matrices shall be packed in; NULL: as stored
    why_not_fn *back_end;
} refer_options;

// Before rules: declared arguments are read through wf.weight ops, so that rules take them for weights. A wf.weight of the
// graph itself that the list does not have, or not so: WF_ERROR_USAGE.
wf_status refer_arguments(MlirOperation function, const refer_options *options, wf_error *err);

// After rules: the linears' weights are referred to, and what else reads declared arguments reads them themselves again.
wf_status refer_weights(MlirOperation function, const refer_options *options, wf_error *err);

#endif
