// GGUF, the single-file checkpoint format of the ggml project, versions 2 and 3, little endian.
// Format page: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
//
// A file is mapped read-only; every size, offset, count, type, name and string length is checked once in gguf_open,
// so later parts can use what they see here without checks of their own.
#ifndef WELFORD_FORMAT_GGUF_H
#define WELFORD_FORMAT_GGUF_H

#include "base/arena.h"
#include "base/file.h"
#include "base/status.h"
#include "base/view.h"

// Metadata value types, numbered as in the file.
typedef enum gguf_type {
    GGUF_U8 = 0,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
} gguf_type;

// Tensor types, numbered as in the file. gguf_open accepts the ones that gguf_type_layout knows.
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
} tensor_layout;

// NULL for a type that welford cannot size.
const tensor_layout *gguf_type_layout(uint32_t type);

typedef struct gguf_value {
    view key;
    gguf_type type;
    gguf_type item_type; // of an array
    uint64_t count;      // items of an array, else 1
    union {
        uint64_t u; // U8 U16 U32 U64 BOOL
        int64_t i;  // I8 .. I64
        double f;   // F32 F64
        view s;     // STRING
    };
    const view *strings;       // array of STRING: count views; else NULL
    const unsigned char *data; // array of numbers: count items, little endian, NOT aligned; else NULL
} gguf_value;

typedef struct gguf_tensor {
    view name;
    tensor_type type;
    uint32_t n_dims; // 1..4
    int64_t dims[4]; // dims[0] is contiguous: a linear weight [rows, cols] has dims {cols, rows}; unused ones are 1
    const unsigned char *data; // into the map, aligned to the file's alignment
    size_t offset;             // of data in the file
    size_t bytes;
} gguf_tensor;

typedef struct gguf_file gguf_file;

// Maps and checks the file. The error names the path, the offset or key, and what is wrong.
wf_status gguf_open(const char *path, gguf_file **file, wf_error *err);

// The same on bytes in memory, which must outlive the file; `name` stands for the path in messages. For tests, fuzzing.
wf_status gguf_parse(const unsigned char *data, size_t bytes, const char *name, gguf_file **file, wf_error *err);

// As gguf_open for a file that was cut short after its header: tensors may lie beyond its end; their data is then NULL.
wf_status gguf_open_header(const char *path, gguf_file **file, wf_error *err);

void gguf_close(gguf_file *file);

const char *gguf_path(const gguf_file *file);
uint32_t gguf_version(const gguf_file *file);
size_t gguf_alignment(const gguf_file *file);
// The header: all that says what the file holds, without the tensors' data; *header_bytes is its size, *bytes that of
// all parts. Of a file opened or parsed the header is the beginning of its only part.
const unsigned char *gguf_bytes(const gguf_file *file, size_t *bytes, size_t *header_bytes);
// The mapped files, or the memory, in which the tensors' data lie.
size_t gguf_part_count(const gguf_file *file);
view gguf_part(const gguf_file *file, size_t index);
int64_t gguf_mtime_ns(const gguf_file *file); // changes with each part's; 0 for gguf_parse: its memory is the caller's

size_t gguf_value_count(const gguf_file *file);
const gguf_value *gguf_value_at(const gguf_file *file, size_t index);
const gguf_value *gguf_find(const gguf_file *file, const char *key); // NULL when absent; O(log n)
size_t gguf_tensor_count(const gguf_file *file);
const gguf_tensor *gguf_tensor_at(const gguf_file *file, size_t index);
const gguf_tensor *gguf_find_tensor(const gguf_file *file, const char *name); // NULL when absent; O(log n)

// Typed access. Integer getters accept any integer type whose value is in [min, max]; a wrong type or value is
// WF_ERROR_FORMAT and names path and key. An absent key is an error too, unless the getter is given a fallback.
wf_status gguf_get_int(const gguf_file *file, const char *key, int64_t min, int64_t max, int64_t *value, wf_error *err);
wf_status gguf_get_float(const gguf_file *file, const char *key, double *value, wf_error *err); // finite
wf_status gguf_get_string(const gguf_file *file, const char *key, view *value, wf_error *err);
wf_status gguf_get_bool(const gguf_file *file, const char *key, bool *value, wf_error *err);
// As above; an absent key leaves *value as it is.
wf_status gguf_get_int_or(const gguf_file *file, const char *key, int64_t min, int64_t max, int64_t *value,
                          wf_error *err);
wf_status gguf_get_float_or(const gguf_file *file, const char *key, double *value, wf_error *err);
wf_status gguf_get_string_or(const gguf_file *file, const char *key, view *value, wf_error *err);
wf_status gguf_get_bool_or(const gguf_file *file, const char *key, bool *value, wf_error *err);

// ---- checkpoints put together from other files
//
// Created empty, filled, then finished; afterwards it is used like any other. Structs are copied, but not what their
// views point to: that belongs to the file's own memory (gguf_memory) or to a map or part which the file took over.

wf_status gguf_create(const char *path, gguf_file **file, wf_error *err);
arena *gguf_memory(gguf_file *file);
// Takes over the map, or the file with its only part; on failure it is closed.
wf_status gguf_take_map(gguf_file *file, file_map *map, wf_error *err);
wf_status gguf_take_part(gguf_file *file, gguf_file *part, wf_error *err);
wf_status gguf_add_value(gguf_file *file, const gguf_value *value, wf_error *err);
wf_status gguf_add_tensor(gguf_file *file, const gguf_tensor *tensor, wf_error *err);
// WF_ERROR_FORMAT when a key or a tensor's name occurs twice. `header` is what gguf_bytes gives. May be called again
// after more was added.
wf_status gguf_finish(gguf_file *file, view header, wf_error *err);

// Item `index` of an array of numbers (index < count), as integer or float.
int64_t gguf_item_int(const gguf_value *array, uint64_t index);
double gguf_item_float(const gguf_value *array, uint64_t index);

#endif
