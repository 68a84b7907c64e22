// Types of a checkpoint's tensors: their numbers, names and sizes. What can be packed and multiplied has a row in
// runtime/weight/weight_type.h besides.
#ifndef WELFORD_FORMAT_TENSOR_TYPE_H
#define WELFORD_FORMAT_TENSOR_TYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Numbered as in GGUF. A checkpoint holds those that tensor_type_layout knows.
typedef enum tensor_type {
    TENSOR_F32 = 0,
    TENSOR_F16 = 1,
    TENSOR_Q4_0 = 2,
    TENSOR_Q4_1 = 3,
    TENSOR_Q5_0 = 6,
    TENSOR_Q5_1 = 7,
    TENSOR_Q8_0 = 8,
    TENSOR_Q8_1 = 9,
    TENSOR_Q2_K = 10,
    TENSOR_Q3_K = 11,
    TENSOR_Q4_K = 12,
    TENSOR_Q5_K = 13,
    TENSOR_Q6_K = 14,
    TENSOR_Q8_K = 15,
    TENSOR_I8 = 24,
    TENSOR_I16 = 25,
    TENSOR_I32 = 26,
    TENSOR_I64 = 27,
    TENSOR_F64 = 28,
    TENSOR_BF16 = 30,
} tensor_type;

// How a tensor type is stored: blocks of block_values values in block_bytes bytes, along the first (fastest) dimension.
typedef struct tensor_layout {
    const char *name; // as llama.cpp prints it: "F32", "Q4_K", ...
    size_t block_values, block_bytes;
    bool in_safetensors; // is taken from there, under the same name
} tensor_layout;

// NULL for a type that welford cannot size.
const tensor_layout *tensor_type_layout(uint32_t type);
const char *tensor_type_name(uint32_t type); // "unknown" when it has none
// The type that safetensors calls so; false: tensors of it are not taken.
bool tensor_type_of_dtype(const char *dtype, tensor_type *type);

#endif
