// welford ppl: perplexity of a text, by the definition of llama.cpp's llama-perplexity.
//
// The text's tokens are cut into chunks of n_ctx; what is left over is not used. Each chunk is evaluated by itself, its
// first token replaced by BOS where the model wants one. Scored are the predictions at positions n_ctx/2 .. n_ctx - 2:
//
//     nll = -sum over scored positions j of log softmax(logits[j])[token[j + 1]],   PPL = exp(nll / n_scored)
#include <inttypes.h>
#include <math.h>

#include "session/model.h"
#include "session/session.h"
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

// Negative log-likelihood of rows of logits, shared out to the threads of a pool.
typedef struct score_job {
    const session *s;
    const int32_t *next; // [n_rows] the token that follows each
    int64_t n_rows, n_vocab;
    int n_threads;
    double *nll; // [n_rows]
} score_job;

static double score_row(const float *logits, int64_t n_vocab, int32_t token)
{
    double max = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n_vocab; i++) max = logits[i] > max ? logits[i] : max;
    for (int64_t i = 0; i < n_vocab; i++) sum += exp(logits[i] - max);
    return log(sum) + max - logits[token];
}

static void score_rows(void *context, int thread)
{
    const score_job *job = context;
    for (int64_t row = thread; row < job->n_rows; row += job->n_threads)
        job->nll[row] = score_row(session_logits(job->s, row), job->n_vocab, job->next[row]);
}

typedef struct totals {
    double nll, nll_squared;
    int64_t count;
} totals;

// Evaluates and scores one chunk; tokens[0] is BOS already.
static wf_status score_chunk(session *s, thread_pool *pool, const int32_t *tokens, int64_t n_ctx, double *nll,
                             totals *sum, wf_error *err)
{
    int64_t first = n_ctx / 2, last = n_ctx - 1; // positions [first, last) are scored
    int64_t n_vocab = session_vocabulary(s), part = LOGITS_BYTES / (4 * n_vocab);
    if (part < 1) part = 1;
    TRY(session_truncate(s, 0, err));
    if (first > 0) TRY(session_eval(s, tokens, first, first, err));
    for (int64_t begin = first; begin < last; begin += part) {
        int64_t n = last - begin < part ? last - begin : part;
        TRY(session_eval(s, tokens + begin, n, 0, err));
        score_job job = {s, tokens + begin + 1, n, n_vocab, thread_pool_size(pool), nll};
        thread_pool_run(pool, score_rows, &job);
        for (int64_t i = 0; i < n; i++) {
            sum->nll += nll[i];
            sum->nll_squared += nll[i] * nll[i];
        }
        sum->count += n;
    }
    return WF_OK;
}

// All that can be refused before the model is compiled and packed.
static wf_status check_text(const wf_model *m, view text, int64_t n_ctx, token_list *ids, wf_error *err)
{
    TRY(engine_check_sizes(&m->compiled->sizes, &n_ctx, 0, err));
    TRY(model_encode(m, text, false, ids, err));
    if ((int64_t)ids->count / n_ctx >= 2) return WF_OK;
    return error_set(err, WF_ERROR_USAGE, "the text has %zu tokens: at least two chunks of %" PRId64 " are needed",
                     ids->count, n_ctx);
}

static wf_status score_text(const wf_model *m, const token_list *ids, int64_t n_ctx, wf_error *err)
{
    int64_t n_chunks = (int64_t)ids->count / n_ctx;
    session *s;
    TRY(session_create(m->compiled, m->pool, n_ctx, 0, &s, err));
    double *nll = calloc((size_t)n_ctx, sizeof *nll);
    wf_status status = nll ? WF_OK : error_memory(err, (size_t)n_ctx * sizeof *nll);
    totals sum = {0};
    for (int64_t i = 0; i < n_chunks && status == WF_OK; i++) {
        int32_t *tokens = ids->ids + i * n_ctx;
        int32_t kept = tokens[0];
        if (tokenizer_add_bos(m->t)) tokens[0] = tokenizer_bos(m->t);
        status = score_chunk(s, m->pool, tokens, n_ctx, nll, &sum, err);
        tokens[0] = kept;
        if (status == WF_OK)
            fprintf(stderr, "[%" PRId64 "]%.4f%s", i + 1, exp(sum.nll / (double)sum.count),
                    i + 1 < n_chunks ? "," : "\n");
    }
    free(nll);
    session_free(s);
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
    token_list ids = {0};
    model_progress bar;
    TRY(read_prompt(NULL, options->file, false, &data, &text, err));
    model_progress_set(&bar, &options->model);
    wf_status status = model_open(options->path, &options->model, &m, err);
    if (status == WF_OK) status = check_text(m, text, options->n_ctx, &ids, err);
    if (status == WF_OK) status = model_load(m, err);
    model_progress_end(&bar);
    if (status == WF_OK) status = score_text(m, &ids, options->n_ctx, err);
    token_list_free(&ids);
    model_close(m);
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
