// In:  glu(linear(x, w_gate), linear(x, w_up)) {activation}, both linears used here only
// Out: linear(x, w_gate, w_up) {glu}
//
// Gate and up panels are interleaved in the pack, so that one tile has both sums in registers: the two wide
// intermediate results are never written. The weights must be of one type and fill whole panels.
#include "compiler/fuse/pass.h"

static const char *why_not_linears(MlirValue gate, MlirValue up)
{
    const char *before_gate, *before_up;
    bool both = linear_behind(gate, &before_gate).ptr && linear_behind(up, &before_up).ptr;
    return !both ? "gate and up are not two linears" : before_gate ? before_gate : before_up;
}

static const char *fuse(MlirOperation op, why_not_fn *back_end)
{
    glu_op glu;
    linear_op gate, up;
    if (!glu_read(op, &glu)) return NO_PLACE;
    if (!linear_read(defining_op(glu.gate), &gate) || !linear_read(defining_op(glu.up), &up))
        return why_not_linears(glu.gate, glu.up);
    if (mlirValueEqual(glu.gate, glu.up)) return "gate and up are one linear";
    if (!linear_is_plain(&gate) || !linear_is_plain(&up) || gate.n_biases || up.n_biases)
        return "a linear has a bias or another epilogue";
    if (!mlirValueEqual(gate.x, up.x)) return "gate and up have different inputs";
    if (!has_one_use(glu.gate) || !has_one_use(glu.up)) return "gate or up is used elsewhere too";
    if (!mlirTypeEqual(mlirValueGetType(gate.weights[0]), mlirValueGetType(up.weights[0])))
        return "weights of different types";
    if (dim_of(gate.weights[0], 0) < 0 || dim_of(gate.weights[0], 0) % 16)
        return "output features are no multiple of 16";
    if (glu.rounded.ptr) return "the activation is rounded before the product";
    linear_op fused = gate;
    fused.n_weights = 2;
    fused.weights[1] = up.weights[0];
    fused.glu = glu.activation;
    op_builder b = op_builder_before(op);
    MlirValue y = linear_write(&b, &fused);
    const char *why = ask_back_end(back_end, y);
    if (why) return why;
    replace_value(glu.y.value, y);
    return FUSED;
}

void pass_fuse_linear_swiglu(MlirOperation function, why_not_fn *back_end, pass_report *report)
{
    fuse_each(function, back_end, report, "wf.glu", fuse);
}
