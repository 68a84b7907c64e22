#include "runtime/weight/layout.h"

#include "base/checked.h"
#include "runtime/weight/weight_type.h"

const quant_format *layout_quant(weight_layout layout)
{
    const weight_type *t = weight_type_in(layout);
    return t && weight_type_is_quantised(t) ? &t->quant : NULL;
}

const char *layout_name(weight_layout layout)
{
    const weight_type *t = weight_type_in(layout);
    if (layout == LAYOUT_PLAIN) return "plain";
    return t ? t->layout_name : layout == LAYOUT_VECTOR_F32 ? "f32" : NULL;
}

bool layout_panel_bytes(weight_layout layout, int64_t cols, size_t *bytes)
{
    const weight_type *t = weight_type_in(layout);
    if ((!t && layout != LAYOUT_VECTOR_F32 && layout != LAYOUT_PLAIN) || cols < 1) return false;
    size_t n = (size_t)cols;
    if (!t) return checked_mul(n, layout == LAYOUT_PLAIN ? 1 : sizeof(float), bytes);
    if (!weight_type_is_quantised(t))
        return checked_mul(t->pairs ? n + n % 2 : n, PANEL_ROWS * weight_type_file_bytes(t, 1), bytes);
    size_t step = (size_t)t->quant.blocks * QUANT_BLOCK;
    return n % step == 0 && checked_mul(n / step, (size_t)quant_step_bytes(&t->quant), bytes);
}
