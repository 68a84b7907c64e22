// welford info --json: one object.
#include <inttypes.h>
#include <stdio.h>

#include "engine/model.h"
#include "tool/info_bundle.h"
#include "tool/info_summary.h"
#include "tool/info_value.h"
#include "tool/model_options.h"

static void print_json_field(const char *name, view text)
{
    printf(", \"%s\": ", name);
    print_json_string(stdout, text);
}

// What `run` starts from; nothing where the file asks for what cannot be, which `run` refuses.
static void print_json_sampling(const checkpoint *file)
{
    wf_sampler_options s;
    if (model_sampler_options(file, &s, NULL) != WF_OK) return;
    printf(", \"sampling\": {\"temperature\": %g, \"top_k\": %" PRId64 ", \"top_p\": %g, \"min_p\": %g, "
           "\"repeat_penalty\": %g, \"repeat_last_n\": %" PRId64 "}",
           s.temperature, s.top_k, s.top_p, s.min_p, s.repeat_penalty, s.repeat_last_n);
}

static void print_json_metadata(const checkpoint *file)
{
    fputs(", \"metadata\": {", stdout);
    for (size_t i = 0; i < checkpoint_value_count(file); i++) {
        const metadata_value *value = checkpoint_value_at(file, i);
        if (i) fputs(", ", stdout);
        print_json_string(stdout, value->key);
        fputs(": ", stdout);
        print_value(value, true);
    }
    putchar('}');
}

static void print_json_tensors(const checkpoint *file)
{
    fputs(", \"tensors\": [", stdout);
    for (size_t i = 0; i < checkpoint_tensor_count(file); i++) {
        const checkpoint_tensor *t = checkpoint_tensor_at(file, i);
        char shape[128];
        info_format_shape(t, shape, sizeof shape);
        fputs(i ? ", {\"name\": " : "{\"name\": ", stdout);
        print_json_string(stdout, t->name);
        printf(", \"type\": \"%s\", \"shape\": %s, \"bytes\": %zu, \"offset\": %zu}", tensor_type_layout(t->type)->name,
               shape, t->bytes, t->offset);
    }
    putchar(']');
}

void info_print_json(const checkpoint *file, const info_summary *s, bool tensors)
{
    fputs("{\"file\": ", stdout);
    print_json_string(stdout, view_of(checkpoint_path(file)));
    printf(", \"version\": %" PRIu32 ", \"alignment\": %zu", checkpoint_gguf_version(file), checkpoint_alignment(file));
    print_json_field("architecture", info_find_string(file, "general.architecture"));
    print_json_field("name", info_find_string(file, "general.name"));
    printf(", \"parameters\": %" PRIu64 ", \"file_bytes\": %zu, \"tensor_bytes\": %" PRIu64
           ", \"bits_per_weight\": %.4f",
           s->parameters, s->file_bytes, s->data_bytes, info_bits_per_weight(s));
    printf(", \"cut_short\": %s, \"context\": %" PRId64, s->end > s->file_bytes ? "true" : "false",
           info_find_context(file));
    print_json_field("tokenizer", info_find_string(file, "tokenizer.ggml.model"));
    print_json_field("pre_tokenizer", info_find_string(file, "tokenizer.ggml.pre"));
    printf(", \"tokens\": %" PRIu64 ", \"chat_template\": %s, \"tensor_types\": {", info_count_tokens(file),
           info_find_string(file, "tokenizer.chat_template").len ? "true" : "false");
    const char *separator = "";
    for (uint32_t type = 0; type < INFO_TYPE_LIMIT; type++) {
        if (!s->type_counts[type]) continue;
        printf("%s\"%s\": %" PRIu64, separator, tensor_type_layout(type)->name, s->type_counts[type]);
        separator = ", ";
    }
    putchar('}');
    print_json_sampling(file);
    if (s->ahead) print_json_bundle(s->ahead);
    if (s->is_checked) printf(", \"runs\": %s", s->refusal.status == WF_OK ? "true" : "false");
    if (s->refusal.status != WF_OK) print_json_field("refusal", view_of(s->refusal.message));
    print_json_metadata(file);
    if (tensors) print_json_tensors(file);
    puts("}");
}
