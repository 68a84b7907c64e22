#include "runtime/weight/weight_type.h"

#include <string.h>

#include "base/buffer.h"
#include "runtime/weight/pack_panel.h"
#include "runtime/weight/quantize.h"
#include "runtime/weight/unpack.h"

// Every field of every row is given: -Wextra finds one that is forgotten.
//
// clang-format off
static const weight_type TYPES[] = {
    {LAYOUT_F32_X16, TENSOR_F32, "f32", "f32x16", ACTIVATION_F32,
     panel_pack_f32, panel_unpack_f32, widen_f32, narrow_f32, false,
     {.blocks = 0}},
    {LAYOUT_F16_X16, TENSOR_F16, "f16", "f16x16", ACTIVATION_F32,
     panel_pack_f16, panel_unpack_f16, widen_f16, NULL, false,
     {.blocks = 0}},
    {LAYOUT_BF16_X16, TENSOR_BF16, "bf16", "bf16x16", ACTIVATION_BF16,
     panel_pack_bf16, panel_unpack_bf16, widen_bf16, narrow_bf16, true,
     {.blocks = 0}},
    {LAYOUT_Q8_0_X16, TENSOR_Q8_0, "q8_0", "q8_0x16", ACTIVATION_Q8,
     panel_pack_q8_0, panel_unpack_quant, NULL, quantize_q8_0, false,
     {.blocks = 1, .low_bits = 8}},
    {LAYOUT_Q4_0_X16, TENSOR_Q4_0, "q4_0", "q4_0x16", ACTIVATION_Q8,
     panel_pack_q4_0, panel_unpack_quant, NULL, quantize_q4_0, false,
     {.blocks = 1, .low_bits = 4, .zero = 8}},
    {LAYOUT_Q4_1_X16, TENSOR_Q4_1, "q4_1", "q4_1x16", ACTIVATION_Q8,
     panel_pack_q4_1, panel_unpack_quant, NULL, NULL, false,
     {.blocks = 1, .low_bits = 4, .min = true}},
    {LAYOUT_Q5_0_X16, TENSOR_Q5_0, "q5_0", "q5_0x16", ACTIVATION_Q8,
     panel_pack_q5_0, panel_unpack_quant, NULL, NULL, false,
     {.blocks = 1, .low_bits = 4, .high_bits = 1, .zero = 16}},
    {LAYOUT_Q5_1_X16, TENSOR_Q5_1, "q5_1", "q5_1x16", ACTIVATION_Q8,
     panel_pack_q5_1, panel_unpack_quant, NULL, NULL, false,
     {.blocks = 1, .low_bits = 4, .high_bits = 1, .min = true}},
    {LAYOUT_Q4_K_X16, TENSOR_Q4_K, "q4_k", "q4_kx16", ACTIVATION_Q8,
     panel_pack_q4_k, panel_unpack_quant, NULL, NULL, false,
     {.blocks = 8, .scales = 1, .low_bits = 4, .min = true}},
    {LAYOUT_Q5_K_X16, TENSOR_Q5_K, "q5_k", "q5_kx16", ACTIVATION_Q8,
     panel_pack_q5_k, panel_unpack_quant, NULL, NULL, false,
     {.blocks = 8, .scales = 1, .low_bits = 4, .high_bits = 1, .min = true}},
    {LAYOUT_Q6_K_X16, TENSOR_Q6_K, "q6_k", "q6_kx16", ACTIVATION_Q8,
     panel_pack_q6_k, panel_unpack_quant, NULL, NULL, false,
     {.blocks = 8, .scales = 2, .low_bits = 4, .high_bits = 2, .zero = 32}},
};
// clang-format on

enum { N_TYPES = sizeof TYPES / sizeof *TYPES };
_Static_assert(LAYOUT_VECTOR_F32 < LAYOUT_F32_X16 && N_TYPES == LAYOUT_COUNT - LAYOUT_F32_X16,
               "a row for each layout of panels, in their order");

const weight_type *weight_type_in(weight_layout layout)
{
    return layout >= LAYOUT_F32_X16 && layout < LAYOUT_COUNT ? &TYPES[layout - LAYOUT_F32_X16] : NULL;
}

const weight_type *weight_type_of(tensor_type type)
{
    for (size_t i = 0; i < N_TYPES; i++)
        if (TYPES[i].tensor == type) return &TYPES[i];
    return NULL;
}

const weight_type *weight_type_named(const char *name, size_t length)
{
    for (size_t i = 0; i < N_TYPES; i++)
        if (strlen(TYPES[i].name) == length && !memcmp(TYPES[i].name, name, length)) return &TYPES[i];
    return NULL;
}

size_t weight_type_file_bytes(const weight_type *t, int64_t n)
{
    const tensor_layout *blocks = tensor_type_layout(t->tensor);
    return (size_t)n / blocks->block_values * blocks->block_bytes;
}

static wf_status fail_name(const char *name, wf_error *err)
{
    const char *names[N_TYPES];
    size_t n = 0;
    buffer list = {0};
    for (size_t i = 0; i < N_TYPES; i++)
        if (TYPES[i].narrow) names[n++] = TYPES[i].name;
    for (size_t i = 0; i < n; i++) buffer_printf(&list, "%s%s", !i ? "" : i + 1 < n ? ", " : " and ", names[i]);
    error_set(err, WF_ERROR_USAGE, "weights '%.40s': the types are %.*s", name, VIEW_ARG(buffer_view(&list)));
    buffer_free(&list);
    return WF_ERROR_USAGE;
}

wf_status weight_type_parse(const char *name, const weight_type **asked, wf_error *err)
{
    *asked = NULL;
    if (!name || !*name) return WF_OK;
    const weight_type *found = weight_type_named(name, strlen(name));
    if (!found || !found->narrow) return fail_name(name, err);
    *asked = found;
    return WF_OK;
}

const weight_type *weight_type_packed(tensor_type stored, int64_t cols, const weight_type *asked)
{
    const weight_type *t = weight_type_of(stored);
    if (!asked || !t || !t->widen) return t;
    return cols % (int64_t)tensor_type_layout(asked->tensor)->block_values ? t : asked;
}
