// config.json.
//
// Each architecture is a row of ARCHITECTURES. Fields that are neither read nor known to mean nothing are refused by
// name (hf_field.c); rotary embeddings are in hf_rope.c.
//
// Defaults are those of the configuration classes in Hugging Face transformers.
#include <math.h>
#include <string.h>

#include "format/hf.h"
#include "format/hf_reader.h"
#include "format/hf_value.h"

static const hf_architecture ARCHITECTURES[] = {
    {"LlamaForCausalLM", "llama", "llama", .n_ctx = 2048, .attention_option = true, .mlp_option = true},
    {"LLaMAForCausalLM", "llama", "llama", .n_ctx = 2048, .attention_option = true,
     .mlp_option = true}, // its first name
    {"MistralForCausalLM", "llama", "mistral", .n_ctx = 131072, .n_kv_heads = 8, .sliding_default = true},
    {"Qwen2ForCausalLM", "qwen2", "qwen2", .n_ctx = 32768, .n_kv_heads = 32, .qkv_bias = true, .sliding_option = true},
    {"Qwen3ForCausalLM", "qwen3", "qwen3", .n_ctx = 32768, .n_kv_heads = 32, .head_dim = 128, .attention_option = true,
     .sliding_option = true},
    {"Gemma3ForCausalLM", "gemma3", "gemma3_text", .n_ctx = 131072, .n_kv_heads = 4, .head_dim = 256, .gemma = true,
     .attention_option = true, .sliding_default = true},
};

enum { MAX_FEATURES = 1 << 24, MAX_LAYERS = 1000 };

static wf_status find_architecture(const json_fields *f, const hf_architecture **found)
{
    json_t *names = NULL;
    view model_type = VIEW_LITERAL("");
    TRY(json_field_array(f, "architectures", &names));
    const char *name = json_name_of(json_array_get(names, 0));
    bool by_type = !names; // what transformers goes by
    if (by_type) TRY(json_field_string(f, "model_type", &model_type));
    if (by_type) name = model_type.data;
    if (!*model_type.data && (!name || json_array_size(names) != 1))
        return error_set(f->err, WF_ERROR_FORMAT, "%s: field 'architectures' does not name one architecture", f->path);
    for (size_t i = 0; i < sizeof ARCHITECTURES / sizeof *ARCHITECTURES; i++)
        if (!strcmp(name, by_type ? ARCHITECTURES[i].model_type : ARCHITECTURES[i].class_name)) {
            *found = &ARCHITECTURES[i];
            return WF_OK;
        }
    return error_set(f->err, WF_ERROR_UNSUPPORTED, "%s: architecture '%.80s' is not supported", f->path, name);
}

// ---- fields

// A required integer.
static wf_status need_int(const hf_reader *r, const char *name, int64_t max, int64_t *value)
{
    *value = 0;
    TRY(json_field_int(&r->f, name, 1, max, value));
    if (*value) return WF_OK;
    return error_set(r->f.err, WF_ERROR_FORMAT, "%s: field '%s' is missing", r->f.path, name);
}

static wf_status copy_int(const hf_reader *r, const char *name, int64_t max, const char *suffix)
{
    int64_t value;
    TRY(need_int(r, name, max, &value));
    return hf_reader_add_int(r, suffix, value);
}

static wf_status need_off(const hf_reader *r, const char *name)
{
    const json_t *value = json_field(&r->f, name);
    return value && !hf_is_off(name, value) ? json_refuse(&r->f, name, value) : WF_OK;
}

// ---- sliding windows

static wf_status read_layer_types(const hf_reader *r, json_t *types, unsigned char *sliding)
{
    if (json_array_size(types) != (size_t)r->n_layer)
        return error_set(r->f.err, WF_ERROR_FORMAT, "%s: field 'layer_types' has %zu items for %lld layers", r->f.path,
                         json_array_size(types), (long long)r->n_layer);
    for (int64_t i = 0; i < r->n_layer; i++) {
        const json_t *item = json_array_get(types, (size_t)i);
        const char *name = json_name_of(item);
        sliding[i] = (unsigned char)(name && !strcmp(name, "sliding_attention"));
        if (!sliding[i] && (!name || strcmp(name, "full_attention"))) return json_refuse(&r->f, "layer_types", item);
    }
    return WF_OK;
}

// Which layers slide, where the file does not list them.
static wf_status derive_layer_types(const hf_reader *r, unsigned char *sliding)
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

static wf_status read_sliding_window(const hf_reader *r)
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
    TRY(hf_reader_add_int(r, "attention.sliding_window", window));
    return hf_add_array(r->file, hf_reader_key(key, r, "attention.sliding_window_pattern"), METADATA_BOOL, sliding,
                        (size_t)r->n_layer, r->f.err);
}

// ---- the rest

static wf_status check_activation(const hf_reader *r)
{
    const char *wanted = r->arch->gemma ? "gelu_pytorch_tanh" : "silu";
    const char *name = r->arch->gemma && json_field(&r->f, "hidden_activation") ? "hidden_activation" : "hidden_act";
    view activation = view_of(wanted);
    TRY(json_field_string(&r->f, name, &activation));
    return view_is(activation, wanted) ? WF_OK : json_refuse(&r->f, name, json_field(&r->f, name));
}

static wf_status read_attention(hf_reader *r)
{
    int64_t n_embd, n_kv_heads;
    TRY(need_int(r, "hidden_size", MAX_FEATURES, &n_embd));
    TRY(need_int(r, "num_attention_heads", MAX_FEATURES, &r->n_heads));
    bool has_default = r->arch->n_kv_heads && !json_object_get(r->f.object, "num_key_value_heads"); // null has none
    n_kv_heads = has_default ? r->arch->n_kv_heads : r->n_heads;
    TRY(json_field_int(&r->f, "num_key_value_heads", 1, MAX_FEATURES, &n_kv_heads));
    r->head_dim = r->arch->head_dim ? r->arch->head_dim : n_embd / r->n_heads;
    TRY(json_field_int(&r->f, "head_dim", 1, MAX_FEATURES, &r->head_dim));
    TRY(hf_reader_add_int(r, "embedding_length", n_embd));
    TRY(hf_reader_add_int(r, "attention.head_count", r->n_heads));
    TRY(hf_reader_add_int(r, "attention.head_count_kv", n_kv_heads));
    TRY(hf_reader_add_int(r, "attention.key_length", r->head_dim));
    TRY(hf_reader_add_int(r, "attention.value_length", r->head_dim));
    TRY(hf_reader_add_int(r, "rope.dimension_count", r->head_dim));
    if (!r->arch->gemma) return WF_OK;
    double scalar = 256;
    TRY(json_field_float(&r->f, "query_pre_attn_scalar", &scalar));
    if (!(scalar > 0)) return json_refuse(&r->f, "query_pre_attn_scalar", json_field(&r->f, "query_pre_attn_scalar"));
    TRY(hf_reader_copy_float(r, &r->f, "attn_logit_softcapping", "attn_logit_softcapping"));
    TRY(hf_reader_copy_float(r, &r->f, "final_logit_softcapping", "final_logit_softcapping"));
    return scalar == (double)r->head_dim ? WF_OK : hf_reader_add_float(r, "attention.scale", 1 / sqrt(scalar));
}

// Fields of other architectures' classes, which this one's does not read: to be sure, they have to be off.
static wf_status refuse_foreign_fields(const hf_reader *r)
{
    if (!r->arch->attention_option) // NOLINT(*NullDereference): find_architecture has set it
        TRY(need_off(r, "attention_bias"));
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
    hf_reader r = {.f = {path, root, err}, .file = file};
    *config = (hf_config){0};
    TRY(find_architecture(&r.f, &r.arch));
    TRY(hf_refuse_fields(&r.f));
    TRY(refuse_foreign_fields(&r));
    TRY(check_activation(&r));
    TRY(hf_add_string(file, "general.architecture", view_of(r.arch->name), err));
    TRY(need_int(&r, "num_hidden_layers", MAX_LAYERS, &r.n_layer));
    r.n_ctx = r.arch->n_ctx;
    TRY(json_field_int(&r.f, "max_position_embeddings", 1, HF_MAX_TOKENS, &r.n_ctx));
    TRY(hf_reader_add_int(&r, "block_count", r.n_layer));
    TRY(hf_reader_add_int(&r, "context_length", r.n_ctx));
    TRY(copy_int(&r, "intermediate_size", MAX_FEATURES, "feed_forward_length"));
    TRY(read_attention(&r));
    double eps = 1e-6;
    TRY(json_field_float(&r.f, "rms_norm_eps", &eps));
    TRY(hf_reader_add_float(&r, "attention.layer_norm_rms_epsilon", eps));
    TRY(hf_read_rope(&r));
    TRY(read_sliding_window(&r));
    if (r.arch->gemma) TRY(hf_reader_add_bool(&r, "norm_plus_one", true));
    config->architecture = r.arch;
    config->n_layer = r.n_layer;
    config->tied_head = r.arch->gemma;
    TRY(json_field_bool(&r.f, "tie_word_embeddings", &config->tied_head));
    TRY(json_field_bool(&r.f, "attention_bias", &config->attention_bias));
    TRY(json_field_bool(&r.f, "mlp_bias", &config->mlp_bias));
    return json_field_int(&r.f, "vocab_size", 1, MAX_FEATURES, &config->n_vocab);
}
