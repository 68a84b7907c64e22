// The bodies of structured ops, scalar by scalar or a vector of iterations at once.
#ifndef WELFORD_COMPILER_NEST_BODY_H
#define WELFORD_COMPILER_NEST_BODY_H

#include "compiler/mlir/pointer_map.h"
#include "compiler/nest/nest.h"

// What stands for the values of a body so far. All zero is none; free its two parts.
typedef struct body_values {
    pointer_map index; // of a value, into `to`
    value *to;
    int n, max;
} body_values;

// One evaluation of a body: values have `lanes` lanes, for consecutive indices of the vector loop.
typedef struct body {
    builder *b;
    const nest *n;
    int lanes, vector_loop;
    value iv[NEST_MAX_LOOPS]; // i64, of the first lane
    const value *buffers;     // [..] pointers, by operand of the kernel
    wf_error *err;
    wf_status status; // of the first failure
    body_values *values;
} body;

// index is i64 here; 16-bit floats stay what they are.
MlirType body_type(builder *b, MlirType element);

void body_set(body *e, MlirValue from, value to);
// Values from the n-th on are no longer known: a region ends, and they with it.
void body_forget(body *e, int n);
// The value that stands for `from`, which lies in the body or outside. Null after a failure.
value body_get(body *e, MlirValue from);
// Evaluates a scalar op; null where it has no result.
value body_eval(body *e, MlirOperation op);
// Evaluates all ops but the terminator.
void body_run(body *e, MlirBlock block);

// Where element [indices] of a tensor lies; indices that are out of range are a fault at `op`, and stay inside.
value body_place(body *e, MlirOperation op, const gather *g, const MlirValue *indices);
// The tensor's place; null: it is not known.
const gather *body_gather(const body *e, MlirValue source);
// Sets the fault where any lane of `failed` is true.
void body_set_fault(body *e, value failed, const char *message, MlirOperation op);
// One element at an element offset.
value body_load_at(body *e, const gather *g, value at);
void body_store_at(body *e, const gather *g, value at, value x);

// Elements in memory.
value body_load(body *e, const access *a);
void body_store(body *e, const access *a, value x);

// ---- shared by body.c, body_index.c and body_arithmetic.c

MlirType body_lanes_of(body *e, MlirType element); // a vector of the body's lanes, or the element itself
bool body_is_half(builder *b, MlirType t);         // f16 or bf16, or a vector of it
value body_refuse(body *e, MlirOperation op, const char *reason);

bool body_is_index_op(MlirOperation op);
value body_index(body *e, MlirOperation op);
value body_arithmetic(body *e, MlirOperation op);
// A divisor that does not trap.
value body_guard_divisor(body *e, MlirOperation op, const value *x);

// x op y for the named op.
value body_combine(builder *b, const char *name, value x, value y);

#endif
