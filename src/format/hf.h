// A Hugging Face checkpoint, a folder, read as if it were a GGUF file.
//
//     config.json                    what the model is: see hf_config.c
//     model.safetensors              the tensors, or several files listed in
//     model.safetensors.index.json
//     tokenizer.json                 optional; see hf_tokenizer.h
//     tokenizer_config.json          optional: BOS, EOS, chat template
//     chat_template.jinja            optional, before the one in tokenizer_config.json; or chat_template.json
//     generation_config.json         optional: defaults of sampling, tokens that end a text
//
// Keys and names become those of GGUF files ("llama.block_count", "blk.0.attn_q.weight"). Keys that GGUF does not have:
//
//     ARCH.rope.interleaved          BOOL    false: the rows of q and k are not permuted as in GGUF files of "llama"
//     ARCH.norm_plus_one             BOOL    true: norm weights are stored less one (GGUF files have it added)
//     ARCH.rope.scaling.low_freq_factor, .high_freq_factor    F64, with rope.scaling.type "llama3"
//     general.sampling.temp, .top_p, .top_k, .min_p, .penalty_repeat    from generation_config.json
//     tokenizer.json.eos_token_ids   [I32]   all tokens that end a text
#ifndef WELFORD_FORMAT_HF_H
#define WELFORD_FORMAT_HF_H

#include "format/checkpoint.h"
#include "format/json_file.h"

// Opens the folder `path`. WF_ERROR_UNSUPPORTED names an architecture, a field of config.json, a tensor or a part of
// the tokenizer that welford does not know: no such thing is skipped when it might change what the model computes. With
// `cut_short` the tensors' data need not be there (their data pointers are then NULL).
wf_status hf_open(const char *path, bool cut_short, checkpoint **file, wf_error *err);

// ---- hf_config.c

// What the names of an architecture's tensors depend on.
typedef struct hf_architecture {
    const char *class_name; // "LlamaForCausalLM"
    const char *name;       // "llama", the prefix of the keys
    const char *model_type; // names the class where "architectures" does not
    int64_t n_ctx;          // default of max_position_embeddings
    int64_t n_kv_heads;     // default; 0: as many as heads
    bool gemma;             // four norms a layer, stored less one; tied head, sliding window and own defaults
    bool qkv_bias;          // always there
    bool attention_option;  // biases on q, k, v and o with attention_bias
    bool mlp_option;        // biases on gate, up and down with mlp_bias
    bool sliding_option;    // sliding_window counts only with use_sliding_window
    bool sliding_default;   // sliding_window is 4096 where the file does not say
    int64_t head_dim;       // default; 0: hidden_size / num_attention_heads
} hf_architecture;

typedef struct hf_config {
    const hf_architecture *architecture;
    int64_t n_layer, n_vocab; // n_vocab: 0 when the file does not say
    bool tied_head, attention_bias, mlp_bias;
} hf_config;

// Adds what config.json (at `path`, parsed as `root`) says to `file`.
wf_status hf_read_config(const char *path, const json_t *root, checkpoint *file, hf_config *config, wf_error *err);

// ---- hf_name.c

// The GGUF name of a tensor, into `gguf`. "" for one that the model does not need. WF_ERROR_UNSUPPORTED for a name that
// is not known.
wf_status hf_map_name(const char *path, const hf_config *config, const char *name, char gguf[64], wf_error *err);

// Biases that config.json announces must be there: a model without them would be another one.
wf_status hf_check_biases(const char *path, const hf_config *config, const checkpoint *file, wf_error *err);

#endif
