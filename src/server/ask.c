#include "server/ask.h"

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
    json_decref(a->tools);
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

bool ask_add_chat(ask *a, const wf_model *m, const json_t *messages, api_error *err)
{
    wf_error error;
    ask_prompt *p = &a->prompts[a->n_prompts];
    char *text = json_dumps(messages, JSON_COMPACT), *tools = a->tools ? json_dumps(a->tools, JSON_COMPACT) : NULL;
    bool ok = text && (tools || !a->tools);
    if (!ok) api_fail(err, 503, NULL, "out of memory");
    if (ok && wf_chat_apply_json(m, text, tools, &p->ids, &p->n_ids, &error) != WF_OK)
        ok = api_fail_status(err, "messages", &error);
    else if (ok)
        a->n_prompts++;
    free(text);
    free(tools);
    return ok;
}

bool ask_append_text(ask *a, const wf_model *m, view text, api_error *err)
{
    wf_error error;
    ask_prompt *p = &a->prompts[a->n_prompts - 1];
    int32_t *ids, *joined;
    size_t n;
    if (wf_tokenize(m, text.data, text.len, true, &ids, &n, &error) != WF_OK) return api_fail_status(err, NULL, &error);
    const wf_model_facts facts = wf_model_describe(m);
    size_t skip = facts.add_bos && n && ids[0] == facts.bos;
    joined = realloc(p->ids, (p->n_ids + n) * sizeof *joined);
    if (joined) {
        memcpy(joined + p->n_ids, ids + skip, (n - skip) * sizeof *ids);
        p->ids = joined;
        p->n_ids += n - skip;
    }
    wf_free(ids);
    return joined || api_fail(err, 503, NULL, "out of memory");
}
