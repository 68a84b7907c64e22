// In:  attention or cached_attention
// Out: the same op {fused = true}
//
// Scores, softmax and the weighted sum of values become one kernel with an online softmax
// (kernel/attention/attention.h), which never has more than a block of scores at hand. Without this they are three
// steps, with all scores in memory between
// them: the kernels of kernel/attention/attention_apart.h over a cache, what decompose.c writes in other graphs.
#include "compiler/fuse/pass.h"

static bool is_f32(MlirValue v) { return !v.ptr || mlirTypeIsAF32(element_type_of(v)); }

static const char *fuse(MlirOperation op, why_not_fn *back_end)
{
    attention_op a;
    bool cached = cached_attention_read(op, &a);
    if (!cached && !attention_read(op, &a)) return NO_PLACE;
    if (a.fused) return NO_PLACE;
    if (dim_of(a.q, rank_of(a.q) - 1) < 0) return "features that make no heads";
    if (!is_f32(a.q) || !is_f32(a.k) || !is_f32(a.v) || !is_f32(a.mask) || !is_f32(a.sink))
        return "values that are not f32";
    op_builder b = op_builder_before(op);
    MlirValue old = a.y.value;
    a.fused = true;
    MlirValue y = cached ? cached_attention_write(&b, &a) : attention_write(&b, &a);
    const char *why = ask_back_end(back_end, y);
    if (why) return why;
    replace_value(old, y);
    return FUSED;
}

void pass_fuse_attention(MlirOperation function, why_not_fn *back_end, pass_report *report)
{
    fuse_each(function, back_end, report, "wf.attention", fuse);
    fuse_each(function, back_end, report, "wf.cached_attention", fuse);
}
