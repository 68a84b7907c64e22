// welford logits: what a model thinks comes next.
#include <inttypes.h>
#include <string.h>

#include "base/file.h"
#include "engine/generate.h"
#include "engine/model.h"
#include "engine/session.h"
#include "format/npy.h"
#include "tool/model_options.h"
#include "tool/model_path.h"
#include "tool/token_ids.h"

enum { OPTION_TOP = OPTION_OWN, OPTION_RAW, OPTION_IDS };

enum { BATCHES_MAX = 16 };

typedef struct logits_options {
    const char *path, *text, *file, *output;
    int64_t top;
    int64_t batches[BATCHES_MAX]; // tokens evaluated at a time, in turn
    int n_batches;                // 0: the session's choice
    bool raw, ids;
    wf_model_options model;
} logits_options;

static const char HELP[] =
    "Usage: welford logits [OPTIONS] MODEL\n\n"
    "Prints the likeliest next tokens after a prompt, one a line: the id, a tab, the logit, a tab, the token's text as "
    "a\n"
    "JSON string. The prompt goes through the model's chat template as a user's message, where it has one. Without -p\n"
    "and -f it comes from standard input.\n\n"
    "  -p, --prompt TEXT       the prompt\n"
    "  -f, --file FILE         the prompt is in FILE (- is standard input)\n"
    "  -b, --batch N[,N..]     tokens evaluated at a time (default 512), or how many in turn: no bit depends on it\n"
    "      --top N             how many tokens (default 8)\n"
    "      --raw               the prompt as it is: no template, special tokens parsed\n"
    "      --ids               the prompt is token ids, separated by white space\n"
    "  -o, --output FILE       write the logits of the whole vocabulary as a .npy file of f32\n" MODEL_OPTIONS_HELP
    "      --help              this text\n";

typedef struct scored {
    float logit;
    int32_t id;
} scored;

static int compare_scored(const void *a, const void *b)
{
    const scored *x = a, *y = b;
    if (x->logit != y->logit) return x->logit < y->logit ? 1 : -1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static wf_status print_top(const wf_model *m, const float *logits, int64_t n_vocab, int64_t top, wf_error *err)
{
    scored *all = calloc((size_t)n_vocab, sizeof *all);
    if (!all) return error_memory(err, (size_t)n_vocab * sizeof *all);
    for (int64_t i = 0; i < n_vocab; i++) all[i] = (scored){logits[i], (int32_t)i};
    qsort(all, (size_t)n_vocab, sizeof *all, compare_scored);
    wf_status status = WF_OK;
    for (int64_t i = 0; i < top && i < n_vocab && status == WF_OK; i++) {
        buffer text = {0};
        if (all[i].id < tokenizer_count(m->t)) status = tokenizer_decode_token(m->t, all[i].id, true, &text, err);
        printf("%" PRId32 "\t%.5f\t", all[i].id, (double)all[i].logit);
        print_json_string(stdout, buffer_view(&text));
        putchar('\n');
        buffer_free(&text);
    }
    free(all);
    return status;
}

// Checked here: evaluation takes ids for granted.
static wf_status read_ids(const wf_model *m, view prompt, token_list *ids, wf_error *err)
{
    TRY(parse_token_ids(prompt, ids, err));
    int64_t n_vocab = m->compiled->sizes.n_vocab;
    for (size_t i = 0; i < ids->count; i++)
        if (ids->ids[i] >= n_vocab)
            return error_set(err, WF_ERROR_USAGE, "token id %" PRId32 " is not in the vocabulary of %" PRId64,
                             ids->ids[i], n_vocab);
    return WF_OK;
}

static wf_status encode_prompt(const wf_model *m, view prompt, const logits_options *options, token_list *ids,
                               wf_error *err)
{
    if (options->ids) return read_ids(m, prompt, ids, err);
    bool raw = options->raw;
    if (raw || !m->has_chat) return model_encode(m, prompt, raw, ids, err);
    json_t *messages = json_pack("[o]", chat_message("user", prompt));
    if (!messages) return error_memory(err, prompt.len);
    bool text_lost;
    wf_status status = model_encode_chat(m, messages, NULL, ids, &text_lost, err);
    if (status == WF_OK && text_lost) fputs("welford logits: " CHAT_TEXT_LOST "\n", stderr);
    json_decref(messages);
    return status;
}

static int64_t largest_batch(const logits_options *options)
{
    int64_t n = 0;
    for (int i = 0; i < options->n_batches; i++)
        if (options->batches[i] > n) n = options->batches[i];
    return n;
}

// All that can be refused before the model is compiled and packed.
static wf_status check_prompt(const wf_model *m, const logits_options *options, view prompt, token_list *ids,
                              wf_error *err)
{
    if (options->output) TRY(file_check_output(options->output, err));
    TRY(encode_prompt(m, prompt, options, ids, err));
    engine_options sizes = {.n_ctx = (int64_t)ids->count, .n_batch = largest_batch(options)};
    TRY(generate_check_prompt(sizes.n_ctx, m->compiled->sizes.n_ctx_train, err));
    return engine_check_sizes(&m->compiled->sizes, &sizes, err);
}

static wf_status evaluate(session *s, const logits_options *options, const token_list *ids, wf_error *err)
{
    int64_t n = (int64_t)ids->count, at = 0;
    for (int i = 0; at < n; i++) {
        int64_t size = n - at;
        if (options->n_batches > 1 && options->batches[i % options->n_batches] < size)
            size = options->batches[i % options->n_batches];
        TRY(session_eval(s, ids->ids + at, size, at + size < n ? size : size - 1, err));
        at += size;
    }
    return WF_OK;
}

static wf_status compute(const wf_model *m, const logits_options *options, const token_list *ids, wf_error *err)
{
    session *s = NULL;
    int64_t n = (int64_t)ids->count, n_vocab = m->compiled->sizes.n_vocab;
    wf_status status;
    TRY_GOTO(session_create(m->compiled, m->pool, n, largest_batch(options), &s, err), done);
    TRY_GOTO(evaluate(s, options, ids, err), done);
    if (options->output) TRY_GOTO(npy_write(options->output, NPY_F32, &n_vocab, 1, session_logits(s, 0), err), done);
    TRY_GOTO(print_top(m, session_logits(s, 0), n_vocab, options->top, err), done);
done:
    session_free(s);
    return status;
}

static wf_status run_logits(logits_options *options, wf_error *err)
{
    char *data;
    view prompt;
    wf_model *m = NULL;
    token_list ids = {0};
    model_progress bar;
    TRY(read_prompt(options->text, options->file, options->raw, &data, &prompt, err));
    model_progress_set(&bar, &options->model);
    wf_status status = model_open(options->path, &options->model, &m, err);
    if (status == WF_OK) status = check_prompt(m, options, prompt, &ids, err);
    if (status == WF_OK) status = model_load(m, err);
    model_progress_end(&bar);
    if (status == WF_OK) status = compute(m, options, &ids, err);
    token_list_free(&ids);
    model_close(m);
    free(data);
    return status;
}

static bool parse_batches(const char *verb, char *text, logits_options *options)
{
    char *rest = NULL;
    options->n_batches = 0;
    for (char *n = strtok_r(text, ",", &rest); n; n = strtok_r(NULL, ",", &rest)) {
        if (options->n_batches == BATCHES_MAX) {
            tool_fail_usage(verb, "--batch takes at most %d numbers", BATCHES_MAX);
            return false;
        }
        if (!tool_parse_int(verb, "--batch", n, 1, INT32_MAX, &options->batches[options->n_batches++])) return false;
    }
    if (!options->n_batches) tool_fail_usage(verb, "--batch needs a number");
    return options->n_batches > 0;
}

int tool_logits(int argc, char **argv)
{
    static const struct option OPTIONS[] = {
        MODEL_LONG_OPTIONS,
        {"prompt", required_argument, NULL, 'p'},
        {"file", required_argument, NULL, 'f'},
        {"output", required_argument, NULL, 'o'},
        {"batch", required_argument, NULL, 'b'},
        {"top", required_argument, NULL, OPTION_TOP},
        {"raw", no_argument, NULL, OPTION_RAW},
        {"ids", no_argument, NULL, OPTION_IDS},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    logits_options options = {.top = 8};
    int exit_code = -1;
    for (int c; (c = tool_next_option(argc, argv, "p:f:o:b:t:", OPTIONS, HELP, &exit_code)) != -1;) {
        switch (c) {
        case 'p': options.text = optarg; break;
        case 'f': options.file = optarg; break;
        case 'o': options.output = optarg; break;
        case 'b':
            if (!parse_batches(argv[0], optarg, &options)) return EXIT_USAGE;
            break;
        case OPTION_TOP:
            if (!tool_parse_int(argv[0], "--top", optarg, 0, INT32_MAX, &options.top)) return EXIT_USAGE;
            break;
        case OPTION_RAW: options.raw = true; break;
        case OPTION_IDS: options.ids = true; break;
        default:
            if (!model_option_take(argv[0], c, optarg, &options.model)) return EXIT_USAGE;
        }
    }
    if (exit_code >= 0) return exit_code;
    if (argc - optind != 1) return tool_fail_usage(argv[0], "one MODEL is needed");
    if (options.text && options.file) return tool_fail_usage(argv[0], "-p and -f exclude each other");
    options.path = argv[optind];
    model_paths paths;
    exit_code = model_paths_find(argv[0], &options.path, &options.model, &paths);
    if (exit_code >= 0) return exit_code;
    wf_error err = {0};
    return run_logits(&options, &err) == WF_OK ? EXIT_SUCCESS : tool_fail(argv[0], &err);
}
