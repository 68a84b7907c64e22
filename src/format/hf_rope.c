// The rotation of config.json: rope_theta and its scaling, as Hugging Face transformers reads them
// (modeling_rope_utils.py). rope_scaling is version 4's, rope_parameters version 5's, with or without an object for
// each type of layer.
#include <math.h>
#include <string.h>

#include "format/hf_reader.h"
#include "format/hf_value.h"

// Beside a type's own fields. The training notes of YaRN's first models say "finetuned".
static const char *const COMMON[] = {"type", "rope_type", "rope_theta", "partial_rotary_factor", "finetuned"};

typedef struct scaling_type {
    const char *name;
    const char *fields[12];
} scaling_type;

static const scaling_type SCALINGS[] = {
    {"default", {NULL}},
    {"linear", {"factor", "original_max_position_embeddings"}},
    {"llama3", {"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"}},
    {"yarn",
     {"factor", "attention_factor", "attn_factor", "mscale", "mscale_all_dim", "truncate", "beta_fast", "beta_slow",
      "extrapolation_factor", "original_max_position_embeddings"}},
};

static wf_status find_scaling(const json_fields *f, view type, const scaling_type **found)
{
    for (size_t i = 0; i < sizeof SCALINGS / sizeof *SCALINGS; i++)
        if (view_is(type, SCALINGS[i].name)) {
            *found = &SCALINGS[i];
            return WF_OK;
        }
    return error_set(f->err, WF_ERROR_UNSUPPORTED, "%s: rope scaling '%.*s' is not supported", f->path, VIEW_ARG(type));
}

// Fields that are read must be all there are.
static wf_status check_fields(const json_fields *f, const scaling_type *s)
{
    size_t n = 0;
    const char *name;
    json_t *value, *object = (json_t *)(uintptr_t)f->object; // the macro takes no const, and changes nothing
    while (s->fields[n]) n++;
    json_object_foreach(object, name, value)
    {
        if (json_is_null(value) || hf_is_listed(name, COMMON, sizeof COMMON / sizeof *COMMON)) continue;
        if (!hf_is_listed(name, s->fields, n)) return json_refuse(f, name, value);
    }
    return WF_OK;
}

// ---- YaRN

// Growth of cos and sin for a context `factor` times as long: https://arxiv.org/abs/2309.00071, section 3.4.
static double yarn_magnitude(double factor, double scale) { return factor <= 1 ? 1 : 0.1 * scale * log(factor) + 1; }

// attention_factor is the growth itself; mscale and mscale_all_dim, where both are there, give it as a ratio;
// attn_factor, which transformers passes over and llama.cpp reads, multiplies it.
static wf_status add_yarn_magnitude(const hf_reader *r, const json_fields *f, double factor)
{
    double mscale = 0, mscale_all_dim = 0;
    if (json_field(f, "attention_factor"))
        return hf_reader_copy_float(r, f, "attention_factor", "rope.scaling.attention_factor");
    TRY(json_field_float(f, "mscale", &mscale));
    TRY(json_field_float(f, "mscale_all_dim", &mscale_all_dim));
    if (mscale != 0 && mscale_all_dim != 0)
        TRY(hf_reader_add_float(r, "rope.scaling.attention_factor",
                                yarn_magnitude(factor, mscale) / yarn_magnitude(factor, mscale_all_dim)));
    return hf_reader_copy_float(r, f, "attn_factor", "rope.scaling.attn_factor");
}

// 0 and null are the default.
static wf_status add_beta(const hf_reader *r, const json_fields *f, const char *name, const char *suffix)
{
    double value = 0;
    TRY(json_field_float(f, name, &value));
    return value == 0 ? WF_OK : hf_reader_add_float(r, suffix, value);
}

static wf_status add_yarn(const hf_reader *r, const json_fields *f, double factor)
{
    double extrapolation = 1;
    bool truncate = !json_object_get(f->object, "truncate"); // null is false here, as in Python
    TRY(json_field_bool(f, "truncate", &truncate));
    TRY(json_field_float(f, "extrapolation_factor", &extrapolation));
    if (extrapolation != 1) return json_refuse(f, "extrapolation_factor", json_field(f, "extrapolation_factor"));
    TRY(hf_reader_add_bool(r, "rope.scaling.truncate", truncate));
    TRY(add_beta(r, f, "beta_fast", "rope.scaling.yarn_beta_fast"));
    TRY(add_beta(r, f, "beta_slow", "rope.scaling.yarn_beta_slow"));
    return add_yarn_magnitude(r, f, factor);
}

// ---- all scalings

// The context that the model was trained on. The field of the file itself goes before the scaling's, as in
// transformers.
static wf_status read_original_context(const hf_reader *r, const json_fields *f, int64_t *context)
{
    static const char name[] = "original_max_position_embeddings";
    *context = r->n_ctx;
    TRY(json_field_int(f, name, 1, HF_MAX_TOKENS, context));
    return json_field_int(&r->f, name, 1, HF_MAX_TOKENS, context);
}

static wf_status add_scaling(const hf_reader *r, const json_fields *f, view type)
{
    char key[96];
    int64_t context;
    bool is_yarn = view_is(type, "yarn"), null_factor = json_is_null(json_object_get(f->object, "factor"));
    TRY(hf_add_string(r->file, hf_reader_key(key, r, "rope.scaling.type"), type, r->f.err));
    TRY(read_original_context(r, f, &context));
    double factor = is_yarn && null_factor ? (double)r->n_ctx / (double)context : 0;
    TRY(json_field_float(f, "factor", &factor));
    if (factor == 0) return error_set(r->f.err, WF_ERROR_FORMAT, "%s: rope scaling has no factor", r->f.path);
    TRY(hf_reader_add_float(r, "rope.scaling.factor", factor));
    if (view_is(type, "linear")) return WF_OK;
    TRY(hf_reader_add_int(r, "rope.scaling.original_context_length", context));
    if (is_yarn) return add_yarn(r, f, factor);
    TRY(hf_reader_copy_float(r, f, "low_freq_factor", "rope.scaling.low_freq_factor"));
    return hf_reader_copy_float(r, f, "high_freq_factor", "rope.scaling.high_freq_factor");
}

// rope_theta and scaling of one object, which may be NULL.
static wf_status read_object(const hf_reader *r, json_t *object, const char *base_suffix, double base)
{
    json_fields f = {r->f.path, object, r->f.err};
    const scaling_type *found = NULL;
    view type = VIEW_LITERAL("default");
    double partial = 1;
    TRY(json_field_string(&f, "type", &type)); // its old name
    TRY(json_field_string(&f, "rope_type", &type));
    TRY(json_field_float(&f, "rope_theta", &base));
    TRY(json_field_float(&f, "partial_rotary_factor", &partial));
    if (partial != 1) return json_refuse(&f, "partial_rotary_factor", json_field(&f, "partial_rotary_factor"));
    TRY(hf_reader_add_float(r, base_suffix, base));
    TRY(find_scaling(&f, type, &found));
    TRY(check_fields(&f, found));
    if (view_is(type, "default")) return WF_OK;
    if (strcmp(base_suffix, "rope.freq_base"))
        return error_set(r->f.err, WF_ERROR_UNSUPPORTED, "%s: rope scaling of sliding layers is not supported",
                         r->f.path);
    return add_scaling(r, &f, type);
}

wf_status hf_read_rope(const hf_reader *r)
{
    json_t *scaling = NULL, *parameters = NULL, *full = NULL, *sliding = NULL;
    double base = r->arch->gemma ? 1e6 : 1e4, local = 1e4, partial = 1;
    TRY(json_field_object(&r->f, "rope_scaling", &scaling));
    TRY(json_field_object(&r->f, "rope_parameters", &parameters));
    TRY(json_field_float(&r->f, "rope_theta", &base));
    TRY(json_field_float(&r->f, "rope_local_base_freq", &local));
    TRY(json_field_float(&r->f, "partial_rotary_factor", &partial));
    if (partial != 1) return json_refuse(&r->f, "partial_rotary_factor", json_field(&r->f, "partial_rotary_factor"));
    if (json_object_size(scaling)) parameters = scaling; // goes first, as in transformers
    json_fields f = {r->f.path, parameters, r->f.err};
    TRY(json_field_object(&f, "full_attention", &full));
    TRY(json_field_object(&f, "sliding_attention", &sliding));
    if (full && !r->arch->gemma) return json_refuse(&r->f, "rope_parameters", parameters);
    TRY(read_object(r, full ? full : parameters, "rope.freq_base", base));
    if (r->arch->gemma) TRY(read_object(r, sliding, "rope.freq_base_swa", local));
    return hf_reader_add_bool(r, "rope.interleaved", false);
}
