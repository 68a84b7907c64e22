// safetensors, the tensor file of Hugging Face checkpoints.
// Format page: https://github.com/huggingface/safetensors (section Format)
//
// A file is checked as the reference library checks it, so that whoever holds a `safetensors` need not check again: the
// tensors fill the data area from its first byte to its last, in order, without gaps or overlaps, and each has the
// bytes that its type and shape ask for.
#ifndef WELFORD_FORMAT_SAFETENSORS_H
#define WELFORD_FORMAT_SAFETENSORS_H

#include "base/arena.h"
#include "base/status.h"
#include "base/view.h"

enum { SAFETENSORS_MAX_DIMS = 8 };

typedef struct safetensors_tensor {
    const char *name;
    const char *dtype; // "F32", "BF16", "I64", ...
    uint32_t n_dims;
    int64_t dims[SAFETENSORS_MAX_DIMS]; // as in the file: the last one is contiguous; any may be 0
    const unsigned char *data;          // into the file; any alignment
    size_t offset, bytes;               // of data in the file
} safetensors_tensor;

typedef struct safetensors {
    safetensors_tensor *tensors; // [n_tensors], ascending by offset
    size_t n_tensors;
    size_t header_bytes; // everything before the data
} safetensors;

// Reads the header of a file in memory, which must outlive *out; `name` stands for the path in messages. `memory` owns
// what *out points to. WF_ERROR_FORMAT names the tensor and what is wrong with it. With `cut_short` the data area may
// end early, as in a file of which only the beginning is there; data beyond the end is then NULL.
wf_status safetensors_parse(const unsigned char *data, size_t bytes, const char *name, bool cut_short, arena *memory,
                            safetensors *out, wf_error *err);

#endif
