#include "server/exchange.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/clock.h"
#include "server/state.h"

// ---- from the engine's thread

static size_t round_up(size_t bytes) { return (bytes + 15) & ~(size_t)15; }

// An event, its text, its top: each at a multiple of 16 bytes.
static void append_event(buffer *b, const event *e)
{
    static const char ZEROS[16];
    size_t text = round_up(e->bytes);
    buffer_append(b, e, sizeof *e);
    buffer_append(b, ZEROS, round_up(sizeof *e) - sizeof *e);
    buffer_append(b, e->text, e->bytes);
    buffer_append(b, ZEROS, text - e->bytes);
    buffer_append(b, e->top, e->n_top * sizeof *e->top);
    buffer_append(b, ZEROS, round_up(e->n_top * sizeof *e->top) - e->n_top * sizeof *e->top);
}

// Under the lock.
static void wake(exchange *x)
{
    if (!x->suspended) return;
    x->suspended = false;
    MHD_resume_connection(x->connection);
}

static bool take_piece(void *context, const wf_piece *piece)
{
    choice *c = context;
    exchange *x = c->owner;
    bool last = piece->finished;
    const event e = {.choice = (uint32_t)c->index,
                     .token = piece->token,
                     .text = piece->text,
                     .bytes = piece->bytes,
                     .logprob = piece->logprob,
                     .top = piece->top,
                     .n_top = piece->n_top,
                     .last = last};
    if (last) c->result = *piece->finished;
    if (piece->error) c->error = *piece->error;
    pthread_mutex_lock(&x->lock);
    x->lost |= x->events.len > EXCHANGE_MAX_BYTES;
    if (!x->lost && (piece->bytes || x->ask.logprobs || last)) append_event(&x->events, &e);
    x->lost |= x->events.failed;
    x->n_done += last;
    bool go_on = !x->lost && !x->gone;
    // a whole answer is written when all of it is there
    if (x->ask.stream ? piece->bytes || x->ask.logprobs || last : x->n_done == x->n_choices) wake(x);
    pthread_mutex_unlock(&x->lock);
    return go_on;
}

// ---- on the HTTP thread

exchange *exchange_create(server *s, struct MHD_Connection *connection)
{
    exchange *x = calloc(1, sizeof *x);
    if (!x) return NULL;
    unsigned char random[12] = {0};
    if (getrandom(random, sizeof random, 0) < 0) random[0] = 1; // an id tells requests apart, no more
    for (size_t i = 0; i < sizeof random; i++) snprintf(x->id + 2 * i, 3, "%02x", random[i]);
    x->s = s;
    x->connection = connection;
    x->started = clock_seconds();
    x->created = (int64_t)time(NULL);
    x->keep_alive = -1;
    pthread_mutex_init(&x->lock, NULL);
    server_add(s, x);
    return x;
}

void exchange_free(exchange *x)
{
    if (!x) return;
    server_remove(x->s, x); // only engines know it from here on
    for (size_t i = 0; i < x->n_choices; i++) wf_request_free(x->choices[i].request);
    for (size_t i = 0; i < x->n_choices; i++) {
        wf_splitter_finish(x->choices[i].splitter, NULL);
        buffer_free(&x->choices[i].text[0]);
        buffer_free(&x->choices[i].text[1]);
        json_decref(x->choices[i].logprobs);
    }
    free(x->choices);
    models_release(x->s->models, x->model, x->keep_alive);
    ask_free(&x->ask);
    json_decref(x->json);
    buffer_free(&x->body);
    buffer_free(&x->events);
    buffer_free(&x->taken);
    buffer_free(&x->out);
    pthread_mutex_destroy(&x->lock);
    free(x);
}

static void add_part(void *context, wf_part part, const char *text, size_t bytes)
{
    choice *c = context;
    buffer_append(&c->text[part], text, bytes);
}

static const ask_prompt *prompt_of(const exchange *x, size_t i) { return &x->ask.prompts[i / (size_t)x->ask.n]; }

static bool begin_choice(exchange *x, size_t i, wf_error *err)
{
    choice *c = &x->choices[i];
    const ask_prompt *p = prompt_of(x, i);
    c->owner = x;
    c->index = i;
    if (x->ask.logprobs && !(c->logprobs = json_array())) return error_memory(err, 0) == WF_OK;
    return !x->ask.split || !wf_splitter_create(x->model->model, p->ids, p->n_ids, add_part, c, &c->splitter, err);
}

static bool submit_choice(exchange *x, size_t i, wf_error *err)
{
    const ask *a = &x->ask;
    choice *c = &x->choices[i];
    const ask_prompt *prompt = prompt_of(x, i);
    wf_sampler_options sampler = a->sampler;
    if (sampler.seed != WF_SEED_RANDOM) sampler.seed += i % (size_t)a->n; // n answers that differ
    const wf_request_options options = {.prompt = prompt->ids,
                                        .n_prompt = prompt->n_ids,
                                        .sampler = &sampler,
                                        .n_max = a->n_max,
                                        .stops = a->stops,
                                        .n_stops = a->n_stops,
                                        .ignore_end = a->ignore_end,
                                        .logprobs = a->logprobs,
                                        .n_top = a->n_top,
                                        .callback = take_piece,
                                        .context = c};
    wf_request *request;
    if (wf_engine_submit(x->model->engine, &options, &request, err) != WF_OK) return false;
    pthread_mutex_lock(&x->lock); // exchange_cancel may come at any time
    c->request = request;
    pthread_mutex_unlock(&x->lock);
    return true;
}

bool exchange_submit(exchange *x, api_error *err)
{
    wf_error error;
    size_t n = x->ask.n_prompts * (size_t)x->ask.n;
    x->choices = calloc(n, sizeof *x->choices);
    if (!x->choices) return api_fail(err, 503, NULL, "out of memory");
    pthread_mutex_lock(&x->lock);
    x->n_choices = n;
    pthread_mutex_unlock(&x->lock);
    for (size_t i = 0; i < n; i++)
        if (!begin_choice(x, i, &error)) return api_fail_status(err, NULL, &error);
    for (size_t i = 0; i < n; i++)
        if (!submit_choice(x, i, &error)) return api_fail_status(err, "messages", &error);
    x->state = EXCHANGE_GENERATING;
    return true;
}

void exchange_cancel(exchange *x)
{
    pthread_mutex_lock(&x->lock);
    x->gone = true;
    for (size_t i = 0; i < x->n_choices; i++)
        if (x->choices[i].request) wf_request_cancel(x->choices[i].request);
    wake(x);
    pthread_mutex_unlock(&x->lock);
}

void exchange_wake(exchange *x)
{
    pthread_mutex_lock(&x->lock);
    wake(x);
    pthread_mutex_unlock(&x->lock);
}

void exchange_ping(exchange *x)
{
    pthread_mutex_lock(&x->lock);
    if (x->suspended && x->state == EXCHANGE_GENERATING && x->ask.stream) x->ping = true, wake(x);
    pthread_mutex_unlock(&x->lock);
}

static bool has_work(const exchange *x)
{
    if (x->gone || x->lost || x->ping) return true;
    return x->ask.stream ? x->events.len > 0 : x->n_choices && x->n_done == x->n_choices;
}

bool exchange_sleep(exchange *x)
{
    pthread_mutex_lock(&x->lock);
    bool sleep = x->state == EXCHANGE_WAITING || !has_work(x);
    if (sleep) {
        x->suspended = true;
        MHD_suspend_connection(x->connection);
    }
    pthread_mutex_unlock(&x->lock);
    return sleep;
}

// ---- events

bool exchange_next(exchange *x, event *e)
{
    if (x->taken_at == x->taken.len) {
        buffer_clear(&x->taken);
        x->taken_at = 0;
        pthread_mutex_lock(&x->lock);
        buffer empty = x->taken;
        x->taken = x->events;
        x->events = empty;
        pthread_mutex_unlock(&x->lock);
    }
    if (x->taken_at == x->taken.len) return false;
    const char *at = x->taken.data + x->taken_at;
    memcpy(e, at, sizeof *e);
    at += round_up(sizeof *e);
    e->text = at;
    at += round_up(e->bytes);
    e->top = (const wf_logprob *)(const void *)at;
    at += round_up(e->n_top * sizeof *e->top);
    x->taken_at = (size_t)(at - x->taken.data);
    return true;
}

// A token's text as OpenAI writes what is no whole character: "bytes:\\xe2\\x80".
static json_t *describe_bytes(const char *text, size_t n)
{
    buffer out = {0};
    buffer_append(&out, "bytes:", 6);
    for (size_t i = 0; i < n; i++) buffer_printf(&out, "\\x%02x", (unsigned char)text[i]);
    json_t *value = json_text_of(buffer_view(&out));
    buffer_free(&out);
    return value;
}

static json_t *describe_token(const wf_model *m, int32_t token, double logprob)
{
    char *text = NULL;
    size_t n = 0;
    wf_token_text(m, token, &text, &n, NULL); // what fails has no text
    json_t *bytes = json_array(), *name = json_stringn(text ? text : "", n);
    for (size_t i = 0; i < n; i++) json_array_append_new(bytes, json_integer((unsigned char)text[i]));
    if (!name) name = describe_bytes(text, n);
    wf_free(text);
    return json_pack("{s:o, s:f, s:o}", "token", name, "logprob", logprob > -9999 ? logprob : -9999.0, "bytes", bytes);
}

static void add_logprob(const exchange *x, choice *c, const event *e)
{
    json_t *top = json_array(), *entry = describe_token(x->model->model, e->token, e->logprob);
    for (size_t i = 0; i < e->n_top; i++)
        json_array_append_new(top, describe_token(x->model->model, e->top[i].token, e->top[i].logprob));
    json_object_set_new(entry, "top_logprobs", top);
    json_array_append_new(c->logprobs, entry);
}

void exchange_take(exchange *x, const event *e)
{
    choice *c = &x->choices[e->choice];
    if (c->splitter)
        wf_splitter_feed(c->splitter, e->text, e->bytes);
    else
        add_part(c, WF_PART_ANSWER, e->text, e->bytes);
    if (c->logprobs && e->token >= 0) add_logprob(x, c, e);
    if (!e->last) return;
    if (wf_splitter_finish(c->splitter, NULL) != WF_OK) c->text[WF_PART_ANSWER].failed = true;
    c->splitter = NULL;
    c->ended = true;
    x->n_ended++;
}

void choice_clear(choice *c)
{
    buffer_clear(&c->text[0]);
    buffer_clear(&c->text[1]);
    if (c->logprobs) json_array_clear(c->logprobs);
}

// ---- sums

int64_t exchange_prompt_tokens(const exchange *x)
{
    int64_t sum = 0;
    for (size_t i = 0; i < x->ask.n_prompts; i++) sum += (int64_t)x->ask.prompts[i].n_ids;
    return sum;
}

int64_t exchange_cached_tokens(const exchange *x)
{
    int64_t sum = 0;
    for (size_t i = 0; i < x->n_choices; i += (size_t)x->ask.n) sum += x->choices[i].result.n_reused;
    return sum;
}

int64_t exchange_answer_tokens(const exchange *x)
{
    int64_t sum = 0;
    for (size_t i = 0; i < x->n_choices; i++) sum += x->choices[i].result.n_generated;
    return sum;
}

const char *exchange_failure(const exchange *x)
{
    if (x->lost) return "more of the answer was waiting to be read than the server keeps";
    for (size_t i = 0; i < x->n_choices; i++) {
        if (x->choices[i].result.finish == WF_FINISH_ERROR) return x->choices[i].error.message;
        if (x->choices[i].text[0].failed || x->choices[i].text[1].failed) return "out of memory";
    }
    return NULL;
}
