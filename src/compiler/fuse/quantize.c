// In:  quantize(y) with y = linear {glu}, glu or cached_attention, used here only
// Out: the same op with a q8 result
//
// The values are rounded while they are still in registers.
#include "compiler/fuse/pass.h"

// How many tiles the features of an op that can store 8-bit blocks are dealt to, beyond those of whole blocks; 0: it is
// no such op.
static int64_t count_groups(MlirOperation producer)
{
    linear_op linear;
    glu_op glu;
    attention_op attention;
    if (cached_attention_read(producer, &attention)) return attention.n_kv_heads; // a tile holds the heads of one group
    return glu_read(producer, &glu) || (linear_read(producer, &linear) && linear.glu);
}

static const char *fuse(MlirOperation op)
{
    quantize_op quantize;
    attention_op attention;
    if (!quantize_read(op, &quantize)) return NO_PLACE;
    MlirOperation producer = defining_op(quantize.x);
    int64_t groups = count_groups(producer), features = dim_of(quantize.x, rank_of(quantize.x) - 1);
    if (!groups) return attention_read(producer, &attention) ? "attention that is not fused with rope-kv" : NO_PLACE;
    if (!has_one_use(quantize.x)) return "the f32 result is used elsewhere too";
    if (features < 0 || features / groups % 32) return "what a tile computes is no whole number of blocks of 32";
    mlirValueSetType(quantize.x, quantize.y.type);
    replace_value(quantize.y.value, quantize.x);
    return FUSED;
}

void pass_fuse_quantize(MlirOperation function, pass_report *report)
{
    fuse_each(function, report, "wf.quantize", fuse);
}
