// The operator % of strings, which formats as C's printf does; https://docs.python.org/3/library/stdtypes.html
// #printf-style-string-formatting.
#include <math.h>
#include <stdio.h>

#include "text/jinja/jinja_format.h"

typedef struct percent {
    jinja_run *r;
    const jinja_string *format;
    size_t pos;
    jinja_value args;
    const jinja_value *values; // of a tuple, or the one value
    size_t n, used;
    bool by_name;
} percent;

static char peek(const percent *p)
{
    if (p->pos >= p->format->len) jinja_fail(p->r, WF_ERROR_FORMAT, "incomplete format");
    return p->format->data[p->pos];
}

static jinja_value next_value(percent *p)
{
    if (p->used == p->n) jinja_fail(p->r, WF_ERROR_FORMAT, "not enough values for the format");
    return p->values[p->used++];
}

// A number, or * for a value.
static int64_t read_width(percent *p)
{
    int64_t width = 0;
    if (peek(p) == '*') {
        jinja_value v = next_value(p);
        p->pos++;
        if (!jinja_integer(v, &width)) jinja_fail(p->r, WF_ERROR_FORMAT, "* in a format needs an int");
        return width;
    }
    for (; peek(p) >= '0' && peek(p) <= '9'; p->pos++)
        if (width <= FORMAT_MAX_WIDTH) width = width * 10 + (peek(p) - '0');
    return width;
}

// The value of "%(name)".
static jinja_value read_named(percent *p)
{
    size_t begin = ++p->pos, depth = 1;
    for (;; p->pos++) {
        char c = peek(p);
        if (c == '(') depth++;
        if (c == ')' && --depth == 0) break;
    }
    if (p->args.kind != JINJA_DICT) jinja_fail(p->r, WF_ERROR_FORMAT, "a format with names needs a dict");
    jinja_value name = jinja_str(jinja_string_slice(p->r, p->format, begin, p->pos++));
    const jinja_value *found = jinja_dict_find(p->r, p->args.dict, name);
    if (!found) jinja_fail(p->r, WF_ERROR_FORMAT, "no value for '%.*s'", VIEW_ARG(jinja_string_view(name.string)));
    p->by_name = true;
    return *found;
}

static void add_text(percent *p, jinja_text *t, format_spec *spec, char letter, jinja_value v)
{
    jinja_text text = {0};
    if (letter == 'c') {
        if (v.kind == JINJA_STRING && jinja_count(v.string) != 1)
            jinja_fail(p->r, WF_ERROR_FORMAT, "format 'c' needs one character");
        spec->type = v.kind == JINJA_STRING ? 's' : 'c';
        if (v.kind == JINJA_FLOAT) jinja_fail(p->r, WF_ERROR_FORMAT, "format 'c' needs an int");
        if (!spec->align) spec->align = '>';
        jinja_format_value(p->r, t, spec, v);
        return;
    }
    if (letter == 's') jinja_print(p->r, &text, v);
    if (letter == 'r') jinja_repr(p->r, &text, v);
    if (letter == 'a') jinja_ascii(p->r, &text, v);
    spec->type = 's';
    if (!spec->align) spec->align = '>';
    jinja_format_value(p->r, t, spec, jinja_str(jinja_text_end(p->r, &text)));
}

static void add_number(percent *p, jinja_text *t, format_spec *spec, char letter, jinja_value v)
{
    double f;
    int64_t i;
    bool real = strchr("eEfFgG", letter), decimal = strchr("diu", letter);
    if (v.kind == JINJA_UNDEFINED) jinja_fail_undefined(p->r, v);
    if (!jinja_number(v, &f) || (!real && !decimal && v.kind == JINJA_FLOAT))
        jinja_fail(p->r, WF_ERROR_FORMAT, "format '%c' needs a number, not %s", letter, jinja_type_name(v));
    if (decimal && v.kind == JINJA_FLOAT) {
        if (isnan(f) || isinf(f)) jinja_fail(p->r, WF_ERROR_FORMAT, "format '%c' of no finite number", letter);
        char digits[400];
        snprintf(digits, sizeof digits, "%.0f", trunc(f));
        v = jinja_integer_of(p->r, view_of(digits));
    }
    if (!real && jinja_integer(v, &i)) v = jinja_int(i); // of true
    spec->type = decimal ? 'd' : letter;
    jinja_format_value(p->r, t, spec, v);
}

// One conversion, from the place behind its '%'.
static void convert(percent *p, jinja_text *t)
{
    format_spec spec = {.precision = -1};
    bool left = false, zero = false, named = peek(p) == '(';
    jinja_value v = named ? read_named(p) : jinja_none();
    for (; peek(p) && strchr("-+ #0", peek(p)); p->pos++) {
        char c = peek(p);
        left |= c == '-';
        zero |= c == '0';
        spec.alternate |= c == '#';
        if (c == '+' || (c == ' ' && !spec.sign)) spec.sign = c;
    }
    spec.width = read_width(p);
    if (spec.width < 0) left = true, spec.width = spec.width < -FORMAT_MAX_WIDTH ? FORMAT_MAX_WIDTH + 1 : -spec.width;
    if (peek(p) == '.') {
        p->pos++;
        spec.precision = read_width(p);
        if (spec.precision < 0) spec.precision = 0;
    }
    if (peek(p) && strchr("hlL", peek(p))) p->pos++;
    char letter = peek(p);
    p->pos++;
    if (letter == '%') {
        jinja_text_add_literal(p->r, t, "%");
        return;
    }
    if (!letter || !strchr("sracdiuoxXeEfFgG", letter))
        jinja_fail(p->r, WF_ERROR_FORMAT, "no format '%%%c'", letter >= ' ' && letter < 0x7f ? letter : '?');
    if (!named) v = next_value(p);
    bool text = strchr("srac", letter);
    if (left)
        spec.align = '<';
    else if (zero && !text)
        spec.align = '=', spec.fill = '0';
    if (text)
        add_text(p, t, &spec, letter, v);
    else
        add_number(p, t, &spec, letter, v);
}

jinja_value jinja_format(jinja_run *r, const jinja_string *format, jinja_value args)
{
    bool tuple = args.kind == JINJA_TUPLE;
    percent p = {.r = r, .format = format, .args = args, .values = &p.args, .n = 1};
    jinja_text t = {0};
    if (tuple) p.values = args.list->items, p.n = args.list->n;
    while (p.pos < format->len) {
        const char *hit = memchr(format->data + p.pos, '%', format->len - p.pos);
        size_t end = hit ? (size_t)(hit - format->data) : format->len;
        jinja_text_add(r, &t, format->data + p.pos, end - p.pos, format->origin ? format->origin + p.pos : NULL);
        p.pos = end + 1;
        if (hit) convert(&p, &t);
    }
    bool may_remain =
        args.kind == JINJA_DICT || args.kind == JINJA_LIST || args.kind == JINJA_UNDEFINED || args.kind == JINJA_RANGE;
    if (p.used < p.n && !may_remain) jinja_fail(r, WF_ERROR_FORMAT, "too many values for the format");
    return jinja_str(jinja_text_end(r, &t));
}
