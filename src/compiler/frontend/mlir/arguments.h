// The arguments of a graph's function: their names, and which of them are weights that no call brings.
#ifndef WELFORD_COMPILER_FRONTEND_MLIR_ARGUMENTS_H
#define WELFORD_COMPILER_FRONTEND_MLIR_ARGUMENTS_H

#include "base/arena.h"
#include "compiler/mlir/op.h"
#include "runtime/compiler.h"

typedef enum argument_kind {
    ARGUMENT_OF_CALL, // an array that each call brings
    ARGUMENT_PACKED,  // a weight, which lies in the pack
    ARGUMENT_LENT,    // a weight that lies in the caller's memory: an array of every call, but for what is packed of it
} argument_kind;

typedef struct graph_argument {
    const char *name; // by the attribute wf.name, else "argument3"
    argument_kind kind;
    uint32_t donates_to; // 1 + the result that its memory becomes; 0: none
} graph_argument;

// *arguments [*n], in `memory`. Arguments that options->weights name, by either name, have the names of these, and from
// now on their shapes; what is donated is said by the options, and by the attribute tf.aliasing_output. WF_ERROR_USAGE: a
// weight that is no argument, nor a wf.weight of the function; that is given twice; or that the declaration does not suit; a
// donation to a result that is not there, of another type, or that has a donor.
wf_status arguments_read(MlirOperation function, const function_options *options, arena *memory,
                         graph_argument **arguments, uint32_t *n, wf_error *err);

#endif
