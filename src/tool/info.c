// welford info: what a model file holds, for people (text) or programs (--json).
//
// A file that was cut short after its header is shown as well; it then says how much is missing. One that `run` would
// refuse is shown only on demand: that the verb succeeds says that the model can be run.
#include <inttypes.h>
#include <string.h>

#include "engine/model.h"
#include "format/checkpoint_open.h"
#include "tool/info_bundle.h"
#include "tool/info_summary.h"
#include "tool/info_value.h"
#include "tool/model_options.h"
#include "tool/model_path.h"

enum {
    NAME_COLUMN = 48, // widest column of names
};

typedef struct info_options {
    const char *path;
    bool tensors, json, any;
} info_options;

static const char HELP[] =
    "Usage: welford info [--tensors] [--json] [--any] MODEL\n\n"
    "Shows what a GGUF file or a Hugging Face folder holds: sizes, tokenizer, metadata; of a .wf file its programs "
    "too,\n"
    "and what they need of a CPU, without running them. Long texts and arrays are abbreviated. A file that was cut "
    "short after its header is shown too; a model that `run` would refuse is "
    "refused,\n"
    "for the same reason.\n\n"
    "  --tensors  list the tensors as well; shapes are written [rows, columns]\n"
    "  --json     one JSON object; an array is {\"type\", \"count\", \"first\"}, `first` its first items\n"
    "  --any      show a model that cannot be run, too, and why\n"
    "  --help     this text\n";

// ---- text

static void print_type_counts(const info_summary *s)
{
    const char *separator = ": ";
    for (uint32_t type = 0; type < INFO_TYPE_LIMIT; type++) {
        if (!s->type_counts[type]) continue;
        printf("%s%" PRIu64 " %s", separator, s->type_counts[type], tensor_type_layout(type)->name);
        separator = ", ";
    }
    putchar('\n');
}

static void print_label(const char *label) { printf("%-15s ", label); }

static void print_string_line(const char *label, view text)
{
    print_label(label);
    print_text_string(text.len ? text : VIEW_LITERAL("-"));
    putchar('\n');
}

static void print_tokenizer_line(const checkpoint *file)
{
    view kind = info_find_string(file, "tokenizer.ggml.model"), pre = info_find_string(file, "tokenizer.ggml.pre");
    print_label("tokenizer");
    if (!kind.len && !info_count_tokens(file)) {
        puts("none");
        return;
    }
    print_text_string(kind);
    if (pre.len) {
        fputs(", ", stdout);
        print_text_string(pre);
    }
    printf(", %" PRIu64 " tokens\n", info_count_tokens(file));
}

static void print_summary(const checkpoint *file, const info_summary *s)
{
    print_label("file");
    print_escaped(view_of(checkpoint_path(file)), SIZE_MAX, false);
    putchar('\n');
    print_label("format");
    if (s->ahead)
        puts(".wf, a model compiled ahead of time");
    else if (checkpoint_gguf_version(file))
        printf("GGUF version %" PRIu32 ", alignment %zu\n", checkpoint_gguf_version(file), checkpoint_alignment(file));
    else
        printf("%s, %zu file%s of tensors\n",
               checkpoint_find(file, "split.count") ? "split GGUF" : "Hugging Face folder", checkpoint_part_count(file),
               checkpoint_part_count(file) == 1 ? "" : "s");
    print_string_line("architecture", info_find_string(file, "general.architecture"));
    print_string_line("name", info_find_string(file, "general.name"));
    print_label("parameters");
    print_scaled(s->parameters, "");
    printf(" (%" PRIu64 ")\n", s->parameters);
    print_label("size");
    print_scaled(s->file_bytes, "B");
    printf(" (%zu bytes)\n", s->file_bytes);
    if (s->ahead) print_bundle(s->ahead);
    if (s->end > s->file_bytes) {
        print_label("CUT SHORT");
        printf("the tensors need %" PRIu64 " bytes\n", s->end);
    }
    print_label("bits per weight");
    printf("%.2f\n", info_bits_per_weight(s));
    print_label("context");
    printf("%" PRId64 " tokens\n", info_find_context(file));
    print_tokenizer_line(file);
    print_label("chat template");
    fputs(info_find_string(file, "tokenizer.chat_template").len ? "yes" : "no", stdout);
    if (s->chat_refusal.status != WF_OK) {
        fputs(", but it cannot be used: ", stdout);
        print_escaped(view_of(s->chat_refusal.message), SIZE_MAX, false);
    }
    putchar('\n');
    wf_sampler_options sampling;
    if (model_sampler_options(file, &sampling, NULL) == WF_OK) {
        print_label("sampling");
        print_sampling(stdout, &sampling);
        putchar('\n');
    }
    if (s->is_checked) {
        print_label("runs");
        bool has_text = checkpoint_find(file, "tokenizer.ggml.model");
        fputs(s->refusal.status != WF_OK ? "no: " : has_text ? "yes" : "in bench only: there is no tokenizer", stdout);
        print_escaped(view_of(s->refusal.message), SIZE_MAX, false);
        putchar('\n');
    }
    print_label("tensors");
    printf("%zu", checkpoint_tensor_count(file));
    print_type_counts(s);
}

static int name_width(int widest, view name)
{
    if (name.len > NAME_COLUMN) return NAME_COLUMN;
    return (int)name.len > widest ? (int)name.len : widest;
}

// Escaped, and padded as if every byte took one column: true of all names seen in real files.
static void print_name(view name, int width)
{
    print_escaped(name, SIZE_MAX, false);
    printf("%*s", name.len < (size_t)width ? width - (int)name.len : 0, "");
}

static void print_metadata(const checkpoint *file)
{
    int width = 0;
    for (size_t i = 0; i < checkpoint_value_count(file); i++)
        width = name_width(width, checkpoint_value_at(file, i)->key);
    printf("\nmetadata (%zu)\n", checkpoint_value_count(file));
    for (size_t i = 0; i < checkpoint_value_count(file); i++) {
        const metadata_value *value = checkpoint_value_at(file, i);
        bool is_array = value->type == METADATA_ARRAY;
        char type[16];
        snprintf(type, sizeof type, "%s%s", value_type_name(is_array ? value->item_type : value->type),
                 is_array ? "[]" : "");
        fputs("  ", stdout);
        print_name(value->key, width);
        printf("  %-8s  ", type);
        print_value(value, false);
        putchar('\n');
    }
}

static void print_tensors(const checkpoint *file)
{
    int width = 4;
    for (size_t i = 0; i < checkpoint_tensor_count(file); i++)
        width = name_width(width, checkpoint_tensor_at(file, i)->name);
    printf("\n  %-*s  %-5s  %-20s  %12s  %12s\n", width, "name", "type", "shape", "bytes", "offset");
    for (size_t i = 0; i < checkpoint_tensor_count(file); i++) {
        const checkpoint_tensor *t = checkpoint_tensor_at(file, i);
        char shape[128];
        info_format_shape(t, shape, sizeof shape);
        fputs("  ", stdout);
        print_name(t->name, width);
        printf("  %-5s  %-20s  %12zu  %12zu\n", tensor_type_layout(t->type)->name, shape, t->bytes, t->offset);
    }
}

static void print_text(const checkpoint *file, const info_summary *s, bool tensors)
{
    print_summary(file, s);
    print_metadata(file);
    if (tensors) print_tensors(file);
}

// ---- the verb

// -1 when the verb shall go on, else the exit code.
static int parse_options(int argc, char **argv, info_options *options)
{
    static const struct option LONG[] = {{"tensors", no_argument, NULL, 't'},
                                         {"json", no_argument, NULL, 'j'},
                                         {"any", no_argument, NULL, 'a'},
                                         {"help", no_argument, NULL, 'h'},
                                         {0}};
    int exit_code = -1;
    for (int c; (c = tool_next_option(argc, argv, "", LONG, HELP, &exit_code)) != -1;) {
        switch (c) {
        case 't': options->tensors = true; break;
        case 'j': options->json = true; break;
        case 'a': options->any = true; break;
        }
    }
    if (exit_code >= 0) return exit_code;
    if (optind + 1 != argc)
        return tool_fail_usage(argv[0], optind == argc ? "no model file given" : "more than one model file given");
    options->path = argv[optind];
    return -1;
}

// What keeps the model from being run, as opening it says: `run` would say the same. A file that names no architecture
// claims to be no model; one without a tokenizer is good for `bench`.
static void find_refusal(const char *path, const checkpoint *file, info_summary *s)
{
    compiled_model *without_text = NULL;
    wf_model *m = NULL;
    wf_status status;
    if (!info_find_string(file, "general.architecture").len || s->end > s->file_bytes) return;
    if (checkpoint_find(file, "tokenizer.ggml.model"))
        status = model_open(path, &(wf_model_options){.n_threads = 1}, &m, &s->refusal);
    else
        status = compiled_model_open(path, &(wf_model_options){0}, &without_text, &s->refusal);
    if (status == WF_OK) s->refusal = (wf_error){0};
    if (m && m->has_chat && !m->chat) s->chat_refusal = m->chat_error;
    s->is_checked = status != WF_ERROR_COMPILE && status != WF_ERROR_MEMORY; // else nobody knows
    if (!s->is_checked) s->refusal = (wf_error){0};
    compiled_model_close(without_text);
    model_close(m);
}

// What tokenize and run would say of it; that there is no tokenizer, or none that is understood, hides nothing else.
static void warn_tokenizer(const char *verb, const checkpoint *file)
{
    tokenizer *t = NULL;
    if (tokenizer_create(file, &t, NULL) == WF_OK) tool_warn_tokenizer(verb, t);
    tokenizer_free(t);
}

// Closes the file. A .wf file is shown whatever keeps it from running here: the wrong CPU, weights that lie elsewhere.
static wf_status show_checkpoint(const char *verb, const info_options *options, checkpoint *file, const bundle *ahead,
                                 wf_error *err)
{
    info_summary s = info_summarise(file, ahead);
    find_refusal(options->path, file, &s);
    bool refused = s.refusal.status != WF_OK && !options->any && !ahead;
    if (!refused && options->json)
        info_print_json(file, &s, options->tensors);
    else if (!refused)
        print_text(file, &s, options->tensors);
    warn_tokenizer(verb, file);
    checkpoint_close(file);
    return refused ? error_set(err, s.refusal.status, "%s", s.refusal.message) : WF_OK;
}

static wf_status show_bundle(const char *verb, const info_options *options, bundle *ahead, wf_error *err)
{
    checkpoint *file;
    if (!bundle_find(ahead, BUNDLE_METADATA)) return info_print_function(ahead, options->json, err);
    TRY(bundle_checkpoint(ahead, false, &file, err));
    return show_checkpoint(verb, options, file, ahead, err);
}

int tool_info(int argc, char **argv)
{
    info_options options = {0};
    int exit_code = parse_options(argc, argv, &options);
    char path[PATH_MAX];
    if (exit_code < 0) exit_code = model_path_find(argv[0], &options.path, path);
    if (exit_code >= 0) return exit_code;
    wf_error err;
    wf_status status;
    if (bundle_is(options.path)) {
        bundle ahead;
        status = bundle_open(options.path, &ahead, &err);
        if (status == WF_OK) status = show_bundle(argv[0], &options, &ahead, &err);
        bundle_close(&ahead);
    } else {
        checkpoint *file;
        status = checkpoint_open_header(options.path, &file, &err);
        if (status == WF_OK) status = show_checkpoint(argv[0], &options, file, NULL, &err);
    }
    return status == WF_OK ? EXIT_SUCCESS : tool_fail(argv[0], &err);
}
