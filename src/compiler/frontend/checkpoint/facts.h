// Hyper-parameters of a checkpoint: read from its metadata, checked against the file and each other.
//
// Keys are those of GGUF, prefixed by the architecture's name. Beside them there are a few that only checkpoints of
// other formats need; their readers write these:
//
//   rope.interleaved              bool   overrides the architecture's pairing
//   norm_plus_one                 bool   norms multiply by 1 + weight (converters to GGUF add the 1)
//   rope.scaling.type "llama3"    with rope.scaling.low_freq_factor, .high_freq_factor, .original_context_length
//   rope.scaling.attention_factor f64    the factor on cos and sin itself (rope.scaling.attn_factor multiplies YaRN's)
//   rope.scaling.truncate         bool   whether YaRN's blend begins and ends at whole pairs
//   rope.freq_base_swa            f64    of the layers with a window
//   attention.sliding_window_pattern     n: every n-th layer sees all; or an array, a bool a layer: has a window
#ifndef WELFORD_COMPILER_FRONTEND_CHECKPOINT_FACTS_H
#define WELFORD_COMPILER_FRONTEND_CHECKPOINT_FACTS_H

#include "base/arena.h"
#include "format/checkpoint.h"
#include "runtime/program/program.h"
#include "runtime/weight/weight_type.h"

// What all checkpoints of an architecture have in common.
typedef struct architecture_facts {
    const char *name;      // general.architecture, and the prefix of its keys
    bool rope_interleaved; // default; see model_facts
    bool qkv_bias;         // q, k and v always have one
    bool qk_norm;
    bool gelu;
    bool embedding_by_root;  // embeddings are multiplied by sqrt(n_embd)
    int64_t window_period;   // every n-th layer sees all; 0: windows, if any, are on all layers
    double window_rope_base; // of layers with a window; 0: that of the others
} architecture_facts;

typedef struct model_facts {
    const char *architecture, *name;
    int64_t n_vocab, n_ctx_train, n_layer, n_embd, n_ff;
    int64_t n_heads, n_kv_heads, head_dim;
    double norm_eps;
    bool norm_plus_one;    // norms multiply by 1 + weight
    int64_t n_rot;         // rotated features of a head
    bool rope_interleaved; // pairs (2i, 2i+1) rather than (i, i + n_rot/2)
    bool qkv_bias;
    bool qk_norm;             // q and k are normed, a head at a time, before the rotation
    bool gelu;                // gelu(gate) * up instead of silu(gate) * up
    bool tied_head;           // the output head is the embedding table
    double embedding_scale;   // on token embeddings
    double attention_scale;   // on scores
    double attention_softcap; // scores become c tanh(score / c); 0: they stay
    double final_softcap;     // the same for logits
    int64_t window;           // positions that a token sees in layers that have_window, itself included
    const bool *has_window;   // [n_layer]
    uint32_t n_ropes;         // 2: layers with a window have their own
    program_rope ropes[2];
    const weight_type *weights; // the type that was asked for (weight_type_parse)
} model_facts;

static inline kv_layout facts_kv_layout(const model_facts *m, kv_type kv)
{
    return (kv_layout){m->n_layer, m->n_kv_heads, m->head_dim, kv};
}

// `memory` owns what the facts point to. A field that would change the model's meaning in a way that the graph does not
// know is WF_ERROR_UNSUPPORTED by name.
wf_status facts_read(const checkpoint *file, const architecture_facts *arch, arena *memory, model_facts *m,
                     wf_error *err);

#endif
