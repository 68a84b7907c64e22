// welford bench: tokens a second of prefill and decode, apart. Only evaluation is timed: no tokenizer, no sampler.
//
// A test is "pp512" (a prompt of 512 tokens, logits of the last), "tg64" (64 tokens one by one, logits of each), or one
// of these "@ d1024": with 1024 tokens in the cache before. Each is run once to warm up, then `repeats` times.
#include <inttypes.h>
#include <math.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/file.h"
#include "tool/bench.h"
#include "tool/model_path.h"

enum { OPTION_ABLATE = OPTION_OWN, OPTION_PROFILE, OPTION_TRACE, OPTION_BATCH };

static const char HELP[] =
    "Usage: welford bench [OPTIONS] MODEL\n\n"
    "Measures prefill and decode apart, in tokens a second: mean and standard deviation. LISTs "
    "are numbers separated by\n"
    "commas.\n\n"
    "  -m, --model MODEL       the model\n"
    "  -p, --n-prompt LIST     tokens of a prompt (default 512; 0: no such test)\n"
    "  -n, --n-gen LIST        tokens generated one by one (default 64; 0: no such test)\n"
    "  -d, --n-depth LIST      tokens in the cache before each test (default 0)\n"
    "  -b, --batch-size N      tokens evaluated at a time (default 512)\n"
    "  -r, --repetitions N     runs of each test after the one to warm up (default 5)\n"
    "  -o, --output FORMAT     md (default), json or csv\n"
    "      --ablate            each fusion off in turn, as ratio to all on: median over the repetitions ± half the\n"
    "                          distance of the quartiles; the first of each LIST counts\n"
    "      --batch LIST        that many sequences decoded at once, as ratio to the first of LIST, with the arithmetic "
    "a\n"
    "                          second beside that of prefill; the first of each other LIST counts\n"
    "      --profile           the time of each test by kernel, beside what this CPU can do\n"
    "      --trace FILE        write what each thread did when, for chrome://tracing or "
    "ui.perfetto.dev\n" MODEL_OPTIONS_HELP "                          (--threads takes a LIST too)\n"
    "      --help              this text\n";

static bool parse_list(const char *verb, const char *option, char *text, int64_t min, int64_t max, int_list *list)
{
    list->count = 0;
    for (char *item = text; item;) {
        char *comma = strchr(item, ',');
        if (comma) *comma = 0;
        if (list->count == MAX_LIST) {
            tool_fail_usage(verb, "%s: more than %d numbers", option, MAX_LIST);
            return false;
        }
        if (!tool_parse_int(verb, option, item, min, max, &list->items[list->count++])) return false;
        item = comma ? comma + 1 : NULL;
    }
    return true;
}

// ---- measuring

void bench_fill_tokens(int32_t *tokens, int64_t n, int64_t n_vocab)
{
    uint64_t x = 1;
    for (int64_t i = 0; i < n; i++) {
        x = x * 6364136223846793005 + 1442695040888963407;
        tokens[i] = (int32_t)((x >> 33) % (uint64_t)n_vocab);
    }
}

wf_status bench_run_once(session *s, const bench_test *test, const int32_t *tokens, double *seconds, wf_error *err)
{
    TRY(session_truncate(s, test->n_depth, err));
    double start = clock_seconds();
    if (test->n_prompt) TRY(session_eval(s, tokens, test->n_prompt, test->n_prompt - 1, err));
    for (int64_t i = 0; i < test->n_gen; i++) TRY(session_eval(s, tokens + i, 1, 0, err));
    *seconds = clock_seconds() - start;
    return WF_OK;
}

void bench_summarise(bench_test *test)
{
    double n = (double)test->n_samples, sum = 0, squares = 0;
    for (int64_t i = 0; i < test->n_samples; i++) sum += test->samples[i];
    test->mean = sum / n;
    for (int64_t i = 0; i < test->n_samples; i++) {
        double d = test->samples[i] - test->mean;
        squares += d * d;
    }
    test->deviation = n > 1 ? sqrt(squares / (n - 1)) : 0;
}

static wf_status measure(const compiled_model *m, thread_pool *pool, const bench_options *options, bench_test *test,
                         wf_error *err)
{
    session *s = NULL;
    int64_t n = test->n_prompt + test->n_gen, longest = n > test->n_depth ? n : test->n_depth;
    int32_t *tokens = calloc((size_t)longest, sizeof *tokens);
    if (!tokens) return error_memory(err, (size_t)longest * sizeof *tokens);
    bench_fill_tokens(tokens, longest, m->executable.program.n_vocab);
    wf_status status;
    TRY_GOTO(session_create(m, pool, test->n_depth + n, options->n_batch, &s, err), done);
    if (test->n_depth) TRY_GOTO(session_eval(s, tokens, test->n_depth, test->n_depth, err), done);
    double seconds;
    TRY_GOTO(bench_run_once(s, test, tokens, &seconds, err), done); // to warm up
    if (options->trace_path) session_observe(s, trace_observe, options->events);
    for (test->n_samples = 0; test->n_samples < options->repeats; test->n_samples++) {
        double started = clock_seconds();
        TRY_GOTO(bench_run_once(s, test, tokens, &seconds, err), done);
        if (options->trace_path)
            trace_phase(options->events, n == test->n_prompt ? "prefill" : "decode", started, clock_seconds());
        test->samples[test->n_samples] = (double)n / seconds;
    }
    bench_summarise(test);
done:
    session_free(s);
    free(tokens);
    return status;
}

// ---- opening

int64_t bench_longest(const bench_options *options)
{
    const int_list *lists[] = {&options->depths, &options->prompts, &options->answers};
    int64_t most[3] = {0};
    for (int l = 0; l < 3; l++)
        for (int i = 0; i < lists[l]->count; i++)
            if (lists[l]->items[i] > most[l]) most[l] = lists[l]->items[i];
    return most[0] + (most[1] > most[2] ? most[1] : most[2]);
}

wf_status bench_open(const bench_options *options, const wf_model_options *how, int64_t n_ctx, thread_pool *pool,
                     compiled_model **m, wf_error *err)
{
    if (options->trace_path) TRY(file_check_output(options->trace_path, err));
    TRY(compiled_model_open(options->path, how, m, err));
    engine_options o = {.n_ctx = n_ctx, .n_batch = options->n_batch};
    TRY(engine_check_sizes(&(*m)->sizes, &o, err));
    return compiled_model_load(*m, pool, err);
}

// ---- printing

typedef struct bench_report {
    const compiled_model *m;
    bench_format format;
    char name[128]; // model, with the type that most of its bytes have
    int width;      // of the column of models
    size_t file_bytes;
    int64_t n_parameters;
    json_t *tests; // array; FORMAT_JSON only
} bench_report;

static const char *main_type(const checkpoint *file)
{
    size_t bytes[64] = {0}, best = 0;
    for (size_t i = 0; i < checkpoint_tensor_count(file); i++) {
        const checkpoint_tensor *t = checkpoint_tensor_at(file, i);
        if ((size_t)t->type >= sizeof bytes / sizeof *bytes) continue;
        bytes[t->type] += t->bytes;
        if (bytes[t->type] > bytes[best]) best = t->type;
    }
    const tensor_layout *layout = tensor_type_layout((uint32_t)best);
    return layout ? layout->name : "?";
}

static void describe(bench_report *report)
{
    const program *p = &report->m->executable.program;
    report->file_bytes = compiled_model_file_bytes(report->m);
    report->n_parameters = model_count_parameters(report->m->file);
    const char *name = p->name && *p->name ? p->name : p->architecture;
    snprintf(report->name, sizeof report->name, "%s %s", name, main_type(report->m->file));
    for (char *c = report->name; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == '|' || *c == '"' || *c == 0x7f) *c = '?'; // it stands in tables
    int length = (int)strlen(report->name);
    report->width = length > 5 ? length : 5;
}

static void print_head(const bench_report *report)
{
    static const char dashes[] = "--------------------------------------------------------------------------------"
                                 "--------------------------------------------------------------------------------";
    if (report->format == FORMAT_MD)
        printf("| %-*s | %10s | %10s | %7s | %15s | %18s |\n| %-*.*s | %.9s: | %.9s: | %.6s: | %.14s: | %.17s: |\n",
               report->width, "model", "size", "params", "threads", "test", "t/s", report->width, report->width, dashes,
               dashes, dashes, dashes, dashes, dashes);
    else if (report->format == FORMAT_CSV)
        puts("model,size_bytes,n_params,threads,kv_type,n_prompt,n_gen,n_depth,avg_ts,stddev_ts");
    fflush(stdout);
}

static void print_markdown(const bench_report *r, const bench_test *test)
{
    char size[32], count[32], name[64], speed[64];
    double parameters = (double)r->n_parameters, mib = (double)r->file_bytes / (1 << 20);
    snprintf(size, sizeof size, mib < 1024 ? "%.2f MiB" : "%.2f GiB", mib < 1024 ? mib : mib / 1024);
    snprintf(count, sizeof count, parameters < 1e9 ? "%.2f M" : "%.2f B", parameters / (parameters < 1e9 ? 1e6 : 1e9));
    int n = snprintf(name, sizeof name, test->n_prompt ? "pp%" PRId64 : "tg%" PRId64, test->n_prompt + test->n_gen);
    if (test->n_depth) snprintf(name + n, sizeof name - (size_t)n, " @ d%" PRId64, test->n_depth);
    snprintf(speed, sizeof speed, "%.2f ± %.2f", test->mean, test->deviation);
    printf("| %-*s | %10s | %10s | %7d | %15s | %19s |\n", r->width, r->name, size, count, test->n_threads, name,
           speed);
}

static void print_test(const bench_report *r, const bench_test *test)
{
    const char *kv_name = kv_type_name(r->m->executable.program.kv.type);
    if (r->format == FORMAT_MD) {
        print_markdown(r, test);
    } else if (r->format == FORMAT_CSV) {
        printf("\"%s\",%zu,%" PRId64 ",%d,%s,%" PRId64 ",%" PRId64 ",%" PRId64 ",%.6f,%.6f\n", r->name, r->file_bytes,
               r->n_parameters, test->n_threads, kv_name, test->n_prompt, test->n_gen, test->n_depth, test->mean,
               test->deviation);
    } else {
        json_t *samples = json_array();
        for (int64_t i = 0; i < test->n_samples; i++) json_array_append_new(samples, json_real(test->samples[i]));
        json_array_append_new(
            r->tests, json_pack("{s:s, s:I, s:I, s:i, s:s, s:I, s:I, s:I, s:f, s:f, s:o}", "model", r->name,
                                "size_bytes", (json_int_t)r->file_bytes, "n_params", (json_int_t)r->n_parameters,
                                "threads", test->n_threads, "kv_type", kv_name, "n_prompt", (json_int_t)test->n_prompt,
                                "n_gen", (json_int_t)test->n_gen, "n_depth", (json_int_t)test->n_depth, "avg_ts",
                                test->mean, "stddev_ts", test->deviation, "samples_ts", samples));
    }
    fflush(stdout);
}

// ---- the verb

static wf_status run_tests(const bench_report *report, const bench_options *options, int n_threads, wf_error *err)
{
    thread_pool *pool;
    bench_test *test = calloc(1, sizeof *test);
    if (!test) return error_memory(err, sizeof *test);
    wf_status status = model_create_pool(n_threads, &pool, err);
    if (status != WF_OK) {
        free(test);
        return status;
    }
    const int_list *lists[] = {&options->prompts, &options->answers};
    for (int d = 0; d < options->depths.count && status == WF_OK; d++) {
        for (int kind = 0; kind < 2; kind++) {
            for (int i = 0; i < lists[kind]->count && status == WF_OK; i++) {
                int64_t n = lists[kind]->items[i];
                if (n == 0) continue;
                *test = (bench_test){.n_depth = options->depths.items[d], .n_threads = thread_pool_size(pool)};
                *(kind ? &test->n_gen : &test->n_prompt) = n;
                status = measure(report->m, pool, options, test, err);
                if (status == WF_OK) print_test(report, test);
            }
        }
    }
    thread_pool_free(pool);
    free(test);
    return status;
}

static wf_status run_bench(bench_options *options, wf_error *err)
{
    thread_pool *pool = NULL;
    bench_report report = {.format = options->format};
    compiled_model *m = NULL;
    model_progress bar;
    wf_status status;
    TRY_GOTO(model_create_pool(0, &pool, err), done);
    model_progress_set(&bar, &options->model);
    status = bench_open(options, &options->model, bench_longest(options), pool, &m, err);
    model_progress_end(&bar);
    if (status != WF_OK) goto done;
    if (options->trace_path) trace_model(options->events, m, options->events->origin, clock_seconds());
    report.m = m;
    describe(&report);
    report.tests = json_array();
    print_head(&report);
    for (int i = 0; i < options->threads.count && status == WF_OK; i++)
        status = run_tests(&report, options, (int)options->threads.items[i], err);
    if (status == WF_OK && options->trace_path) status = trace_write(options->events, options->trace_path, err);
    if (status == WF_OK && options->format == FORMAT_JSON) {
        json_dumpf(report.tests, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
        putchar('\n');
    }
done:
    json_decref(report.tests);
    if (m) compiled_model_close(m);
    if (pool) thread_pool_free(pool);
    return status;
}

static bool parse_format(const char *verb, const char *text, bench_format *format)
{
    static const char *const NAMES[] = {[FORMAT_MD] = "md", [FORMAT_JSON] = "json", [FORMAT_CSV] = "csv"};
    for (int i = 0; i < 3; i++) {
        if (strcmp(text, NAMES[i])) continue;
        *format = (bench_format)i;
        return true;
    }
    tool_fail_usage(verb, "--output: '%s' is not md, json or csv", text);
    return false;
}

static int count_tests(const int_list *list)
{
    int count = 0;
    for (int i = 0; i < list->count; i++) count += list->items[i] > 0;
    return count;
}

int tool_bench(int argc, char **argv)
{
    static const struct option OPTIONS[] = {
        MODEL_LONG_OPTIONS,
        {"model", required_argument, NULL, 'm'},
        {"n-prompt", required_argument, NULL, 'p'},
        {"n-gen", required_argument, NULL, 'n'},
        {"n-depth", required_argument, NULL, 'd'},
        {"batch", required_argument, NULL, OPTION_BATCH},
        {"batch-size", required_argument, NULL, 'b'},
        {"repetitions", required_argument, NULL, 'r'},
        {"output", required_argument, NULL, 'o'},
        {"ablate", no_argument, NULL, OPTION_ABLATE},
        {"profile", no_argument, NULL, OPTION_PROFILE},
        {"trace", required_argument, NULL, OPTION_TRACE},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    const char *verb = argv[0];
    bench_options o = {
        .prompts = {{512}, 1}, .answers = {{64}, 1}, .depths = {{0}, 1}, .threads = {{0}, 1}, .repeats = 5};
    int exit_code = -1;
    for (int c; (c = tool_next_option(argc, argv, "m:p:n:d:b:r:o:t:", OPTIONS, HELP, &exit_code)) != -1;) {
        bool good = true;
        switch (c) {
        case 'p': good = parse_list(verb, "--n-prompt", optarg, 0, INT32_MAX, &o.prompts); break;
        case 'n': good = parse_list(verb, "--n-gen", optarg, 0, INT32_MAX, &o.answers); break;
        case 'd': good = parse_list(verb, "--n-depth", optarg, 0, INT32_MAX, &o.depths); break;
        case 't': good = parse_list(verb, "--threads", optarg, 1, MAX_THREADS, &o.threads); break;
        case 'b': good = tool_parse_int(verb, "--batch-size", optarg, 1, INT32_MAX, &o.n_batch); break;
        case 'r': good = tool_parse_int(verb, "--repetitions", optarg, 1, MAX_REPEATS, &o.repeats); break;
        case 'o': good = parse_format(verb, optarg, &o.format); break;
        case 'm': o.path = optarg; break;
        case OPTION_BATCH: good = parse_list(verb, "--batch", optarg, 1, 4096, &o.widths); break;
        case OPTION_ABLATE: o.ablate = true; break;
        case OPTION_PROFILE: o.profile = true; break;
        case OPTION_TRACE: o.trace_path = optarg; break;
        default: good = model_option_take(verb, c, optarg, &o.model);
        }
        if (!good) return EXIT_USAGE;
    }
    if (exit_code >= 0) return exit_code;
    if (!o.path && optind < argc) o.path = argv[optind++];
    if (!o.path || optind != argc) return tool_fail_usage(verb, "one MODEL is needed");
    if (count_tests(&o.prompts) + count_tests(&o.answers) == 0)
        return tool_fail_usage(verb, "-p and -n are both 0: there is nothing to measure");
    trace events = {.origin = clock_seconds()};
    o.events = &events;
    wf_error err = {0};
    if (o.trace_path && (o.ablate || o.profile))
        return tool_fail_usage(verb, "--trace does not go with --ablate or --profile");
    if (o.ablate && (o.format != FORMAT_MD || o.model.fuse || o.model.no_fuse))
        return tool_fail_usage(verb, "--ablate prints a table of its own: no --output, --fuse or --no-fuse with it");
    if (o.profile && (o.ablate || o.format == FORMAT_CSV))
        return tool_fail_usage(verb, "--profile prints a table of its own, or JSON: no --ablate or csv with it");
    if (o.widths.count && (o.ablate || o.profile || o.trace_path || o.format != FORMAT_MD))
        return tool_fail_usage(verb, "--batch prints a table of its own: no --ablate, --profile, --trace or --output");
    if (o.widths.count && (!o.prompts.items[0] || !o.answers.items[0]))
        return tool_fail_usage(verb, "--batch needs a prompt and an answer: -p and -n");
    model_paths paths;
    exit_code = model_paths_find(verb, &o.path, &o.model, &paths);
    if (exit_code >= 0) return exit_code;
    wf_status status = o.ablate         ? bench_ablate(&o, &err)
                       : o.profile      ? bench_profile(&o, &err)
                       : o.widths.count ? bench_batch(&o, &err)
                                        : run_bench(&o, &err);
    buffer_free(&events.events);
    return status == WF_OK ? EXIT_SUCCESS : tool_fail(verb, &err);
}
