// In:  quantize(y) with y = rms_norm, residual_norm, linear {glu}, glu or cached_attention, used here only
// Out: the same op with a q8 result
//
// The producer writes the form that the linears after it read (q, k, v or gate, up; o; down): the values are rounded
// while they are still in registers, and the f32 result is never stored. Linears of float weights read f32 rows, which
// the producer writes anyway: there is nothing to fuse.
#include "compiler/fuse/pass.h"

// How many tiles the features of a producer are dealt to, beyond those of whole blocks; 0: it is none.
static int64_t count_groups(MlirOperation producer, MlirValue *y)
{
    norm_op norm;
    linear_op linear;
    glu_op glu;
    attention_op attention;
    if (norm_read(producer, &norm) && norm.kind != NORM_LAYER && !norm.n_heads) {
        *y = norm.y.value;
        return 1;
    }
    if (linear_read(producer, &linear)) {
        *y = linear.y.value;
        return linear.glu != GLU_NONE;
    }
    if (glu_read(producer, &glu)) {
        *y = glu.y.value;
        return 1;
    }
    if (!cached_attention_read(producer, &attention) && !attention_read(producer, &attention)) return 0;
    *y = attention.y.value;
    return attention.n_kv_heads; // a tile holds the heads of one group
}

// The quantize that reads y; null: there is none. *linears: only linears read it.
static MlirOperation find_quantize(MlirValue y, bool *linears)
{
    MlirOperation found = {0};
    MlirOpOperand use = mlirValueGetFirstUse(y);
    *linears = !mlirOpOperandIsNull(use);
    for (; !mlirOpOperandIsNull(use); use = mlirOpOperandGetNextUse(use)) {
        MlirOperation user = mlirOpOperandGetOwner(use);
        quantize_op quantize;
        linear_op linear;
        if (quantize_read(user, &quantize)) found = user;
        *linears = *linears && linear_read(user, &linear) && mlirValueEqual(linear.x, y);
    }
    return found;
}

static const char *fuse(MlirOperation op, why_not_fn *back_end)
{
    MlirValue y;
    quantize_op quantize;
    attention_op attention;
    bool linears;
    int64_t groups = count_groups(op, &y);
    if (!groups) return NO_PLACE;
    if (!quantize_read(find_quantize(y, &linears), &quantize))
        return linears ? "float weights: the linear reads f32" : NO_PLACE;
    int64_t features = dim_of(y, rank_of(y) - 1);
    if (attention_read(op, &attention)) return "attention that is not fused with rope-kv";
    if (!has_one_use(y)) return "the f32 result is used elsewhere too";
    if (features < 0 || features / groups % 32) return "what a tile computes is no whole number of blocks of 32";
    MlirType before = mlirValueGetType(y);
    mlirValueSetType(y, quantize.y.type);
    const char *why = back_end ? back_end(op) : NULL;
    if (why) {
        mlirValueSetType(y, before);
        return why;
    }
    replace_value(quantize.y.value, y);
    return FUSED;
}

void pass_fuse_quantize_output(MlirOperation function, why_not_fn *back_end, pass_report *report)
{
    fuse_each(function, back_end, report, NULL, fuse);
}
