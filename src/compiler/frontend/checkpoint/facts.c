#include "compiler/frontend/checkpoint/facts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "compiler/frontend/checkpoint/rope_frequencies.h"

typedef struct facts_reader {
    const checkpoint *file;
    const char *prefix;
    arena *memory;
    wf_error *err;
} facts_reader;

static const char *key_of(char key[128], const facts_reader *r, const char *suffix)
{
    snprintf(key, 128, "%s.%s", r->prefix, suffix);
    return key;
}

// Sizes may be an array with one number a layer, as llama.cpp reads them: here all must be the same. *same: it is so.
static wf_status get_layers_int(const facts_reader *r, const char *key, int64_t min, int64_t max, int64_t *value,
                                bool *same)
{
    const metadata_value *found = checkpoint_find(r->file, key);
    *same = found && found->type == METADATA_ARRAY && found->count && found->data &&
            (metadata_is_signed(found->item_type) || metadata_is_unsigned(found->item_type));
    if (!*same) return WF_OK;
    int64_t number = metadata_item_int(found, 0);
    for (uint64_t i = 1; i < found->count; i++)
        if (metadata_item_int(found, i) != number)
            return error_set(r->err, WF_ERROR_UNSUPPORTED, "%s: key '%s': layers that differ are not supported",
                             checkpoint_path(r->file), key);
    if (number < min || number > max)
        return error_set(r->err, WF_ERROR_FORMAT, "%s: key '%s': %lld is not in %lld..%lld", checkpoint_path(r->file),
                         key, (long long)number, (long long)min, (long long)max);
    *value = number;
    return WF_OK;
}

static wf_status get_int_or(const facts_reader *r, const char *suffix, int64_t min, int64_t max, int64_t *value)
{
    char key[128];
    bool same;
    TRY(get_layers_int(r, key_of(key, r, suffix), min, max, value, &same));
    return same ? WF_OK : checkpoint_get_int_or(r->file, key, min, max, value, r->err);
}

static wf_status get_int(const facts_reader *r, const char *suffix, int64_t min, int64_t max, int64_t *value)
{
    char key[128];
    if (checkpoint_find(r->file, key_of(key, r, suffix))) return get_int_or(r, suffix, min, max, value);
    return checkpoint_get_int(r->file, key, min, max, value, r->err); // says that it is missing
}

static wf_status get_float_or(const facts_reader *r, const char *suffix, double *value)
{
    char key[128];
    return checkpoint_get_float_or(r->file, key_of(key, r, suffix), value, r->err);
}

static wf_status get_bool_or(const facts_reader *r, const char *suffix, bool *value)
{
    char key[128];
    return checkpoint_get_bool_or(r->file, key_of(key, r, suffix), value, r->err);
}

static wf_status refuse(const facts_reader *r, const char *what)
{
    return error_set(r->err, WF_ERROR_UNSUPPORTED, "%s: %s", checkpoint_path(r->file), what);
}

// A number that has to be positive (or may be 0 as well).
static wf_status get_positive_or(const facts_reader *r, const char *suffix, bool or_zero, double *value)
{
    char key[128];
    TRY(get_float_or(r, suffix, value));
    if (*value > 0 || (or_zero && *value == 0)) return WF_OK;
    return error_set(r->err, WF_ERROR_FORMAT, "%s: key %s = %g is not positive", checkpoint_path(r->file),
                     key_of(key, r, suffix), *value);
}

// Keys whose presence changes what the model computes in ways that no graph here knows.
static wf_status refuse_unknown_fields(const facts_reader *r)
{
    static const char *const fields[] = {
        "expert_count",
        "logit_scale",
        "residual_scale",
        "attention.clamp_kqv",
        "attention.max_alibi_bias",
        "attention.temperature_scale",
        "attention.output_scale",
        "attention.value_scale",
        "attention.relative_buckets_count",
        "rope.scaling.yarn_log_multiplier",
    };
    char key[128];
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        double value = 0;
        TRY(checkpoint_get_number_or(r->file, key_of(key, r, fields[i]), &value, r->err));
        if (value != 0)
            return error_set(r->err, WF_ERROR_UNSUPPORTED, "%s: key %s = %g is not supported for this architecture%s",
                             checkpoint_path(r->file), key, value,
                             i == 0 ? ": mixtures of experts are not supported" : "");
    }
    bool causal = true;
    TRY(get_bool_or(r, "attention.causal", &causal));
    return causal ? WF_OK : refuse(r, "attention that is not causal is not supported");
}

// ---- rotation

static wf_status read_yarn(const facts_reader *r, rope_scaling *s)
{
    double extrapolation = 1;
    s->beta_fast = 32;
    s->beta_slow = 1;
    s->truncate = true;
    TRY(get_positive_or(r, "rope.scaling.yarn_beta_fast", false, &s->beta_fast));
    TRY(get_positive_or(r, "rope.scaling.yarn_beta_slow", false, &s->beta_slow));
    TRY(get_bool_or(r, "rope.scaling.truncate", &s->truncate));
    TRY(get_float_or(r, "rope.scaling.yarn_ext_factor", &extrapolation));
    if (extrapolation >= 0 && extrapolation != 1) return refuse(r, "rope.scaling.yarn_ext_factor is not supported");
    return s->base > 1 ? WF_OK : refuse(r, "rope.freq_base must be greater than 1 for yarn");
}

static wf_status read_llama3(const facts_reader *r, rope_scaling *s)
{
    s->low = 1;
    s->high = 4;
    TRY(get_positive_or(r, "rope.scaling.low_freq_factor", false, &s->low));
    TRY(get_positive_or(r, "rope.scaling.high_freq_factor", false, &s->high));
    return s->low < s->high ? WF_OK : refuse(r, "rope.scaling.low_freq_factor is not less than high_freq_factor");
}

// rope.scaling.*: a factor without a type is linear.
static wf_status read_scaling(const facts_reader *r, const model_facts *m, rope_scaling *s)
{
    static const struct {
        const char *name;
        rope_scaling_kind kind;
    } kinds[] = {{"none", ROPE_PLAIN}, {"linear", ROPE_LINEAR}, {"llama3", ROPE_LLAMA3}, {"yarn", ROPE_YARN}};
    char key[128];
    view type = VIEW_LITERAL("linear");
    TRY(checkpoint_get_string_or(r->file, key_of(key, r, "rope.scaling.type"), &type, r->err));
    size_t i = 0, n = sizeof kinds / sizeof *kinds;
    while (i < n && !view_is(type, kinds[i].name)) i++;
    if (i == n)
        return error_set(r->err, WF_ERROR_UNSUPPORTED, "%s: rope scaling \"%.*s\" is not supported",
                         checkpoint_path(r->file), VIEW_ARG(type));
    double factor = 0; // 0 stands for none
    TRY(get_positive_or(r, "rope.scale_linear", true, &factor));
    TRY(get_positive_or(r, "rope.scaling.factor", true, &factor));
    s->kind = factor == 0 ? ROPE_PLAIN : kinds[i].kind;
    s->factor = s->kind == ROPE_PLAIN ? 1 : factor;
    int64_t context = m->n_ctx_train;
    TRY(get_int_or(r, "rope.scaling.original_context_length", 1, 1 << 24, &context));
    s->context = (double)context;
    if (s->kind == ROPE_YARN) TRY(read_yarn(r, s));
    return s->kind == ROPE_LLAMA3 ? read_llama3(r, s) : WF_OK;
}

static wf_status add_rope(const facts_reader *r, model_facts *m, const rope_scaling *s)
{
    double *inv_freq = arena_alloc(r->memory, (size_t)m->n_rot / 2, sizeof *inv_freq);
    if (!inv_freq) return error_memory(r->err, (size_t)m->n_rot * 4);
    double magnitude = rope_frequencies(s, m->n_rot, inv_freq);
    m->ropes[m->n_ropes++] = (program_rope){.n_dims = m->n_rot, .inv_freq = inv_freq, .magnitude = magnitude};
    for (int64_t i = 0; i < m->n_rot / 2; i++)
        if (!isfinite(inv_freq[i])) return refuse(r, "rope.freq_base gives frequencies that are not finite");
    return WF_OK;
}

// The checkpoint's own factors, where it has them: what converters make of llama3 scaling, in its place.
static wf_status divide_by_factors(const facts_reader *r, model_facts *m, const checkpoint_tensor *factors)
{
    if (factors->type != TENSOR_F32 || factors->dims[0] != m->n_rot / 2 || factors->dims[1] != 1 || !factors->data)
        return refuse(r, "tensor rope_freqs.weight must be F32 with one value a pair of rotated features");
    double *inv_freq = arena_alloc(r->memory, (size_t)m->n_rot / 2, sizeof *inv_freq);
    if (!inv_freq) return error_memory(r->err, (size_t)m->n_rot * 4);
    for (int64_t i = 0; i < m->n_rot / 2; i++) {
        float factor;
        memcpy(&factor, factors->data + 4 * i, 4);
        if (!(factor > 0)) return refuse(r, "tensor rope_freqs.weight holds a value that is not positive");
        inv_freq[i] = m->ropes[0].inv_freq[i] / (double)factor;
        if (!isfinite(inv_freq[i])) return refuse(r, "tensor rope_freqs.weight holds a value that is too small");
    }
    m->ropes[0].inv_freq = inv_freq;
    return WF_OK;
}

static wf_status read_ropes(const facts_reader *r, const architecture_facts *arch, model_facts *m)
{
    rope_scaling s = {.base = 10000};
    TRY(get_positive_or(r, "rope.freq_base", false, &s.base));
    TRY(read_scaling(r, m, &s));
    const checkpoint_tensor *factors = checkpoint_find_tensor(r->file, "rope_freqs.weight");
    if (factors && s.kind == ROPE_LLAMA3) s.kind = ROPE_PLAIN, s.factor = 1;
    TRY(add_rope(r, m, &s));
    if (factors) TRY(divide_by_factors(r, m, factors));
    if (s.kind == ROPE_YARN) TRY(get_positive_or(r, "rope.scaling.attention_factor", false, &m->ropes[0].magnitude));
    double multiplier = 1, base = arch->window_rope_base;
    TRY(get_positive_or(r, "rope.scaling.attn_factor", false, &multiplier));
    m->ropes[0].magnitude *= multiplier;
    TRY(get_positive_or(r, "rope.freq_base_swa", true, &base));
    if (base == 0 || m->window == 0) return WF_OK;
    rope_scaling plain = {.kind = ROPE_PLAIN, .base = base, .factor = 1};
    return add_rope(r, m, &plain);
}

// ---- windows

static wf_status read_windows(const facts_reader *r, const architecture_facts *arch, model_facts *m)
{
    bool *has_window = arena_alloc(r->memory, (size_t)m->n_layer, sizeof *has_window);
    if (!has_window) return error_memory(r->err, (size_t)m->n_layer);
    m->has_window = has_window;
    TRY(get_int_or(r, "attention.sliding_window", 0, INT32_MAX, &m->window));
    if (!m->window) return WF_OK;
    static const char *const pattern = "attention.sliding_window_pattern";
    char key[128];
    int64_t period = arch->window_period;
    const metadata_value *layers = checkpoint_find(r->file, key_of(key, r, pattern));
    if (layers && layers->type == METADATA_ARRAY) {
        if (!layers->data || layers->count != (uint64_t)m->n_layer)
            return refuse(r, "attention.sliding_window_pattern must hold one number a layer");
        for (int64_t i = 0; i < m->n_layer; i++) has_window[i] = metadata_item_int(layers, (uint64_t)i) != 0;
        return WF_OK;
    }
    TRY(get_int_or(r, pattern, 0, 1000, &period));
    for (int64_t i = 0; i < m->n_layer; i++) has_window[i] = period == 0 || (i + 1) % period != 0;
    return WF_OK;
}

// ---- all

enum { MAX_HEAD_DIM = 512 }; // a tile of attention keeps 60 rows and more of them on the stack, twice

static wf_status read_heads(const facts_reader *r, model_facts *m)
{
    TRY(get_int(r, "attention.head_count", 1, 1024, &m->n_heads));
    m->n_kv_heads = m->n_heads;
    TRY(get_int_or(r, "attention.head_count_kv", 1, 1024, &m->n_kv_heads));
    if (m->n_heads % m->n_kv_heads) return refuse(r, "attention.head_count is no multiple of attention.head_count_kv");
    m->head_dim = m->n_embd / m->n_heads;
    TRY(get_int_or(r, "attention.key_length", 1, 1 << 20, &m->head_dim));
    int64_t value_length = m->head_dim;
    TRY(get_int_or(r, "attention.value_length", 1, 1 << 20, &value_length));
    if (value_length != m->head_dim) return refuse(r, "attention.value_length differs from attention.key_length");
    if (m->head_dim < 1 || m->head_dim > MAX_HEAD_DIM)
        return error_set(r->err, WF_ERROR_UNSUPPORTED, "%s: heads of %lld features are not supported: 1 to %d are",
                         checkpoint_path(r->file), (long long)m->head_dim, MAX_HEAD_DIM);
    m->n_rot = m->head_dim;
    TRY(get_int_or(r, "rope.dimension_count", 2, m->head_dim, &m->n_rot));
    return m->n_rot % 2 ? refuse(r, "rope.dimension_count is odd") : WF_OK;
}

static wf_status read_scales(const facts_reader *r, const architecture_facts *arch, model_facts *m)
{
    // Not rounded to the weights' type, as Transformers does it in bf16: that is an artefact of its arithmetic.
    m->embedding_scale = arch->embedding_by_root ? sqrt((double)m->n_embd) : 1;
    TRY(get_positive_or(r, "embedding_scale", true, &m->embedding_scale));
    if (m->embedding_scale == 0) m->embedding_scale = 1;
    double scale = 0;
    TRY(get_positive_or(r, "attention.scale", true, &scale));
    m->attention_scale = scale != 0 ? scale : 1 / sqrt((double)m->head_dim);
    // Gemma 3 of 27 billion parameters scales by another size than its heads', which GGUF does not tell.
    if (scale == 0 && !strcmp(arch->name, "gemma3") && m->n_layer == 62)
        m->attention_scale = 1 / sqrt((double)m->n_embd / (double)m->n_heads);
    TRY(get_positive_or(r, "attn_logit_softcapping", true, &m->attention_softcap));
    return get_positive_or(r, "final_logit_softcapping", true, &m->final_softcap);
}

wf_status facts_read(const checkpoint *file, const architecture_facts *arch, arena *memory, model_facts *m,
                     wf_error *err)
{
    enum { MAX_FEATURES = 1 << 20 };
    const facts_reader reader = {file, arch->name, memory, err}, *r = &reader;
    *m = (model_facts){.architecture = arch->name,
                       .rope_interleaved = arch->rope_interleaved,
                       .qkv_bias = arch->qkv_bias,
                       .qk_norm = arch->qk_norm,
                       .gelu = arch->gelu};
    view name = VIEW_LITERAL("");
    TRY(checkpoint_get_string_or(file, "general.name", &name, err));
    m->name = arena_strdup(memory, name);
    if (!m->name) return error_memory(err, name.len);
    TRY(get_int(r, "block_count", 1, 1000, &m->n_layer));
    TRY(get_int(r, "context_length", 1, 1 << 24, &m->n_ctx_train));
    TRY(get_int(r, "embedding_length", 1, MAX_FEATURES, &m->n_embd));
    TRY(get_int(r, "feed_forward_length", 1, MAX_FEATURES, &m->n_ff));
    TRY(read_heads(r, m));
    TRY(get_bool_or(r, "rope.interleaved", &m->rope_interleaved));
    TRY(get_bool_or(r, "norm_plus_one", &m->norm_plus_one));
    char key[128];
    TRY(checkpoint_get_float(file, key_of(key, r, "attention.layer_norm_rms_epsilon"), &m->norm_eps, err));
    if (!(m->norm_eps >= 0)) return refuse(r, "attention.layer_norm_rms_epsilon is negative");
    const checkpoint_tensor *table = checkpoint_find_tensor(file, "token_embd.weight");
    if (!table)
        return error_set(err, WF_ERROR_FORMAT, "%s: tensor token_embd.weight is missing", checkpoint_path(file));
    m->n_vocab = table->dims[1];
    if (m->n_vocab > MAX_FEATURES) return refuse(r, "the vocabulary has more than a million tokens");
    m->tied_head = !checkpoint_find_tensor(file, "output.weight");
    TRY(refuse_unknown_fields(r));
    TRY(read_scales(r, arch, m));
    TRY(read_windows(r, arch, m));
    return read_ropes(r, arch, m);
}
