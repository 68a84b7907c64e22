// Anthropic's messages.
//
// A stream is a list of named events: message_start; for the reasoning and then for the text a content block, with its
// start, deltas and stop; message_delta with the reason why it ended; message_stop.
#include <string.h>

#include "server/http.h"
#include "server/messages.h"

// ---- requests

static bool read_prompt(exchange *x, const fields *f, api_error *err)
{
    if (!tools_read_anthropic(&x->ask, f)) return false;
    const json_t *messages = field_array(f, "messages");
    json_t *conversation = err->http_status ? NULL : messages_read_anthropic(field_find(f, "system"), messages, err);
    bool ok = conversation && ask_reserve(&x->ask, 1, err) && ask_add_chat(&x->ask, x->model->model, conversation, err);
    json_decref(conversation);
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
    if (c->n_calls && c->result.finish == WF_FINISH_STOP) return "tool_use";
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

// Blocks are numbered: c->n_chars of them were begun; c->open: the last is not closed yet; c->began: it is the text's.
static void close_block(choice *c, buffer *out)
{
    write_event("content_block_stop", json_pack("{s:I}", "index", (json_int_t)c->n_chars - 1), out);
    c->open = false;
}

static void open_block(choice *c, wf_part part, buffer *out)
{
    if (c->open) close_block(c, out);
    json_t *block = part == WF_PART_ANSWER
                        ? json_pack("{s:s, s:s}", "type", "text", "text", "")
                        : json_pack("{s:s, s:s, s:s}", "type", "thinking", "thinking", "", "signature", "");
    write_event("content_block_start", json_pack("{s:I, s:o}", "index", (json_int_t)c->n_chars, "content_block", block),
                out);
    c->n_chars++;
    c->open = true;
    c->began = part == WF_PART_ANSWER;
}

// Each call is a block, whose input comes in one piece.
static void write_calls(choice *c, buffer *out)
{
    const json_t *call;
    size_t i;
    json_array_foreach(c->calls, i, call)
    {
        buffer input = {0};
        if (c->open) close_block(c, out);
        json_t *block = json_pack("{s:s, s:O, s:O, s:{}}", "type", "tool_use", "id", json_object_get(call, "id"),
                                  "name", json_object_get(call, "name"), "input");
        write_event("content_block_start",
                    json_pack("{s:I, s:o}", "index", (json_int_t)c->n_chars, "content_block", block), out);
        c->n_chars++;
        json_take(&input, json_incref(json_object_get(call, "arguments")));
        json_t *delta =
            json_pack("{s:s, s:o}", "type", "input_json_delta", "partial_json", json_text_of(buffer_view(&input)));
        write_event("content_block_delta", json_pack("{s:I, s:o}", "index", (json_int_t)c->n_chars - 1, "delta", delta),
                    out);
        buffer_free(&input);
        close_block(c, out);
    }
}

static void write_part(choice *c, wf_part part, buffer *out)
{
    if (!c->text[part].len) return;
    if (!c->open || c->began != (part == WF_PART_ANSWER)) open_block(c, part, out);
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
    write_calls(c, out);
    if (!c->ended) return;
    if (!c->n_chars) open_block(c, WF_PART_ANSWER, out); // an answer without text
    if (c->open) close_block(c, out);
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
    const json_t *call;
    size_t i;
    if (c->text[WF_PART_REASONING].len)
        json_array_append_new(content,
                              json_pack("{s:s, s:o, s:s}", "type", "thinking", "thinking",
                                        json_text_of(buffer_view(&c->text[WF_PART_REASONING])), "signature", ""));
    if (c->text[WF_PART_ANSWER].len || !c->n_calls)
        json_array_append_new(content, json_pack("{s:s, s:o}", "type", "text", "text",
                                                 json_text_of(buffer_view(&c->text[WF_PART_ANSWER]))));
    json_array_foreach(c->calls, i, call) json_array_append_new(
        content, json_pack("{s:s, s:O, s:O, s:O}", "type", "tool_use", "id", json_object_get(call, "id"), "name",
                           json_object_get(call, "name"), "input", json_object_get(call, "arguments")));
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
