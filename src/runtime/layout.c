#include "runtime/layout.h"

#include "base/checked.h"

// How one step along the columns is stored: `columns` columns of all 16 rows in `bytes` bytes.
typedef struct layout_step {
    const char *name;
    size_t columns, bytes;
    bool partial; // the last step of a panel may be cut short by `cols`, and is zero padded
} layout_step;

static const layout_step STEPS[LAYOUT_COUNT] = {
    [LAYOUT_VECTOR_F32] = {"f32", 1, 4, false},        [LAYOUT_F32_X16] = {"f32x16", 1, 64, false},
    [LAYOUT_F16_X16] = {"f16x16", 1, 32, false},       [LAYOUT_BF16_X16] = {"bf16x16", 2, 64, true},
    [LAYOUT_Q8_0_X16] = {"q8_0x16", 32, 544, false},   [LAYOUT_Q4_0_X16] = {"q4_0x16", 32, 288, false},
    [LAYOUT_Q4_1_X16] = {"q4_1x16", 32, 320, false},   [LAYOUT_Q5_0_X16] = {"q5_0x16", 32, 352, false},
    [LAYOUT_Q5_1_X16] = {"q5_1x16", 32, 384, false},   [LAYOUT_Q4_K_X16] = {"q4_kx16", 256, 2368, false},
    [LAYOUT_Q5_K_X16] = {"q5_kx16", 256, 2880, false}, [LAYOUT_Q6_K_X16] = {"q6_kx16", 256, 3360, false},
};

static const quant_format FORMATS[LAYOUT_COUNT] = {
    [LAYOUT_Q8_0_X16] = {.blocks = 1, .low_bits = 8},
    [LAYOUT_Q4_0_X16] = {.blocks = 1, .low_bits = 4, .zero = 8},
    [LAYOUT_Q4_1_X16] = {.blocks = 1, .low_bits = 4, .min = true},
    [LAYOUT_Q5_0_X16] = {.blocks = 1, .low_bits = 4, .high_bits = 1, .zero = 16},
    [LAYOUT_Q5_1_X16] = {.blocks = 1, .low_bits = 4, .high_bits = 1, .min = true},
    [LAYOUT_Q4_K_X16] = {.blocks = 8, .scales = 1, .low_bits = 4, .min = true},
    [LAYOUT_Q5_K_X16] = {.blocks = 8, .scales = 1, .low_bits = 4, .high_bits = 1, .min = true},
    [LAYOUT_Q6_K_X16] = {.blocks = 8, .scales = 2, .low_bits = 4, .high_bits = 2, .zero = 32},
};

const quant_format *layout_quant(weight_layout layout)
{
    return (unsigned)layout < LAYOUT_COUNT && FORMATS[layout].blocks ? &FORMATS[layout] : NULL;
}

const char *layout_name(weight_layout layout) { return (unsigned)layout < LAYOUT_COUNT ? STEPS[layout].name : NULL; }

bool layout_panel_bytes(weight_layout layout, int64_t cols, size_t *bytes)
{
    if ((unsigned)layout >= LAYOUT_COUNT || cols < 1) return false;
    const layout_step *step = &STEPS[layout];
    size_t rest = (size_t)cols % step->columns;
    if (rest && !step->partial) return false;
    return checked_mul((size_t)cols / step->columns + (rest > 0), step->bytes, bytes);
}
