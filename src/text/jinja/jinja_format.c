// str.format: "{}", "{0.name[key]!r:>{width}}"; https://docs.python.org/3/library/string.html#formatstrings.
#include "text/jinja/jinja_format.h"

typedef struct braces {
    jinja_run *r;
    const jinja_args *args;
    int64_t next; // of the fields without a number
    bool automatic, numbered;
} braces;

static void format_into(braces *b, jinja_text *t, const jinja_string *format, int depth);

// A whole string of digits as a number; -1 where it is none.
static int64_t read_index(view text)
{
    int64_t index = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || index > 100000000) return -1;
        index = index * 10 + (text.data[i] - '0');
    }
    return text.len ? index : -1;
}

static jinja_value find_argument(braces *b, view name)
{
    int64_t index = read_index(name);
    if (!name.len || index >= 0) {
        b->automatic |= !name.len;
        b->numbered |= name.len > 0;
        if (b->automatic && b->numbered) jinja_fail(b->r, WF_ERROR_FORMAT, "format: fields with and without numbers");
        if (!name.len) index = b->next++;
        if ((size_t)index >= b->args->n) jinja_fail(b->r, WF_ERROR_FORMAT, "format: no argument %d", (int)index);
        return b->args->items[index];
    }
    for (size_t i = 0; i < b->args->n_named; i++)
        if (view_equal(b->args->names[i], name)) return b->args->named[i];
    jinja_fail(b->r, WF_ERROR_FORMAT, "format: no argument '%.*s'", NAME_ARG(name));
}

// The value of "name.attribute[key]".
static jinja_value find_field(braces *b, const jinja_string *field)
{
    size_t pos = 0, begin;
    while (pos < field->len && field->data[pos] != '.' && field->data[pos] != '[') pos++;
    jinja_value v = find_argument(b, (view){field->data, pos});
    while (pos < field->len) {
        bool item = field->data[pos] == '[';
        if (!item && field->data[pos] != '.') jinja_fail(b->r, WF_ERROR_FORMAT, "format: a field after ']'");
        begin = ++pos;
        while (pos < field->len &&
               (item ? field->data[pos] != ']' : field->data[pos] != '.' && field->data[pos] != '['))
            pos++;
        const jinja_string *name = jinja_string_slice(b->r, field, begin, pos);
        int64_t index = read_index(jinja_string_view(name));
        if (!name->len || (item && pos == field->len)) jinja_fail(b->r, WF_ERROR_FORMAT, "format: bad field");
        if (item)
            v = jinja_get_item(b->r, v, index >= 0 ? jinja_int(index) : jinja_str(name)), pos++;
        else
            v = jinja_get_attr(b->r, v, name);
    }
    return v;
}

static bool is_align(char c) { return c == '<' || c == '>' || c == '^' || c == '='; }

static int64_t read_number(const jinja_string *s, size_t *pos)
{
    int64_t n = 0;
    for (; *pos < s->len && s->data[*pos] >= '0' && s->data[*pos] <= '9'; ++*pos)
        if (n <= FORMAT_MAX_WIDTH) n = n * 10 + (s->data[*pos] - '0');
    return n;
}

// [[fill]align][sign][#][0][width][grouping][.precision][type]
static format_spec read_spec(jinja_run *r, const jinja_string *s)
{
    format_spec spec = {.precision = -1};
    size_t pos = 0, used = 0;
    uint32_t first = s->len ? jinja_code_point(s->data, s->len, &used) : 0;
    if (used < s->len && is_align(s->data[used])) {
        spec.fill = first;
        spec.align = s->data[used];
        pos = used + 1;
    } else if (s->len && is_align(s->data[0])) {
        spec.align = s->data[pos++];
    }
#define AT(c) (pos < s->len && s->data[pos] == (c))
    if (AT('+') || AT('-') || AT(' ')) spec.sign = s->data[pos++];
    if (AT('#')) spec.alternate = true, pos++;
    if (AT('0')) {
        if (!spec.fill) spec.fill = '0';
        if (!spec.align) spec.align = '0'; // '=' for numbers
        pos++;
    }
    spec.width = read_number(s, &pos);
    if (AT(',') || AT('_')) spec.grouping = s->data[pos++];
    if (AT('.')) {
        size_t digits = ++pos;
        spec.precision = read_number(s, &pos);
        if (pos == digits) jinja_fail(r, WF_ERROR_FORMAT, "format: no precision after the point");
    }
#undef AT
    if (pos < s->len) spec.type = s->data[pos++];
    if (pos < s->len || (spec.type && !strchr("bcdeEfFgGnosxX%", spec.type)))
        jinja_fail(r, WF_ERROR_FORMAT, "format: bad specification '%.*s'", NAME_ARG(jinja_string_view(s)));
    return spec;
}

static void format_field(braces *b, jinja_text *t, jinja_value v, const jinja_string *text)
{
    bool number = v.kind == JINJA_INT || v.kind == JINJA_BOOL || v.kind == JINJA_FLOAT || v.kind == JINJA_BIG;
    if (!text->len) {
        jinja_print(b->r, t, v);
        return;
    }
    if (!number && v.kind != JINJA_STRING)
        jinja_fail(b->r, WF_ERROR_FORMAT, "format: %s takes no specification", jinja_type_name(v));
    format_spec spec = read_spec(b->r, text);
    if (spec.align == '0') spec.align = number ? '=' : 0;
    bool only_numbers = spec.sign || spec.align == '=' || spec.grouping || spec.alternate;
    bool bad = number ? spec.precision >= 0 && v.kind != JINJA_FLOAT && !(spec.type && strchr("eEfFgG%", spec.type))
                      : only_numbers;
    if (spec.grouping && spec.type && (strchr("cns", spec.type) || (spec.grouping == ',' && strchr("boxX", spec.type))))
        bad = true;
    if (spec.type == 'c' && (spec.sign || spec.alternate)) bad = true;
    if (bad)
        jinja_fail(b->r, WF_ERROR_FORMAT, "format: '%.*s' is not for %s", NAME_ARG(jinja_string_view(text)),
                   jinja_type_name(v));
    int64_t i;
    if (v.kind == JINJA_BOOL && jinja_integer(v, &i)) v = jinja_int(i);
    jinja_format_value(b->r, t, &spec, v);
}

// The end of a field that begins at `pos`, at its '}'; *conversion and *colon: the places of its '!' and ':', or the
// end.
static size_t find_end(jinja_run *r, const jinja_string *s, size_t pos, size_t *conversion, size_t *colon)
{
    size_t depth = 1;
    bool in_item = false;
    *conversion = *colon = SIZE_MAX;
    for (; pos < s->len; pos++) {
        char c = s->data[pos];
        bool named = *colon == SIZE_MAX;
        if (named && c == '[') in_item = true;
        if (named && c == ']') in_item = false;
        if (in_item) continue;
        if (c == '{') depth++;
        if (c == '}' && --depth == 0) break;
        if (c == '!' && named && *conversion == SIZE_MAX) *conversion = pos;
        if (c == ':' && named) *colon = pos;
    }
    if (pos >= s->len) jinja_fail(r, WF_ERROR_FORMAT, "format: '{' without '}'");
    if (*colon > pos) *colon = pos;
    if (*conversion > *colon) *conversion = *colon;
    return pos;
}

static size_t replace_field(braces *b, jinja_text *t, const jinja_string *s, size_t begin, int depth)
{
    size_t conversion, colon, end = find_end(b->r, s, begin, &conversion, &colon);
    jinja_text spec = {0};
    jinja_value v = find_field(b, jinja_string_slice(b->r, s, begin, conversion));
    if (conversion < colon) {
        jinja_text text = {0};
        char how = colon == conversion + 2 ? s->data[conversion + 1] : 0;
        if (how == 's')
            jinja_print(b->r, &text, v);
        else if (how == 'r')
            jinja_repr(b->r, &text, v);
        else if (how == 'a')
            jinja_ascii(b->r, &text, v);
        else
            jinja_fail(b->r, WF_ERROR_FORMAT, "format: after '!' stands s, r or a");
        v = jinja_str(jinja_text_end(b->r, &text));
    }
    if (colon < end) format_into(b, &spec, jinja_string_slice(b->r, s, colon + 1, end), depth + 1);
    format_field(b, t, v, jinja_text_end(b->r, &spec));
    return end + 1;
}

static void format_into(braces *b, jinja_text *t, const jinja_string *s, int depth)
{
    if (depth > 1 && s->len && memchr(s->data, '{', s->len))
        jinja_fail(b->r, WF_ERROR_FORMAT, "format: fields inside each other");
    for (size_t pos = 0; pos < s->len;) {
        char c = s->data[pos];
        bool twice = pos + 1 < s->len && s->data[pos + 1] == c;
        jinja_step(b->r, 1);
        if (c == '{' && !(twice && depth == 0)) {
            pos = replace_field(b, t, s, pos + 1, depth);
            continue;
        }
        if (c == '}' && !twice) jinja_fail(b->r, WF_ERROR_FORMAT, "format: '}' without '{'");
        jinja_text_add(b->r, t, s->data + pos, 1, s->origin ? s->origin + pos : NULL);
        pos += c == '{' || c == '}' ? 2 : 1;
    }
}

jinja_value jinja_format_braces(jinja_run *r, const jinja_string *format, const jinja_args *args)
{
    braces b = {.r = r, .args = args};
    jinja_text t = {0};
    format_into(&b, &t, format, 0);
    return jinja_str(jinja_text_end(r, &t));
}
