// Reading ops and values of any dialect, and walking over them.
#ifndef WELFORD_COMPILER_MLIR_OP_H
#define WELFORD_COMPILER_MLIR_OP_H

#include <mlir-c/BuiltinAttributes.h>
#include <mlir-c/BuiltinTypes.h>
#include <mlir-c/IR.h>

bool op_is(MlirOperation op, const char *name); // "wf.rms_norm"
bool op_name_starts_with(MlirOperation op, const char *prefix);
MlirOperation defining_op(MlirValue v); // null op for a block argument
bool has_one_use(MlirValue v);
bool has_no_use(MlirValue v);
MlirAttribute op_attribute(MlirOperation op, const char *name); // null when absent
int64_t op_int(MlirOperation op, const char *name, int64_t fallback);
double op_float(MlirOperation op, const char *name, double fallback);
bool op_bool(MlirOperation op, const char *name);            // absent: false
MlirStringRef op_string(MlirOperation op, const char *name); // empty when absent
// Operands of one segment of an op with operandSegmentSizes: *first is the index of the segment's first operand.
int64_t op_segment(MlirOperation op, int segment, int64_t *first);
MlirBlock function_body(MlirOperation function); // its first block; null: it has none
// The func.func of that name, with a body or without; null: there is none.
MlirOperation find_function(MlirModule module, MlirStringRef name);
int64_t dim_of(MlirValue v, int axis); // static size, or -1 when dynamic
int rank_of(MlirValue v);
MlirType element_type_of(MlirValue v);

// Calls visit for every op inside root, operands before users; visit may erase the op it is given and ops before it.
void for_each_op(MlirOperation root, void (*visit)(MlirOperation op, void *context), void *context);

// Erases ops of wf, arith, math, tensor, linalg and tosa in `root` whose results have no uses, until none is left, and
// assertions of what is constantly true.
void erase_dead(MlirOperation root);

#endif
