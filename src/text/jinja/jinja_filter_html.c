// Filters for HTML and URLs; see jinja_filter.c.

#include "text/jinja/jinja_internal.h"

FILTER(filter_escape)
{
    const jinja_string *s = jinja_to_string(r, v);
    (void)args;
    return jinja_str(s->markup ? s : jinja_string_escape(r, s));
}

FILTER(filter_forceescape)
{
    (void)args;
    return jinja_str(jinja_string_escape(r, jinja_to_string(r, v)));
}

FILTER(filter_safe)
{
    const jinja_string *s = jinja_to_string(r, v);
    (void)args;
    jinja_string *safe = jinja_string_slice(r, s, 0, s->len);
    safe->markup = true;
    return jinja_str(safe);
}

// ---- striptags

// The text without what stands between < and >, and without comments. What is not closed stays.
static const jinja_string *remove_tags(jinja_run *r, const jinja_string *s)
{
    static const jinja_string open = {.data = "<", .len = 1}, close = {.data = ">", .len = 1},
                              comment = {.data = "<!--", .len = 4}, comment_end = {.data = "-->", .len = 3};
    jinja_text t = {0};
    size_t pos = 0, begin;
    while ((begin = jinja_string_find(r, s, &open, pos)) != SIZE_MAX) {
        bool is_comment = s->len - begin >= 4 && !memcmp(s->data + begin, comment.data, 4);
        size_t end =
            is_comment ? jinja_string_find(r, s, &comment_end, begin + 4) : jinja_string_find(r, s, &close, begin);
        if (end == SIZE_MAX) break;
        jinja_text_add_string(r, &t, jinja_string_slice(r, s, pos, begin));
        pos = end + (is_comment ? 3 : 1);
    }
    jinja_text_add_string(r, &t, jinja_string_slice(r, s, pos, s->len));
    return jinja_text_end(r, &t);
}

static const jinja_string *collapse_spaces(jinja_run *r, const jinja_string *s)
{
    jinja_text t = {0};
    bool space = false;
    s = jinja_string_strip(r, s, NULL, true, true);
    for (size_t pos = 0, used; pos < s->len; pos += used) {
        bool now = jinja_is_space(jinja_code_point(s->data + pos, s->len - pos, &used));
        if (now && !space) jinja_text_add_literal(r, &t, " ");
        if (!now) jinja_text_add(r, &t, s->data + pos, used, s->origin ? s->origin + pos : NULL);
        space = now;
    }
    return jinja_text_end(r, &t);
}

// The character that "&name;" or "&#number;" at `pos` means; 0 for none. The commonest of HTML's 2231 names.
static uint32_t read_entity(const jinja_string *s, size_t pos, size_t *end)
{
    static const struct {
        const char *name;
        uint32_t cp;
    } names[] = {{"amp", '&'},      {"lt", '<'},       {"gt", '>'},        {"quot", '"'},     {"apos", '\''},
                 {"nbsp", 0xa0},    {"copy", 0xa9},    {"reg", 0xae},      {"laquo", 0xab},   {"raquo", 0xbb},
                 {"middot", 0xb7},  {"times", 0xd7},   {"deg", 0xb0},      {"para", 0xb6},    {"sect", 0xa7},
                 {"ndash", 0x2013}, {"mdash", 0x2014}, {"lsquo", 0x2018},  {"rsquo", 0x2019}, {"ldquo", 0x201c},
                 {"rdquo", 0x201d}, {"bull", 0x2022},  {"hellip", 0x2026}, {"euro", 0x20ac},  {"trade", 0x2122}};
    size_t begin = pos + 1, stop = begin;
    while (stop < s->len && stop - begin < 12 && s->data[stop] != ';' && s->data[stop] != '&') stop++;
    if (stop >= s->len || s->data[stop] != ';') return 0;
    *end = stop + 1;
    view name = {s->data + begin, stop - begin};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (view_is(name, names[i].name)) return names[i].cp;
    if (name.len < 2 || name.data[0] != '#') return 0;
    bool hex = (name.data[1] | 32) == 'x';
    uint32_t cp = 0;
    for (size_t i = hex ? 2 : 1; i < name.len; i++) {
        char c = (char)(name.data[i] | 32);
        uint32_t digit = c >= '0' && c <= '9'          ? (uint32_t)(c - '0')
                         : hex && c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a') + 10
                                                       : 99;
        if (digit == 99) return 0;
        cp = cp > 0x10ffff ? cp : cp * (hex ? 16 : 10) + digit;
    }
    return name.len == (hex ? 2u : 1u) ? 0 : cp == 0 || cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000) ? 0xfffd : cp;
}

static const jinja_string *unescape(jinja_run *r, const jinja_string *s)
{
    jinja_text t = {0};
    for (size_t pos = 0, end; pos < s->len; pos = end) {
        uint32_t cp = s->data[pos] == '&' ? read_entity(s, pos, &end) : 0;
        if (!cp) end = pos + 1;
        if (cp)
            jinja_text_add_code_point(r, &t, cp, s->origin && s->origin[pos]);
        else
            jinja_text_add(r, &t, s->data + pos, 1, s->origin ? s->origin + pos : NULL);
    }
    return jinja_text_end(r, &t);
}

FILTER(filter_striptags)
{
    (void)args;
    return jinja_str(unescape(r, collapse_spaces(r, remove_tags(r, jinja_to_string(r, v)))));
}

// ---- URLs and attributes

// Percent signs for all but unreserved characters (RFC 3986, 2.3) and, in a path, "/"; in a query + for a space.
static void add_quoted(jinja_run *r, jinja_text *t, jinja_value v, bool query)
{
    const jinja_string *s = jinja_to_string(r, v);
    jinja_step(r, s->len / 8);
    for (size_t pos = 0; pos < s->len; pos++) {
        char c = s->data[pos], code[4];
        const unsigned char *origin = s->origin ? s->origin + pos : NULL;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     (c && strchr("_.-~", c)) || (c == '/' && !query);
        if (plain || (c == ' ' && query)) {
            jinja_text_add(r, t, plain ? &s->data[pos] : "+", 1, origin);
        } else {
            static const char digits[] = "0123456789ABCDEF";
            memcpy(code, (char[]){'%', digits[(c >> 4) & 15], digits[c & 15]}, 3);
            jinja_text_add(r, t, code, 3, NULL);
        }
    }
}

FILTER(filter_urlencode)
{
    jinja_text t = {0};
    (void)args;
    if (v.kind == JINJA_STRING || !jinja_is_iterable(v)) {
        add_quoted(r, &t, v, false);
        return jinja_str(jinja_text_end(r, &t));
    }
    jinja_value pairs = v;
    if (v.kind == JINJA_DICT) pairs = jinja_filter_items(r, v, args);
    const jinja_list *list = jinja_iterate(r, pairs);
    for (size_t i = 0; i < list->n; i++) {
        const jinja_list *pair = jinja_iterate(r, list->items[i]);
        if (pair->n != 2) jinja_fail(r, WF_ERROR_FORMAT, "urlencode needs pairs");
        if (i) jinja_text_add_literal(r, &t, "&");
        add_quoted(r, &t, pair->items[0], true);
        jinja_text_add_literal(r, &t, "=");
        add_quoted(r, &t, pair->items[1], true);
    }
    return jinja_str(jinja_text_end(r, &t));
}

FILTER(filter_xmlattr)
{
    bool space = jinja_arg_bool(r, args, 0, "autospace", true), some = false;
    jinja_text t = {0};
    if (v.kind == JINJA_UNDEFINED) jinja_fail_undefined(r, v);
    if (v.kind != JINJA_DICT) jinja_fail(r, WF_ERROR_FORMAT, "xmlattr of %s", jinja_type_name(v));
    for (size_t i = 0; i < v.dict->n; i++) {
        jinja_value key = v.dict->keys[i], value = v.dict->values[i];
        if (value.kind == JINJA_NONE || value.kind == JINJA_UNDEFINED) continue;
        if (key.kind != JINJA_STRING) jinja_fail(r, WF_ERROR_FORMAT, "xmlattr: a name must be a string");
        for (size_t k = 0; k < key.string->len; k++)
            if (key.string->data[k] && strchr(" \t\n\v\f\r/>=", key.string->data[k]))
                jinja_fail(r, WF_ERROR_FORMAT, "xmlattr: white space or one of / > = in a name");
        if (some || space) jinja_text_add_literal(r, &t, " ");
        some = true;
        jinja_text_add_string(r, &t, filter_escape(r, key, args).string);
        jinja_text_add_literal(r, &t, "=\"");
        jinja_text_add_string(r, &t, filter_escape(r, value, args).string);
        jinja_text_add_literal(r, &t, "\"");
    }
    return jinja_str(jinja_text_end(r, &t));
}

const jinja_filter_row jinja_html_filters[] = {
    {"e", filter_escape, ""},
    {"escape", filter_escape, ""},
    {"forceescape", filter_forceescape, ""},
    {"safe", filter_safe, ""},
    {"striptags", filter_striptags, ""},
    {"urlencode", filter_urlencode, ""},
    {"xmlattr", filter_xmlattr, "autospace?"},
    {NULL, NULL, NULL},
};
