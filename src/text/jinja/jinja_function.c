// The global functions.
#include <stdio.h>
#include <time.h>

#include "text/jinja/jinja_internal.h"

static jinja_value call_range(jinja_run *r, const jinja_args *args)
{
    int64_t bounds[3] = {0, 0, 1};
    for (size_t i = 0; i < args->n; i++)
        if (!jinja_integer(args->items[i], &bounds[args->n == 1 ? 1 : i])) {
            if (args->items[i].kind == JINJA_UNDEFINED) jinja_fail_undefined(r, args->items[i]);
            jinja_fail(r, WF_ERROR_FORMAT, "range takes ints, not %s", jinja_type_name(args->items[i]));
        }
    if (!bounds[2]) jinja_fail(r, WF_ERROR_FORMAT, "range with a step of zero");
    jinja_list *list = jinja_list_new(r);
    for (int64_t i = bounds[0]; bounds[2] > 0 ? i < bounds[1] : i > bounds[1];) {
        if (list->n == JINJA_MAX_RANGE) jinja_fail(r, WF_ERROR_LIMIT, "range of more than %d items", JINJA_MAX_RANGE);
        jinja_list_add(r, list, jinja_int(i));
        if (__builtin_add_overflow(i, bounds[2], &i)) break;
    }
    char label[96];
    int len = snprintf(label, sizeof label, bounds[2] == 1 ? "range(%lld, %lld)" : "range(%lld, %lld, %lld)",
                       (long long)bounds[0], (long long)bounds[1], (long long)bounds[2]);
    char *copy = jinja_alloc(r, (size_t)len + 1, 1);
    memcpy(copy, label, (size_t)len);
    list->label = copy;
    return jinja_seq(JINJA_RANGE, list);
}

// dict(pairs or dict, name=value, ...), also the contents of namespace().
static jinja_dict *make_dict(jinja_run *r, const jinja_args *args)
{
    jinja_dict *d = jinja_dict_new(r);
    if (args->n && args->items[0].kind == JINJA_DICT) {
        const jinja_dict *from = args->items[0].dict;
        for (size_t i = 0; i < from->n; i++) jinja_dict_set(r, d, from->keys[i], from->values[i]);
    } else if (args->n) {
        const jinja_list *pairs = jinja_iterate(r, args->items[0]);
        for (size_t i = 0; i < pairs->n; i++) {
            const jinja_list *pair = jinja_iterate(r, pairs->items[i]);
            if (pair->n != 2) jinja_fail(r, WF_ERROR_FORMAT, "dict needs pairs");
            jinja_dict_set(r, d, pair->items[0], pair->items[1]);
        }
    }
    for (size_t i = 0; i < args->n_named; i++)
        jinja_dict_set(r, d, jinja_str(jinja_string_new(r, args->names[i].data, args->names[i].len)), args->named[i]);
    return d;
}

static jinja_value call_dict(jinja_run *r, const jinja_args *args)
{
    return (jinja_value){.kind = JINJA_DICT, .dict = make_dict(r, args)};
}
static jinja_value call_namespace(jinja_run *r, const jinja_args *args)
{
    return (jinja_value){.kind = JINJA_NAMESPACE, .dict = make_dict(r, args)};
}

static jinja_value call_raise_exception(jinja_run *r, const jinja_args *args)
{
    const jinja_string *text = jinja_to_string(r, *jinja_need_arg(r, args, 0, "message"));
    jinja_fail(r, WF_ERROR_FORMAT, "the template refuses: %.*s", VIEW_ARG(jinja_string_view(text)));
}

static jinja_value call_strftime_now(jinja_run *r, const jinja_args *args)
{
    const jinja_string *format = jinja_need_string(r, args, 0, "format");
    char text[256], zero[128];
    time_t now = time(NULL);
    struct tm local;
    if (format->len >= sizeof zero || (format->len && memchr(format->data, 0, format->len)))
        jinja_fail(r, WF_ERROR_UNSUPPORTED, "strftime_now with a format of %zu bytes", format->len);
    if (format->len) memcpy(zero, format->data, format->len);
    zero[format->len] = 0;
    if (!format->len) return jinja_literal(r, "");
    localtime_r(&now, &local);
    size_t len = strftime(text, sizeof text, zero, &local);
    char *copy = jinja_alloc(r, len + 1, 1);
    memcpy(copy, text, len);
    return jinja_str(jinja_string_new(r, copy, len));
}

static jinja_value call_cycler(jinja_run *r, const jinja_args *args)
{
    jinja_cycle *c = jinja_alloc(r, 1, sizeof *c);
    if (!args->n) jinja_fail(r, WF_ERROR_FORMAT, "cycler without items");
    *c = (jinja_cycle){.items = args->items, .n = args->n};
    return (jinja_value){.kind = JINJA_CYCLER, .cycle = c};
}

// A cycle that gives nothing first, then the separator for ever.
static jinja_value call_joiner(jinja_run *r, const jinja_args *args)
{
    const jinja_value *separator = jinja_arg(args, 0, "sep");
    jinja_value *items = jinja_alloc(r, 2, sizeof *items);
    jinja_cycle *c = jinja_alloc(r, 1, sizeof *c);
    items[0] = jinja_literal(r, "");
    items[1] = separator ? *separator : jinja_literal(r, ", ");
    *c = (jinja_cycle){.items = items, .n = 2};
    return (jinja_value){.kind = JINJA_JOINER, .cycle = c};
}

static jinja_value call_lipsum(jinja_run *r, const jinja_args *args)
{
    (void)args;
    jinja_fail(r, WF_ERROR_UNSUPPORTED, "function 'lipsum', which gives random text");
}

const jinja_function *jinja_find_function(view name)
{
    static const jinja_function functions[] = {
        {"range", call_range, "/ start stop? step?"},
        {"dict", call_dict, "/ items? **"},
        {"namespace", call_namespace, "/ items? **"},
        {"cycler", call_cycler, "*"},
        {"joiner", call_joiner, "sep?"},
        {"raise_exception", call_raise_exception, "message"},
        {"strftime_now", call_strftime_now, "format"},
        {"lipsum", call_lipsum, "* **"},
    };
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (view_is(name, functions[i].name)) return &functions[i];
    return NULL;
}
