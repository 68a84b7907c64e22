// Weights in another type than the checkpoint's: float matrices are rounded or quantised while they are packed.
#ifndef WELFORD_RUNTIME_PACK_CONVERT_H
#define WELFORD_RUNTIME_PACK_CONVERT_H

#include "format/checkpoint.h"
#include "runtime/layout.h"

// The types that can be asked for: "f32", "bf16", "q8_0", "q4_0". NULL or "": as stored, *type = -1. WF_ERROR_USAGE for
// any other name.
wf_status weights_parse(const char *name, int *type, wf_error *err);

// The type in which matrix `t` is packed when `type` (-1: none) is asked for: a float matrix takes it, unless its rows
// are no multiple of the type's blocks; everything else stays as stored.
tensor_type weights_type(const checkpoint_tensor *t, int type);

// Whether float tensors of `type` can be converted while they are packed to `layout`.
bool panel_converts(weight_layout layout, tensor_type type);

// As panel_pack, for rows of F32, F16 or BF16 that are converted to the layout's type: to bf16 by rounding to nearest
// even, to blocks as quantize.h does.
void panel_pack_converted(weight_layout layout, tensor_type type, const unsigned char *rows, size_t row_bytes,
                          size_t n_rows, int64_t cols, unsigned char *out);

#endif
