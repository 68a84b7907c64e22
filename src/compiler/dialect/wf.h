// The wf dialect: what transformers are made of, as ops on tensors.
//
// Declared with IRDL, so it needs no generated code; the declaration in wf.c is the reference. Activations are
// tensor<rows x features>, weights tensor<out x in>. Ops are pure; MLIR does not know that (IRDL cannot say it), so
// passes erase dead ones themselves (wf_erase_dead).
#ifndef WELFORD_COMPILER_DIALECT_WF_H
#define WELFORD_COMPILER_DIALECT_WF_H

#include <mlir-c/BuiltinAttributes.h>
#include <mlir-c/BuiltinTypes.h>
#include <mlir-c/IR.h>

#include "base/status.h"
#include "runtime/weight_type.h"

// Declares the dialect in the context.
wf_status wf_dialect_load(MlirContext ctx, wf_error *err);

// ---- reading ops

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
int64_t dim_of(MlirValue v, int axis); // static size, or -1 when dynamic
int rank_of(MlirValue v);
MlirType element_type_of(MlirValue v);
bool is_wf_type(MlirType t, const char *name); // "q8"
MlirType wf_type(MlirContext ctx, const char *name);
// The element type of weights of a type, and the other way round; NULL: weights cannot have it.
MlirType wf_weight_element(MlirContext ctx, const weight_type *t);
const weight_type *wf_weight_type(MlirType element);

// ---- writing ops

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
MlirType tensor2(int64_t rows, int64_t cols, MlirType element);

// The linear op, which many passes take apart and put together.
enum { LINEAR_MAX_WEIGHTS = 3 };
typedef struct linear_parts {
    MlirValue x, weights[LINEAR_MAX_WEIGHTS], biases[LINEAR_MAX_WEIGHTS], residual; // residual null when absent
    int n_weights, n_biases;
    bool swiglu; // two weights: the activation of the first product, times the second
    bool gelu;   // with swiglu: the activation is gelu instead of silu
    MlirType result;
} linear_parts;

// False when op is no wf.linear.
bool linear_read(MlirOperation op, linear_parts *parts);
MlirValue linear_write(op_builder *b, const linear_parts *parts);
// One weight, no residual, no activation: what other ops can be fused into.
bool linear_is_plain(const linear_parts *parts);

// The operands of attention; mask and sink null when absent.
typedef struct attention_parts {
    MlirValue q, k, v, mask, sink;
} attention_parts;

// False when op is no wf.attention.
bool attention_read(MlirOperation op, attention_parts *parts);
MlirValue attention_write(op_builder *b, const attention_parts *parts, MlirType result, int n_attributes,
                          const MlirNamedAttribute *attributes);

void replace_value(MlirValue from, MlirValue to);

// Erases ops of wf, arith, math, tensor, linalg and tosa in `root` whose results have no uses, until none is left, and
// assertions of what is constantly true.
void wf_erase_dead(MlirOperation root);

// Calls visit for every op inside root, operands before users; visit may erase the op it is given and ops before it.
void for_each_op(MlirOperation root, void (*visit)(MlirOperation op, void *context), void *context);

#endif
