#include "server/metrics.h"

#include <inttypes.h>

#include "server/http.h"

// Seconds: 1, 2, 5 a decade.
static const double BOUNDS[METRICS_BUCKETS] = {0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02,
                                               0.05,   0.1,    0.2,    0.5,   1,     2,     5,    10,
                                               20,     50,     100,    200,   500,   1000};

static void observe(histogram *h, double seconds, uint64_t times)
{
    size_t i = 0;
    while (i < METRICS_BUCKETS && seconds > BOUNDS[i]) i++;
    h->counts[i] += times;
    h->sum += seconds * (double)times;
}

void metrics_add(metrics *m, const wf_generation *g, double seconds)
{
    m->by_finish[g->finish]++;
    if (g->finish == WF_FINISH_CALLBACK || g->finish == WF_FINISH_ERROR) return;
    observe(&m->queued, g->queued_seconds, 1);
    observe(&m->prefill, g->prefill_seconds, 1);
    observe(&m->decode, g->decode_seconds, 1);
    observe(&m->first_token, g->queued_seconds + g->first_token_seconds, 1);
    observe(&m->whole, seconds, 1);
    if (g->n_decoded > 0) observe(&m->inter_token, g->decode_seconds / (double)g->n_decoded, (uint64_t)g->n_decoded);
}

// ---- as text

static void describe(buffer *out, const char *name, const char *type, const char *help)
{
    buffer_printf(out, "# HELP welford:%s %s\n# TYPE welford:%s %s\n", name, help, name, type);
}

static void write_histogram(buffer *out, const char *name, const char *help, const histogram *h)
{
    uint64_t sum = 0;
    describe(out, name, "histogram", help);
    for (size_t i = 0; i < METRICS_BUCKETS; i++) {
        sum += h->counts[i];
        buffer_printf(out, "welford:%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, BOUNDS[i], sum);
    }
    sum += h->counts[METRICS_BUCKETS];
    buffer_printf(out, "welford:%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, sum);
    buffer_printf(out, "welford:%s_sum %.9g\nwelford:%s_count %" PRIu64 "\n", name, h->sum, name, sum);
}

typedef enum count {
    N_RUNNING,
    N_WAITING,
    CACHE_USE,
    N_PROMPT,
    N_REUSED,
    N_QUERIED,
    N_GENERATED,
    N_PUT_ASIDE,
    N_STEPS,
    N_GUESSES,
    N_RIGHT,
    BUSY,
    COUNT_COUNT
} count;

static const struct {
    const char *name, *type, *help;
} COUNTS[COUNT_COUNT] = {
    [N_RUNNING] = {"num_requests_running", "gauge", "Requests that are computed now."},
    [N_WAITING] = {"num_requests_waiting", "gauge", "Requests that wait."},
    [CACHE_USE] = {"kv_cache_usage_perc", "gauge", "Part of the KV cache that running requests use, 0 to 1."},
    [N_PROMPT] = {"prompt_tokens_total", "counter", "Tokens of prompts, evaluated or found in the cache."},
    [N_REUSED] = {"prefix_cache_hits_total", "counter", "Tokens of prompts that were in the cache."},
    [N_QUERIED] = {"prefix_cache_queries_total", "counter", "Tokens of prompts that were looked for there."},
    [N_GENERATED] = {"generation_tokens_total", "counter", "Tokens of answers."},
    [N_PUT_ASIDE] = {"num_preemptions_total", "counter", "How often a request had to wait since the cache was full."},
    [N_STEPS] = {"steps_total", "counter", "Steps of the engine."},
    [N_GUESSES] = {"spec_decode_num_draft_tokens_total", "counter", "Tokens that were guessed."},
    [N_RIGHT] = {"spec_decode_num_accepted_tokens_total", "counter", "Guesses that came true."},
    [BUSY] = {"busy_seconds_total", "counter", "Seconds that steps took."},
};

static double value_of(count which, const wf_engine_counts *c)
{
    switch (which) {
    case N_RUNNING: return (double)c->n_running;
    case N_WAITING: return (double)c->n_waiting;
    case CACHE_USE: return c->n_blocks ? (double)c->n_blocks_used / (double)c->n_blocks : 0;
    case N_PROMPT:
    case N_QUERIED: return (double)(c->n_prompt + c->n_reused);
    case N_REUSED: return (double)c->n_reused;
    case N_GENERATED: return (double)c->n_generated;
    case N_PUT_ASIDE: return (double)c->n_put_aside;
    case N_STEPS: return (double)c->n_steps;
    case N_GUESSES: return (double)c->n_guesses;
    case N_RIGHT: return (double)c->n_right;
    default: return c->busy_seconds;
    }
}

typedef struct writer {
    buffer *out;
    count which;
} writer;

static void write_count(void *context, const served_model *m)
{
    const writer *w = context;
    const wf_engine_counts counts = wf_engine_count(m->engine);
    buffer_printf(w->out, "welford:%s{model_name=\"", COUNTS[w->which].name);
    for (const char *c = m->name; *c; c++) {
        if (*c == '"' || *c == '\\') buffer_append_char(w->out, '\\');
        buffer_append_char(w->out, *c == '\n' ? ' ' : *c);
    }
    buffer_printf(w->out, "\"} %.15g\n", value_of(w->which, &counts));
}

const char *answer_metrics(exchange *x, const char *path, buffer *out, api_error *err)
{
    (void)path;
    (void)err;
    const metrics *m = &x->s->metrics;
    for (int i = 0; i < COUNT_COUNT; i++) {
        writer w = {out, (count)i};
        describe(out, COUNTS[i].name, COUNTS[i].type, COUNTS[i].help);
        models_each_ready(x->s->models, write_count, &w);
    }
    describe(out, "request_success_total", "counter", "Answers by how they ended.");
    for (int i = 0; i <= WF_FINISH_ERROR; i++)
        buffer_printf(out, "welford:request_success_total{finished_reason=\"%s\"} %" PRIu64 "\n",
                      wf_finish_name((wf_finish)i), m->by_finish[i]);
    describe(out, "requests_refused_total", "counter", "Requests that were answered with an error.");
    buffer_printf(out, "welford:requests_refused_total %" PRIu64 "\n", m->n_refused);
    write_histogram(out, "time_to_first_token_seconds", "From a request to its first token.", &m->first_token);
    write_histogram(out, "inter_token_latency_seconds", "Between two tokens, an answer's average.", &m->inter_token);
    write_histogram(out, "e2e_request_latency_seconds", "From a request to the end of its answer.", &m->whole);
    write_histogram(out, "request_queue_time_seconds", "From a request to where its prompt is begun.", &m->queued);
    write_histogram(out, "request_prefill_time_seconds", "Evaluation of a prompt.", &m->prefill);
    write_histogram(out, "request_decode_time_seconds", "From the first token to the last.", &m->decode);
    return "text/plain; version=0.0.4; charset=utf-8";
}
