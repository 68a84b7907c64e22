// Shapes: the arguments' fixed sizes, carried through a function until every tensor has a fixed size.
#ifndef WELFORD_COMPILER_GRAPH_BIND_H
#define WELFORD_COMPILER_GRAPH_BIND_H

#include "compiler/codegen/context.h"
#include "runtime/array.h"

// Gives the arguments the types of `shapes`, which must suit their declarations: the number of arguments, rank, element
// type, fixed sizes. An argument that does not is WF_ERROR_USAGE with its number and `names[i]` (may be NULL).
wf_status bind_arguments(MlirOperation function, uint32_t n, const array_shape *shapes, const char *const *names,
                         wf_error *err);

// Completes shapes that a file need not be given: `all` has room for the function's arguments, whose number is *n_all;
// `given` shapes have dims or none. WF_ERROR_USAGE: an argument of sizes that neither fixes.
wf_status bind_declared(MlirOperation function, uint32_t n_given, const array_shape *given, uint32_t n_all,
                        array_shape *all, wf_error *err);

// The function's type follows its arguments and what it returns.
void bind_update_type(MlirOperation function);

// Canonicalises and infers until nothing changes. Tensors that still have no fixed size are left for the caller to
// refuse.
wf_status bind_propagate(compiler_context *c, MlirModule module, MlirOperation function, wf_error *err);

#endif
