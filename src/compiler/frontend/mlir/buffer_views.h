// The buffers of a function, and the tensors that they hold (buffers.c).
#ifndef WELFORD_COMPILER_FRONTEND_MLIR_BUFFER_VIEWS_H
#define WELFORD_COMPILER_FRONTEND_MLIR_BUFFER_VIEWS_H

#include "base/status.h"
#include "compiler/mlir/build.h"

enum { MAX_RANK = 8, MAX_ROOTS = 256, MAX_VALUES = 128 };

typedef struct buffer_root {
    MlirValue from; // the buffer, or the tensor that became one
    MlirStringRef global;
    MlirValue now;
    bool written;
} buffer_root;

// The first failure stays in `status`; after one nothing is done.
typedef struct buffers {
    MlirModule module;
    buffer_root roots[MAX_ROOTS];
    int n;
    wf_error *err;
    wf_status status;
} buffers;

bool buffer_is(MlirValue v);
bool buffer_is_view(MlirOperation op);
// "location: name REASON"
void buffers_refuse(buffers *s, MlirOperation op, const char *reason);
// The tensor type of a buffer; null: its rank is not known.
MlirType buffer_tensor_type(MlirType t);
MlirValue buffer_cast(op_builder *b, MlirValue v, MlirType type);

// Index of the root that the buffer is, or is a view of; -1: none that is known.
int buffer_root_of(const buffers *s, MlirValue v);
void buffers_add_root(buffers *s, MlirOperation op, MlirValue from, MlirStringRef global, MlirValue now);

// What the buffer, or view, holds in front of `user`; null after a failure.
MlirValue buffer_read(buffers *s, MlirOperation user, MlirValue v);
// Makes it hold x from `user` on.
void buffer_write(buffers *s, MlirOperation user, MlirValue v, MlirValue x);
// The root of v, and element at[*n] of v as one of the root's. -1 after a failure.
int buffer_element(buffers *s, MlirOperation user, MlirValue v, int *n, MlirValue at[MAX_RANK]);

#endif
