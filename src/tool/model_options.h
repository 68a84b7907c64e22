// The options that every verb which computes with a model shares, and its progress bar.
//
//     static const struct option OPTIONS[] = {MODEL_LONG_OPTIONS, {"top", required_argument, NULL, 'k'}, {0}};
//     ...
//     default: if (!model_option_take(argv[0], c, optarg, &options)) return EXIT_USAGE;
#ifndef WELFORD_TOOL_MODEL_OPTIONS_H
#define WELFORD_TOOL_MODEL_OPTIONS_H

#include "base/view.h"
#include "tool/tool.h"

enum {
    OPTION_KV = 1000,
    OPTION_NO_CACHE,
    OPTION_FUSE,
    OPTION_NO_FUSE,
    OPTION_REPORT,
    OPTION_PRINT_IR,
    OPTION_PRINT_PLAN,
    OPTION_WEIGHTS,
    OPTION_WEIGHTS_FROM,
    OPTION_OWN
}; // verbs: from OPTION_OWN on

enum { MAX_THREADS = 1024 };

#define MODEL_LONG_OPTIONS                                                                                             \
    {"threads", required_argument, NULL, 't'}, {"kv", required_argument, NULL, OPTION_KV},                             \
        {"no-cache", no_argument, NULL, OPTION_NO_CACHE}, {"no-fuse", required_argument, NULL, OPTION_NO_FUSE},        \
        {"fuse", required_argument, NULL, OPTION_FUSE}, {"report", no_argument, NULL, OPTION_REPORT},                  \
        {"print-ir-after", required_argument, NULL, OPTION_PRINT_IR},                                                  \
        {"weights-from", required_argument, NULL, OPTION_WEIGHTS_FROM},                                                \
        {"print-plan", no_argument, NULL, OPTION_PRINT_PLAN},                                                          \
    {                                                                                                                  \
        "weights", required_argument, NULL, OPTION_WEIGHTS                                                             \
    }

#define MODEL_OPTIONS_HELP                                                                                             \
    "  -t, --threads N         threads that compute (default: the cores this process may use)\n"                       \
    "      --kv f16|f32|q8     type of the KV cache (default f16)\n"                                                   \
    "      --weights TYPE      pack float weights as f32, bf16, q8_0 or q4_0 (default: as stored)\n"                   \
    "      --weights-from MODEL  the checkpoint of a .wf file without weights, by path or name (default: beside it)\n" \
    "      --no-cache          neither read nor write the cache of programs and packed weights\n"                      \
    "      --fuse LIST         only these fusions, separated by commas (welford opt --list shows them)\n"              \
    "      --no-fuse LIST      all fusions but these\n"                                                                \
    "      --report            print to stderr what every fusion did, and why not where it did not\n"                  \
    "      --print-ir-after P  print the graph after pass P (or all) to stderr\n"                                      \
    "      --print-plan        print the calls of the program to stderr\n"

// Takes one of MODEL_LONG_OPTIONS. False after it printed a usage error: the caller returns EXIT_USAGE.
bool model_option_take(const char *verb, int option, const char *value, wf_model_options *options);

// Sets options->progress to a bar on stderr, which shows on terminals only, and only when the work takes over a second.
// `bar` must outlive the opening; model_progress_end clears the line.
typedef struct model_progress {
    double started, shown; // seconds; 0: never
} model_progress;
void model_progress_set(model_progress *bar, wf_model_options *options);
void model_progress_show(void *bar, const char *what, size_t done, size_t all);
void model_progress_end(const model_progress *bar);

// The prompt of a verb: `text`, or else the file `path` ("-" and NULL: stdin). *data: the caller frees. One line break
// at the end of a file is no part of the prompt unless `exact`.
wf_status read_prompt(const char *text, const char *path, bool exact, char **data, view *prompt, wf_error *err);

// What verbs say when the chat template drops what the user said.
#define CHAT_TEXT_LOST "warning: the chat template does not print the prompt as it was given"

// "temp 0.8, top-k 40, ...": all but the seed.
void print_sampling(FILE *out, const wf_sampler_options *s);

// "TEXT" as JSON writes it; ill-formed UTF-8 becomes U+FFFD.
void print_json_string(FILE *out, view text);

#endif
