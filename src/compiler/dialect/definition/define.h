// The definition of each op: what its function in wf.mlir is given.
#ifndef WELFORD_COMPILER_DIALECT_DEFINITION_DEFINE_H
#define WELFORD_COMPILER_DIALECT_DEFINITION_DEFINE_H

#include "compiler/dialect/definition/definition.h"

// Computes the op before it; the result has the dimensions of the function or of the op. Null: its form has no
// definition, or needs sizes that are not known.
typedef MlirValue define_op(MlirOperation op, MlirModule library);

define_op *find_definition(MlirOperation op); // NULL: none of its kind has any

// define_slices.c: at computed places
define_op define_extract_slice, define_insert_slice, define_insert;

#endif
