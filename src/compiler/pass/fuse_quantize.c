// In:  quantize(y) with y = linear {swiglu}, swiglu or cached_attention, used here only
// Out: the same op with a q8 result
//
// The values are rounded while they are still in registers.
#include "compiler/pass/pass.h"

static bool can_quantise(MlirOperation producer, int64_t features)
{
    linear_parts parts;
    if (features < 0 || features % 32) return false;
    if (linear_read(producer, &parts)) return parts.swiglu;
    if (op_is(producer, "wf.cached_attention")) {
        // a tile holds the heads of one group: they must fill whole blocks
        int64_t n_kv_heads = op_int(producer, "n_kv_heads", 1);
        return features / n_kv_heads % 32 == 0;
    }
    return op_is(producer, "wf.swiglu");
}

static void fuse(MlirOperation op, void *context)
{
    (void)context;
    if (!op_is(op, "wf.quantize")) return;
    MlirValue y = mlirOperationGetOperand(op, 0), result = mlirOperationGetResult(op, 0);
    MlirOperation producer = defining_op(y);
    if (!producer.ptr || !has_one_use(y) || !can_quantise(producer, dim_of(result, 1))) return;
    mlirValueSetType(y, mlirValueGetType(result));
    replace_value(result, y);
}

void pass_fuse_quantize(MlirOperation function)
{
    for_each_op(function, fuse, NULL);
    wf_erase_dead(function);
}
