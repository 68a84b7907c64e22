#include "server/ask.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool ask_reserve(ask *a, size_t n_prompts, api_error *err)
{
    if (n_prompts == 0 || n_prompts > ASK_MAX_CHOICES)
        return api_fail(err, 400, "prompt", "prompt: 1 to %d prompts", ASK_MAX_CHOICES);
    a->prompts = calloc(n_prompts, sizeof *a->prompts);
    return a->prompts || api_fail(err, 503, NULL, "out of memory");
}

void ask_free(ask *a)
{
    for (size_t i = 0; i < a->n_prompts; i++) wf_free(a->prompts[i].ids);
    free(a->prompts);
    *a = (ask){0};
}

bool ask_begin(ask *a, const wf_model *m, api_error *err)
{
    wf_error error;
    a->n = 1;
    if (wf_sampler_recommended(m, &a->sampler, &error) != WF_OK) return api_fail_status(err, NULL, &error);
    a->sampler.seed = WF_SEED_RANDOM;
    return true;
}

void ask_read_sampler(ask *a, const fields *f)
{
    wf_sampler_options *s = &a->sampler;
    s->temperature = field_number(f, "temperature", 0, 100, s->temperature);
    s->top_p = field_number(f, "top_p", 0, 1, s->top_p);
    s->min_p = field_number(f, "min_p", 0, 1, s->min_p);
    s->top_k = field_integer(f, "top_k", -1, INT32_MAX, s->top_k);
    if (s->top_k < 0) s->top_k = 0; // vLLM's -1: all
    s->repeat_penalty = field_number(f, "repeat_penalty", 1e-3, 1e3, s->repeat_penalty);
    s->repeat_last_n = field_integer(f, "repeat_last_n", 0, INT32_MAX, s->repeat_last_n);
    int64_t seed = field_integer(f, "seed", -1, INT64_MAX, -1);
    s->seed = seed < 0 ? WF_SEED_RANDOM : (uint64_t)seed;
    a->ignore_end = field_bool(f, "ignore_eos", false);
}

void ask_read_stops(ask *a, const fields *f, const char *name)
{
    const json_t *value = field_find(f, name), *item;
    size_t i;
    if (json_is_string(value) && json_string_length(value)) a->stops[a->n_stops++] = json_string_value(value);
    if (!value || json_is_string(value)) return;
    if (!json_is_array(value) || json_array_size(value) > ASK_MAX_STOPS) {
        field_fail(f, name, "neither a string nor an array of at most 16 strings");
        return;
    }
    json_array_foreach(value, i, item)
    {
        if (!json_is_string(item) || !json_string_length(item)) {
            field_fail(f, name, "not all of it are strings with text in them");
            return;
        }
        a->stops[a->n_stops++] = json_string_value(item);
    }
}

bool ask_add_text(ask *a, const wf_model *m, const char *field, view text, api_error *err)
{
    wf_error error;
    ask_prompt *p = &a->prompts[a->n_prompts];
    if (wf_tokenize(m, text.data, text.len, true, &p->ids, &p->n_ids, &error) != WF_OK)
        return api_fail_status(err, field, &error);
    a->n_prompts++;
    return p->n_ids > 0 || api_fail(err, 400, field, "%s: a prompt without tokens", field);
}

bool ask_add_ids(ask *a, const wf_model *m, const char *field, const json_t *ids, api_error *err)
{
    int64_t n_vocab = wf_model_describe(m).n_vocab;
    const json_t *id;
    size_t i;
    ask_prompt *p = &a->prompts[a->n_prompts];
    if (!json_array_size(ids)) return api_fail(err, 400, field, "%s: a prompt without tokens", field);
    p->ids = malloc(json_array_size(ids) * sizeof *p->ids);
    if (!p->ids) return api_fail(err, 503, NULL, "out of memory");
    a->n_prompts++;
    json_array_foreach(ids, i, id)
    {
        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) >= n_vocab)
            return api_fail(err, 400, field, "%s: token %zu is no id of the vocabulary", field, i);
        p->ids[p->n_ids++] = (int32_t)json_integer_value(id);
    }
    return true;
}

// ---- messages

typedef struct message_list {
    wf_message *items; // [count]
    buffer *joined;    // [count] contents that came in parts
    size_t count;
} message_list;

static bool fail_message(api_error *err, size_t i, const char *what, const char *message)
{
    char field[64];
    snprintf(field, sizeof field, "messages[%zu]%s", i, what);
    return api_fail(err, 400, field, "%s: %s", field, message);
}

// [{"type": "text", "text": TEXT}, ...], joined.
static bool join_parts(const json_t *parts, size_t at, buffer *out, api_error *err)
{
    const json_t *part;
    size_t i;
    json_array_foreach(parts, i, part)
    {
        const char *type = json_string_value(json_object_get(part, "type"));
        const json_t *text = json_object_get(part, "text");
        if (!type || (strcmp(type, "text") && strcmp(type, "input_text")) || !json_is_string(text))
            return fail_message(err, at, ".content", "welford reads parts of type \"text\" alone");
        buffer_append(out, json_string_value(text), json_string_length(text));
    }
    return !out->failed || api_fail(err, 503, NULL, "out of memory");
}

static bool read_message(message_list *list, size_t at, const json_t *message, api_error *err)
{
    const char *role = json_string_value(json_object_get(message, "role"));
    const json_t *content = json_object_get(message, "content");
    wf_message *m = &list->items[list->count];
    buffer *joined = &list->joined[list->count];
    if (!role) return fail_message(err, at, ".role", "a role is needed");
    if (!strcmp(role, "developer")) role = "system";
    if (strcmp(role, "system") && strcmp(role, "user") && strcmp(role, "assistant"))
        return fail_message(err, at, ".role", "neither system, developer, user nor assistant");
    list->count++;
    *m = (wf_message){role, json_string_value(content)};
    if (m->content) return true;
    if (!json_is_array(content)) return fail_message(err, at, ".content", "neither a string nor an array of parts");
    if (!join_parts(content, at, joined, err)) return false;
    m->content = joined->data ? joined->data : "";
    return true;
}

bool ask_add_messages(ask *a, const wf_model *m, const char *system, const json_t *messages, api_error *err)
{
    size_t n = json_array_size(messages), i;
    const json_t *message;
    wf_error error;
    if (!n) return api_fail(err, 400, "messages", "messages: at least one message is needed");
    message_list list = {calloc(n + 1, sizeof *list.items), calloc(n + 1, sizeof *list.joined), 0};
    bool ok = (list.items && list.joined) || api_fail(err, 503, NULL, "out of memory");
    if (ok && system) list.items[list.count++] = (wf_message){"system", system};
    json_array_foreach(messages, i, message)
    {
        if (ok) ok = read_message(&list, i, message, err);
    }
    ask_prompt *p = ok ? &a->prompts[a->n_prompts] : NULL;
    if (ok)
        ok = !wf_chat_apply(m, list.items, list.count, &p->ids, &p->n_ids, &error) ||
             api_fail_status(err, "messages", &error);
    if (ok) a->n_prompts++;
    for (size_t k = 0; list.joined && k < list.count; k++) buffer_free(&list.joined[k]);
    free(list.items);
    free(list.joined);
    return ok;
}
