// welford run: answers a prompt, or chats.
//
//     -p, -f, a pipe     one answer to stdout                        run_once
//     --json             the same, as one JSON object at the end     run_once
//     a terminal         turn after turn until Ctrl-D or /exit       run_chat
//
// Ctrl-C stops the answer. In a chat the program goes on; at the prompt a second Ctrl-C ends it.
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "runtime/cache/cache_folder.h"
#include "tool/answer.h"
#include "tool/interrupt.h"
#include "tool/line.h"
#include "tool/model_options.h"
#include "tool/model_path.h"
#include "tool/trace.h"

enum {
    OPTION_TEMP = OPTION_OWN,
    OPTION_TOP_K,
    OPTION_TOP_P,
    OPTION_MIN_P,
    OPTION_PENALTY,
    OPTION_LAST_N,
    OPTION_IGNORE_END,
    OPTION_SYSTEM,
    OPTION_CHAT_TEMPLATE,
    OPTION_RAW,
    OPTION_JSON,
    OPTION_STATS,
    OPTION_THINK,
    OPTION_PROMPT_CACHE,
    OPTION_PREFIX_CACHE,
    OPTION_DRAFT,
    OPTION_TRACE,
    OPTION_SPECULATE,
    MAX_STOPS = 16,
    EXIT_INTERRUPTED = 128 + SIGINT,
};

typedef struct run_options {
    const char *path, *text, *file, *system, *prompt_cache, *prefix_cache, *trace, *draft;
    int64_t n_max, n_ctx, n_batch;
    bool raw, json, stats, ignore_end, speculate;
    const char *stops[MAX_STOPS];
    size_t n_stops;
    think_mode think;
    wf_sampler_options sampler; // fields that were not given hold NOT_GIVEN
    wf_model_options model;
} run_options;

static const int NOT_GIVEN = -1;

static const char HELP[] =
    "Usage: welford run [OPTIONS] MODEL [PROMPT]\n\n"
    "Answers a prompt, given as PROMPT, with -f or on standard input; on a terminal without one it chats. The prompt\n"
    "goes through the model's chat template, where it has one; special tokens in it stay text. Ctrl-C stops an "
    "answer.\n"
    "Options that llama.cpp has too may be spelled as there: --ctx-size, --batch-size, --system-prompt, ...\n\n"
    "  -m, --model MODEL       the model\n"
    "  -p, --prompt TEXT       the prompt\n"
    "  -f, --file FILE         the prompt is in FILE (- is standard input)\n"
    "      --system TEXT       the system message\n"
    "      --chat-template FILE\n"
    "                          a Jinja template in place of the model's own\n"
    "      --raw               the prompt as it is: no template, special tokens parsed\n"
    "  -n, --n-predict N       stop after N tokens (default, and -1: when the model ends or the context is full)\n"
    "  -r, --stop TEXT         stop before TEXT; may be given more than once\n"
    "      --speculate         guess from what was said before, and evaluate several tokens at once where that pays:\n"
    "                          the same answer, sooner where text is copied or edited\n"
    "      --draft MODEL       guess what a smaller model with the same tokens says, where that pays: the same answer\n"
    "      --ignore-eos        go on when the model ends its answer\n"
    "  -c, --ctx N             tokens that fit in the context (default: what the model was trained for, at most 4096;\n"
    "                          0: what it was trained for)\n"
    "  -b, --batch N           tokens evaluated at a time (default 512)\n"
    "  -s, --seed N            seed of the random draw (default, and -1: a random one; --stats shows it)\n"
    "      --temp X            temperature; 0 always takes the likeliest token\n"
    "      --top-k N           draw from the N likeliest tokens (0: from all)\n"
    "      --top-p X           ... the likeliest that have probability X together (1: all)\n"
    "      --min-p X           ... those at least X times as likely as the likeliest (0: all)\n"
    "      --repeat-penalty X  makes the last tokens less likely (1: no)\n"
    "      --repeat-last-n N   ... how many tokens those are (0: none)\n"
    "                          What is not given comes from the checkpoint (generation_config.json), else is 0.8, 40,\n"
    "                          0.95, 0.05, 1, 64; --stats shows it\n"
    "      --think MODE        the reasoning of models that think first: show (default; dimmed on a terminal), hide, "
    "or\n"
    "                          json: --json with a field of its own for it\n"
    "      --prompt-cache FILE keep the session's tokens, keys and values in FILE, and go on from there the next time\n"
    "      --prefix-cache DIR  keep keys and values in DIR, and find there what was evaluated before, by any run\n"
    "      --json              print one JSON object at the end: prompt_tokens (ids), text, tokens (ids), "
    "finish_reason\n"
    "                          (stop, length, context or interrupted), stats; reasoning with --think json\n"
    "      --trace FILE        write what each thread did when, for chrome://tracing or ui.perfetto.dev\n"
    "      --stats             print speed, memory and what came from the cache to stderr\n" MODEL_OPTIONS_HELP
    "      --help              this text\n";

static const char CHAT_HELP[] = "/reset  start afresh\n"
                                "/exit   leave (or /bye, or Ctrl-D)\n"
                                "/help   this text\n"
                                "Ctrl-C stops an answer.\n";

// ---- a run

typedef struct run_state {
    const run_options *options;
    const char *program;
    wf_model *m, *draft;  // draft NULL: none
    wf_pool *pool;        // of both, where there are two
    wf_model_facts facts; // of it, loaded
    int64_t n_ctx;
    wf_session *s;
    wf_sampler *choose;
    wf_conversation *talk;
    double process_start, first_token; // clock_seconds; first_token 0: none yet
    wf_sampler_options sampling;       // in use
    answer_printer out;
    trace events; // --trace
    bool began;   // this answer
    bool opened;  // the session is there, and as good as what --prompt-cache held
} run_state;

// The clock at the process's start: the time that exec and the dynamic linker took was spent on the CPU.
static double find_process_start(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return clock_seconds() - (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) -
           1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static bool show_token(void *context, int32_t token, const char *text, size_t bytes)
{
    run_state *r = context;
    if (token >= 0 && r->first_token == 0) r->first_token = clock_seconds();
    if (token >= 0 && !r->began) {
        // the session holds the prompt, and nothing more
        if (answer_begin(&r->out, r->m, r->s, NULL) != WF_OK) return false;
        r->began = true;
    }
    if (bytes) answer_write(&r->out, text, bytes);
    return !interrupt_seen() && !r->out.write_error;
}

// What the command line gives, else the checkpoint, else the defaults.
static wf_status choose_sampling(const run_options *o, const wf_model *m, wf_sampler_options *s, wf_error *err)
{
    const wf_sampler_options *given = &o->sampler;
    TRY(wf_sampler_recommended(m, s, err));
    if (given->temperature != NOT_GIVEN) s->temperature = given->temperature;
    if (given->top_k != NOT_GIVEN) s->top_k = given->top_k;
    if (given->top_p != NOT_GIVEN) s->top_p = given->top_p;
    if (given->min_p != NOT_GIVEN) s->min_p = given->min_p;
    if (given->repeat_penalty != NOT_GIVEN) s->repeat_penalty = given->repeat_penalty;
    if (given->repeat_last_n != NOT_GIVEN) s->repeat_last_n = given->repeat_last_n;
    s->seed = given->seed;
    return WF_OK;
}

static void warn_uncached(const run_state *r)
{
    char folder[PATH_MAX];
    if (!cache_folder(folder, sizeof folder)) snprintf(folder, sizeof folder, "%s", "$HOME/.cache");
    fprintf(stderr, "%s: the cache folder %s is full or cannot be written: every start packs the weights again\n",
            r->program, folder);
}

static wf_generate_options make_options(run_state *r)
{
    const run_options *o = r->options;
    return (wf_generate_options){.n_max = o->n_max < 0    ? 0
                                          : o->n_max == 0 ? -1
                                                          : o->n_max,
                                 .stops = o->stops,
                                 .n_stops = o->n_stops,
                                 .ignore_end = o->ignore_end,
                                 .callback = show_token,
                                 .context = r};
}

// A prompt that is too long for the context may fit in a larger one.
static void advise_context(const run_state *r, wf_error *err)
{
    int64_t largest = wf_model_describe(r->m).n_ctx_train;
    wf_error plain = *err;
    if (err->status == WF_ERROR_LIMIT && r->n_ctx < largest)
        error_set(err, plain.status, "%s (--ctx, up to %" PRId64 ")", plain.message, largest);
}

static wf_status check_prompt(run_state *r, view prompt, wf_error *err)
{
    const wf_turn turn = {prompt.data, prompt.len, r->options->raw};
    wf_status status = wf_conversation_check(r->m, r->options->system, &turn, r->n_ctx, err);
    if (status != WF_OK) advise_context(r, err);
    return status;
}

// What the options say of the model's own file is not meant for the draft's.
static wf_status open_draft(run_state *r, const wf_model_options *how, wf_error *err)
{
    wf_model_options options = *how;
    options.weights_from = options.chat_template = options.print_ir_after = NULL;
    options.print_plan = options.print_report = false;
    TRY(wf_model_open(r->options->draft, &options, &r->draft, err));
    return wf_session_check_draft(r->m, r->draft, err);
}

// All that can be refused before the model is compiled and packed. `prompt` is NULL in a chat.
static wf_status check_run(run_state *r, const wf_model_options *how, const view *prompt, wf_error *err)
{
    const run_options *o = r->options;
    TRY(wf_model_open(o->path, how, &r->m, err));
    if (o->draft) TRY(open_draft(r, how, err));
    TRY(choose_sampling(o, r->m, &r->sampling, err));
    TRY(wf_sampler_create(r->m, &r->sampling, &r->choose, err));
    r->n_ctx = o->n_ctx == NOT_GIVEN ? 0 : o->n_ctx == 0 ? wf_model_describe(r->m).n_ctx_train : o->n_ctx;
    TRY(wf_model_check_context(r->m, &r->n_ctx, o->n_batch, err));
    if (o->trace) TRY(file_check_output(o->trace, err));
    if (o->prompt_cache) TRY(file_check_output(o->prompt_cache, err));
    if (o->prefix_cache) TRY(file_make_private_folder(o->prefix_cache, err));
    if (o->prompt_cache) TRY(wf_session_check_file(r->m, r->n_ctx, o->prompt_cache, err));
    if (prompt) return check_prompt(r, *prompt, err);
    return o->raw ? WF_OK : wf_conversation_check(r->m, o->system, NULL, r->n_ctx, err);
}

static wf_status load_run(run_state *r, wf_error *err)
{
    const run_options *o = r->options;
    bool restored;
    TRY(wf_model_load(r->m, err));
    r->facts = wf_model_describe(r->m);
    TRY(wf_session_create(r->m, r->n_ctx, o->n_batch, &r->s, err));
    if (o->trace) trace_session(&r->events, r->s);
    if (o->prefix_cache) TRY(wf_session_keep_prompts(r->s, o->prefix_cache, err));
    if (o->prompt_cache) TRY(wf_session_restore(r->s, o->prompt_cache, &restored, err));
    r->opened = true;
    if (o->speculate) TRY(wf_session_speculate(r->s, true, err));
    if (o->draft) TRY(wf_session_draft(r->s, r->draft, err));
    return wf_conversation_create(r->s, r->choose, o->system, &r->talk, err);
}

static wf_status open_run(run_state *r, const view *prompt, wf_error *err)
{
    const run_options *o = r->options;
    wf_model_options options = o->model;
    model_progress bar;
    double started = clock_seconds();
    model_progress_set(&bar, &options);
    options.defer = true;
    wf_status status = o->draft ? wf_pool_create(options.n_threads, &r->pool, err) : WF_OK;
    options.pool = r->pool;
    if (status == WF_OK) status = check_run(r, &options, prompt, err);
    if (status == WF_OK) status = load_run(r, err);
    model_progress_end(&bar);
    TRY(status);
    tool_warn_model(r->program, r->m);
    if (o->trace) trace_run(&r->events, r->m, started, clock_seconds());
    if (!o->model.no_cache && !r->facts.pack_kept && !cache_has_warned()) warn_uncached(r);
    if (!r->facts.has_chat_template && !o->raw)
        fprintf(stderr, "%s: this model has no chat template: plain completion\n", r->program);
    return WF_OK;
}

static void close_run(run_state *r)
{
    wf_conversation_free(r->talk);
    wf_sampler_free(r->choose);
    wf_session_free(r->s);
    wf_model_close(r->m);
    wf_model_close(r->draft);
    wf_pool_free(r->pool);
    answer_free(&r->out);
    buffer_free(&r->events.events);
}

// What a run leaves behind: --trace, --prompt-cache.
static wf_status write_files(run_state *r, wf_error *err)
{
    const run_options *o = r->options;
    if (o->trace) TRY(trace_write(&r->events, o->trace, err));
    return o->prompt_cache && r->opened ? wf_session_save(r->s, o->prompt_cache, err) : WF_OK;
}

static wf_status answer(run_state *r, view text, wf_answer *out, wf_error *err)
{
    const run_options *o = r->options;
    const wf_turn turn = {text.data, text.len, o->raw};
    const wf_generate_options options = make_options(r);
    const wf_generation *g = &out->generation;
    r->first_token = 0;
    r->began = false;
    double started = clock_seconds();
    wf_status status = wf_conversation_say(r->talk, &turn, &options, out, err);
    if (status != WF_OK) advise_context(r, err);
    if (r->began) answer_end(&r->out);
    if (status == WF_OK && out->text_lost) fprintf(stderr, "%s: %s\n", r->program, CHAT_TEXT_LOST);
    if (o->trace && status == WF_OK) {
        double prefilled = started + g->prefill_seconds;
        trace_phase(&r->events, "prefill", started, prefilled);
        trace_phase(&r->events, "decode", prefilled, clock_seconds());
    }
    if (status == WF_OK && g->finish == WF_FINISH_CONTEXT)
        fprintf(stderr, "%s: the context of %" PRId64 " tokens is full\n", r->program, wf_session_context(r->s));
    return status;
}

// ---- statistics

// Most memory this process has held, in bytes; 0 when the system does not say. (getrusage also counts what the parent
// held when it forked.)
static size_t find_peak_memory(void)
{
    FILE *status = fopen("/proc/self/status", "re");
    char line[256];
    size_t kib = 0;
    while (status && fgets(line, sizeof line, status))
        if (sscanf(line, "VmHWM: %zu kB", &kib) == 1) break;
    if (status) fclose(status);
    return kib * 1024;
}

static double divide(double a, double b) { return b > 0 ? a / b : 0; }

static void print_stats(const run_state *r, const wf_generation *g)
{
    const wf_model_facts *m = &r->facts;
    int64_t evaluated = g->n_prompt - g->n_reused;
    fprintf(stderr,
            "prefill      %" PRId64 " tokens in %.3f s: %.1f tokens/s (%" PRId64 " more were in the KV cache)\n",
            evaluated, g->prefill_seconds, divide((double)evaluated, g->prefill_seconds), g->n_reused);
    fprintf(stderr, "decode       %" PRId64 " tokens in %.3f s: %.1f tokens/s\n", g->n_decoded, g->decode_seconds,
            divide((double)g->n_decoded, g->decode_seconds));
    if (r->options->speculate || r->options->draft)
        fprintf(stderr, "speculation  %" PRId64 " tokens guessed, %" PRId64 " came\n", g->n_guesses, g->n_right);
    if (r->first_token > 0)
        fprintf(stderr, "first token  %.3f s after the start of the process, %.3f s after the prompt\n",
                r->first_token - r->process_start, g->first_token_seconds);
    fprintf(stderr, "memory       %.1f MB at the peak\n", (double)find_peak_memory() / 1e6);
    if (m->program_cached)
        fputs("program      from the cache\n", stderr);
    else
        fprintf(stderr, "program      compiled in %.2f s\n", m->compile_seconds);
    if (m->pack_cached)
        fputs("weights      from the cache\n", stderr);
    else
        fprintf(stderr, "weights      packed in %.2f s\n", m->pack_seconds);
    fprintf(stderr, "threads      %d\n", m->n_threads);
    fputs("sampling     ", stderr);
    print_sampling(stderr, &r->sampling);
    fprintf(stderr, ", seed %" PRIu64 "\n", wf_sampler_seed(r->choose));
}

static json_t *describe_stats(const run_state *r, const wf_generation *g)
{
    const wf_model_facts *m = &r->facts;
    double first_token = r->first_token > 0 ? r->first_token - r->process_start : g->first_token_seconds;
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:I, s:b, s:b, s:f, s:f, s:i, s:I}", "n_guesses",
                     (json_int_t)g->n_guesses, "n_right", (json_int_t)g->n_right, "n_prompt", (json_int_t)g->n_prompt,
                     "n_reused", (json_int_t)g->n_reused, "n_generated", (json_int_t)g->n_generated, "n_decoded",
                     (json_int_t)g->n_decoded, "prefill_seconds", g->prefill_seconds, "decode_seconds",
                     g->decode_seconds, "first_token_seconds", first_token, "peak_bytes",
                     (json_int_t)find_peak_memory(), "program_cached", m->program_cached, "pack_cached", m->pack_cached,
                     "compile_seconds", m->compile_seconds, "pack_seconds", m->pack_seconds, "threads", m->n_threads,
                     "seed", (json_int_t)wf_sampler_seed(r->choose));
}

static json_t *describe_ids(const int32_t *ids, int64_t n)
{
    json_t *array = json_array();
    for (int64_t i = 0; i < n; i++) json_array_append_new(array, json_integer(ids[i]));
    return array;
}

static void print_json(run_state *r, const wf_answer *answer)
{
    const wf_generation *g = &answer->generation;
    int64_t n_prompt = wf_session_past(r->s) < g->n_prompt ? wf_session_past(r->s) : g->n_prompt; // interrupted
    json_t *object = json_pack("{s:o, s:s%, s:o, s:s, s:o}", "prompt_tokens",
                               describe_ids(wf_session_tokens(r->s), n_prompt), "text", buffer_view(&r->out.text).data,
                               r->out.text.len, "tokens", describe_ids(answer->ids, (int64_t)answer->n_ids),
                               "finish_reason", wf_finish_name(g->finish), "stats", describe_stats(r, g));
    if (r->out.think == THINK_JSON)
        json_object_set_new(object, "reasoning",
                            json_stringn(buffer_view(&r->out.reasoning).data, r->out.reasoning.len));
    json_dumpf(object, stdout, JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(object);
}

// ---- one answer

static wf_status run_once(run_state *r, wf_error *err)
{
    char *data;
    view prompt;
    wf_answer out = {0};
    TRY(read_prompt(r->options->text, r->options->file, r->options->raw, &data, &prompt, err));
    wf_status status = open_run(r, &prompt, err);
    if (status == WF_OK) {
        interrupt_catch();
        status = answer(r, prompt, &out, err);
    }
    if (status == WF_OK) status = write_files(r, err);
    if (status == WF_OK && r->options->json) print_json(r, &out);
    if (status == WF_OK && r->options->stats) print_stats(r, &out.generation);
    wf_free(out.ids);
    free(data);
    return status;
}

// ---- a chat

static void say(run_state *r, view text)
{
    wf_answer out;
    wf_error err = {0};
    if (answer(r, text, &out, &err) != WF_OK) {
        fprintf(stderr, "%s: %s\n", r->program, err.message);
        if (err.status == WF_ERROR_LIMIT) fprintf(stderr, "/reset starts afresh.\n");
    } else if (r->options->stats) {
        print_stats(r, &out.generation);
    }
    wf_free(out.ids);
}

static wf_status run_chat(run_state *r, wf_error *err)
{
    TRY(open_run(r, NULL, err));
    interrupt_catch();
    line_reader *reader = line_reader_create("welford", interrupt_fd());
    if (!reader) return error_memory(err, 0);
    fprintf(stderr, "/help shows the commands, Ctrl-D ends.\n");
    bool again = false; // the last thing was a Ctrl-C at the prompt
    while (!r->out.write_error) {
        view line;
        interrupt_forget(); // and not later: a Ctrl-C just after the line stops its answer
        line_result result = line_read(reader, &line);
        if (result == LINE_END || (result == LINE_INTERRUPTED && again)) break;
        again = result == LINE_INTERRUPTED;
        if (again)
            fprintf(stderr, "\nCtrl-C again, or Ctrl-D, ends.\n");
        else if (view_is(line, "/exit") || view_is(line, "/bye"))
            break;
        else if (view_is(line, "/help"))
            fputs(CHAT_HELP, stderr);
        else if (view_is(line, "/reset"))
            wf_conversation_reset(r->talk);
        else if (line.len)
            say(r, line);
    }
    line_reader_free(reader);
    return write_files(r, err);
}

// ---- the verb

static bool take_think(const char *value, think_mode *mode)
{
    static const char *const NAMES[] = {[THINK_SHOW] = "show", [THINK_HIDE] = "hide", [THINK_JSON] = "json"};
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        if (strcmp(value, NAMES[i])) continue;
        *mode = (think_mode)i;
        return true;
    }
    return false;
}

static bool take_stop(const char *verb, const char *value, run_options *o)
{
    if (!*value) return tool_fail_usage(verb, "--stop: the text is empty"), false;
    if (o->n_stops == MAX_STOPS) return tool_fail_usage(verb, "--stop: at most %d are possible", MAX_STOPS), false;
    o->stops[o->n_stops++] = value;
    return true;
}

static bool take_option(const char *verb, int c, const char *value, run_options *o)
{
    int64_t seed;
    switch (c) {
    case 'm': o->path = value; return true;
    case 'p': o->text = value; return true;
    case 'f': o->file = value; return true;
    case 'n': return tool_parse_int(verb, "--n-predict", value, -1, INT32_MAX, &o->n_max);
    case 'c': return tool_parse_int(verb, "--ctx", value, 0, INT32_MAX, &o->n_ctx);
    case 'b': return tool_parse_int(verb, "--batch", value, 1, INT32_MAX, &o->n_batch);
    case 's':
        if (!tool_parse_int(verb, "--seed", value, -1, INT64_MAX, &seed)) return false;
        o->sampler.seed = (uint64_t)seed; // -1 is WF_SEED_RANDOM
        return true;
    case OPTION_TEMP: return tool_parse_float(verb, "--temp", value, 0, 1e6, &o->sampler.temperature);
    case OPTION_TOP_K: return tool_parse_int(verb, "--top-k", value, 0, INT32_MAX, &o->sampler.top_k);
    case OPTION_TOP_P: return tool_parse_float(verb, "--top-p", value, 0, 1, &o->sampler.top_p);
    case OPTION_MIN_P: return tool_parse_float(verb, "--min-p", value, 0, 1, &o->sampler.min_p);
    case OPTION_PENALTY:
        return tool_parse_float(verb, "--repeat-penalty", value, 0.01, 100, &o->sampler.repeat_penalty);
    case OPTION_LAST_N: return tool_parse_int(verb, "--repeat-last-n", value, 0, INT32_MAX, &o->sampler.repeat_last_n);
    case 'r': return take_stop(verb, value, o);
    case OPTION_IGNORE_END: o->ignore_end = true; return true;
    case OPTION_SYSTEM: o->system = value; return true;
    case OPTION_CHAT_TEMPLATE: o->model.chat_template = value; return true;
    case OPTION_RAW: o->raw = true; return true;
    case OPTION_JSON: o->json = true; return true;
    case OPTION_STATS: o->stats = true; return true;
    case OPTION_PROMPT_CACHE: o->prompt_cache = value; return true;
    case OPTION_DRAFT: o->draft = value; return true;
    case OPTION_PREFIX_CACHE: o->prefix_cache = value; return true;
    case OPTION_TRACE: o->trace = value; return true;
    case OPTION_SPECULATE: o->speculate = true; return true;
    case OPTION_THINK:
        if (!take_think(value, &o->think)) {
            tool_fail_usage(verb, "--think: '%s' is none of show, hide, json", value);
            return false;
        }
        if (o->think == THINK_JSON) o->json = true;
        return true;
    default: return model_option_take(verb, c, value, &o->model);
    }
}

int tool_run(int argc, char **argv)
{
    static const struct option OPTIONS[] = {
        MODEL_LONG_OPTIONS,
        {"model", required_argument, NULL, 'm'},
        {"prompt", required_argument, NULL, 'p'},
        {"file", required_argument, NULL, 'f'},
        {"n-predict", required_argument, NULL, 'n'},
        {"ctx", required_argument, NULL, 'c'},
        {"ctx-size", required_argument, NULL, 'c'},
        {"batch", required_argument, NULL, 'b'},
        {"batch-size", required_argument, NULL, 'b'},
        {"seed", required_argument, NULL, 's'},
        {"temp", required_argument, NULL, OPTION_TEMP},
        {"temperature", required_argument, NULL, OPTION_TEMP},
        {"top-k", required_argument, NULL, OPTION_TOP_K},
        {"top-p", required_argument, NULL, OPTION_TOP_P},
        {"min-p", required_argument, NULL, OPTION_MIN_P},
        {"repeat-penalty", required_argument, NULL, OPTION_PENALTY},
        {"repeat-last-n", required_argument, NULL, OPTION_LAST_N},
        {"stop", required_argument, NULL, 'r'},
        {"reverse-prompt", required_argument, NULL, 'r'},
        {"ignore-eos", no_argument, NULL, OPTION_IGNORE_END},
        {"system", required_argument, NULL, OPTION_SYSTEM},
        {"system-prompt", required_argument, NULL, OPTION_SYSTEM},
        {"chat-template", required_argument, NULL, OPTION_CHAT_TEMPLATE},
        {"chat-template-file", required_argument, NULL, OPTION_CHAT_TEMPLATE},
        {"raw", no_argument, NULL, OPTION_RAW},
        {"json", no_argument, NULL, OPTION_JSON},
        {"stats", no_argument, NULL, OPTION_STATS},
        {"think", required_argument, NULL, OPTION_THINK},
        {"prompt-cache", required_argument, NULL, OPTION_PROMPT_CACHE},
        {"prefix-cache", required_argument, NULL, OPTION_PREFIX_CACHE},
        {"draft", required_argument, NULL, OPTION_DRAFT},
        {"trace", required_argument, NULL, OPTION_TRACE},
        {"speculate", no_argument, NULL, OPTION_SPECULATE},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    run_options options = {.n_max = -1,
                           .n_ctx = NOT_GIVEN,
                           .sampler = {.repeat_penalty = NOT_GIVEN,
                                       .repeat_last_n = NOT_GIVEN,
                                       .top_k = NOT_GIVEN,
                                       .top_p = NOT_GIVEN,
                                       .min_p = NOT_GIVEN,
                                       .temperature = NOT_GIVEN,
                                       .seed = WF_SEED_RANDOM}};
    run_state r = {.options = &options, .program = argv[0], .process_start = find_process_start()};
    int exit_code = -1;
    for (int c; (c = tool_next_option(argc, argv, "m:p:f:n:r:c:b:s:t:", OPTIONS, HELP, &exit_code)) != -1;) {
        if (!take_option(argv[0], c, optarg, &options)) return EXIT_USAGE;
    }
    if (exit_code >= 0) return exit_code;
    if (!options.path && optind < argc) options.path = argv[optind++];
    if (!options.path) return tool_fail_usage(argv[0], "one MODEL is needed");
    if (!options.text && optind < argc) options.text = argv[optind++];
    if (optind < argc)
        return tool_fail_usage(argv[0], "'%s' is one argument too many: a PROMPT of several words needs quotes",
                               argv[optind]);
    if (options.text && options.file) return tool_fail_usage(argv[0], "a prompt and -f exclude each other");
    if (options.raw && options.system) return tool_fail_usage(argv[0], "--raw and --system exclude each other");
    model_paths paths;
    char draft_path[PATH_MAX];
    exit_code = model_paths_find(argv[0], &options.path, &options.model, &paths);
    if (exit_code < 0 && options.draft) exit_code = model_path_find(argv[0], &options.draft, draft_path);
    if (exit_code >= 0) return exit_code;
    r.events.origin = r.process_start;
    r.out = (answer_printer){.think = options.think, .keeps = options.json, .dims = tool_wants_colour(stdout)};

    wf_error err = {0};
    bool chats = !options.text && !options.file && !options.json && isatty(STDIN_FILENO);
    wf_status status = chats ? run_chat(&r, &err) : run_once(&r, &err);
    close_run(&r);
    if (r.out.write_error == EPIPE) return EXIT_FAILURE; // the reader has gone: quietly
    if (r.out.write_error)
        error_set(&err, status = WF_ERROR_IO, "cannot write the answer: %s", strerror(r.out.write_error));
    if (status != WF_OK) return tool_fail(argv[0], &err);
    return interrupt_seen() && !chats ? EXIT_INTERRUPTED : EXIT_SUCCESS;
}
