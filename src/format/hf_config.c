// config.json.
//
// Each architecture is a row of ARCHITECTURES. A field of config.json is read, or is in the list of those that do not
// change what the model computes, or is off (null, false); any other field is refused by its name, for it may be the
// one that makes this model different from its family.
//
// Defaults are those of the configuration classes in Hugging Face transformers.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "format/hf.h"
#include "format/hf_value.h"

static const hf_architecture ARCHITECTURES[] = {
    {"LlamaForCausalLM", "llama", .attention_option = true, .mlp_option = true},
    {"MistralForCausalLM", "llama", .sliding_default = true},
    {"Qwen2ForCausalLM", "qwen2", .qkv_bias = true, .sliding_option = true},
    {"Qwen3ForCausalLM", "qwen3", .attention_option = true, .sliding_option = true, .head_dim = 128},
    {"Gemma3ForCausalLM", "gemma3", .gemma = true, .attention_option = true, .sliding_default = true, .head_dim = 256},
};

enum { MAX_FEATURES = 1 << 24, MAX_LAYERS = 1000, MAX_TOKENS = 1 << 24 };

static const char *const READ_FIELDS[] = {
    "architectures",
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "hidden_act",
    "hidden_activation",
    "max_position_embeddings",
    "rms_norm_eps",
    "rope_theta",
    "rope_scaling",
    "rope_parameters",
    "rope_local_base_freq",
    "sliding_window",
    "use_sliding_window",
    "max_window_layers",
    "layer_types",
    "sliding_window_pattern",
    "_sliding_window_pattern",
    "tie_word_embeddings",
    "attention_bias",
    "mlp_bias",
    "query_pre_attn_scalar",
    "attn_logit_softcapping",
    "final_logit_softcapping",
    "partial_rotary_factor",
    "eos_token_id",
    "bos_token_id",
};

// They concern training, Python's classes, or files that are not read.
static const char *const HARMLESS_FIELDS[] = {
    "model_type",
    "torch_dtype",
    "dtype",
    "transformers_version",
    "_name_or_path",
    "use_cache",
    "initializer_range",
    "attention_dropout",
    "hidden_dropout",
    "pad_token_id",
    "unk_token_id",
    "pretraining_tp",
    "cache_implementation",
    "is_llama_config",
    "transformers.js_config",
    "unsloth_fixed",
    "unsloth_version",
    "_attn_implementation",
    "attn_implementation",
    "_attn_implementation_autoset",
    "output_attentions",
    "output_hidden_states",
    "return_dict",
    "id2label",
    "label2id",
    "num_labels",
    "tokenizer_class",
    "task_specific_params",
    "chunk_size_feed_forward",
};

typedef struct config_reader {
    json_fields f;
    checkpoint *file;
    const hf_architecture *arch;
    int64_t n_layer, n_heads, head_dim, n_ctx;
} config_reader;

static bool is_listed(const char *name, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(name, list[i])) return true;
    return false;
}

static wf_status refuse_unknown_fields(const config_reader *r, json_t *root)
{
    const char *key;
    json_t *value;
    json_object_foreach(root, key, value)
    {
        if (json_is_null(value) || json_is_false(value)) continue;
        if (is_listed(key, READ_FIELDS, sizeof READ_FIELDS / sizeof *READ_FIELDS)) continue;
        if (is_listed(key, HARMLESS_FIELDS, sizeof HARMLESS_FIELDS / sizeof *HARMLESS_FIELDS)) continue;
        return json_refuse(&r->f, key, value);
    }
    return WF_OK;
}

static wf_status find_architecture(const json_fields *f, const hf_architecture **found)
{
    json_t *names = NULL;
    TRY(json_field_array(f, "architectures", &names));
    const char *name = json_string_value(json_array_get(names, 0));
    if (!name || json_array_size(names) != 1)
        return error_set(f->err, WF_ERROR_FORMAT, "%s: field 'architectures' does not name one architecture", f->path);
    for (size_t i = 0; i < sizeof ARCHITECTURES / sizeof *ARCHITECTURES; i++)
        if (!strcmp(name, ARCHITECTURES[i].class_name)) {
            *found = &ARCHITECTURES[i];
            return WF_OK;
        }
    return error_set(f->err, WF_ERROR_UNSUPPORTED, "%s: architecture '%.80s' is not supported", f->path, name);
}

// ---- values: ARCH.suffix

static const char *key_of(char key[96], const config_reader *r, const char *suffix)
{
    snprintf(key, 96, "%s.%s", r->arch->name, suffix);
    return key;
}

static wf_status add_int(const config_reader *r, const char *suffix, int64_t value)
{
    char key[96];
    return hf_add_int(r->file, key_of(key, r, suffix), value, r->f.err);
}

static wf_status add_float(const config_reader *r, const char *suffix, double value)
{
    char key[96];
    return hf_add_float(r->file, key_of(key, r, suffix), value, r->f.err);
}

static wf_status add_bool(const config_reader *r, const char *suffix, bool value)
{
    char key[96];
    return hf_add_bool(r->file, key_of(key, r, suffix), value, r->f.err);
}

// A required integer.
static wf_status need_int(const config_reader *r, const char *name, int64_t max, int64_t *value)
{
    *value = 0;
    TRY(json_field_int(&r->f, name, 1, max, value));
    if (*value) return WF_OK;
    return error_set(r->f.err, WF_ERROR_FORMAT, "%s: field '%s' is missing", r->f.path, name);
}

static wf_status copy_int(const config_reader *r, const char *name, int64_t max, const char *suffix)
{
    int64_t value;
    TRY(need_int(r, name, max, &value));
    return add_int(r, suffix, value);
}

// A field whose presence adds a number.
static wf_status copy_float(const config_reader *r, const json_fields *f, const char *name, const char *suffix)
{
    double value = 0;
    if (!json_field(f, name)) return WF_OK;
    TRY(json_field_float(f, name, &value));
    return add_float(r, suffix, value);
}

// A field that must have this value, or be absent.
static wf_status need_off(const config_reader *r, const char *name)
{
    const json_t *value = json_field(&r->f, name);
    return value && !json_is_false(value) ? json_refuse(&r->f, name, value) : WF_OK;
}

// ---- rope

// A scaling object: fields that were read must be all there are.
static wf_status check_scaling_fields(const json_fields *f, const char *const *names, size_t n)
{
    static const char *const common[] = {"type", "rope_type", "rope_theta", "partial_rotary_factor"};
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)f->object, key, value)
    {
        if (json_is_null(value) || is_listed(key, common, sizeof common / sizeof *common) || is_listed(key, names, n))
            continue;
        return json_refuse(f, key, value);
    }
    return WF_OK;
}

static wf_status copy_scaling(const config_reader *r, const json_fields *f, view type)
{
    static const char *const linear[] = {"factor"};
    static const char *const llama3[] = {"factor", "low_freq_factor", "high_freq_factor",
                                         "original_max_position_embeddings"};
    static const char *const yarn[] = {"factor", "attention_factor", "beta_fast", "beta_slow",
                                       "original_max_position_embeddings"};
    bool is_linear = view_is(type, "linear"), is_llama3 = view_is(type, "llama3"), is_yarn = view_is(type, "yarn");
    if (!is_linear && !is_llama3 && !is_yarn)
        return error_set(r->f.err, WF_ERROR_UNSUPPORTED, "%s: rope scaling '%.*s' is not supported", r->f.path,
                         VIEW_ARG(type));
    if (is_linear) TRY(check_scaling_fields(f, linear, 1));
    if (is_llama3) TRY(check_scaling_fields(f, llama3, 4));
    if (is_yarn) TRY(check_scaling_fields(f, yarn, 5));
    char key[96];
    TRY(hf_add_string(r->file, key_of(key, r, "rope.scaling.type"), type, r->f.err));
    if (!json_field(f, "factor"))
        return error_set(r->f.err, WF_ERROR_FORMAT, "%s: rope scaling has no factor", r->f.path);
    TRY(copy_float(r, f, "factor", "rope.scaling.factor"));
    if (is_linear) return WF_OK;
    int64_t original = r->n_ctx;
    TRY(json_field_int(f, "original_max_position_embeddings", 1, MAX_TOKENS, &original));
    TRY(add_int(r, "rope.scaling.original_context_length", original));
    TRY(copy_float(r, f, "low_freq_factor", "rope.scaling.low_freq_factor"));
    TRY(copy_float(r, f, "high_freq_factor", "rope.scaling.high_freq_factor"));
    TRY(copy_float(r, f, "attention_factor", "rope.scaling.attention_factor"));
    TRY(copy_float(r, f, "beta_fast", "rope.scaling.yarn_beta_fast"));
    return copy_float(r, f, "beta_slow", "rope.scaling.yarn_beta_slow");
}

// rope_theta and scaling of one object: rope_scaling of version 4 files, rope_parameters of version 5 files.
static wf_status read_rope_object(const config_reader *r, json_t *object, const char *base_suffix, double base)
{
    json_fields f = {r->f.path, object, r->f.err};
    view type = VIEW_LITERAL("default");
    double partial = 1;
    TRY(json_field_string(&f, "type", &type)); // its old name
    TRY(json_field_string(&f, "rope_type", &type));
    TRY(json_field_float(&f, "rope_theta", &base));
    TRY(json_field_float(&f, "partial_rotary_factor", &partial));
    if (partial != 1) return json_refuse(&f, "partial_rotary_factor", json_field(&f, "partial_rotary_factor"));
    TRY(add_float(r, base_suffix, base));
    if (view_is(type, "default")) return check_scaling_fields(&f, NULL, 0);
    if (strcmp(base_suffix, "rope.freq_base"))
        return error_set(r->f.err, WF_ERROR_UNSUPPORTED, "%s: rope scaling of sliding layers is not supported",
                         r->f.path);
    return copy_scaling(r, &f, type);
}

static wf_status read_rope(const config_reader *r)
{
    json_t *scaling = NULL, *parameters = NULL, *full = NULL, *sliding = NULL;
    double base = r->arch->gemma ? 1e6 : 1e4, local = 1e4, partial = 1;
    TRY(json_field_object(&r->f, "rope_scaling", &scaling));
    TRY(json_field_object(&r->f, "rope_parameters", &parameters));
    TRY(json_field_float(&r->f, "rope_theta", &base));
    TRY(json_field_float(&r->f, "rope_local_base_freq", &local));
    TRY(json_field_float(&r->f, "partial_rotary_factor", &partial));
    if (partial != 1) return json_refuse(&r->f, "partial_rotary_factor", json_field(&r->f, "partial_rotary_factor"));
    if (scaling && parameters)
        return error_set(r->f.err, WF_ERROR_UNSUPPORTED, "%s: both rope_scaling and rope_parameters", r->f.path);
    json_fields f = {r->f.path, parameters, r->f.err};
    TRY(json_field_object(&f, "full_attention", &full));
    TRY(json_field_object(&f, "sliding_attention", &sliding));
    if (full && !r->arch->gemma) return json_refuse(&r->f, "rope_parameters", parameters);
    TRY(read_rope_object(r, full ? full : parameters ? parameters : scaling, "rope.freq_base", base));
    if (r->arch->gemma) TRY(read_rope_object(r, sliding, "rope.freq_base_swa", local));
    return add_bool(r, "rope.interleaved", false);
}

// ---- sliding windows

static wf_status read_layer_types(const config_reader *r, json_t *types, unsigned char *sliding)
{
    if (json_array_size(types) != (size_t)r->n_layer)
        return error_set(r->f.err, WF_ERROR_FORMAT, "%s: field 'layer_types' has %zu items for %lld layers", r->f.path,
                         json_array_size(types), (long long)r->n_layer);
    for (int64_t i = 0; i < r->n_layer; i++) {
        const json_t *item = json_array_get(types, (size_t)i);
        const char *name = json_string_value(item);
        sliding[i] = (unsigned char)(name && !strcmp(name, "sliding_attention"));
        if (!sliding[i] && (!name || strcmp(name, "full_attention"))) return json_refuse(&r->f, "layer_types", item);
    }
    return WF_OK;
}

// Which layers slide, where the file does not list them.
static wf_status derive_layer_types(const config_reader *r, unsigned char *sliding)
{
    int64_t pattern = 6, first = r->n_layer;
    if (r->arch->gemma) {
        TRY(json_field_int(&r->f, "sliding_window_pattern", 1, MAX_LAYERS, &pattern));
        TRY(json_field_int(&r->f, "_sliding_window_pattern", 1, MAX_LAYERS, &pattern));
    } else if (r->arch->sliding_option) {
        first = 28; // the default of max_window_layers
        TRY(json_field_int(&r->f, "max_window_layers", 0, INT32_MAX, &first));
    } else {
        first = 0;
    }
    for (int64_t i = 0; i < r->n_layer; i++)
        sliding[i] = (unsigned char)(r->arch->gemma ? (i + 1) % pattern != 0 : i >= first);
    return WF_OK;
}

static wf_status read_sliding_window(const config_reader *r)
{
    bool used = !r->arch->sliding_option, any = false;
    const json_t *stated = json_object_get(r->f.object, "sliding_window");
    int64_t window = r->arch->sliding_default && !stated ? 4096 : 0;
    json_t *types = NULL;
    unsigned char *sliding = arena_alloc(checkpoint_memory(r->file), (size_t)r->n_layer, 1);
    if (!sliding) return error_memory(r->f.err, (size_t)r->n_layer);
    TRY(json_field_bool(&r->f, "use_sliding_window", &used));
    TRY(json_field_int(&r->f, "sliding_window", 1, INT32_MAX, &window));
    TRY(json_field_array(&r->f, "layer_types", &types));
    if (types)
        TRY(read_layer_types(r, types, sliding));
    else if (used && window)
        TRY(derive_layer_types(r, sliding));
    for (int64_t i = 0; i < r->n_layer; i++) any = any || sliding[i];
    if (any && (!used || !window))
        return error_set(r->f.err, WF_ERROR_FORMAT, "%s: layers slide, but there is no sliding_window", r->f.path);
    if (!any || window >= r->n_ctx) return WF_OK; // a window of the whole context is none
    char key[96];
    TRY(add_int(r, "attention.sliding_window", window));
    return hf_add_array(r->file, key_of(key, r, "attention.sliding_window_pattern"), METADATA_BOOL, sliding,
                        (size_t)r->n_layer, r->f.err);
}

// ---- the rest

static wf_status check_activation(const config_reader *r)
{
    const char *wanted = r->arch->gemma ? "gelu_pytorch_tanh" : "silu";
    const char *name = r->arch->gemma && json_field(&r->f, "hidden_activation") ? "hidden_activation" : "hidden_act";
    view activation = view_of(wanted);
    TRY(json_field_string(&r->f, name, &activation));
    return view_is(activation, wanted) ? WF_OK : json_refuse(&r->f, name, json_field(&r->f, name));
}

static wf_status read_attention(config_reader *r)
{
    int64_t n_embd, n_kv_heads;
    TRY(need_int(r, "hidden_size", MAX_FEATURES, &n_embd));
    TRY(need_int(r, "num_attention_heads", MAX_FEATURES, &r->n_heads));
    n_kv_heads = r->arch->gemma && !json_field(&r->f, "num_key_value_heads") ? 4 : r->n_heads;
    TRY(json_field_int(&r->f, "num_key_value_heads", 1, MAX_FEATURES, &n_kv_heads));
    r->head_dim = r->arch->head_dim ? r->arch->head_dim : n_embd / r->n_heads;
    TRY(json_field_int(&r->f, "head_dim", 1, MAX_FEATURES, &r->head_dim));
    TRY(add_int(r, "embedding_length", n_embd));
    TRY(add_int(r, "attention.head_count", r->n_heads));
    TRY(add_int(r, "attention.head_count_kv", n_kv_heads));
    TRY(add_int(r, "attention.key_length", r->head_dim));
    TRY(add_int(r, "attention.value_length", r->head_dim));
    TRY(add_int(r, "rope.dimension_count", r->head_dim));
    if (!r->arch->gemma) return WF_OK;
    double scalar = 256;
    TRY(json_field_float(&r->f, "query_pre_attn_scalar", &scalar));
    if (!(scalar > 0)) return json_refuse(&r->f, "query_pre_attn_scalar", json_field(&r->f, "query_pre_attn_scalar"));
    TRY(copy_float(r, &r->f, "attn_logit_softcapping", "attn_logit_softcapping"));
    TRY(copy_float(r, &r->f, "final_logit_softcapping", "final_logit_softcapping"));
    return scalar == (double)r->head_dim ? WF_OK : add_float(r, "attention.scale", 1 / sqrt(scalar));
}

// Fields of other architectures' classes, which this one's does not read: to be sure, they have to be off.
static wf_status refuse_foreign_fields(const config_reader *r)
{
    if (!r->arch->attention_option) TRY(need_off(r, "attention_bias"));
    if (!r->arch->mlp_option) TRY(need_off(r, "mlp_bias"));
    if (r->arch->gemma) return WF_OK;
    TRY(need_off(r, "query_pre_attn_scalar"));
    TRY(need_off(r, "attn_logit_softcapping"));
    TRY(need_off(r, "final_logit_softcapping"));
    TRY(need_off(r, "rope_local_base_freq"));
    return r->arch->sliding_default || r->arch->sliding_option ? WF_OK : need_off(r, "sliding_window");
}

wf_status hf_read_config(const char *path, const json_t *root, checkpoint *file, hf_config *config, wf_error *err)
{
    config_reader r = {.f = {path, root, err}, .file = file};
    *config = (hf_config){0};
    TRY(find_architecture(&r.f, &r.arch));
    TRY(refuse_unknown_fields(&r, (json_t *)(uintptr_t)root));
    TRY(refuse_foreign_fields(&r));
    TRY(check_activation(&r));
    TRY(hf_add_string(file, "general.architecture", view_of(r.arch->name), err));
    TRY(need_int(&r, "num_hidden_layers", MAX_LAYERS, &r.n_layer));
    TRY(need_int(&r, "max_position_embeddings", MAX_TOKENS, &r.n_ctx));
    TRY(add_int(&r, "block_count", r.n_layer));
    TRY(add_int(&r, "context_length", r.n_ctx));
    TRY(copy_int(&r, "intermediate_size", MAX_FEATURES, "feed_forward_length"));
    TRY(read_attention(&r));
    double eps = 1e-6;
    TRY(json_field_float(&r.f, "rms_norm_eps", &eps));
    TRY(add_float(&r, "attention.layer_norm_rms_epsilon", eps));
    TRY(read_rope(&r));
    TRY(read_sliding_window(&r));
    if (r.arch->gemma) TRY(add_bool(&r, "norm_plus_one", true));
    config->architecture = r.arch;
    config->n_layer = r.n_layer;
    config->tied_head = r.arch->gemma;
    TRY(json_field_bool(&r.f, "tie_word_embeddings", &config->tied_head));
    TRY(json_field_bool(&r.f, "attention_bias", &config->attention_bias));
    TRY(json_field_bool(&r.f, "mlp_bias", &config->mlp_bias));
    return json_field_int(&r.f, "vocab_size", 1, MAX_FEATURES, &config->n_vocab);
}
