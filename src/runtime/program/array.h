// Arrays: what functions take and give.
#ifndef WELFORD_RUNTIME_PROGRAM_ARRAY_H
#define WELFORD_RUNTIME_PROGRAM_ARRAY_H

#include "base/buffer.h"
#include "base/status.h"
#include "format/tensor_type.h"

// wf_dtype under the names that are used inside.
typedef wf_dtype array_type;
#define ARRAY_F32 WF_F32
#define ARRAY_F64 WF_F64
#define ARRAY_F16 WF_F16
#define ARRAY_BF16 WF_BF16
#define ARRAY_BOOL WF_BOOL
#define ARRAY_I8 WF_I8
#define ARRAY_I16 WF_I16
#define ARRAY_I32 WF_I32
#define ARRAY_I64 WF_I64
#define ARRAY_TYPE_COUNT WF_TYPE_COUNT

size_t array_type_bytes(array_type type);
const char *array_type_name(array_type type); // as MLIR writes it: "f32", "i1"
// The type of a tensor that holds the same bytes.
tensor_type array_tensor_type(array_type type);

enum { ARRAY_MAX_DIMS = WF_MAX_DIMS };

typedef wf_shape array_shape; // dims: negative: not known

// Bytes of an array of this shape; false on overflow or a negative dimension.
bool array_shape_bytes(const array_shape *shape, size_t *bytes);
// "2x128xf32", as in MLIR's tensor types; always terminated.
void array_shape_print(const array_shape *shape, buffer *out);

#endif
