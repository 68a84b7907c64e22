// A panel is one stream over its columns, so it can be made a few columns at a time: 16 rows of CHUNK columns are
// converted to the file's form of the target type, on the stack, and packed as if they had been stored so.
#include "runtime/pack_convert.h"

#include <string.h>

#include "base/half.h"
#include "runtime/pack_panel.h"
#include "runtime/quantize.h"

enum { CHUNK = 256, CHUNK_BYTES = CHUNK * 4 }; // columns; bytes of a row of the widest type

// A chunk's share of a panel must be the panel of as many columns: whole blocks of every layout, whole pairs of bf16.
_Static_assert(CHUNK % QUANT_BLOCK == 0 && CHUNK % 2 == 0, "a chunk is made of whole blocks");

static const struct {
    const char *name;
    tensor_type type;
    weight_layout layout;
} TARGETS[] = {
    {"f32", TENSOR_F32, LAYOUT_F32_X16},
    {"bf16", TENSOR_BF16, LAYOUT_BF16_X16},
    {"q8_0", TENSOR_Q8_0, LAYOUT_Q8_0_X16},
    {"q4_0", TENSOR_Q4_0, LAYOUT_Q4_0_X16},
};

static bool is_float(tensor_type type) { return type == TENSOR_F32 || type == TENSOR_F16 || type == TENSOR_BF16; }

wf_status weights_parse(const char *name, int *type, wf_error *err)
{
    *type = -1;
    if (!name || !*name) return WF_OK;
    for (size_t i = 0; i < sizeof TARGETS / sizeof *TARGETS; i++)
        if (!strcmp(name, TARGETS[i].name)) *type = (int)TARGETS[i].type;
    return *type >= 0 ? WF_OK
                      : error_set(err, WF_ERROR_USAGE, "weights '%.40s': the types are f32, bf16, q8_0 and q4_0", name);
}

tensor_type weights_type(const checkpoint_tensor *t, int type)
{
    const tensor_layout *layout = type < 0 ? NULL : tensor_type_layout((uint32_t)type);
    if (!layout || !is_float(t->type) || t->dims[0] % (int64_t)layout->block_values) return t->type;
    return (tensor_type)type;
}

bool panel_converts(weight_layout layout, tensor_type type)
{
    for (size_t i = 0; i < sizeof TARGETS / sizeof *TARGETS; i++)
        if (TARGETS[i].layout == layout) return is_float(type);
    return false;
}

static void widen(tensor_type type, const unsigned char *values, int64_t n, float *out)
{
    if (type == TENSOR_F32) {
        memcpy(out, values, (size_t)n * sizeof *out);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        uint16_t half;
        memcpy(&half, values + 2 * i, sizeof half);
        out[i] = type == TENSOR_F16 ? half_to_float(half) : bfloat_to_float(half);
    }
}

// n values of a row in the layout's type, at most CHUNK_BYTES.
static void narrow(weight_layout layout, const float *x, int64_t n, unsigned char *out)
{
    if (layout == LAYOUT_Q8_0_X16) {
        quantize_q8_0(x, n, out);
    } else if (layout == LAYOUT_Q4_0_X16) {
        quantize_q4_0(x, n, out);
    } else if (layout == LAYOUT_F32_X16) {
        memcpy(out, x, (size_t)n * sizeof *x);
    } else {
        for (int64_t i = 0; i < n; i++) {
            uint16_t half = bfloat_from_float(x[i]);
            memcpy(out + 2 * i, &half, sizeof half);
        }
    }
}

void panel_pack_converted(weight_layout layout, tensor_type type, const unsigned char *rows, size_t row_bytes,
                          size_t n_rows, int64_t cols, unsigned char *out)
{
    float x[CHUNK];
    unsigned char chunk[PANEL_ROWS * CHUNK_BYTES];
    size_t value_bytes = type == TENSOR_F32 ? 4 : 2, panel_bytes;
    for (int64_t begin = 0; begin < cols; begin += CHUNK) {
        int64_t n = cols - begin < CHUNK ? cols - begin : CHUNK;
        for (size_t r = 0; r < n_rows; r++) {
            widen(type, rows + r * row_bytes + (size_t)begin * value_bytes, n, x);
            narrow(layout, x, n, chunk + r * CHUNK_BYTES);
        }
        panel_pack(layout, chunk, CHUNK_BYTES, n_rows, n, out);
        if (!layout_panel_bytes(layout, n, &panel_bytes)) return; // cols suit the layout: they were checked
        out += panel_bytes;
    }
}
