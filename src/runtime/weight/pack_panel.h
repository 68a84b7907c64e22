// One panel of a pack: 16 rows of a checkpoint's tensor, turned into the layout that kernels stream.
#ifndef WELFORD_RUNTIME_WEIGHT_PACK_PANEL_H
#define WELFORD_RUNTIME_WEIGHT_PACK_PANEL_H

#include "runtime/weight/weight_type.h"

// Whether tensors of `type` can be packed in `layout`: a matrix keeps its numbers as they are, or is rounded or
// quantised where it is of floats and the layout's type has `narrow`; a vector of floats becomes f32.
bool panel_takes(weight_layout layout, tensor_type type);

// Packs n_rows (1..16) consecutive rows of `cols` values, `row_bytes` apart, to `out` [layout_panel_bytes]; rows that
// are missing become zeros. Any alignment of `rows` will do. The layout takes the type, and cols suits both.
void panel_pack(weight_layout layout, tensor_type type, const unsigned char *rows, size_t row_bytes, size_t n_rows,
                int64_t cols, unsigned char *out);

// A vector [cols] of F32, F16 or BF16 as f32, with 1 added if plus_one.
void panel_pack_vector(tensor_type type, const unsigned char *values, int64_t cols, bool plus_one, unsigned char *out);

// One function a type, for its row.
panel_pack_fn panel_pack_f32, panel_pack_f16, panel_pack_bf16, panel_pack_q8_0, panel_pack_q4_0, panel_pack_q4_1,
    panel_pack_q5_0, panel_pack_q5_1, panel_pack_q4_k, panel_pack_q5_k, panel_pack_q6_k;

#endif
