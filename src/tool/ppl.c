// welford ppl: perplexity of a text, by the definition of llama.cpp's llama-perplexity.
//
// The text's tokens are cut into chunks of n_ctx; what is left over is not used. Each chunk is evaluated by itself, its
// first token replaced by BOS where the model wants one. Scored are the predictions at positions n_ctx/2 .. n_ctx - 2:
//
//     nll = -sum over scored positions j of log softmax(logits[j])[token[j + 1]],   PPL = exp(nll / n_scored)
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "tool/model_options.h"
#include "tool/model_path.h"

enum { OPTION_HELP = OPTION_OWN, LOGITS_BYTES = 64 << 20 }; // logits held at a time

typedef struct ppl_options {
    const char *path, *file;
    int64_t n_ctx;
    wf_model_options model;
} ppl_options;

static const char HELP[] =
    "Usage: welford ppl [OPTIONS] -f FILE MODEL\n\n"
    "Prints the perplexity of a text: exp of the mean negative log-likelihood a token. The text is cut into chunks of\n"
    "-c tokens, and the second half of each is scored (the definition of llama.cpp's llama-perplexity).\n\n"
    "  -f, --file FILE         the text (- is standard input)\n"
    "  -c, --ctx N             tokens of a chunk (default 512)\n" MODEL_OPTIONS_HELP
    "      --help              this text\n";

typedef struct totals {
    double nll, nll_squared;
    int64_t count;
} totals;

// Evaluates and scores one chunk; tokens[0] is BOS already.
static wf_status score_chunk(wf_session *s, int64_t n_vocab, const int32_t *tokens, int64_t n_ctx, double *nll,
                             totals *sum, wf_error *err)
{
    int64_t first = n_ctx / 2, last = n_ctx - 1; // positions [first, last) are scored
    int64_t part = LOGITS_BYTES / (4 * n_vocab);
    if (part < 1) part = 1;
    TRY(wf_session_truncate(s, 0, err));
    if (first > 0) TRY(wf_session_eval(s, tokens, first, first, err));
    for (int64_t begin = first; begin < last; begin += part) {
        int64_t n = last - begin < part ? last - begin : part;
        TRY(wf_session_eval(s, tokens + begin, n, 0, err));
        TRY(wf_session_score(s, tokens + begin + 1, n, nll, err));
        for (int64_t i = 0; i < n; i++) {
            sum->nll += nll[i];
            sum->nll_squared += nll[i] * nll[i];
        }
        sum->count += n;
    }
    return WF_OK;
}

// All that can be refused before the model is compiled and packed.
static wf_status check_text(const wf_model *m, view text, int64_t n_ctx, int32_t **ids, size_t *n_ids, wf_error *err)
{
    TRY(wf_model_check_context(m, &n_ctx, 0, err));
    TRY(wf_tokenize(m, text.data, text.len, false, ids, n_ids, err));
    if ((int64_t)*n_ids / n_ctx >= 2) return WF_OK;
    return error_set(err, WF_ERROR_USAGE, "the text has %zu tokens: at least two chunks of %" PRId64 " are needed",
                     *n_ids, n_ctx);
}

static wf_status score_text(wf_model *m, int32_t *ids, size_t n_ids, int64_t n_ctx, wf_error *err)
{
    const wf_model_facts facts = wf_model_describe(m);
    int64_t n_chunks = (int64_t)n_ids / n_ctx;
    wf_session *s;
    TRY(wf_session_create(m, n_ctx, 0, &s, err));
    double *nll = calloc((size_t)n_ctx, sizeof *nll);
    wf_status status = nll ? WF_OK : error_memory(err, (size_t)n_ctx * sizeof *nll);
    totals sum = {0};
    for (int64_t i = 0; i < n_chunks && status == WF_OK; i++) {
        int32_t *tokens = ids + i * n_ctx;
        int32_t kept = tokens[0];
        if (facts.add_bos) tokens[0] = facts.bos;
        status = score_chunk(s, facts.n_vocab, tokens, n_ctx, nll, &sum, err);
        tokens[0] = kept;
        if (status == WF_OK)
            fprintf(stderr, "[%" PRId64 "]%.4f%s", i + 1, exp(sum.nll / (double)sum.count),
                    i + 1 < n_chunks ? "," : "\n");
    }
    free(nll);
    wf_session_free(s);
    if (status != WF_OK) return status;

    double n = (double)sum.count, mean = sum.nll / n, variance = sum.nll_squared / n - mean * mean, ppl = exp(mean);
    double deviation = variance > 0 && n > 1 ? sqrt(variance / (n - 1)) : 0;
    printf("Final estimate: PPL = %.4f +/- %.5f\n", ppl, deviation * ppl);
    return WF_OK;
}

static wf_status run_ppl(ppl_options *options, wf_error *err)
{
    char *data;
    view text;
    wf_model *m = NULL;
    int32_t *ids = NULL;
    size_t n_ids = 0;
    model_progress bar;
    TRY(read_prompt(NULL, options->file, false, &data, &text, err));
    model_progress_set(&bar, &options->model);
    options->model.defer = true;
    wf_status status = wf_model_open(options->path, &options->model, &m, err);
    if (status == WF_OK) status = check_text(m, text, options->n_ctx, &ids, &n_ids, err);
    if (status == WF_OK) status = wf_model_load(m, err);
    model_progress_end(&bar);
    if (status == WF_OK) status = score_text(m, ids, n_ids, options->n_ctx, err);
    wf_free(ids);
    wf_model_close(m);
    free(data);
    return status;
}

int tool_ppl(int argc, char **argv)
{
    static const struct option OPTIONS[] = {
        MODEL_LONG_OPTIONS,
        {"file", required_argument, NULL, 'f'},
        {"ctx", required_argument, NULL, 'c'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    ppl_options options = {.n_ctx = 512};
    int exit_code = -1;
    for (int c; (c = tool_next_option(argc, argv, "f:c:t:", OPTIONS, HELP, &exit_code)) != -1;) {
        switch (c) {
        case 'f': options.file = optarg; break;
        case 'c':
            if (!tool_parse_int(argv[0], "--ctx", optarg, 4, INT32_MAX, &options.n_ctx)) return EXIT_USAGE;
            break;
        default:
            if (!model_option_take(argv[0], c, optarg, &options.model)) return EXIT_USAGE;
        }
    }
    if (exit_code >= 0) return exit_code;
    if (argc - optind != 1) return tool_fail_usage(argv[0], "one MODEL is needed");
    if (!options.file) return tool_fail_usage(argv[0], "-f FILE is needed");
    options.path = argv[optind];
    model_paths paths;
    exit_code = model_paths_find(argv[0], &options.path, &options.model, &paths);
    if (exit_code >= 0) return exit_code;
    wf_error err = {0};
    return run_ppl(&options, &err) == WF_OK ? EXIT_SUCCESS : tool_fail(argv[0], &err);
}
