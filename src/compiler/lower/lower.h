// From a function of wf, linalg and tensor ops to a program and its kernels: every wf op becomes one or a few kernel
// calls, every structured op a loop nest with a kernel of its own, whichever way the function came.
#ifndef WELFORD_COMPILER_LOWER_LOWER_H
#define WELFORD_COMPILER_LOWER_LOWER_H

#include "compiler/frontend/checkpoint/facts.h"
#include "compiler/frontend/mlir/arguments.h"
#include "compiler/kernel/builder.h"
#include "runtime/program/program.h"

typedef struct lower_options {
    bool any_size;  // sizes that the function's arguments leave open become dims; else they are refused
    bool signature; // no ops are lowered: a program without calls that has the declared arguments and results; open
                    // sizes are dims, the last of which stands for all that there are no more dims for
    bool chain;     // calls that allow it run tile by tile together (program_call.chained)
    // of a graph on arrays
    const graph_argument *arguments; // [of the function]; NULL: they have no names, and are all of the call
    checkpoint *weights;             // what wf.weight ops and these arguments name; constants that are large are added,
                                     // with their data. NULL: there are none, and all constants are the program's own
    const weight_type *packed_as;    // the type that float matrices shall be packed in; NULL: as stored
    // of a checkpoint's function (ids [n_tokens], which [n_outputs]) -> logits; NULL: of a graph on arrays
    const checkpoint *file;
    const model_facts *facts;
    kv_type kv;
} lower_options;

// Fills the program (empty, owned by the caller), adds the kernels to `kernels` and appends the bytes of AREA_CONSTANTS
// to `constants`. An op that cannot be compiled is WF_ERROR_UNSUPPORTED with its name and location.
wf_status lower_function(MlirOperation function, const lower_options *options, builder *kernels, program *out,
                         buffer *constants, wf_error *err);

typedef enum graph_kind {
    GRAPH_OF_SEQUENCE, // of a checkpoint
    GRAPH_ON_ARRAYS,   // of a file
} graph_kind;

// Why no kernel takes this wf op, a literal; NULL: one does. Passes ask before they fuse; ops of a graph on arrays that
// have no kernel have to be written out in linalg first (decompose.h).
const char *lower_why_not(MlirOperation op, graph_kind kind);

#endif
