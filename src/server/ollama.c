// ollama's chat and generate: a stream of JSON objects, one a line, of which the last has the counts.
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "server/http.h"

// ---- requests

// Seconds of 300, "5m", "1h30m"; negative: for ever.
static double read_duration(const fields *f, const char *name)
{
    const json_t *value = field_find(f, name);
    const char *text = json_string_value(value);
    double sum = 0;
    if (!value) return -1;
    if (json_is_number(value)) return json_number_value(value) < 0 ? INFINITY : json_number_value(value);
    if (text && *text == '-') return INFINITY;
    while (text && *text) {
        char *end;
        double number = strtod(text, &end);
        double unit = !strncmp(end, "ms", 2) ? 1e-3
                      : *end == 's' || !*end ? 1
                      : *end == 'm'          ? 60
                      : *end == 'h'          ? 3600
                                             : 0;
        if (end == text || unit == 0 || !isdigit((unsigned char)*text)) {
            text = NULL;
            break;
        }
        sum += number * unit;
        text = end + (*end ? strncmp(end, "ms", 2) ? 1 : 2 : 0);
    }
    if (text) return sum;
    field_fail(f, name, "neither seconds nor a duration as \"5m\"");
    return -1;
}

static void read_common(exchange *x, const fields *f)
{
    ask *a = &x->ask;
    const json_t *given = field_object(f, "options");
    json_t *none = json_object();
    const fields options = {given ? given : none, "options.", f->err};
    ask_read_sampler(a, &options);
    ask_read_stops(a, &options, "stop");
    int64_t most = field_integer(&options, "num_predict", -2, INT64_MAX, -1);
    a->n_max = most < 0 ? 0 : most == 0 ? -1 : most;
    a->stream = field_bool(f, "stream", true);
    x->keep_alive = read_duration(f, "keep_alive");
    field_refuse(f, "format");
    field_refuse(&options, "presence_penalty");
    field_refuse(&options, "frequency_penalty");
    const json_t *think = field_find(f, "think");
    a->split = !think || !json_is_false(think);
    json_decref(none);
}

static bool read_chat(exchange *x, const fields *f, api_error *err)
{
    read_common(x, f);
    field_refuse(f, "tools");
    const json_t *messages = field_array(f, "messages");
    if (err->http_status || !json_array_size(messages)) return !err->http_status;
    return ask_reserve(&x->ask, 1, err) && ask_add_messages(&x->ask, x->model->model, NULL, messages, err);
}

static bool read_generate(exchange *x, const fields *f, api_error *err)
{
    read_common(x, f);
    field_refuse(f, "suffix");
    field_refuse(f, "images");
    field_refuse(f, "template");
    field_refuse(f, "context");
    const char *prompt = field_string(f, "prompt", ""), *system = field_string(f, "system", NULL);
    bool raw = field_bool(f, "raw", false) || !wf_model_describe(x->model->model).has_chat_template;
    if (err->http_status || !*prompt) return !err->http_status;
    if (!ask_reserve(&x->ask, 1, err)) return false;
    if (raw) return ask_add_text(&x->ask, x->model->model, "prompt", view_of(prompt), err);
    json_t *messages = json_pack("[{s:s, s:s}]", "role", "user", "content", prompt);
    bool ok = ask_add_messages(&x->ask, x->model->model, system && *system ? system : NULL, messages, err);
    json_decref(messages);
    return ok;
}

// ---- answers

static json_t *describe_time(void)
{
    struct timespec now;
    struct tm parts;
    char text[32];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    return json_sprintf("%s.%06ldZ", text, now.tv_nsec / 1000);
}

static json_int_t nanoseconds(double seconds) { return (json_int_t)(seconds * 1e9); }

// The counts of the last object.
static void add_counts(const exchange *x, json_t *object)
{
    const choice *c = x->n_choices ? &x->choices[0] : NULL;
    const char *reason = !c ? "load" : c->result.finish == WF_FINISH_LENGTH ? "length" : "stop";
    json_object_set_new(object, "done_reason", json_string(reason));
    json_object_set_new(object, "total_duration", json_integer(nanoseconds(clock_seconds() - x->started)));
    json_object_set_new(object, "load_duration", json_integer(nanoseconds(c ? c->result.queued_seconds : 0)));
    if (!c) return;
    json_object_set_new(object, "prompt_eval_count", json_integer(c->result.n_prompt));
    json_object_set_new(object, "prompt_eval_duration", json_integer(nanoseconds(c->result.prefill_seconds)));
    json_object_set_new(object, "eval_count", json_integer(c->result.n_generated));
    json_object_set_new(object, "eval_duration", json_integer(nanoseconds(c->result.decode_seconds)));
}

// `c` NULL: no text.
static json_t *describe(const exchange *x, const choice *c, bool done)
{
    bool chat = x->route->flavour == &flavour_ollama_chat;
    json_t *object = json_pack("{s:s, s:o}", "model", x->model->name, "created_at", describe_time());
    json_t *text = c ? json_text_of(buffer_view(&c->text[WF_PART_ANSWER])) : json_string("");
    json_t *message = chat ? json_pack("{s:s, s:o}", "role", "assistant", "content", text) : NULL;
    if (chat)
        json_object_set_new(object, "message", message);
    else
        json_object_set_new(object, "response", text);
    if (c && c->text[WF_PART_REASONING].len)
        json_object_set_new(chat ? message : object, "thinking",
                            json_text_of(buffer_view(&c->text[WF_PART_REASONING])));
    json_object_set_new(object, "done", json_boolean(done));
    if (done) add_counts(x, object);
    return object;
}

static void write_line(json_t *object, buffer *out)
{
    json_take(out, object);
    buffer_append_char(out, '\n');
}

static void write_text(exchange *x, choice *c, buffer *out)
{
    if (c->text[0].len || c->text[1].len) write_line(describe(x, c, false), out);
}

static void end(exchange *x, buffer *out) { write_line(describe(x, NULL, true), out); }

static void whole(exchange *x, buffer *out) { json_take(out, describe(x, x->n_choices ? &x->choices[0] : NULL, true)); }

static void fail(const api_error *e, buffer *out) { json_take(out, json_pack("{s:s}", "error", e->message)); }

static void stream_fail(const api_error *e, buffer *out)
{
    fail(e, out);
    buffer_append_char(out, '\n');
}

const flavour flavour_ollama_chat = {
    "application/x-ndjson", NULL, read_chat, NULL, write_text, end, whole, fail, stream_fail};
const flavour flavour_ollama_generate = {
    "application/x-ndjson", NULL, read_generate, NULL, write_text, end, whole, fail, stream_fail};
