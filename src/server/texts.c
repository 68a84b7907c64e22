// Texts, tokens and templates of a model, without computing anything.
#include "server/http.h"

static const char *fail(api_error *err, const wf_error *error)
{
    api_fail_status(err, NULL, error);
    return NULL;
}

static json_t *list_ids(const int32_t *ids, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(list, json_integer(ids[i]));
    return list;
}

// {"content", "add_special": false, "parse_special": true} to {"tokens"}
const char *answer_tokenize(exchange *x, const char *path, buffer *out, api_error *err)
{
    (void)path;
    wf_error error;
    int32_t *ids;
    size_t n;
    const fields f = {x->json, "", err};
    bool add_special = field_bool(&f, "add_special", false), parse_special = field_bool(&f, "parse_special", true);
    const json_t *content = field_find(&f, "content");
    if (!json_is_string(content)) field_fail(&f, "content", "not a string");
    if (err->http_status) return NULL;
    const wf_model *m = x->model->model;
    if (wf_tokenize(m, json_string_value(content), json_string_length(content), parse_special, &ids, &n, &error) !=
        WF_OK)
        return fail(err, &error);
    const wf_model_facts facts = wf_model_describe(m);
    bool skip = !add_special && facts.add_bos && n && ids[0] == facts.bos;
    json_take(out, json_pack("{s:o}", "tokens", list_ids(ids + skip, n - skip)));
    wf_free(ids);
    return TYPE_JSON;
}

static const char *give_text(const wf_model *m, const ask_prompt *p, const char *name, buffer *out, api_error *err)
{
    wf_error error;
    char *text;
    size_t bytes;
    if (wf_detokenize(m, p->ids, p->n_ids, true, &text, &bytes, &error) != WF_OK) return fail(err, &error);
    json_take(out, json_pack("{s:o}", name, json_text_of((view){text, bytes})));
    wf_free(text);
    return TYPE_JSON;
}

// {"tokens"} to {"content"}
const char *answer_detokenize(exchange *x, const char *path, buffer *out, api_error *err)
{
    (void)path;
    const fields f = {x->json, "", err};
    const json_t *tokens = field_array(&f, "tokens");
    bool ok = !err->http_status && ask_reserve(&x->ask, 1, err) &&
              (!json_array_size(tokens) || ask_add_ids(&x->ask, x->model->model, "tokens", tokens, err));
    return ok ? give_text(x->model->model, &x->ask.prompts[0], "content", out, err) : NULL;
}

// {"messages"} to {"prompt"}
const char *answer_template(exchange *x, const char *path, buffer *out, api_error *err)
{
    (void)path;
    const fields f = {x->json, "", err};
    const json_t *messages = field_array(&f, "messages");
    bool ok = !err->http_status && ask_reserve(&x->ask, 1, err) &&
              ask_add_messages(&x->ask, x->model->model, NULL, messages, err);
    return ok ? give_text(x->model->model, &x->ask.prompts[0], "prompt", out, err) : NULL;
}
