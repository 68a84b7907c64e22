// The bytes of constant tensors.
#ifndef WELFORD_COMPILER_MLIR_CONSTANT_H
#define WELFORD_COMPILER_MLIR_CONSTANT_H

#include <mlir-c/BuiltinAttributes.h>

#include "base/buffer.h"
#include "runtime/program/array.h"

// An integer of 2 to 7 bits: a byte in memory, sign-extended.
bool constant_is_narrow(MlirType element);

// The type of elements in memory; false when arrays of it cannot be.
bool constant_type(MlirType element, array_type *type);

// A splat's element; null when `a` is no splat.
MlirAttribute constant_splat(MlirAttribute a);

// Appends the elements, row after row: dense and dense_resource attributes. WF_ERROR_FORMAT: a resource is missing or
// has another size than its type says.
wf_status constant_append(MlirAttribute a, buffer *out, wf_error *err);

// Makes dense attributes of the dense_resource constants in `root` that single elements are taken from: upstream's
// folding of those aborts on resources.
wf_status constant_settle_resources(MlirOperation root, wf_error *err);

#endif
