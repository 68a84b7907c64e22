// NumPy's .npy: one array a file.
//
//   offset 0   "\x93NUMPY"
//   6          u8 major, u8 minor
//   8          header length: u16 (version 1) or u32 (2 and 3)
//   10 or 12   header: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), } , spaces, "\n"
//   ...        the values, row after row; written files align them to 64 bytes
//
// Format page: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
#ifndef WELFORD_FORMAT_NPY_H
#define WELFORD_FORMAT_NPY_H

#include "base/file.h"

enum { NPY_MAX_DIMS = 8 };

typedef enum npy_type {
    NPY_F32,
    NPY_F64,
    NPY_F16,
    NPY_BOOL,
    NPY_I8,
    NPY_I16,
    NPY_I32,
    NPY_I64,
    NPY_U8,
    NPY_U16,
    NPY_TYPE_COUNT
} npy_type;

size_t npy_item_bytes(npy_type type);
const char *npy_type_name(npy_type type); // as NumPy calls it: "float32"

typedef struct npy_array {
    npy_type type;
    uint32_t n_dims; // 0: a single value
    int64_t dims[NPY_MAX_DIMS];
    size_t count;     // product of dims
    const void *data; // [count], little endian, the last dimension contiguous; into the map when read
    file_map map;
} npy_array;

// Writes dims and data, the rest is derived. A regular file is replaced at once or not at all; anything else (a pipe, a
// device) is written to.
wf_status npy_write(const char *path, npy_type type, const int64_t *dims, uint32_t n_dims, const void *data,
                    wf_error *err);

// Maps and checks a file of versions 1 to 3, C order, little endian, one of the types above. Free with npy_close.
wf_status npy_open(const char *path, npy_array *array, wf_error *err);
// The same on bytes in memory, which must outlive the array and be aligned to 16.
wf_status npy_parse(const unsigned char *data, size_t bytes, const char *name, npy_array *array, wf_error *err);
void npy_close(npy_array *array);

#endif
