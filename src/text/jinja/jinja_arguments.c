// Arguments of calls: checked against the parameters of what is called, then looked up by place or name.
#include "text/jinja/jinja_internal.h"

typedef struct parameter {
    view name;
    bool optional, positional_only;
} parameter;

// The next word of a list of parameters, whose place moves on; false at the end. See jinja_check_args.
static bool next_parameter(const char **list, parameter *p)
{
    *list += strspn(*list, " ");
    size_t len = strcspn(*list, " ");
    *p = (parameter){.name = {*list, len}};
    *list += len;
    if (len && p->name.data[len - 1] == '?') p->name.len--, p->optional = true;
    return len > 0;
}

static size_t count_named(const jinja_args *args, view name)
{
    size_t n = 0;
    for (size_t i = 0; i < args->n_named; i++) n += view_equal(args->names[i], name);
    return n;
}

void jinja_check_args(jinja_run *r, const char *function, const char *parameters, const jinja_args *args)
{
    size_t n = 0, known = 0;
    bool by_place = false, any_positional = false, any_named = false;
    for (parameter p; next_parameter(&parameters, &p);) {
        if (view_is(p.name, "/")) {
            by_place = true;
        } else if (view_is(p.name, "*")) {
            any_positional = true;
        } else if (view_is(p.name, "**")) {
            any_named = true;
        } else {
            size_t named = by_place ? 0 : count_named(args, p.name);
            known += named;
            if (n < args->n && named)
                jinja_fail(r, WF_ERROR_FORMAT, "%s: argument '%.*s' is given twice", function, VIEW_ARG(p.name));
            if (n >= args->n && !named && !p.optional)
                jinja_fail(r, WF_ERROR_FORMAT, "%s: argument '%.*s' is missing", function, VIEW_ARG(p.name));
            n++;
        }
    }
    if (args->n > n && !any_positional)
        jinja_fail(r, WF_ERROR_FORMAT, "%s takes at most %zu arguments, not %zu", function, n, args->n);
    if (args->n_named > known && !any_named)
        jinja_fail(r, WF_ERROR_FORMAT, "%s has no such named argument, or '%.*s' is none", function,
                   VIEW_ARG(args->names[0]));
}

const jinja_value *jinja_arg(const jinja_args *args, size_t index, const char *name)
{
    if (index < args->n) return &args->items[index];
    for (size_t i = 0; i < args->n_named; i++)
        if (view_is(args->names[i], name)) return &args->named[i];
    return NULL;
}

bool jinja_arg_bool(jinja_run *r, const jinja_args *args, size_t index, const char *name, bool fallback)
{
    const jinja_value *v = jinja_arg(args, index, name);
    return v ? jinja_is_true(r, *v) : fallback;
}

int64_t jinja_arg_int(jinja_run *r, const jinja_args *args, size_t index, const char *name, int64_t fallback)
{
    const jinja_value *v = jinja_arg(args, index, name);
    int64_t i;
    if (!v) return fallback;
    if (!jinja_integer(*v, &i))
        jinja_fail(r, WF_ERROR_FORMAT, "argument '%s' must be an int, not %s", name, jinja_type_name(*v));
    return i;
}

const jinja_string *jinja_arg_string(jinja_run *r, const jinja_args *args, size_t index, const char *name)
{
    const jinja_value *v = jinja_arg(args, index, name);
    if (!v || v->kind == JINJA_NONE) return NULL;
    if (v->kind != JINJA_STRING)
        jinja_fail(r, WF_ERROR_FORMAT, "argument '%s' must be a string, not %s", name, jinja_type_name(*v));
    return v->string;
}

const jinja_string *jinja_need_string(jinja_run *r, const jinja_args *args, size_t index, const char *name)
{
    const jinja_string *s = jinja_arg_string(r, args, index, name);
    if (!s) jinja_fail(r, WF_ERROR_FORMAT, "argument '%s' is missing", name);
    return s;
}

const jinja_value *jinja_need_arg(jinja_run *r, const jinja_args *args, size_t index, const char *name)
{
    const jinja_value *v = jinja_arg(args, index, name);
    if (!v) jinja_fail(r, WF_ERROR_FORMAT, "argument '%s' is missing", name);
    return v;
}
