#include "compiler/pass/pass.h"

#include <string.h>

const pass PASSES[] = {
    {"qkv", PASS_FUSE, pass_fuse_qkv, "q, k and v projections of one input become one linear"},
    {"linear-swiglu", PASS_FUSE, pass_fuse_linear_swiglu, "gate and up projections and silu(gate) * up become one linear"},
    {"linear-residual", PASS_FUSE, pass_fuse_linear_residual, "a linear adds the residual as it stores"},
    {"rope-kv", PASS_FUSE, pass_fuse_rope_kv, "q and k are rotated, k and v stored to the cache, in one pass over qkv"},
    {"quantize-activations", PASS_LOWER, pass_lower_quantize, "inputs of quantised linears become 8-bit blocks"},
    {"norm-linear", PASS_FUSE, pass_fuse_norm_linear, "a norm writes the form that the linears after it read"},
    {"quantize-output", PASS_FUSE, pass_fuse_quantize, "swiglu and attention write the form that the next linear reads"},
    {0},
};

const pass *pass_find(const char *name, size_t len)
{
    for (const pass *p = PASSES; p->name; p++)
        if (strlen(p->name) == len && !memcmp(p->name, name, len)) return p;
    return NULL;
}
