// Filters of text and numbers; see jinja_filter.c.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "text/jinja_internal.h"

// ---- text

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
    (void)args;
    return strings_case(r, v, CASE_TITLE);
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

FILTER(filter_escape)
{
    const jinja_string *s = jinja_to_string(r, v);
    (void)args;
    return jinja_str(s->markup ? s : jinja_string_escape(r, s));
}

FILTER(filter_safe)
{
    const jinja_string *s = jinja_to_string(r, v);
    (void)args;
    jinja_string *safe = jinja_string_slice(r, s, 0, s->len);
    safe->markup = true;
    return jinja_str(safe);
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

FILTER(filter_format)
{
    jinja_list *values = jinja_list_new(r);
    if (args->n_named) jinja_fail(r, WF_ERROR_UNSUPPORTED, "format with names");
    for (size_t i = 0; i < args->n; i++) jinja_list_add(r, values, args->items[i]);
    return jinja_format(r, jinja_to_string(r, v), jinja_seq(JINJA_TUPLE, values));
}

static bool is_word_char(uint32_t cp)
{
    return (cp >= '0' && cp <= '9') || ((cp | 32) >= 'a' && (cp | 32) <= 'z') || cp == '_' || cp >= 0xc0;
}

// Words are runs of letters, digits and underscores; beyond ASCII, of anything above Latin-1's signs.
FILTER(filter_wordcount)
{
    const jinja_string *s = jinja_to_string(r, v);
    int64_t n = 0;
    bool inside = false;
    (void)args;
    jinja_step(r, s->len / 8);
    for (size_t pos = 0, used; pos < s->len; pos += used) {
        bool word = is_word_char(jinja_code_point(s->data + pos, s->len - pos, &used));
        n += word && !inside;
        inside = word;
    }
    return jinja_int(n);
}

// ---- numbers

// An int in `base`, as Python's int() reads it: white space around, a sign, single underscores.
static bool parse_int(jinja_run *r, const jinja_string *s, int64_t base, int64_t *result)
{
    s = jinja_string_strip(r, s, NULL, true, true);
    size_t pos = s->len && (s->data[0] == '-' || s->data[0] == '+');
    bool negative = pos && s->data[0] == '-', digit_before = false;
    int64_t value = 0;
    char letter = base == 16 ? 'x' : base == 8 ? 'o' : base == 2 ? 'b' : 0;
    if (letter && s->len > pos + 2 && s->data[pos] == '0' && (s->data[pos + 1] | 32) == letter) pos += 2;
    for (; pos < s->len; pos++) {
        char c = s->data[pos];
        if (c == '_' && digit_before && pos + 1 < s->len) {
            digit_before = false;
            continue;
        }
        int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'z' ? (c | 32) - 'a' + 10 : 99;
        if (digit >= base) return false;
        digit_before = true;
        if (__builtin_mul_overflow(value, base, &value) || __builtin_sub_overflow(value, digit, &value))
            jinja_fail(r, WF_ERROR_UNSUPPORTED, "integer beyond 64 bits");
    }
    if (!digit_before) return false;
    if (!negative && __builtin_sub_overflow(0, value, &value))
        jinja_fail(r, WF_ERROR_UNSUPPORTED, "integer beyond 64 bits");
    *result = value;
    return true;
}

// A float as Python's float() reads it; hexadecimal and nan(...), which C reads too, are none.
static bool parse_float(jinja_run *r, const jinja_string *s, double *result)
{
    s = jinja_string_strip(r, s, NULL, true, true);
    char text[64], *end;
    static const char *const words[] = {"inf", "infinity", "nan"};
    if (!s->len || s->len >= sizeof text) return false;
    memcpy(text, s->data, s->len);
    text[s->len] = 0;
    const jinja_string *digits = text[0] == '-' || text[0] == '+' ? jinja_string_slice(r, s, 1, s->len) : s;
    bool plain = strspn(text, "+-.0123456789eE") == s->len;
    for (size_t i = 0; i < 3; i++)
        plain |= view_is(jinja_string_view(jinja_string_case(r, digits, CASE_LOWER)), words[i]);
    *result = plain ? strtod(text, &end) : 0;
    return plain && *end == 0 && end != text;
}

FILTER(filter_int)
{
    const jinja_value *fallback = jinja_arg(args, 0, "default");
    int64_t i, base = jinja_arg_int(r, args, 1, "base", 10);
    double f;
    if (v.kind == JINJA_UNDEFINED) jinja_fail_undefined(r, v);
    if (base < 2 || base > 36) jinja_fail(r, WF_ERROR_UNSUPPORTED, "int with base %lld", (long long)base);
    if (v.kind == JINJA_BIG) return v;
    if (jinja_integer(v, &i)) return jinja_int(i);
    if (v.kind == JINJA_STRING && parse_int(r, v.string, base, &i)) return jinja_int(i);
    bool read = v.kind == JINJA_STRING ? parse_float(r, v.string, &f) : jinja_number(v, &f);
    if (!read || isnan(f) || isinf(f)) return fallback ? *fallback : jinja_int(0);
    if (fabs(f) >= 9.2e18) jinja_fail(r, WF_ERROR_UNSUPPORTED, "integer beyond 64 bits");
    return jinja_int((int64_t)f);
}

FILTER(filter_float)
{
    const jinja_value *fallback = jinja_arg(args, 0, "default");
    double f;
    if (v.kind == JINJA_UNDEFINED) jinja_fail_undefined(r, v);
    if (v.kind == JINJA_STRING ? parse_float(r, v.string, &f) : jinja_number(v, &f)) return jinja_float(f);
    return fallback ? *fallback : jinja_float(0);
}

FILTER(filter_abs)
{
    int64_t i;
    (void)args;
    if (v.kind == JINJA_UNDEFINED) jinja_fail_undefined(r, v);
    if (v.kind == JINJA_FLOAT) return jinja_float(fabs(v.real));
    if (!jinja_integer(v, &i)) jinja_fail(r, WF_ERROR_FORMAT, "abs of %s", jinja_type_name(v));
    if (i == INT64_MIN) jinja_fail(r, WF_ERROR_UNSUPPORTED, "integer beyond 64 bits");
    return jinja_int(i < 0 ? -i : i);
}

// "common" rounds the exact decimal value, ties to even, as printf and Python do.
FILTER(filter_round)
{
    int64_t precision = jinja_arg_int(r, args, 0, "precision", 0);
    const jinja_string *method = jinja_arg_string(r, args, 1, "method");
    view how = method ? jinja_string_view(method) : VIEW_LITERAL("common");
    char text[400];
    double f;
    if (v.kind == JINJA_UNDEFINED) jinja_fail_undefined(r, v);
    if (!jinja_number(v, &f)) jinja_fail(r, WF_ERROR_FORMAT, "round of %s", jinja_type_name(v));
    if (precision < 0 || precision > 30)
        jinja_fail(r, WF_ERROR_UNSUPPORTED, "round to %lld digits", (long long)precision);
    if (view_is(how, "common")) {
        if (v.kind != JINJA_FLOAT) return v.kind == JINJA_BOOL ? jinja_int(v.boolean) : v;
        if (isnan(f) || isinf(f)) return v;
        snprintf(text, sizeof text, "%.*f", (int)precision, f);
        return jinja_float(strtod(text, NULL));
    }
    if (!view_is(how, "ceil") && !view_is(how, "floor"))
        jinja_fail(r, WF_ERROR_FORMAT, "round: method must be common, ceil or floor");
    double scale = pow(10, (double)precision), scaled = f * scale;
    return jinja_float((view_is(how, "ceil") ? ceil(scaled) : floor(scaled)) / scale);
}
const jinja_filter_row jinja_text_filters[] = {
    {"abs", filter_abs},
    {"capitalize", filter_capitalize},
    {"e", filter_escape},
    {"escape", filter_escape},
    {"float", filter_float},
    {"format", filter_format},
    {"indent", filter_indent},
    {"int", filter_int},
    {"lower", filter_lower},
    {"replace", filter_replace},
    {"round", filter_round},
    {"safe", filter_safe},
    {"string", filter_string},
    {"title", filter_title},
    {"trim", filter_trim},
    {"upper", filter_upper},
    {"wordcount", filter_wordcount},
    {NULL, NULL},
};
