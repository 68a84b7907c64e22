// What the server tells of itself and its models.
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "server/http.h"

const char *answer_health(exchange *x, const char *path, buffer *out, api_error *err)
{
    (void)path;
    wf_error error;
    bool failed;
    if (models_ready(x->s->models, &failed, &error)) {
        buffer_printf(out, "{\"status\":\"ok\"}");
        return TYPE_JSON;
    }
    if (failed)
        api_fail(err, 503, NULL, "%s", error.message);
    else
        api_fail(err, 503, NULL, "Loading model");
    return NULL;
}

static json_t *describe_model(const served_model *m)
{
    return json_pack("{s:s, s:s, s:I, s:s}", "id", m->name, "object", "model", "created", (json_int_t)m->created,
                     "owned_by", "welford");
}

const char *answer_models(exchange *x, const char *path, buffer *out, api_error *err)
{
    wf_error error;
    served_model **list;
    size_t n;
    const char *wanted = strstr(path, "/models/");
    if (models_list(x->s->models, &list, &n, &error) != WF_OK) {
        api_fail_status(err, NULL, &error);
        return NULL;
    }
    json_t *answer = wanted ? NULL : json_pack("{s:s, s:[]}", "object", "list", "data");
    if (wanted) wanted += strlen("/models/");
    for (size_t i = 0; i < n; i++)
        if (!wanted)
            json_array_append_new(json_object_get(answer, "data"), describe_model(list[i]));
        else if (!answer && !strcmp(wanted, list[i]->name))
            answer = describe_model(list[i]);
    free(list);
    if (answer)
        json_take(out, answer);
    else
        api_fail(err, 404, "model", "there is no model '%.200s' here", wanted ? wanted : "");
    return answer ? TYPE_JSON : NULL;
}

// llama-server's.
const char *answer_props(exchange *x, const char *path, buffer *out, api_error *err)
{
    (void)path;
    wf_sampler_options s;
    wf_error error;
    const wf_model_facts facts = wf_model_describe(x->model->model);
    if (wf_sampler_recommended(x->model->model, &s, &error) != WF_OK) {
        api_fail_status(err, NULL, &error);
        return NULL;
    }
    json_t *sampling = json_pack("{s:f, s:I, s:f, s:f, s:f, s:I}", "temperature", s.temperature, "top_k",
                                 (json_int_t)s.top_k, "top_p", s.top_p, "min_p", s.min_p, "repeat_penalty",
                                 s.repeat_penalty, "repeat_last_n", (json_int_t)s.repeat_last_n);
    json_take(out, json_pack("{s:{s:I, s:o}, s:I, s:s, s:s, s:b, s:I, s:I}", "default_generation_settings", "n_ctx",
                             (json_int_t)wf_engine_context(x->model->engine), "params", sampling, "total_slots",
                             (json_int_t)x->s->options->engine.n_sequences, "model_alias", x->model->name, "build_info",
                             wf_version(), "has_chat_template", facts.has_chat_template, "n_ctx_train",
                             (json_int_t)facts.n_ctx_train, "n_params", (json_int_t)facts.n_parameters));
    return TYPE_JSON;
}
