// Anthropic's messages.
//
// A stream is a list of named events: message_start; for the reasoning and then for the text a content block, with its
// start, deltas and stop; message_delta with the reason why it ended; message_stop.
#include <string.h>

#include "server/http.h"

// ---- requests

// A text, or [{"type": "text", "text"}, ...]. False: `err` says why not.
static bool read_system(const fields *f, buffer *out)
{
    const json_t *system = field_find(f, "system"), *part;
    size_t i;
    if (json_is_string(system)) buffer_append(out, json_string_value(system), json_string_length(system));
    if (!system || json_is_string(system)) return !out->failed;
    if (!json_is_array(system)) return field_fail(f, "system", "neither a string nor an array of parts");
    json_array_foreach(system, i, part)
    {
        const json_t *text = json_object_get(part, "text");
        if (!json_is_string(text)) return field_fail(f, "system", "welford reads parts of type \"text\" alone");
        buffer_append(out, json_string_value(text), json_string_length(text));
    }
    return !out->failed;
}

static bool read_prompt(exchange *x, const fields *f, api_error *err)
{
    buffer system = {0};
    field_refuse(f, "tools");
    const json_t *messages = field_array(f, "messages");
    bool ok = !err->http_status && read_system(f, &system) && ask_reserve(&x->ask, 1, err) &&
              ask_add_messages(&x->ask, x->model->model, system.len ? system.data : NULL, messages, err);
    buffer_free(&system);
    return ok;
}

static bool read_messages(exchange *x, const fields *f, api_error *err)
{
    ask *a = &x->ask;
    ask_read_sampler(a, f);
    ask_read_stops(a, f, "stop_sequences");
    a->n_max = field_integer(f, "max_tokens", 1, INT64_MAX, 0);
    if (!field_find(f, "max_tokens")) field_fail(f, "max_tokens", "how many tokens at most?");
    a->stream = field_bool(f, "stream", false);
    a->split = true;
    return read_prompt(x, f, err);
}

const char *answer_count_tokens(exchange *x, const char *path, buffer *out, api_error *err)
{
    (void)path;
    const fields f = {x->json, "", err};
    if (!read_prompt(x, &f, err)) return NULL;
    json_take(out, json_pack("{s:I}", "input_tokens", (json_int_t)x->ask.prompts[0].n_ids));
    return TYPE_JSON;
}

// ---- answers

// Tokens that were in the cache count apart.
static json_t *describe_usage(const exchange *x)
{
    json_int_t cached = exchange_cached_tokens(x);
    return json_pack("{s:I, s:I, s:I, s:I}", "input_tokens", (json_int_t)exchange_prompt_tokens(x) - cached,
                     "cache_creation_input_tokens", (json_int_t)0, "cache_read_input_tokens", cached, "output_tokens",
                     (json_int_t)exchange_answer_tokens(x));
}

static const char *stop_reason(const choice *c)
{
    return c->result.finish == WF_FINISH_LENGTH || c->result.finish == WF_FINISH_CONTEXT ? "max_tokens" : "end_turn";
}

static json_t *describe_message(const exchange *x, json_t *content, json_t *reason)
{
    return json_pack("{s:o, s:s, s:s, s:s, s:o, s:o, s:n, s:o}", "id", json_sprintf("msg_%s", x->id), "type", "message",
                     "role", "assistant", "model", x->model->name, "content", content, "stop_reason", reason,
                     "stop_sequence", "usage", describe_usage(x));
}

static void write_event(const char *name, json_t *data, buffer *out)
{
    buffer_printf(out, "event: %s\ndata: ", name);
    if (data) json_object_set_new(data, "type", json_string(name));
    json_take(out, data);
    buffer_append(out, "\n\n", 2);
}

static void begin(exchange *x, buffer *out)
{
    write_event("message_start", json_pack("{s:o}", "message", describe_message(x, json_array(), json_null())), out);
}

// Blocks are numbered; c->n_chars: of the one that is open, plus 1; c->began: it is the text's.
static void close_block(choice *c, buffer *out)
{
    write_event("content_block_stop", json_pack("{s:I}", "index", (json_int_t)c->n_chars - 1), out);
}

static void open_block(choice *c, wf_part part, buffer *out)
{
    if (c->n_chars) close_block(c, out);
    json_t *block = part == WF_PART_ANSWER
                        ? json_pack("{s:s, s:s}", "type", "text", "text", "")
                        : json_pack("{s:s, s:s, s:s}", "type", "thinking", "thinking", "", "signature", "");
    write_event("content_block_start", json_pack("{s:I, s:o}", "index", (json_int_t)c->n_chars, "content_block", block),
                out);
    c->n_chars++;
    c->began = part == WF_PART_ANSWER;
}

static void write_part(choice *c, wf_part part, buffer *out)
{
    if (!c->text[part].len) return;
    if (!c->n_chars || c->began != (part == WF_PART_ANSWER)) open_block(c, part, out);
    json_t *text = json_text_of(buffer_view(&c->text[part]));
    json_t *delta = part == WF_PART_ANSWER ? json_pack("{s:s, s:o}", "type", "text_delta", "text", text)
                                           : json_pack("{s:s, s:o}", "type", "thinking_delta", "thinking", text);
    write_event("content_block_delta", json_pack("{s:I, s:o}", "index", (json_int_t)c->n_chars - 1, "delta", delta),
                out);
}

static void write_message(exchange *x, choice *c, buffer *out)
{
    write_part(c, WF_PART_REASONING, out);
    write_part(c, WF_PART_ANSWER, out);
    if (!c->ended) return;
    if (!c->n_chars) open_block(c, WF_PART_ANSWER, out); // an answer without text
    close_block(c, out);
    json_t *delta = json_pack("{s:s, s:n}", "stop_reason", stop_reason(c), "stop_sequence");
    write_event("message_delta", json_pack("{s:o, s:o}", "delta", delta, "usage", describe_usage(x)), out);
}

static void end(exchange *x, buffer *out)
{
    (void)x;
    write_event("message_stop", json_object(), out);
}

static void whole(exchange *x, buffer *out)
{
    const choice *c = &x->choices[0];
    json_t *content = json_array();
    if (c->text[WF_PART_REASONING].len)
        json_array_append_new(content,
                              json_pack("{s:s, s:o, s:s}", "type", "thinking", "thinking",
                                        json_text_of(buffer_view(&c->text[WF_PART_REASONING])), "signature", ""));
    json_array_append_new(
        content, json_pack("{s:s, s:o}", "type", "text", "text", json_text_of(buffer_view(&c->text[WF_PART_ANSWER]))));
    json_t *message = describe_message(x, content, json_string(stop_reason(c)));
    json_take(out, message);
}

// ---- errors

static const char *error_type(int http_status)
{
    switch (http_status) {
    case 413: return "request_too_large";
    case 503: return "overloaded_error";
    default: return http_status >= 500 ? "api_error" : api_error_type(http_status);
    }
}

static json_t *describe_error(const api_error *e)
{
    return json_pack("{s:s, s:{s:s, s:s}}", "type", "error", "error", "type", error_type(e->http_status), "message",
                     e->message);
}

static void fail(const api_error *e, buffer *out) { json_take(out, describe_error(e)); }
static void stream_fail(const api_error *e, buffer *out) { write_event("error", describe_error(e), out); }

const flavour flavour_anthropic = {"text/event-stream",
                                   "event: ping\ndata: {\"type\":\"ping\"}\n\n",
                                   read_messages,
                                   begin,
                                   write_message,
                                   end,
                                   whole,
                                   fail,
                                   stream_fail};
