// What ollama's interface tells of models.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "server/http.h"

static json_t *describe_time(int64_t seconds)
{
    struct tm parts;
    char text[32];
    time_t when = (time_t)seconds;
    gmtime_r(&when, &parts);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    return json_string(text);
}

// `m` NULL: it is not open, and what is in it not known.
static json_t *describe_details(const wf_model *m)
{
    const wf_model_facts facts = m ? wf_model_describe(m) : (wf_model_facts){.architecture = ""};
    char size[32] = "";
    if (m) snprintf(size, sizeof size, "%.1fM", (double)facts.n_parameters / 1e6);
    return json_pack("{s:s, s:s, s:s, s:[s], s:s, s:s}", "parent_model", "", "format", "gguf", "family",
                     facts.architecture, "families", facts.architecture, "parameter_size", size, "quantization_level",
                     "");
}

static json_t *describe(const served_model *m, const wf_model *open)
{
    return json_pack("{s:s, s:s, s:o, s:I, s:s, s:o}", "name", m->name, "model", m->name, "modified_at",
                     describe_time(m->created), "size", (json_int_t)m->bytes, "digest", "", "details",
                     describe_details(open));
}

static const char *list(exchange *x, bool open_only, buffer *out, api_error *err)
{
    wf_error error;
    served_model **all;
    size_t n;
    if (models_list(x->s->models, &all, &n, &error) != WF_OK) {
        api_fail_status(err, NULL, &error);
        return NULL;
    }
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++) {
        double left;
        bool open = models_state(x->s->models, all[i], &left) == SERVED_READY;
        if (open_only && !open) continue;
        json_t *model = describe(all[i], NULL);
        if (open_only) {
            json_object_set_new(model, "expires_at",
                                describe_time((int64_t)time(NULL) + (isinf(left) ? 1LL << 31 : (int64_t)left)));
            json_object_set_new(model, "size_vram", json_integer(0));
        }
        json_array_append_new(array, model);
    }
    free(all);
    json_take(out, json_pack("{s:o}", "models", array));
    return TYPE_JSON;
}

const char *answer_ollama_tags(exchange *x, const char *path, buffer *out, api_error *err)
{
    (void)path;
    return list(x, false, out, err);
}

const char *answer_ollama_ps(exchange *x, const char *path, buffer *out, api_error *err)
{
    (void)path;
    return list(x, true, out, err);
}

const char *answer_ollama_version(exchange *x, const char *path, buffer *out, api_error *err)
{
    (void)x;
    (void)path;
    (void)err;
    json_take(out, json_pack("{s:s}", "version", wf_version()));
    return TYPE_JSON;
}

const char *answer_ollama_show(exchange *x, const char *path, buffer *out, api_error *err)
{
    (void)path;
    (void)err;
    const wf_model_facts facts = wf_model_describe(x->model->model);
    json_t *info = json_pack("{s:s, s:s, s:I, s:o, s:o}", "general.architecture", facts.architecture, "general.name",
                             facts.name, "general.parameter_count", (json_int_t)facts.n_parameters,
                             "welford.context_length", json_integer(wf_engine_context(x->model->engine)),
                             "welford.file_bytes", json_integer((json_int_t)facts.file_bytes));
    char key[128];
    snprintf(key, sizeof key, "%.80s.context_length", facts.architecture);
    json_object_set_new(info, key, json_integer(facts.n_ctx_train));
    snprintf(key, sizeof key, "%.80s.embedding_length", facts.architecture);
    json_object_set_new(info, key, json_integer(facts.n_embd));
    snprintf(key, sizeof key, "%.80s.block_count", facts.architecture);
    json_object_set_new(info, key, json_integer(facts.n_layer));
    json_take(out, json_pack("{s:s, s:s, s:s, s:o, s:o, s:[s], s:o}", "modelfile", "", "parameters", "", "template", "",
                             "details", describe_details(x->model->model), "model_info", info, "capabilities",
                             "completion", "modified_at", describe_time(x->model->created)));
    return TYPE_JSON;
}
