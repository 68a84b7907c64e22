#include "runtime/program/array.h"

#include <inttypes.h>

#include "base/checked.h"

static const struct {
    const char *name;
    size_t bytes;
    tensor_type tensor;
} TYPES[ARRAY_TYPE_COUNT] = {
    [ARRAY_F32] = {"f32", 4, TENSOR_F32},    [ARRAY_F64] = {"f64", 8, TENSOR_F64}, [ARRAY_F16] = {"f16", 2, TENSOR_F16},
    [ARRAY_BF16] = {"bf16", 2, TENSOR_BF16}, [ARRAY_BOOL] = {"i1", 1, TENSOR_I8},  [ARRAY_I8] = {"i8", 1, TENSOR_I8},
    [ARRAY_I16] = {"i16", 2, TENSOR_I16},    [ARRAY_I32] = {"i32", 4, TENSOR_I32}, [ARRAY_I64] = {"i64", 8, TENSOR_I64},
};

size_t array_type_bytes(array_type type) { return TYPES[type].bytes; }
const char *array_type_name(array_type type) { return TYPES[type].name; }
tensor_type array_tensor_type(array_type type) { return TYPES[type].tensor; }

bool array_shape_bytes(const array_shape *shape, size_t *bytes)
{
    *bytes = TYPES[shape->type].bytes;
    bool fits = true, empty = false;
    for (uint32_t i = 0; i < shape->n_dims; i++) {
        if (shape->dims[i] < 0) return false;
        empty = empty || shape->dims[i] == 0;
        fits = fits && checked_mul(*bytes, (size_t)shape->dims[i], bytes);
    }
    if (empty) *bytes = 0;
    return fits || empty;
}

void array_shape_print(const array_shape *shape, buffer *out)
{
    for (uint32_t i = 0; i < shape->n_dims; i++) {
        if (shape->dims[i] < 0)
            buffer_printf(out, "?x");
        else
            buffer_printf(out, "%" PRId64 "x", shape->dims[i]);
    }
    buffer_printf(out, "%s", TYPES[shape->type].name);
}
