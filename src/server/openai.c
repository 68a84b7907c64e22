// OpenAI's chat and text completions, with llama-server's additions (timings, top_k, min_p, ...).
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "server/flavour.h"

// ---- requests

// What both have in common.
static void read_common(exchange *x, const fields *f)
{
    ask *a = &x->ask;
    ask_read_sampler(a, f);
    ask_read_stops(a, f, "stop");
    a->n = field_integer(f, "n", 1, ASK_MAX_CHOICES, 1);
    a->stream = field_bool(f, "stream", false);
    const json_t *options = field_object(f, "stream_options");
    const fields of_stream = {options, "stream_options.", f->err};
    if (options) a->include_usage = field_bool(&of_stream, "include_usage", false);
    int64_t old = field_integer(f, "max_tokens", 0, INT64_MAX, -1);
    int64_t most = field_integer(f, "max_completion_tokens", 0, INT64_MAX, old);
    a->n_max = most == 0 ? -1 : most < 0 ? 0 : most;
    field_refuse(f, "frequency_penalty");
    field_refuse(f, "presence_penalty");
    field_refuse(f, "logit_bias");
}

static bool read_chat(exchange *x, const fields *f, api_error *err)
{
    ask *a = &x->ask;
    read_common(x, f);
    const char *reasoning = field_string(f, "reasoning_format", "auto");
    a->split = strcmp(reasoning, "none") != 0;
    if (a->split && strcmp(reasoning, "auto") && strcmp(reasoning, "deepseek"))
        field_fail(f, "reasoning_format", "neither none, auto nor deepseek");
    a->logprobs = field_bool(f, "logprobs", false);
    a->n_top = (size_t)field_integer(f, "top_logprobs", 0, WF_MAX_TOP, 0);
    if (a->n_top && !a->logprobs) field_fail(f, "top_logprobs", "only with logprobs");
    field_refuse(f, "tools");
    field_refuse(f, "functions");
    const json_t *format = field_object(f, "response_format");
    const char *type = format ? json_string_value(json_object_get(format, "type")) : NULL;
    if (format && (!type || strcmp(type, "text"))) field_fail(f, "response_format", "only of type \"text\"");
    const json_t *messages = field_array(f, "messages");
    return !err->http_status && ask_reserve(a, 1, err) && ask_add_messages(a, x->model->model, NULL, messages, err);
}

// "text", ["text", ...], [1, 2, ...] or [[1, 2, ...], ...]
static bool read_prompts(exchange *x, const json_t *prompt, api_error *err)
{
    ask *a = &x->ask;
    const wf_model *m = x->model->model;
    const json_t *first = json_array_get(prompt, 0), *item;
    size_t i;
    bool several = json_is_array(prompt) && !json_is_integer(first);
    if (!ask_reserve(a, several ? json_array_size(prompt) : 1, err)) return false;
    if (json_is_string(prompt))
        return ask_add_text(a, m, "prompt", (view){json_string_value(prompt), json_string_length(prompt)}, err);
    if (json_is_array(prompt) && !several) return ask_add_ids(a, m, "prompt", prompt, err);
    if (!several) return api_fail(err, 400, "prompt", "prompt: neither a text nor token ids");
    json_array_foreach(prompt, i, item)
    {
        view text = {json_string_value(item), json_string_length(item)};
        bool ok = text.data             ? ask_add_text(a, m, "prompt", text, err)
                  : json_is_array(item) ? ask_add_ids(a, m, "prompt", item, err)
                                        : api_fail(err, 400, "prompt", "prompt[%zu]: neither a text nor token ids", i);
        if (!ok) return false;
    }
    return true;
}

static bool read_completion(exchange *x, const fields *f, api_error *err)
{
    ask *a = &x->ask;
    read_common(x, f);
    int64_t n_top = field_integer(f, "logprobs", 0, WF_MAX_TOP, -1);
    a->logprobs = n_top >= 0;
    a->n_top = n_top > 0 ? (size_t)n_top : 0;
    a->echo = field_bool(f, "echo", false);
    if (!field_find(f, "max_tokens") && !field_find(f, "max_completion_tokens")) a->n_max = 16; // OpenAI's
    if (a->echo && a->logprobs) field_fail(f, "echo", "not supported together with logprobs");
    if (field_integer(f, "best_of", 1, ASK_MAX_CHOICES, a->n) != a->n) field_fail(f, "best_of", "only if equal to n");
    field_refuse(f, "suffix");
    const json_t *prompt = field_find(f, "prompt");
    if (!prompt) field_fail(f, "prompt", "a prompt is needed");
    return !err->http_status && read_prompts(x, prompt, err);
}

// ---- what answers have in common

json_t *describe_timings(const wf_generation *g)
{
    int64_t n_prompt = g->n_prompt - g->n_reused;
    double prompt_ms = round(g->prefill_seconds * 1e6) / 1e3, ms = round(g->decode_seconds * 1e6) / 1e3;
    return json_pack("{s:I, s:I, s:f, s:f, s:f, s:I, s:f, s:f, s:f}", "cache_n", (json_int_t)g->n_reused, "prompt_n",
                     (json_int_t)n_prompt, "prompt_ms", prompt_ms, "prompt_per_token_ms",
                     n_prompt ? prompt_ms / (double)n_prompt : 0.0, "prompt_per_second",
                     prompt_ms > 0 ? 1e3 * (double)n_prompt / prompt_ms : 0.0, "predicted_n",
                     (json_int_t)g->n_generated, "predicted_ms", ms, "predicted_per_token_ms",
                     g->n_decoded ? ms / (double)g->n_decoded : 0.0, "predicted_per_second",
                     ms > 0 ? 1e3 * (double)g->n_decoded / ms : 0.0);
}

static json_t *describe_usage(const exchange *x)
{
    json_int_t prompt = exchange_prompt_tokens(x), completion = exchange_answer_tokens(x);
    return json_pack("{s:I, s:I, s:I, s:{s:I}}", "prompt_tokens", prompt, "completion_tokens", completion,
                     "total_tokens", prompt + completion, "prompt_tokens_details", "cached_tokens",
                     (json_int_t)exchange_cached_tokens(x));
}

static const char *finish_reason(const choice *c)
{
    return c->result.finish == WF_FINISH_LENGTH || c->result.finish == WF_FINISH_CONTEXT ? "length" : "stop";
}

static json_t *finish_of(const choice *c) { return c->ended ? json_string(finish_reason(c)) : json_null(); }

static json_t *text_of(const choice *c, wf_part part) { return json_text_of(buffer_view(&c->text[part])); }

// {"id", "object", "created", "model", "choices"}
static json_t *begin_object(const exchange *x, const char *object, json_t *choices)
{
    bool chat = x->route && strstr(object, "chat");
    return json_pack("{s:o, s:s, s:I, s:s, s:o}", "id", json_sprintf("%s-%s", chat ? "chatcmpl" : "cmpl", x->id),
                     "object", object, "created", (json_int_t)x->created, "model", x->model->name, "choices", choices);
}

static void write_chunk(json_t *chunk, buffer *out)
{
    buffer_append(out, "data: ", 6);
    json_take(out, chunk);
    buffer_append(out, "\n\n", 2);
}

static void end_stream(exchange *x, const char *object, buffer *out)
{
    if (x->ask.include_usage) {
        json_t *chunk = begin_object(x, object, json_array());
        json_object_set_new(chunk, "usage", describe_usage(x));
        write_chunk(chunk, out);
    }
    buffer_append(out, "data: [DONE]\n\n", 14);
}

// Of one choice alone, as there is usually.
static void add_timings(const exchange *x, json_t *object)
{
    if (x->n_choices == 1) json_object_set_new(object, "timings", describe_timings(&x->choices[0].result));
}

static json_t *describe_error(const api_error *e)
{
    return json_pack("{s:{s:s, s:s, s:o, s:i}}", "error", "message", e->message, "type", api_error_type(e->http_status),
                     "param", e->field[0] ? json_string(e->field) : json_null(), "code", e->http_status);
}

void openai_fail(const api_error *e, buffer *out) { json_take(out, describe_error(e)); }

static void stream_fail(const api_error *e, buffer *out)
{
    write_chunk(describe_error(e), out);
    buffer_append(out, "data: [DONE]\n\n", 14);
}

// ---- chat

static json_t *chat_logprobs(const choice *c)
{
    return json_pack("{s:o, s:n}", "content", json_deep_copy(c->logprobs), "refusal");
}

// `logprobs` NULL: none.
static void write_delta(exchange *x, const choice *c, json_t *delta, json_t *logprobs, bool last, buffer *out)
{
    json_t *one = json_pack("{s:I, s:o, s:o}", "index", (json_int_t)c->index, "delta", delta, "finish_reason",
                            last ? finish_of(c) : json_null());
    if (logprobs) json_object_set_new(one, "logprobs", logprobs);
    json_t *chunk = begin_object(x, "chat.completion.chunk", json_pack("[o]", one));
    if (last && x->n_ended == x->n_choices) add_timings(x, chunk);
    write_chunk(chunk, out);
}

static void write_chat(exchange *x, choice *c, buffer *out)
{
    bool has_logprobs = c->logprobs && json_array_size(c->logprobs);
    if (!c->began) write_delta(x, c, json_pack("{s:s, s:s}", "role", "assistant", "content", ""), NULL, false, out);
    c->began = true;
    if (c->text[WF_PART_REASONING].len)
        write_delta(x, c, json_pack("{s:o}", "reasoning_content", text_of(c, WF_PART_REASONING)), NULL, false, out);
    if (c->text[WF_PART_ANSWER].len || has_logprobs)
        write_delta(x, c, json_pack("{s:o}", "content", text_of(c, WF_PART_ANSWER)),
                    has_logprobs ? chat_logprobs(c) : NULL, false, out);
    if (c->ended) write_delta(x, c, json_object(), NULL, true, out);
}

static void end_chat(exchange *x, buffer *out) { end_stream(x, "chat.completion.chunk", out); }

static void whole_chat(exchange *x, buffer *out)
{
    json_t *choices = json_array();
    for (size_t i = 0; i < x->n_choices; i++) {
        const choice *c = &x->choices[i];
        json_t *message = json_pack("{s:s, s:o}", "role", "assistant", "content", text_of(c, WF_PART_ANSWER));
        if (c->text[WF_PART_REASONING].len)
            json_object_set_new(message, "reasoning_content", text_of(c, WF_PART_REASONING));
        json_array_append_new(choices,
                              json_pack("{s:I, s:o, s:o, s:o}", "index", (json_int_t)i, "message", message, "logprobs",
                                        c->logprobs ? chat_logprobs(c) : json_null(), "finish_reason", finish_of(c)));
    }
    json_t *answer = begin_object(x, "chat.completion", choices);
    json_object_set_new(answer, "usage", describe_usage(x));
    add_timings(x, answer);
    json_take(out, answer);
}

// ---- text completions

static size_t count_chars(const char *text)
{
    size_t n = 0;
    for (; *text; text++) n += ((unsigned char)*text & 0xC0) != 0x80;
    return n;
}

// {"tokens": [...], "token_logprobs": [...], "top_logprobs": [{text: logprob, ...}, ...], "text_offset": [...]}
static json_t *legacy_logprobs(const exchange *x, choice *c)
{
    json_t *tokens = json_array(), *values = json_array(), *tops = json_array(), *offsets = json_array();
    const json_t *entry, *other;
    size_t i, k;
    json_array_foreach(c->logprobs, i, entry)
    {
        const char *text = json_string_value(json_object_get(entry, "token"));
        json_t *top = json_object();
        json_array_foreach(json_object_get(entry, "top_logprobs"), k, other)
            json_object_set(top, json_string_value(json_object_get(other, "token")), json_object_get(other, "logprob"));
        json_array_append(tokens, json_object_get(entry, "token"));
        json_array_append(values, json_object_get(entry, "logprob"));
        json_array_append_new(tops, top);
        json_array_append_new(offsets, json_integer((json_int_t)c->n_chars));
        c->n_chars += text ? count_chars(text) : 0;
    }
    return json_pack("{s:o, s:o, s:o, s:o}", "tokens", tokens, "token_logprobs", values, "top_logprobs",
                     x->ask.n_top ? tops : (json_decref(tops), json_null()), "text_offset", offsets);
}

static json_t *completion_choice(exchange *x, choice *c, const char *before)
{
    buffer text = {0};
    buffer_append(&text, before, strlen(before));
    buffer_append_view(&text, buffer_view(&c->text[WF_PART_ANSWER]));
    json_t *one =
        json_pack("{s:o, s:I, s:o, s:o}", "text", json_text_of(buffer_view(&text)), "index", (json_int_t)c->index,
                  "logprobs", c->logprobs && json_array_size(c->logprobs) ? legacy_logprobs(x, c) : json_null(),
                  "finish_reason", finish_of(c));
    buffer_free(&text);
    return one;
}

// The prompt's text, which the caller frees with wf_free; NULL: it is not asked for.
static char *echo_of(const exchange *x, const choice *c)
{
    const ask_prompt *p = &x->ask.prompts[c->index / (size_t)x->ask.n];
    char *text = NULL;
    size_t bytes;
    if (x->ask.echo && !c->began) wf_detokenize(x->model->model, p->ids, p->n_ids, false, &text, &bytes, NULL);
    return text;
}

static void write_completion(exchange *x, choice *c, buffer *out)
{
    char *echo = echo_of(x, c);
    json_t *one = completion_choice(x, c, echo ? echo : "");
    json_t *chunk = begin_object(x, "text_completion", json_pack("[o]", one));
    c->began = true;
    if (c->ended && x->n_ended == x->n_choices) add_timings(x, chunk);
    write_chunk(chunk, out);
    wf_free(echo);
}

static void end_completion(exchange *x, buffer *out) { end_stream(x, "text_completion", out); }

static void whole_completion(exchange *x, buffer *out)
{
    json_t *choices = json_array();
    for (size_t i = 0; i < x->n_choices; i++) {
        char *echo = echo_of(x, &x->choices[i]);
        json_array_append_new(choices, completion_choice(x, &x->choices[i], echo ? echo : ""));
        wf_free(echo);
    }
    json_t *answer = begin_object(x, "text_completion", choices);
    json_object_set_new(answer, "usage", describe_usage(x));
    add_timings(x, answer);
    json_take(out, answer);
}

static const char EVENT_STREAM[] = "text/event-stream", PING[] = ": ping\n\n";

const flavour flavour_openai_chat = {EVENT_STREAM, PING,       read_chat,   NULL,       write_chat,
                                     end_chat,     whole_chat, openai_fail, stream_fail};
const flavour flavour_openai_completion = {EVENT_STREAM,     PING,           read_completion,  NULL,
                                           write_completion, end_completion, whole_completion, openai_fail,
                                           stream_fail};
