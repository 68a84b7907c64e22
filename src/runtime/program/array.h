// Arrays: what functions take and give.
#ifndef WELFORD_RUNTIME_PROGRAM_ARRAY_H
#define WELFORD_RUNTIME_PROGRAM_ARRAY_H

#include "base/buffer.h"
#include "base/status.h"

typedef enum array_type {
    ARRAY_F32,
    ARRAY_F64,
    ARRAY_F16,
    ARRAY_BF16,
    ARRAY_BOOL, // one byte, 0 or 1
    ARRAY_I8,
    ARRAY_I16,
    ARRAY_I32,
    ARRAY_I64,
    ARRAY_TYPE_COUNT
} array_type;

size_t array_type_bytes(array_type type);
const char *array_type_name(array_type type); // as MLIR writes it: "f32", "i1"

enum { ARRAY_MAX_DIMS = 8 };

typedef struct array_shape {
    array_type type;
    uint32_t n_dims;
    int64_t dims[ARRAY_MAX_DIMS]; // negative: not known
} array_shape;

// Bytes of an array of this shape; false on overflow or a negative dimension.
bool array_shape_bytes(const array_shape *shape, size_t *bytes);
// "2x128xf32", as in MLIR's tensor types; always terminated.
void array_shape_print(const array_shape *shape, buffer *out);

#endif
