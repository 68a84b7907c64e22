// Reads packed weights back, one row at a time: the reference for kernels and for the packer. Not fast.
#ifndef WELFORD_RUNTIME_WEIGHT_UNPACK_H
#define WELFORD_RUNTIME_WEIGHT_UNPACK_H

#include "runtime/weight/weight_type.h"

// Row `row` of a packed matrix, dequantised to out [cols]; `packed` is where its panel 0 begins. Every value is the
// packed number itself, rounded once to f32 where it has more digits (only types with a minimum and Q6_K can). `cols`
// must suit the layout (layout_panel_bytes). With several sources, rows count in the pack: each source starts at a
// multiple of 16, and the panels of interleaved sources alternate. A vector's row r is its r-th source.
void weight_unpack_row(weight_layout layout, const unsigned char *packed, int64_t cols, int64_t row, float *out);

// One panel's row, for the rows of the types.
panel_unpack_fn panel_unpack_f32, panel_unpack_f16, panel_unpack_bf16, panel_unpack_quant;

#endif
