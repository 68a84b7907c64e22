#include "server/tool_calls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- the format

static const char NAME[] = "called_function", KEY[] = "some_key", VALUE[] = "some value";

static json_t *make_calls(size_t n)
{
    json_t *calls = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(calls, json_pack("{s:s, s:s, s:{s:s, s:{s:s}}}", "id", i ? "callabcd1" : "callabcd0",
                                               "type", "function", "function", "name", NAME, "arguments", KEY, VALUE));
    return calls;
}

// The prompt of a conversation in which n tools are called. The caller frees it with wf_free; NULL: it cannot be had.
static char *render(const wf_model *m, size_t n_calls)
{
    json_t *tools = json_pack("[{s:s, s:{s:s, s:s, s:{s:s, s:{}}}}]", "type", "function", "function", "name", "other",
                              "description", "", "parameters", "type", "object", "properties");
    json_t *messages = json_pack("[{s:s, s:s}]", "role", "user", "content", "x");
    if (n_calls)
        json_array_append_new(messages, json_pack("{s:s, s:s, s:o}", "role", "assistant", "content", "", "tool_calls",
                                                  make_calls(n_calls)));
    char *said = json_dumps(messages, 0), *given = json_dumps(tools, 0), *text = NULL;
    int32_t *ids = NULL;
    size_t n, bytes;
    if (said && given && wf_chat_apply_json(m, said, given, &ids, &n, NULL) == WF_OK)
        wf_detokenize(m, ids, n, true, &text, &bytes, NULL);
    wf_free(ids);
    free(said);
    free(given);
    json_decref(tools);
    json_decref(messages);
    return text;
}

static bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

static view trim(view text)
{
    while (text.len && is_space(text.data[0])) text.data++, text.len--;
    while (text.len && is_space(text.data[text.len - 1])) text.len--;
    return text;
}

static void copy(char *to, size_t bytes, view text) { snprintf(to, bytes, "%.*s", VIEW_ARG(text)); }

// Whether `object` is the call that was made; its keys.
static bool find_keys(tool_format *f, const json_t *object)
{
    const char *key;
    json_t *value;
    f->name_key[0] = f->arguments_key[0] = 0;
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        const char *text = json_string_value(value), *inside = json_string_value(json_object_get(value, KEY));
        if (text && !strcmp(text, NAME)) copy(f->name_key, sizeof f->name_key, view_of(key));
        if (inside && !strcmp(inside, VALUE)) copy(f->arguments_key, sizeof f->arguments_key, view_of(key));
    }
    return f->name_key[0] && f->arguments_key[0];
}

// The call around the name at `name`: where its object begins and ends.
static bool find_object(tool_format *f, const char *begin, const char *name, view *object)
{
    const char *at = name;
    while (at > begin && *at != '{') at--;
    json_error_t error;
    json_t *value = *at == '{' ? json_loads(at, JSON_DISABLE_EOF_CHECK, &error) : NULL;
    bool found = value && find_keys(f, value);
    if (found) *object = (view){at, (size_t)error.position};
    json_decref(value);
    return found;
}

// Between two calls: what closes the first, and opens the second where each is opened.
static void find_close(tool_format *f, const char *two)
{
    view first, second;
    tool_format same = *f;
    const char *name = strstr(two, NAME), *next = name ? strstr(name + 1, NAME) : NULL;
    if (!next || !find_object(&same, two, name, &first) || !find_object(&same, first.data + first.len, next, &second))
        return;
    view between = {first.data + first.len, (size_t)(second.data - first.data) - first.len};
    view open = view_of(f->open);
    const char *opens = open.len ? memmem(between.data, between.len, open.data, open.len) : NULL;
    if (opens) copy(f->close, sizeof f->close, trim((view){between.data, (size_t)(opens - between.data)}));
}

static bool find_format(tool_format *f, const char *none, const char *one, const char *two)
{
    view object;
    const char *name = strstr(one, NAME);
    size_t same = 0;
    if (!name || !find_object(f, one, name, &object)) return false;
    const char *begin = object.data;
    while (none[same] && none[same] == one[same]) same++;
    view before = none[same] ? (view){begin, 0} : (view){one + same, (size_t)(begin - one) - same};
    // a template may write an empty reasoning there
    const char *thought = before.len ? memmem(before.data, before.len, "</think>", 8) : NULL;
    if (thought) before = (view){thought + 8, before.len - (size_t)(thought + 8 - before.data)};
    before = trim(before);
    if (before.len >= sizeof f->open) return false;
    copy(f->open, sizeof f->open, before);
    if (two) find_close(f, two);
    return true;
}

bool tool_format_find(tool_format *f, const wf_model *m, api_error *err)
{
    *f = (tool_format){0};
    char *none = render(m, 0), *one = render(m, 1), *two = render(m, 2);
    bool found = none && one && find_format(f, none, one, two);
    wf_free(none);
    wf_free(one);
    wf_free(two);
    return found ||
           api_fail(err, 400, "tools", "tools: the model's chat template writes no calls that welford understands");
}

void tool_format_begin(const tool_format *f, const char *function, buffer *out)
{
    buffer_printf(out, "%s%s{\"%s\": \"", f->open, f->close[0] ? "\n" : "", f->name_key);
    if (function) buffer_printf(out, "%s\", \"%s\": ", function, f->arguments_key);
}

// ---- the parser

static void drop(tool_parser *p, size_t bytes)
{
    memmove(p->held.data, p->held.data + bytes, p->held.len - bytes);
    p->held.len -= bytes;
}

static void give(tool_parser *p, size_t bytes)
{
    if (bytes) p->to.text(p->to.context, p->held.data, bytes);
    p->began |= bytes > 0;
    drop(p, bytes);
}

static size_t count_spaces(view text)
{
    size_t n = 0;
    while (n < text.len && is_space(text.data[n])) n++;
    return n;
}

// Bytes of the object that the text begins with; 0: it is not whole.
static size_t object_bytes(view text)
{
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (in_string && c == '\\')
            i++;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string && (c == '{' || c == '['))
            depth++;
        else if (!in_string && (c == '}' || c == ']') && --depth == 0)
            return i + 1;
        if (depth > BODY_MAX_DEPTH) return 0;
    }
    return 0;
}

static bool is_tool(const tool_parser *p, const char *name)
{
    const json_t *tool;
    size_t i;
    json_array_foreach(p->tools, i, tool)
    {
        const char *own = json_string_value(json_object_get(json_object_get(tool, "function"), "name"));
        if (own && !strcmp(own, name)) return true;
    }
    return false;
}

// The call of an object; false: it is none.
static bool take_call(tool_parser *p, view text)
{
    json_t *object = json_loadb(text.data, text.len, 0, NULL);
    const char *name = json_string_value(json_object_get(object, p->format->name_key));
    json_t *arguments = json_object_get(object, p->format->arguments_key);
    bool good = name && json_is_object(arguments) && is_tool(p, name);
    if (good && (!p->one || !p->n_calls)) p->to.call(p->to.context, name, json_incref(arguments));
    p->n_calls += good;
    json_decref(object);
    return good;
}

// All of these: false when nothing more can be said of what is held.
static bool advance_text(tool_parser *p)
{
    view text = buffer_view(&p->held), open = view_of(p->format->open);
    size_t spaces = count_spaces(text), end;
    bool whole = false;
    if (!open.len) { // a call can only be all of the answer
        if (!p->began && spaces == text.len) return false;
        if (!p->began && text.data[spaces] == '{') {
            drop(p, spaces);
            p->state = TOOL_CALL;
            return true;
        }
        give(p, text.len);
        return false;
    }
    size_t at = view_find_begun(text, open, &whole);
    for (end = at; end && is_space(text.data[end - 1]);) end--; // white space before a call is no text
    if (!whole) {
        give(p, end);
        return false;
    }
    give(p, end);
    drop(p, at - end + open.len);
    p->state = TOOL_BETWEEN;
    return true;
}

static bool advance_between(tool_parser *p)
{
    view text = buffer_view(&p->held), close = view_of(p->format->close);
    size_t skip = 0;
    while (skip < text.len && (is_space(text.data[skip]) || strchr(",[]", text.data[skip]))) skip++;
    view rest = {text.data + skip, text.len - skip};
    if (!rest.len) return false;
    size_t n = rest.len < close.len ? rest.len : close.len;
    bool closes = close.len && !memcmp(rest.data, close.data, n);
    if (closes && n < close.len) return false;
    p->state = !closes && rest.data[0] == '{' ? TOOL_CALL : TOOL_TEXT;
    drop(p, skip + (closes ? close.len : 0));
    return true;
}

static bool advance_call(tool_parser *p)
{
    view text = buffer_view(&p->held);
    size_t n = object_bytes(text);
    if (!n) return false;
    p->state = TOOL_BETWEEN;
    if (take_call(p, (view){text.data, n})) {
        drop(p, n);
    } else {
        give(p, n);
        p->state = TOOL_TEXT;
    }
    return true;
}

static bool advance(tool_parser *p)
{
    switch (p->state) {
    case TOOL_TEXT: return advance_text(p);
    case TOOL_BETWEEN: return advance_between(p);
    default: return advance_call(p);
    }
}

void tool_parser_feed(tool_parser *p, const char *text, size_t bytes)
{
    buffer_append(&p->held, text, bytes);
    while (p->held.len && advance(p)) continue;
}

bool tool_parser_finish(tool_parser *p)
{
    bool only_spaces = count_spaces(buffer_view(&p->held)) == p->held.len;
    if (p->held.len && !(p->n_calls && (only_spaces || p->state == TOOL_BETWEEN))) give(p, p->held.len);
    bool ok = !p->held.failed;
    buffer_free(&p->held);
    return ok;
}
