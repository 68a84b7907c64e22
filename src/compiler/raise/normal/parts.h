// Tensors cut out of others, and put together of others, along one axis.
#ifndef WELFORD_COMPILER_RAISE_NORMAL_PARTS_H
#define WELFORD_COMPILER_RAISE_NORMAL_PARTS_H

#include "compiler/raise/normal/normal.h"

// of[.., start + stride * i, ..], i < size, along `axis`; all of the other axes.
typedef struct slice {
    MlirValue of;
    int axis;
    int64_t start, stride, size;
} slice;

// tosa.slice, tensor.extract_slice, tosa.gather at places that are known. False when v is no slice, along several axes
// or of sizes that are not known.
bool read_slice(MlirValue v, slice *s);

// Parts of one size side by side along `axis`: part p holds the indices from p * size on; when `interleaved`, every
// n-th one from p on. A `flat` part lacks the axis, along which it has size 1.
enum { MAX_CONCAT = 4 };
typedef struct concat {
    int axis, n;
    int64_t size;
    bool interleaved, flat;
    MlirValue parts[MAX_CONCAT];
} concat;

// tosa.concat, tensor.concat, or tensor.insert_slice over each other until nothing is left of what they began with.
bool read_concat(MlirValue v, concat *c);

// v of two parts side by side along its last axis, the second of size 1: tosa.concat, tensor.concat, or two
// tensor.insert_slice.
bool read_appended(MlirValue v, MlirValue parts[2]);

// Offsets, sizes and strides of tensor.extract_slice or insert_slice on a tensor of this rank; -1 for what is not known
// before run time.
typedef struct slice_window {
    int64_t start[MAX_AXES], size[MAX_AXES], stride[MAX_AXES];
} slice_window;

bool read_window(MlirOperation op, int rank, slice_window *w);
// The size that the op was given for an axis whose size is not known; null value when it is.
MlirValue window_size(MlirOperation op, const slice_window *w, int axis);

#endif
