// Any template text with a fixed context: compiling and rendering succeed or fail with one line; the origin of every
// byte is known; nothing leaks. The context has a value of every kind.
#include <stdlib.h>

#include "text/jinja/jinja.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes);

static const char CONTEXT[] =
    "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi <|x|> \\u00e9\\n\"}, {\"role\": \"assistant\", "
    "\"content\": null,"
    "\"tool_calls\": [{\"function\": {\"name\": \"f\", \"arguments\": {\"a\": [1, 2.5, true]}}}]}],"
    "\"tools\": [{\"name\": \"f\"}], \"add_generation_prompt\": true, \"bos_token\": \"<s>\","
    "\"s\": \"abc \\ud83d\\ude00\", \"i\": -7, \"f\": 1e16, \"n\": null, \"l\": [3, 1, 2], \"d\": {\"b\": 1, \"a\": "
    "\"x\"}}";

static void check(bool holds)
{
    if (!holds) abort();
}

static void check_message(wf_status status, const wf_error *err)
{
    check(status == WF_ERROR_FORMAT || status == WF_ERROR_UNSUPPORTED || status == WF_ERROR_LIMIT);
    check(err->status == status && strstr(err->message, "fuzz: line ") == err->message && !strchr(err->message, '\n'));
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes)
{
    static const char *const foreign[] = {"messages", "s", NULL};
    jinja_template *t;
    wf_error err = {0};
    wf_status status = jinja_compile((view){(const char *)data, bytes}, "fuzz", &t, &err);
    if (status != WF_OK) {
        check_message(status, &err);
        return 0;
    }
    json_t *context = json_loads(CONTEXT, 0, NULL);
    buffer out = {0}, origin = {0};
    check(context != NULL);
    status = jinja_render_origin(t, context, foreign, &out, &origin, &err);
    if (status != WF_OK) check_message(status, &err);
    check(out.len == origin.len);
    for (size_t i = 0; i < origin.len; i++) check(origin.data[i] == 0 || origin.data[i] == 1);
    buffer_free(&out);
    buffer_free(&origin);
    json_decref(context);
    jinja_free(t);
    return 0;
}
