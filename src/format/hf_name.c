// Names of tensors: those of Hugging Face to those of GGUF, by what the architecture and config.json say there is.
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/hf.h"

typedef struct name_pair {
    const char *hf, *gguf;
} name_pair;

// Outside and inside of "model.layers.N." and "blk.N.".
static const name_pair OUTER[] = {
    {"model.embed_tokens.weight", "token_embd.weight"},
    {"model.norm.weight", "output_norm.weight"},
    {"lm_head.weight", "output.weight"},
};
static const name_pair LAYER[] = {
    {"input_layernorm.weight", "attn_norm.weight"},
    {"self_attn.q_proj.weight", "attn_q.weight"},
    {"self_attn.k_proj.weight", "attn_k.weight"},
    {"self_attn.v_proj.weight", "attn_v.weight"},
    {"self_attn.o_proj.weight", "attn_output.weight"},
    {"mlp.gate_proj.weight", "ffn_gate.weight"},
    {"mlp.up_proj.weight", "ffn_up.weight"},
    {"mlp.down_proj.weight", "ffn_down.weight"},
    {"self_attn.rotary_emb.inv_freq", ""}, // in old files; computed from config.json
};
static const name_pair LAYER_QKV_BIAS[] = {
    {"self_attn.q_proj.bias", "attn_q.bias"},
    {"self_attn.k_proj.bias", "attn_k.bias"},
    {"self_attn.v_proj.bias", "attn_v.bias"},
};
static const name_pair LAYER_OUTPUT_BIAS[] = {{"self_attn.o_proj.bias", "attn_output.bias"}};
static const name_pair LAYER_MLP_BIAS[] = {
    {"mlp.gate_proj.bias", "ffn_gate.bias"},
    {"mlp.up_proj.bias", "ffn_up.bias"},
    {"mlp.down_proj.bias", "ffn_down.bias"},
};
static const name_pair LAYER_QK_NORM[] = {
    {"self_attn.q_norm.weight", "attn_q_norm.weight"},
    {"self_attn.k_norm.weight", "attn_k_norm.weight"},
};
static const name_pair LAYER_TWO_NORMS[] = {{"post_attention_layernorm.weight", "ffn_norm.weight"}};
static const name_pair LAYER_FOUR_NORMS[] = {
    {"post_attention_layernorm.weight", "post_attention_norm.weight"},
    {"pre_feedforward_layernorm.weight", "ffn_norm.weight"},
    {"post_feedforward_layernorm.weight", "post_ffw_norm.weight"},
};

#define FIND(name, table) find_pair(name, table, sizeof(table) / sizeof *(table))

static const char *find_pair(const char *name, const name_pair *table, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(name, table[i].hf)) return table[i].gguf;
    return NULL;
}

static const char *find_layer_name(const hf_config *config, const char *name)
{
    const hf_architecture *arch = config->architecture;
    const char *found = FIND(name, LAYER);
    bool qk_norm = arch->gemma || !strcmp(arch->name, "qwen3");
    if (!found) found = arch->gemma ? FIND(name, LAYER_FOUR_NORMS) : FIND(name, LAYER_TWO_NORMS);
    if (!found && (arch->qkv_bias || config->attention_bias)) found = FIND(name, LAYER_QKV_BIAS);
    if (!found && config->attention_bias) found = FIND(name, LAYER_OUTPUT_BIAS);
    if (!found && config->mlp_bias) found = FIND(name, LAYER_MLP_BIAS);
    if (!found && qk_norm) found = FIND(name, LAYER_QK_NORM);
    return found;
}

static wf_status need_tensors(const char *path, const checkpoint *file, int64_t layer, const name_pair *table, size_t n,
                              wf_error *err)
{
    char name[64];
    for (size_t i = 0; i < n; i++) {
        snprintf(name, sizeof name, "blk.%lld.%s", (long long)layer, table[i].gguf);
        if (!checkpoint_find_tensor(file, name))
            return error_set(err, WF_ERROR_FORMAT, "%s: tensor 'model.layers.%lld.%s' is missing", path,
                             (long long)layer, table[i].hf);
    }
    return WF_OK;
}

wf_status hf_check_biases(const char *path, const hf_config *config, const checkpoint *file, wf_error *err)
{
    for (int64_t i = 0; i < config->n_layer; i++) {
        if (config->attention_bias) TRY(need_tensors(path, file, i, LAYER_QKV_BIAS, 3, err));
        if (config->attention_bias) TRY(need_tensors(path, file, i, LAYER_OUTPUT_BIAS, 1, err));
        if (config->mlp_bias) TRY(need_tensors(path, file, i, LAYER_MLP_BIAS, 3, err));
    }
    return WF_OK;
}

wf_status hf_map_name(const char *path, const hf_config *config, const char *name, char gguf[64], wf_error *err)
{
    static const char prefix[] = "model.layers.";
    const char *found = FIND(name, OUTER);
    gguf[0] = 0;
    if (found) {
        bool is_needed = !config->tied_head || strcmp(name, "lm_head.weight");
        if (is_needed) snprintf(gguf, 64, "%s", found);
        return WF_OK;
    }
    char *rest = NULL;
    const char *digits = strncmp(name, prefix, sizeof prefix - 1) ? NULL : name + sizeof prefix - 1;
    long layer = digits && isdigit((unsigned char)*digits) ? strtol(digits, &rest, 10) : -1;
    bool is_layer = layer >= 0 && *rest == '.' && (digits[0] != '0' || rest == digits + 1);
    found = is_layer ? find_layer_name(config, rest + 1) : NULL;
    if (!found) return error_set(err, WF_ERROR_UNSUPPORTED, "%s: tensor '%.80s' is not known", path, name);
    if (layer >= config->n_layer)
        return error_set(err, WF_ERROR_FORMAT, "%s: tensor '%.80s', but the model has %lld layers", path, name,
                         (long long)config->n_layer);
    if (*found) snprintf(gguf, 64, "blk.%ld.%s", layer, found);
    return WF_OK;
}
