#include "server/http.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"

enum {
    CONNECTION_BYTES = 32 << 10, // headers of a request, and a piece of an answer
    MAX_CONNECTIONS = 1024,
    CHUNK_BYTES = 16 << 10,
};

// ---- answers

static void add_headers(const exchange *x, struct MHD_Response *r, const char *type)
{
    const char *origin = MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, "Origin");
    if (type) MHD_add_response_header(r, "Content-Type", type);
    MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    // of the page: nothing but its own files, and nobody's frame
    MHD_add_response_header(
        r, "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
    MHD_add_response_header(r, "Referrer-Policy", "no-referrer");
    if (origin && guard_allows_origin(&x->s->guard, origin)) {
        MHD_add_response_header(r, "Access-Control-Allow-Origin", origin);
        MHD_add_response_header(r, "Vary", "Origin");
    }
}

// Takes what `out` holds.
static enum MHD_Result reply(exchange *x, unsigned status, const char *type, buffer *out)
{
    x->state = EXCHANGE_ENDED;
    if (out->failed) {
        buffer_free(out);
        return MHD_NO; // closes the connection
    }
    struct MHD_Response *r = MHD_create_response_from_buffer(out->len, out->data, MHD_RESPMEM_MUST_FREE);
    if (!r) {
        buffer_free(out);
        return MHD_NO;
    }
    *out = (buffer){0};
    add_headers(x, r, type);
    if (status == 429 || status == 503) MHD_add_response_header(r, "Retry-After", "1");
    if (status == 401) MHD_add_response_header(r, "WWW-Authenticate", "Bearer");
    enum MHD_Result result = MHD_queue_response(x->connection, status, r);
    MHD_destroy_response(r);
    return result;
}

static enum MHD_Result reply_error(exchange *x, const api_error *err)
{
    buffer out = {0};
    x->s->metrics.n_refused++;
    if (x->route && x->route->flavour)
        x->route->flavour->fail(err, &out);
    else
        openai_fail(err, &out);
    return reply(x, (unsigned)err->http_status, "application/json", &out);
}

// All choices have ended.
static void note_end(exchange *x)
{
    double now = clock_seconds();
    for (size_t i = 0; i < x->n_choices; i++) metrics_add(&x->s->metrics, &x->choices[i].result, now - x->started);
}

static enum MHD_Result reply_whole(exchange *x)
{
    event e;
    buffer out = {0};
    while (exchange_next(x, &e)) exchange_take(x, &e);
    note_end(x);
    if (x->gone) return MHD_NO;
    const char *failure = exchange_failure(x);
    if (failure) {
        api_error err = {0};
        api_fail(&err, 500, NULL, "%s", failure);
        return reply_error(x, &err);
    }
    x->route->flavour->whole(x, &out);
    return reply(x, 200, "application/json", &out);
}

// ---- streams

static void end_stream(exchange *x)
{
    const flavour *f = x->route->flavour;
    const char *failure = exchange_failure(x);
    if (failure) {
        api_error err = {0};
        api_fail(&err, 500, NULL, "%s", failure);
        f->stream_fail(&err, &x->out);
    } else {
        f->end(x, &x->out);
    }
    x->closed = true;
}

// Formats what has come, as long as there is little of it.
static void format_events(exchange *x, size_t enough)
{
    event e;
    while (x->out.len - x->out_at < enough && !x->closed && exchange_next(x, &e)) {
        choice *c = &x->choices[e.choice];
        exchange_take(x, &e);
        x->route->flavour->write(x, c, &x->out);
        choice_clear(c);
        if (x->n_ended == x->n_choices) {
            note_end(x);
            end_stream(x);
        }
    }
    if (x->lost && !x->closed) end_stream(x);
}

// True where it took the wish to say something.
static bool take_ping(exchange *x)
{
    pthread_mutex_lock(&x->lock);
    bool ping = x->ping;
    x->ping = false;
    pthread_mutex_unlock(&x->lock);
    return ping;
}

static ssize_t read_stream(void *context, uint64_t position, char *data, size_t max)
{
    (void)position;
    exchange *x = context;
    if (x->gone) return MHD_CONTENT_READER_END_WITH_ERROR;
    if (x->out_at == x->out.len) {
        buffer_clear(&x->out);
        x->out_at = 0;
    }
    bool ping = take_ping(x);
    format_events(x, max);
    if (x->out.failed) return MHD_CONTENT_READER_END_WITH_ERROR;
    if (ping && !x->out.len && x->route->flavour->ping)
        buffer_append(&x->out, x->route->flavour->ping, strlen(x->route->flavour->ping));
    size_t n = x->out.len - x->out_at;
    if (n == 0) {
        if (x->closed) return MHD_CONTENT_READER_END_OF_STREAM;
        exchange_sleep(x);
        return 0;
    }
    if (n > max) n = max;
    memcpy(data, x->out.data + x->out_at, n);
    x->out_at += n;
    x->quiet = false;
    return (ssize_t)n;
}

static enum MHD_Result reply_stream(exchange *x)
{
    const flavour *f = x->route->flavour;
    struct MHD_Response *r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, CHUNK_BYTES, read_stream, x, NULL);
    if (!r) return MHD_NO;
    if (f->begin) f->begin(x, &x->out);
    add_headers(x, r, f->stream_type);
    MHD_add_response_header(r, "Cache-Control", "no-cache");
    MHD_add_response_header(r, "X-Accel-Buffering", "no"); // nginx: pass each piece on at once
    enum MHD_Result result = MHD_queue_response(x->connection, 200, r);
    MHD_destroy_response(r);
    return result;
}

// ---- requests

static const char *header(const exchange *x, const char *name)
{
    return MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name);
}

static bool check_request(const exchange *x, const char *method, const char *path, bool other_method, api_error *err)
{
    const server *s = x->s;
    const guard_request from = {.host = header(x, "Host"),
                                .origin = header(x, "Origin"),
                                .authorization = header(x, "Authorization"),
                                .api_key = header(x, "x-api-key"),
                                .open = x->route && x->route->open};
    if (!guard_check(&s->guard, &from, err)) return false;
    if (!x->route && other_method) return api_fail(err, 405, NULL, "%s: not with %s", path, method);
    if (!x->route) return api_fail(err, 404, NULL, "%.200s: there is no such path", path);
    if (x->too_large) return api_fail(err, 413, NULL, "the body has more than %" PRId64 " bytes", s->options->max_body);
    return true;
}

// A browser asks beforehand whether a page may.
static enum MHD_Result reply_preflight(exchange *x)
{
    struct MHD_Response *r = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    if (!r) return MHD_NO;
    add_headers(x, r, NULL);
    MHD_add_response_header(r, "Access-Control-Allow-Methods", "GET, POST");
    MHD_add_response_header(r, "Access-Control-Allow-Headers", "Authorization, Content-Type, x-api-key");
    enum MHD_Result result = MHD_queue_response(x->connection, 204, r);
    MHD_destroy_response(r);
    return result;
}

static bool check_queue(const exchange *x, api_error *err)
{
    const server_options *o = x->s->options;
    wf_engine_counts now = wf_engine_count(x->model->engine);
    int64_t most = o->engine.n_sequences + o->n_queue, n = (int64_t)x->ask.n_prompts * x->ask.n;
    if (now.n_waiting + now.n_running + n <= most) return true;
    return api_fail(err, 429, NULL, "%" PRId64 " requests are waiting already", now.n_waiting);
}

// The model is open: reads what is asked, and hands it to the engine.
static bool generate(exchange *x, api_error *err)
{
    const fields f = {x->json, "", err};
    if (!ask_begin(&x->ask, x->model->model, err)) return false;
    if (!x->route->flavour->read(x, &f, err) || err->http_status) return false;
    if ((int64_t)x->ask.n_prompts * x->ask.n > ASK_MAX_CHOICES)
        return api_fail(err, 400, "n", "n: more than %d answers", ASK_MAX_CHOICES);
    if (!x->ask.n_prompts) return true;
    if (!check_queue(x, err) || !exchange_submit(x, err)) return false;
    server_watch(x->s, x);
    return true;
}

static enum MHD_Result reply_answer(exchange *x, const char *path, api_error *err)
{
    buffer out = {0};
    const char *type = x->route->answer(x, path, &out, err);
    if (type) return reply(x, 200, type, &out);
    buffer_free(&out);
    return reply_error(x, err);
}

static enum MHD_Result go_on(exchange *x, const char *path, models_answer answer, api_error *err)
{
    if (answer == MODELS_NONE) return reply_error(x, err);
    if (answer == MODELS_LOADING) {
        if (!models_are_listed(x->s->models)) {
            api_fail(err, 503, NULL, "Loading model");
            return reply_error(x, err);
        }
        x->state = EXCHANGE_WAITING;
        exchange_sleep(x);
        // it may have been opened just now
        if (models_poll(x->s->models, x->model, err) != MODELS_LOADING) exchange_wake(x);
        return MHD_YES;
    }
    if (x->route->answer) return reply_answer(x, path, err);
    if (!generate(x, err)) return reply_error(x, err);
    if (!x->ask.n_prompts) return reply_whole(x); // it was asked to open the model, no more
    if (x->ask.stream) return reply_stream(x);
    return exchange_sleep(x) ? MHD_YES : reply_whole(x);
}

// From the body, which is read into x->json, or the address.
static const char *find_model_name(exchange *x, const char *method, api_error *err)
{
    if (strcmp(method, "POST")) return MHD_lookup_connection_value(x->connection, MHD_GET_ARGUMENT_KIND, "model");
    x->json = body_parse(buffer_view(&x->body), err);
    const fields f = {x->json, "", err};
    const char *name = x->json ? field_string(&f, "model", NULL) : NULL;
    return name || !x->json ? name : field_string(&f, "name", NULL); // ollama's older word
}

static enum MHD_Result start(exchange *x, const char *method, const char *path, bool other_method)
{
    api_error err = {0};
    if (!strcmp(method, "OPTIONS") && header(x, "Origin") && guard_allows_origin(&x->s->guard, header(x, "Origin")))
        return reply_preflight(x);
    if (!check_request(x, method, path, other_method, &err)) return reply_error(x, &err);
    if (x->route->answer && !x->route->needs_model) return reply_answer(x, path, &err);
    if (x->s->draining) {
        api_fail(&err, 503, NULL, "the server is about to stop");
        return reply_error(x, &err);
    }
    const char *name = find_model_name(x, method, &err);
    if (err.http_status) return reply_error(x, &err);
    return go_on(x, path, models_acquire(x->s->models, name, &x->model, &err), &err);
}

// Called again when a connection has been woken.
static enum MHD_Result resume(exchange *x, const char *path)
{
    api_error err = {0};
    if (x->gone) return MHD_NO;
    if (x->state == EXCHANGE_WAITING) return go_on(x, path, models_poll(x->s->models, x->model, &err), &err);
    return exchange_sleep(x) ? MHD_YES : reply_whole(x);
}

static enum MHD_Result receive(exchange *x, const char *data, size_t *bytes)
{
    size_t most = (size_t)x->s->options->max_body;
    x->too_large |= *bytes > most - (x->body.len < most ? x->body.len : most);
    if (x->too_large)
        buffer_free(&x->body); // what else comes is let go by, to tell the client in the end
    else
        buffer_append(&x->body, data, *bytes);
    *bytes = 0;
    return x->body.failed ? MHD_NO : MHD_YES;
}

static enum MHD_Result handle(void *context, struct MHD_Connection *connection, const char *path, const char *method,
                              const char *version, const char *data, size_t *bytes, void **request)
{
    (void)version;
    server *s = context;
    exchange *x = *request;
    bool other_method = false;
    if (x && *bytes) return receive(x, data, bytes);
    if (x && x->state != EXCHANGE_RECEIVING) return resume(x, path);
    const route *to = route_find(method, path, &other_method);
    if (x) return start(x, method, path, other_method);
    x = *request = exchange_create(s, connection);
    if (!x) return MHD_NO;
    x->route = to;
    const char *length = header(x, "Content-Length");
    if (!length || strtoull(length, NULL, 10) <= (unsigned long long)s->options->max_body) return MHD_YES;
    x->too_large = true; // told at once, without reading it
    return start(x, method, path, other_method);
}

static void complete(void *context, struct MHD_Connection *connection, void **request,
                     enum MHD_RequestTerminationCode why)
{
    (void)context;
    (void)connection;
    (void)why;
    exchange *x = *request;
    if (x && x->n_ended < x->n_choices) x->s->metrics.by_finish[WF_FINISH_CALLBACK] += x->n_choices; // the client left
    exchange_free(x);
    *request = NULL;
}

// ---- the daemon

static wf_status read_pem(const char *path, char **text, wf_error *err)
{
    size_t bytes;
    return file_read(path, text, &bytes, err);
}

wf_status http_start(server *s, wf_error *err)
{
    const server_options *o = s->options;
    char *cert = NULL, *key = NULL;
    wf_status status = WF_OK;
    if (o->tls_cert) {
        status = read_pem(o->tls_cert, &cert, err);
        if (status == WF_OK) status = read_pem(o->tls_key, &key, err);
    }
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME;
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, cert}, {MHD_OPTION_HTTPS_MEM_KEY, 0, key}, {MHD_OPTION_END, 0, NULL}};
    if (!o->tls_cert) tls[0] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
    if (status == WF_OK) {
        s->http = MHD_start_daemon(
            flags | (o->tls_cert ? MHD_USE_TLS : 0), 0, NULL, NULL, handle, s, MHD_OPTION_NOTIFY_COMPLETED, complete,
            NULL, MHD_OPTION_LISTEN_SOCKET, s->listening, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)o->timeout,
            MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES, MHD_OPTION_CONNECTION_LIMIT,
            (unsigned)MAX_CONNECTIONS, MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
        if (!s->http)
            status = error_set(err, WF_ERROR_IO,
                               o->tls_cert ? "the HTTP server does not start: see --tls-cert, --tls-key"
                                           : "the HTTP server does not start");
    }
    free(cert);
    free(key);
    return status;
}

void http_stop(server *s)
{
    if (s->http) MHD_stop_daemon(s->http);
    s->http = NULL;
}
