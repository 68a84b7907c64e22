// Writing ops of any dialect.
#ifndef WELFORD_COMPILER_MLIR_BUILD_H
#define WELFORD_COMPILER_MLIR_BUILD_H

#include "compiler/mlir/op.h"

// A point in a block to insert at, and the location that new ops get.
typedef struct op_builder {
    MlirContext ctx;
    MlirLocation loc;
    MlirBlock block;
    MlirOperation before; // null: at the end of the block
} op_builder;

op_builder op_builder_before(MlirOperation op);
op_builder op_builder_at_end(MlirBlock block, MlirLocation loc);

MlirNamedAttribute named_int(op_builder *b, const char *name, int64_t v);  // i64
MlirNamedAttribute named_float(op_builder *b, const char *name, double v); // f64
MlirNamedAttribute named_bool(op_builder *b, const char *name, bool v);
MlirNamedAttribute named_type(op_builder *b, const char *name, MlirType v);
MlirNamedAttribute named_string(op_builder *b, const char *name, const char *v);
MlirNamedAttribute named_segments(op_builder *b, int n, const int32_t *sizes); // operandSegmentSizes

MlirOperation build_op(op_builder *b, const char *name, int n_results, const MlirType *results, int n_operands,
                       const MlirValue *operands, int n_attributes, const MlirNamedAttribute *attributes);
// As build_op for one result.
MlirValue build_value(op_builder *b, const char *name, MlirType result, int n_operands, const MlirValue *operands,
                      int n_attributes, const MlirNamedAttribute *attributes);
// linalg.generic on tensors: of `n` operands, the last of them its output, with an indexing map each. Takes the body.
// reduces[n_loops]: which loops are reductions; NULL: none.
MlirValue build_generic(op_builder *b, int n, const MlirValue *operands, const MlirAttribute *maps, int n_loops,
                        const bool *reduces, MlirBlock body);

MlirType tensor_of(int rank, const int64_t *shape, MlirType element); // -1: dynamic
// The tensor with the sizes of a type that has a rank, of at most 16 axes.
MlirType tensor_like(MlirType shaped, MlirType element);
MlirType tensor2(int64_t rows, int64_t cols, MlirType element);

// tensor.extract_slice or insert_slice (`n` operands) of places that are numbers.
MlirValue build_static_slice(op_builder *b, const char *name, MlirType type, int n, const MlirValue *operands, int rank,
                             const int64_t *offsets, const int64_t *sizes, const int64_t *strides);

// Moves the ops of a block that stand before `end`; null `before`: to the end of `to`.
void move_ops(MlirBlock from, MlirOperation end, MlirBlock to, MlirOperation before);
// Puts what a block does in place of `op`, whose operands its arguments stand for; the results are what `end` yields.
void inline_block(MlirBlock body, MlirOperation end, MlirOperation op);

// The function's type follows its arguments and what it returns. False: out of memory, and nothing has changed.
bool update_function_type(MlirOperation function);

void replace_value(MlirValue from, MlirValue to);

#endif
