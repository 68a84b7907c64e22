// The structs of DLPack's first version, which every library that exchanges arrays reads and writes.
// Source: https://dmlc.github.io/dlpack/latest/c_api.html, https://dmlc.github.io/dlpack/latest/python_spec.html
#ifndef WELFORD_PYTHON_DLPACK_H
#define WELFORD_PYTHON_DLPACK_H

#include <stdint.h>

// The name of a capsule that nobody has taken yet.
#define DL_CAPSULE "dltensor"

enum { DL_CPU = 1 };                                                        // a device's type
enum { DL_INT = 0, DL_UINT = 1, DL_FLOAT = 2, DL_BFLOAT = 4, DL_BOOL = 6 }; // codes of types

typedef struct dl_device {
    int32_t type, id;
} dl_device;

typedef struct dl_type {
    uint8_t code, bits;
    uint16_t lanes;
} dl_type;

typedef struct dl_tensor {
    void *data;
    dl_device device;
    int32_t n_dims;
    dl_type type;
    int64_t *shape, *strides; // in elements; strides NULL: contiguous
    uint64_t byte_offset;
} dl_tensor;

typedef struct dl_managed {
    dl_tensor tensor;
    void *context;
    void (*deleter)(struct dl_managed *self);
} dl_managed;

#endif
