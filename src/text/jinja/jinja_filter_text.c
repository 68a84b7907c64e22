// Filters of text; see jinja_filter.c.
#include "text/jinja/jinja_internal.h"

static jinja_value strings_case(jinja_run *r, jinja_value v, jinja_case how)
{
    return jinja_str(jinja_string_case(r, jinja_to_string(r, v), how));
}

FILTER(filter_upper)
{
    (void)args;
    return strings_case(r, v, CASE_UPPER);
}
FILTER(filter_lower)
{
    (void)args;
    return strings_case(r, v, CASE_LOWER);
}
FILTER(filter_title)
{
    const jinja_string *s = jinja_to_string(r, v);
    (void)args;
    jinja_string plain = *s; // jinja2 joins words, which gives no markup
    plain.markup = false;
    return jinja_str(jinja_string_case(r, &plain, CASE_TITLE));
}
FILTER(filter_capitalize)
{
    (void)args;
    return strings_case(r, v, CASE_CAPITALIZE);
}
FILTER(filter_string)
{
    (void)args;
    return jinja_str(jinja_to_string(r, v));
}

FILTER(filter_trim)
{
    return jinja_str(jinja_string_strip(r, jinja_to_string(r, v), jinja_arg_string(r, args, 0, "chars"), true, true));
}

FILTER(filter_replace)
{
    const jinja_value *from = jinja_arg(args, 0, "old"), *to = jinja_arg(args, 1, "new");
    if (!from || !to) jinja_fail(r, WF_ERROR_FORMAT, "replace needs two arguments");
    const jinja_value *count = jinja_arg(args, 2, "count");
    int64_t n = count && count->kind != JINJA_NONE ? jinja_arg_int(r, args, 2, "count", -1) : -1;
    return jinja_str(
        jinja_string_replace(r, jinja_to_string(r, v), jinja_to_string(r, *from), jinja_to_string(r, *to), n));
}

FILTER(filter_indent)
{
    const jinja_value *width = jinja_arg(args, 0, "width");
    bool first = jinja_arg_bool(r, args, 1, "first", false), blank = jinja_arg_bool(r, args, 2, "blank", false);
    jinja_text indent = {0}, t = {0};
    if (v.kind == JINJA_UNDEFINED) jinja_fail_undefined(r, v);
    if (v.kind != JINJA_STRING) jinja_fail(r, WF_ERROR_FORMAT, "indent of %s", jinja_type_name(v));
    if (width && width->kind == JINJA_STRING)
        jinja_text_add_string(r, &indent, width->string);
    else
        for (int64_t i = 0, n = jinja_arg_int(r, args, 0, "width", 4); i < n; i++)
            jinja_text_add_literal(r, &indent, " ");
    const jinja_string *margin = jinja_text_end(r, &indent);
    jinja_text_add_string(r, &t, v.string);
    jinja_text_add_literal(r, &t, "\n");
    const jinja_list *lines = jinja_string_split_lines(r, jinja_text_end(r, &t), false);
    t = (jinja_text){0};
    for (size_t i = 0; i < lines->n; i++) {
        const jinja_string *line = lines->items[i].string;
        if (i) jinja_text_add_literal(r, &t, "\n");
        if (i ? blank || line->len : first) jinja_text_add_string(r, &t, margin);
        jinja_text_add_string(r, &t, line);
    }
    return jinja_str(jinja_text_end(r, &t));
}

// string % (the named arguments or the tuple of the others)
FILTER(filter_format)
{
    jinja_list *values = jinja_list_new(r);
    jinja_dict *named = jinja_dict_new(r);
    for (size_t i = 0; i < args->n; i++) jinja_list_add(r, values, args->items[i]);
    for (size_t i = 0; i < args->n_named; i++)
        jinja_dict_set(r, named, jinja_str(jinja_string_new(r, args->names[i].data, args->names[i].len)),
                       args->named[i]);
    if (values->n && named->n) jinja_fail(r, WF_ERROR_FORMAT, "format takes arguments with names or without");
    return jinja_format(r, jinja_to_string(r, v),
                        named->n ? (jinja_value){.kind = JINJA_DICT, .dict = named} : jinja_seq(JINJA_TUPLE, values));
}

const jinja_filter_row jinja_text_filters[] = {
    {"capitalize", filter_capitalize, ""},
    {"format", filter_format, "* **"},
    {"indent", filter_indent, "width? first? blank?"},
    {"lower", filter_lower, ""},
    {"replace", filter_replace, "old new count?"},
    {"string", filter_string, ""},
    {"title", filter_title, ""},
    {"trim", filter_trim, "chars?"},
    {"upper", filter_upper, ""},
    {NULL, NULL, NULL},
};
