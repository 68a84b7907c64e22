// Shapes: the arguments' fixed sizes, carried through a function until every tensor has a fixed size.
#ifndef WELFORD_COMPILER_FRONTEND_MLIR_BIND_H
#define WELFORD_COMPILER_FRONTEND_MLIR_BIND_H

#include "compiler/dialect/context.h"
#include "runtime/program/array.h"

// Whether an argument's declaration leaves a size open.
bool bind_has_open_sizes(MlirOperation function);

// WF_ERROR_USAGE as for bind_arguments, which changes nothing.
wf_status bind_check_arguments(MlirOperation function, uint32_t n, const array_shape *shapes, const char *const *names,
                               wf_error *err);

// Gives the arguments the types of `shapes`, which must suit their declarations: the number of arguments, rank, element
// type, fixed sizes. An argument that does not is WF_ERROR_USAGE with its number and `names[i]` (may be NULL).
wf_status bind_arguments(MlirOperation function, uint32_t n, const array_shape *shapes, const char *const *names,
                         wf_error *err);

// The same of argument i alone.
wf_status bind_argument(MlirOperation function, uint32_t i, const array_shape *shape, const char *name, wf_error *err);
// The shape that argument i has now; open sizes are negative.
array_shape bind_shape(MlirOperation function, uint32_t i);

// Shapes of all `n_all` arguments of the function: as given, or, where no dims are given, as declared; open sizes are
// negative.
wf_status bind_declared(MlirOperation function, const array_shape *given, uint32_t n_all, array_shape *all,
                        wf_error *err);

// WF_ERROR_USAGE: an argument with an open size, which is needed for `reason` (may be empty).
wf_status bind_check_fixed(uint32_t n, const array_shape *shapes, const buffer *reason, wf_error *err);

// Canonicalises and infers until nothing changes. Tensors that still have no fixed size are left for the caller to
// refuse.
wf_status bind_propagate(compiler_context *c, MlirModule module, MlirOperation function, wf_error *err);

#endif
