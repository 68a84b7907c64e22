// Any bytes as the body of a request: refused with a status, a message of one line and perhaps a field, or read; and any text
// as an answer in which tools are called: every byte of it is a text's or a call's, however it is cut.
#include <stdlib.h>
#include <string.h>

#include "server/messages.h"
#include "server/tool_calls.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes);

static void check(bool holds)
{
    if (!holds) abort();
}

static void check_error(const api_error *err)
{
    if (err->http_status) check(err->http_status >= 400 && err->http_status < 600 && err->message[0]);
}

// What is read of a body before a model has a say.
static void read_body(const json_t *body)
{
    api_error errors[5] = {0};
    for (int way = 0; way < 5; way++) {
        const fields f = {body, "", &errors[way]};
        ask a = {.n = 1};
        json_t *messages = NULL;
        switch (way) {
        case 0: ask_read_sampler(&a, &f); break;
        case 1: ask_read_stops(&a, &f, "stop"); break;
        case 2:
            if (tools_read(&a, &f)) messages = messages_read(field_array(&f, "messages"), f.err);
            break;
        case 3:
            if (tools_read_anthropic(&a, &f))
                messages = messages_read_anthropic(field_find(&f, "system"), field_array(&f, "messages"), f.err);
            break;
        default: field_refuse(&f, "format");
        }
        check(a.n_stops <= ASK_MAX_STOPS);
        check(!messages || (json_array_size(messages) && !errors[way].http_status));
        check_error(&errors[way]);
        json_decref(messages);
        ask_free(&a);
    }
}

static void add_text(void *context, const char *text, size_t bytes) { buffer_append(context, text, bytes); }

static void add_call(void *context, const char *name, json_t *arguments)
{
    buffer_printf(context, "(%s ", name);
    json_take(context, arguments);
}

static void parse(const tool_format *format, const json_t *tools, view text, size_t cut, buffer *out)
{
    tool_parser p = {.format = format, .tools = tools, .to = {add_text, add_call, out}};
    tool_parser_feed(&p, text.data, cut);
    tool_parser_feed(&p, text.data + cut, text.len - cut);
    check(tool_parser_finish(&p));
}

static void parse_answer(view text, size_t cut)
{
    static const tool_format FORMATS[] = {{"<tool_call>", "</tool_call>", "name", "arguments"},
                                          {"[TOOL_CALLS] [", "", "name", "arguments"},
                                          {"", "", "name", "parameters"}};
    json_t *tools = json_pack("[{s:{s:s}}]", "function", "name", "f");
    for (size_t i = 0; i < sizeof FORMATS / sizeof *FORMATS; i++) {
        buffer whole = {0}, halves = {0};
        parse(&FORMATS[i], tools, text, 0, &whole);
        parse(&FORMATS[i], tools, text, cut, &halves);
        check(view_equal(buffer_view(&whole), buffer_view(&halves)));
        buffer_free(&whole);
        buffer_free(&halves);
    }
    json_decref(tools);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes)
{
    const view text = {(const char *)data, bytes};
    api_error err = {0};
    json_t *body = body_parse(text, &err);
    check(!body == (err.http_status != 0));
    check_error(&err);
    if (body) read_body(body);
    json_decref(body);
    parse_answer(text, bytes ? data[0] % bytes : 0);
    return 0;
}
