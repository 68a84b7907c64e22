#include "compiler/kernel/kernels.h"

#include <stddef.h>

const kernel_info KERNELS[] = {
    {"embed", "embed.c", "rows of the embedding table, from any weight layout to f32"},
    {"rms_norm", "norm.c", "RMSNorm of rows, [+ residual] [* gamma], to floats or 8-bit blocks"},
    {"layer_norm", "norm.c", "LayerNorm of rows, [+ residual] [* gamma] [+ beta], two-pass or online"},
    {"head_norm", "rope.c", "RMSNorm of each head of rows"},
    {"linear", "linear.c", "x W^T [+ bias] [+ residual], or silu(x W0^T) * (x W1^T), by panels of 16 features"},
    {"rope", "rope.c", "rotary positions of each head"},
    {"rope_store", "rope.c", "[norms and] rotates q and k, appends k and v to the cache"},
    {"kv_store", "rope.c", "appends k and v to the cache"},
    {"attention", "attention.c", "attention over the cache with an online softmax, causal or full [+ mask]"},
    {"attention_merge", "attention.c", "joins the parts of attention over a long past"},
    {"attention_scores", "attention_apart.c", "without the fusion: q k^T, into memory"},
    {"attention_softmax", "attention_apart.c", "softmax of those scores"},
    {"attention_values", "attention_apart.c", "those weights times v"},
    {"add", "rowwise.c", "x + y"},
    {"swiglu", "rowwise.c", "silu(gate) * up"},
    {"geglu", "rowwise.c", "gelu(gate) * up"},
    {"softcap", "rowwise.c", "cap * tanh(x / cap)"},
    {"quantize", "rowwise.c", "rows of f32 to 8-bit blocks"},
    {"gather", "rowwise.c", "chosen rows"},
    {NULL, NULL, NULL},
};
