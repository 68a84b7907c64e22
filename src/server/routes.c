// The paths that are served.
#include <string.h>

#include "server/http.h"

static const char JSON[] = "application/json";

static const char *answer_health(exchange *x, const char *path, buffer *out, api_error *err)
{
    (void)path;
    wf_error error;
    bool failed;
    if (models_ready(x->s->models, &failed, &error)) {
        buffer_printf(out, "{\"status\":\"ok\"}");
        return JSON;
    }
    if (failed)
        api_fail(err, 503, NULL, "%s", error.message);
    else
        api_fail(err, 503, NULL, "Loading model");
    return NULL;
}

static json_t *describe_model(const served_model *m)
{
    json_t *model = json_pack("{s:s, s:s, s:I, s:s}", "id", m->name, "object", "model", "created",
                              (json_int_t)m->created, "owned_by", "welford");
    return model;
}

static const char *answer_models(exchange *x, const char *path, buffer *out, api_error *err)
{
    wf_error error;
    served_model **list;
    size_t n;
    const char *wanted = strstr(path, "/models/");
    wanted = wanted ? wanted + strlen("/models/") : NULL;
    if (models_list(x->s->models, &list, &n, &error) != WF_OK) {
        api_fail_status(err, NULL, &error);
        return NULL;
    }
    json_t *data = json_array(), *found = NULL;
    for (size_t i = 0; i < n; i++) {
        json_t *model = describe_model(list[i]);
        if (wanted && !strcmp(wanted, list[i]->name)) found = json_incref(model);
        json_array_append_new(data, model);
    }
    free(list);
    if (wanted) {
        json_decref(data);
        if (found)
            json_take(out, found);
        else
            api_fail(err, 404, "model", "there is no model '%.200s' here", wanted);
        return found ? JSON : NULL;
    }
    json_take(out, json_pack("{s:s, s:o}", "object", "list", "data", data));
    return JSON;
}

static const route ROUTES[] = {
    {"GET", "/health", .open = true, .answer = answer_health},
    {"GET", "/v1/health", .open = true, .answer = answer_health},
    {"GET", "/v1/models", .answer = answer_models},
    {"GET", "/v1/models/*", .answer = answer_models},
    {"GET", "/models", .answer = answer_models},
    {"POST", "/v1/chat/completions", .flavour = &flavour_openai_chat},
    {"POST", "/chat/completions", .flavour = &flavour_openai_chat},
    {"POST", "/v1/completions", .flavour = &flavour_openai_completion},
};

static bool matches(const route *r, const char *path)
{
    size_t n = strlen(r->path);
    return r->path[n - 1] == '*' ? !strncmp(r->path, path, n - 1) : !strcmp(r->path, path);
}

const route *route_find(const char *method, const char *path, bool *other_method)
{
    *other_method = false;
    for (size_t i = 0; i < sizeof ROUTES / sizeof *ROUTES; i++) {
        const route *r = &ROUTES[i];
        if (!matches(r, path)) continue;
        if (!strcmp(r->method, method) || (!strcmp(method, "HEAD") && !strcmp(r->method, "GET"))) return r;
        *other_method = true;
    }
    return NULL;
}
