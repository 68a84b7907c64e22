// Constants as tensors of a list, for the pack (runtime/pack): programs refer to them by name.
#ifndef WELFORD_COMPILER_MLIR_CONSTANT_TENSOR_H
#define WELFORD_COMPILER_MLIR_CONSTANT_TENSOR_H

#include <mlir-c/BuiltinAttributes.h>

#include "format/checkpoint.h"

// The tensor of `list` that has a constant's elements behind each other, in one dimension; it is added where it is not
// there. Its name follows from type and elements alone (runtime/program/constant_name.h), so that equal constants of any
// graph have one name. Errors as constant_append.
wf_status constant_keep(MlirAttribute a, checkpoint *list, const checkpoint_tensor **tensor, wf_error *err);

// The same of elements as a file would have them: so many of a type, whose name tells it from others.
wf_status constant_keep_bytes(view bytes, tensor_type type, const char *type_name, int64_t count, checkpoint *list,
                              const checkpoint_tensor **tensor, wf_error *err);

#endif
