#include "server/messages.h"

#include <stdio.h>
#include <string.h>

static json_t *fail(api_error *err, size_t i, const char *what, const char *message)
{
    char field[64];
    snprintf(field, sizeof field, "messages[%zu]%s", i, what);
    api_fail(err, 400, field, "%s: %s", field, message);
    return NULL;
}

// [{"type": "text", "text": TEXT}, ...], joined; NULL: there is something else among them.
static json_t *join_parts(const json_t *parts)
{
    const json_t *part;
    size_t i;
    buffer out = {0};
    bool ok = json_is_array(parts);
    json_array_foreach(parts, i, part)
    {
        const char *type = json_string_value(json_object_get(part, "type"));
        const json_t *text = json_object_get(part, "text");
        ok &= type && (!strcmp(type, "text") || !strcmp(type, "input_text")) && json_is_string(text);
        if (ok) buffer_append(&out, json_string_value(text), json_string_length(text));
    }
    json_t *joined = ok && !out.failed ? json_text_of(buffer_view(&out)) : NULL;
    buffer_free(&out);
    return joined;
}

static json_t *read_text(const json_t *content)
{
    return json_is_string(content) ? json_copy((json_t *)(uintptr_t)content) : join_parts(content);
}

// {"id", "function": {"name", "arguments": TEXT or {...}}}
static json_t *read_call(const json_t *call)
{
    const json_t *function = json_object_get(call, "function"), *given = json_object_get(function, "arguments");
    const char *name = json_string_value(json_object_get(function, "name"));
    const char *id = json_string_value(json_object_get(call, "id"));
    json_t *arguments = json_is_string(given) ? json_loadb(json_string_value(given), json_string_length(given), 0, NULL)
                                              : json_deep_copy(given);
    if (name && json_is_object(arguments))
        return json_pack("{s:s, s:s, s:{s:s, s:o}}", "id", id ? id : "", "type", "function", "function", "name", name,
                         "arguments", arguments);
    json_decref(arguments);
    return NULL;
}

static bool read_calls(json_t *into, const json_t *calls)
{
    const json_t *call;
    size_t i;
    json_t *list = json_array();
    json_array_foreach(calls, i, call)
    {
        if (json_array_append_new(list, read_call(call))) {
            json_decref(list);
            return false;
        }
    }
    return !json_object_set_new(into, "tool_calls", list);
}

static json_t *read_message(size_t i, const json_t *from, api_error *err)
{
    static const char *const KEPT[] = {"name", "tool_call_id", "tool_name", "reasoning_content"};
    const char *role = json_string_value(json_object_get(from, "role"));
    const json_t *content = json_object_get(from, "content"), *calls = json_object_get(from, "tool_calls");
    if (!role) return fail(err, i, ".role", "a role is needed");
    if (!strcmp(role, "developer")) role = "system";
    if (strcmp(role, "system") && strcmp(role, "user") && strcmp(role, "assistant") && strcmp(role, "tool"))
        return fail(err, i, ".role", "neither system, developer, user, assistant nor tool");
    bool has_calls = json_array_size(calls) > 0;
    json_t *text = has_calls && (!content || json_is_null(content)) ? json_string("") : read_text(content);
    if (!text) return fail(err, i, ".content", "neither a string nor an array of parts of type \"text\"");
    json_t *made = json_pack("{s:s, s:o}", "role", role, "content", text);
    if (has_calls && !read_calls(made, calls)) {
        json_decref(made);
        return fail(err, i, ".tool_calls", "each is a function with a name and an object of arguments");
    }
    for (size_t k = 0; k < sizeof KEPT / sizeof *KEPT; k++)
        if (json_is_string(json_object_get(from, KEPT[k])))
            json_object_set(made, KEPT[k], json_object_get(from, KEPT[k]));
    return made;
}

json_t *messages_read(const json_t *messages, api_error *err)
{
    const json_t *message;
    size_t i;
    if (!json_array_size(messages)) {
        api_fail(err, 400, "messages", "messages: at least one message is needed");
        return NULL;
    }
    json_t *list = json_array();
    json_array_foreach(messages, i, message)
    {
        if (!json_array_append_new(list, read_message(i, message, err))) continue;
        api_fail(err, 503, NULL, "out of memory"); // unless there is a reason already
        json_decref(list);
        return NULL;
    }
    return list;
}

// ---- Anthropic's

static json_t *use_of(const json_t *block)
{
    const char *name = json_string_value(json_object_get(block, "name"));
    const char *id = json_string_value(json_object_get(block, "id"));
    json_t *input = json_object_get(block, "input");
    if (!name || !json_is_object(input)) return NULL;
    return json_pack("{s:s, s:s, s:{s:s, s:O}}", "id", id ? id : "", "type", "function", "function", "name", name,
                     "arguments", input);
}

// A user's results of tools are messages of their own, before what the user says.
static json_t *result_of(const json_t *block)
{
    const char *id = json_string_value(json_object_get(block, "tool_use_id"));
    const json_t *content = json_object_get(block, "content");
    json_t *text = content ? read_text(content) : json_string("");
    return text ? json_pack("{s:s, s:s, s:o}", "role", "tool", "tool_call_id", id ? id : "", "content", text) : NULL;
}

static bool read_blocks(const char *role, const json_t *blocks, json_t *list)
{
    const json_t *block;
    size_t i;
    buffer text = {0};
    json_t *calls = json_array();
    bool ok = json_is_array(blocks), has_text = false, has_results = false;
    json_array_foreach(blocks, i, block)
    {
        const char *name = json_string_value(json_object_get(block, "type")), *type = name ? name : "";
        const json_t *part = json_object_get(block, "text");
        if (!strcmp(type, "text") && json_is_string(part)) {
            buffer_append(&text, json_string_value(part), json_string_length(part));
            has_text = true;
        } else if (!strcmp(type, "tool_use")) {
            ok &= !json_array_append_new(calls, use_of(block));
        } else if (!strcmp(type, "tool_result")) {
            ok &= !json_array_append_new(list, result_of(block));
            has_results = true;
        } else if (strcmp(type, "thinking") && strcmp(type, "redacted_thinking")) {
            ok = false;
        }
    }
    json_t *message = json_pack("{s:s, s:o}", "role", role, "content", json_text_of(buffer_view(&text)));
    if (json_array_size(calls)) json_object_set(message, "tool_calls", calls);
    if (ok && (has_text || !has_results)) ok = !json_array_append(list, message);
    json_decref(message);
    json_decref(calls);
    buffer_free(&text);
    return ok;
}

json_t *messages_read_anthropic(const json_t *system, const json_t *messages, api_error *err)
{
    const json_t *message;
    size_t i;
    json_t *list = json_array(), *text = system ? read_text(system) : NULL;
    if (system && !text)
        api_fail(err, 400, "system", "system: neither a string nor an array of parts of type \"text\"");
    if (text && json_string_length(text))
        json_array_append_new(list, json_pack("{s:s, s:O}", "role", "system", "content", text));
    json_decref(text);
    if (!json_array_size(messages)) api_fail(err, 400, "messages", "messages: at least one message is needed");
    json_array_foreach(messages, i, message)
    {
        const char *role = json_string_value(json_object_get(message, "role"));
        json_t *content = json_object_get(message, "content");
        if (!role || (strcmp(role, "user") && strcmp(role, "assistant"))) {
            fail(err, i, ".role", "neither user nor assistant");
        } else if (json_is_string(content)) {
            json_array_append_new(list, json_pack("{s:s, s:O}", "role", role, "content", content));
        } else if (!read_blocks(role, content, list)) {
            fail(err, i, ".content", "neither a string nor an array of blocks of type text, tool_use and tool_result");
        }
    }
    if (!err->http_status) return list;
    json_decref(list);
    return NULL;
}

// ---- tools

// The tools in the words of templates; NULL: one has no name.
static json_t *read_tool(const json_t *tool, bool anthropic)
{
    const json_t *function = anthropic ? tool : json_object_get(tool, "function");
    const char *name = json_string_value(json_object_get(function, "name"));
    const char *description = json_string_value(json_object_get(function, "description"));
    json_t *parameters = json_object_get(function, anthropic ? "input_schema" : "parameters");
    if (!name || !*name || (parameters && !json_is_object(parameters))) return NULL;
    return json_pack("{s:s, s:{s:s, s:s, s:o}}", "type", "function", "function", "name", name, "description",
                     description ? description : "", "parameters",
                     parameters ? json_deep_copy(parameters)
                                : json_pack("{s:s, s:{}}", "type", "object", "properties"));
}

static bool read_tools(ask *a, const fields *f, bool anthropic)
{
    const json_t *tools = field_array(f, "tools"), *tool;
    size_t i;
    if (f->err->http_status || !json_array_size(tools)) return !f->err->http_status;
    a->tools = json_array();
    json_array_foreach(tools, i, tool)
    {
        if (!json_array_append_new(a->tools, read_tool(tool, anthropic))) continue;
        char name[32];
        snprintf(name, sizeof name, "tools[%zu]", i);
        return field_fail(f, name, "a function with a name and an object of parameters is needed");
    }
    return true;
}

static bool has_tool(const ask *a, const char *name)
{
    const json_t *tool;
    size_t i;
    json_array_foreach(a->tools, i, tool)
    {
        const char *own = json_string_value(json_object_get(json_object_get(tool, "function"), "name"));
        if (own && name && !strcmp(own, name)) return true;
    }
    return false;
}

// `how`: "auto", "none", "required" (Anthropic: "any") or, with a name, one of them.
static bool choose(ask *a, const fields *f, const char *how, const char *name)
{
    if (!how || !strcmp(how, "auto")) return true;
    if (!strcmp(how, "none")) {
        json_decref(a->tools);
        a->tools = NULL;
        return true;
    }
    a->choice = name ? TOOLS_NAMED : TOOLS_REQUIRED;
    a->function = name;
    bool known = name ? has_tool(a, name) : a->tools && (!strcmp(how, "required") || !strcmp(how, "any"));
    return known || field_fail(f, "tool_choice", "neither auto, none, required nor one of the tools");
}

bool tools_read(ask *a, const fields *f)
{
    if (!read_tools(a, f, false)) return false;
    const json_t *choice = field_find(f, "tool_choice");
    const char *name = json_string_value(json_object_get(json_object_get(choice, "function"), "name"));
    const char *how = json_is_string(choice) ? json_string_value(choice) : choice ? "?" : NULL;
    a->one_tool = !field_bool(f, "parallel_tool_calls", true);
    return choose(a, f, how, name);
}

bool tools_read_anthropic(ask *a, const fields *f)
{
    if (!read_tools(a, f, true)) return false;
    const json_t *choice = field_object(f, "tool_choice");
    const char *how = json_string_value(json_object_get(choice, "type"));
    if (choice && !how) how = "?";
    a->one_tool = json_is_true(json_object_get(choice, "disable_parallel_tool_use"));
    return choose(a, f, how, json_string_value(json_object_get(choice, "name")));
}
