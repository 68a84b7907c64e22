// vector.transfer_read and transfer_write of buffers: pieces of a buffer, all of whose elements are there, that go as they
// are from one to the other. What is a vector between the two becomes a tensor.
#ifndef WELFORD_COMPILER_FRONTEND_MLIR_BUFFER_TRANSFERS_H
#define WELFORD_COMPILER_FRONTEND_MLIR_BUFFER_TRANSFERS_H

#include "compiler/frontend/mlir/buffer_views.h"

void buffer_transfer_read(buffers *s, MlirOperation op);
void buffer_transfer_write(buffers *s, MlirOperation op);

#endif
