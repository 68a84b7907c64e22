// JSON as values, and values as JSON: the context of a render, the filter tojson.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "format/json_read.h"
#include "text/jinja/jinja_internal.h"

// ---- JSON in

static bool is_word(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_')) return false;
    }
    return true;
}

// Points into the JSON, which outlives the render.
static jinja_value string_from_json(jinja_run *r, const char *text, size_t len, bool foreign)
{
    jinja_string *s = jinja_string_new(r, text, len);
    if (foreign && len) {
        unsigned char *origin = jinja_alloc(r, len, 1);
        memset(origin, 1, len);
        s->origin = origin;
    }
    return jinja_str(s);
}

static jinja_value number_from_json(jinja_run *r, view text)
{
    bool digits = text.data[text.len - 1] >= '0' && text.data[text.len - 1] <= '9';
    if (!digits) return jinja_float(strtod(text.data, NULL)); // NaN, Infinity
    return jinja_integer_of(r, text);
}

static jinja_value dict_from_json(jinja_run *r, const json_t *j, bool foreign)
{
    jinja_dict *d = jinja_dict_new(r);
    json_t *object = (json_t *)(uintptr_t)j; // jansson's iterators take no const; they do not write
    size_t n = json_object_size(j);
    if (n) {
        d->keys = jinja_alloc(r, n, sizeof *d->keys);
        d->values = jinja_alloc(r, n, sizeof *d->values);
        d->capacity = n;
    }
    for (void *it = json_object_iter(object); it && d->n < n; it = json_object_iter_next(object, it)) {
        const char *key = json_object_iter_key(it);
        size_t key_len = json_object_iter_key_len(it);
        const json_t *item = json_object_iter_value(it);
        bool trusted = key_len == 4 && !memcmp(key, "role", 4) && json_is_string(item) &&
                       is_word(json_string_value(item), json_string_length(item));
        d->keys[d->n] = string_from_json(r, key, key_len, foreign);
        d->values[d->n++] = jinja_from_json(r, item, foreign && !trusted);
    }
    return (jinja_value){.kind = JINJA_DICT, .dict = d};
}

jinja_value jinja_from_json(jinja_run *r, const json_t *j, bool foreign)
{
    jinja_step(r, 1);
    jinja_enter(r);
    jinja_value v = jinja_none();
    view number;
    switch (j ? json_typeof(j) : JSON_NULL) {
    case JSON_TRUE: v = jinja_bool(true); break;
    case JSON_FALSE: v = jinja_bool(false); break;
    case JSON_INTEGER: v = jinja_int(json_integer_value(j)); break;
    case JSON_REAL: v = jinja_float(json_real_value(j)); break;
    case JSON_STRING: v = string_from_json(r, json_string_value(j), json_string_length(j), foreign); break;
    case JSON_OBJECT: v = json_is_wide(j, &number) ? number_from_json(r, number) : dict_from_json(r, j, foreign); break;
    case JSON_ARRAY:
        v = jinja_seq(JINJA_LIST, jinja_list_new(r));
        for (size_t i = 0; i < json_array_size(j); i++)
            jinja_list_add(r, v.list, jinja_from_json(r, json_array_get(j, i), foreign));
        break;
    default: // JSON_NULL
        break;
    }
    jinja_leave(r);
    return v;
}

// ---- JSON out: Python's json.dumps

typedef struct json_style {
    const jinja_string *indent; // one level's; NULL: all on one line
    const jinja_string *comma, *colon;
    bool ascii, sort_keys;
} json_style;

static void dump_string(jinja_run *r, jinja_text *t, const jinja_string *s, bool ascii)
{
    static const char named[] = "\"\\\n\r\t\f\b", letters[] = "\"\\nrtfb";
    jinja_step(r, s->len / 8);
    jinja_text_add_literal(r, t, "\"");
    for (size_t pos = 0, used; pos < s->len; pos += used) {
        uint32_t cp = jinja_code_point(s->data + pos, s->len - pos, &used);
        const char *name = cp && cp < 0x80 ? strchr(named, (int)cp) : NULL;
        char escape[16] = {0};
        if (name)
            snprintf(escape, sizeof escape, "\\%c", letters[name - named]);
        else if (cp < 0x20 || (ascii && cp >= 0x7f && cp < 0x10000))
            snprintf(escape, sizeof escape, "\\u%04x", cp);
        else if (ascii && cp >= 0x10000)
            snprintf(escape, sizeof escape, "\\u%04x\\u%04x", 0xd800 + ((cp - 0x10000) >> 10), 0xdc00 + (cp & 0x3ff));
        if (escape[0])
            jinja_text_add_literal(r, t, escape);
        else
            jinja_text_add(r, t, s->data + pos, used, s->origin ? s->origin + pos : NULL);
    }
    jinja_text_add_literal(r, t, "\"");
}

static void dump(jinja_run *r, jinja_text *t, jinja_value v, const json_style *style, size_t level);

static void dump_break(jinja_run *r, jinja_text *t, const json_style *style, size_t level)
{
    if (!style->indent) return;
    jinja_text_add_literal(r, t, "\n");
    for (size_t i = 0; i < level; i++) jinja_text_add_string(r, t, style->indent);
}

static void dump_list(jinja_run *r, jinja_text *t, const jinja_list *list, const json_style *style, size_t level)
{
    jinja_text_add_literal(r, t, "[");
    for (size_t i = 0; i < list->n; i++) {
        if (i) jinja_text_add_string(r, t, style->comma);
        dump_break(r, t, style, level + 1);
        dump(r, t, list->items[i], style, level + 1);
    }
    if (list->n) dump_break(r, t, style, level);
    jinja_text_add_literal(r, t, "]");
}

static void dump_key(jinja_run *r, jinja_text *t, jinja_value key, const json_style *style)
{
    switch (key.kind) {
    case JINJA_STRING: dump(r, t, key, style, 0); break;
    case JINJA_NONE:
    case JINJA_BOOL:
    case JINJA_INT:
    case JINJA_BIG:
    case JINJA_FLOAT:
        jinja_text_add_literal(r, t, "\"");
        dump(r, t, key, style, 0);
        jinja_text_add_literal(r, t, "\"");
        break;
    default: jinja_fail(r, WF_ERROR_FORMAT, "tojson: %s cannot be a key", jinja_type_name(key));
    }
}

static size_t least_key(jinja_run *r, const jinja_dict *d, const bool *done)
{
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < d->n; i++)
        if (!done[i] && (least == SIZE_MAX || jinja_order(r, d->keys[i], d->keys[least]) < 0)) least = i;
    return least;
}

static void dump_dict(jinja_run *r, jinja_text *t, const jinja_dict *d, const json_style *style, size_t level)
{
    bool *done = style->sort_keys ? jinja_alloc(r, d->n, sizeof *done) : NULL;
    jinja_text_add_literal(r, t, "{");
    for (size_t i = 0; i < d->n; i++) {
        size_t at = done ? least_key(r, d, done) : i;
        if (done) done[at] = true;
        if (i) jinja_text_add_string(r, t, style->comma);
        dump_break(r, t, style, level + 1);
        dump_key(r, t, d->keys[at], style);
        jinja_text_add_string(r, t, style->colon);
        dump(r, t, d->values[at], style, level + 1);
    }
    if (d->n) dump_break(r, t, style, level);
    jinja_text_add_literal(r, t, "}");
}

static void dump(jinja_run *r, jinja_text *t, jinja_value v, const json_style *style, size_t level)
{
    jinja_step(r, 1);
    jinja_enter(r);
    switch (v.kind) {
    case JINJA_NONE: jinja_text_add_literal(r, t, "null"); break;
    case JINJA_BOOL: jinja_text_add_literal(r, t, v.boolean ? "true" : "false"); break;
    case JINJA_INT: jinja_text_add_int(r, t, v.integer); break;
    case JINJA_BIG: jinja_text_add_string(r, t, v.string); break;
    case JINJA_FLOAT:
        if (isnan(v.real))
            jinja_text_add_literal(r, t, "NaN");
        else if (isinf(v.real))
            jinja_text_add_literal(r, t, v.real < 0 ? "-Infinity" : "Infinity");
        else
            jinja_text_add_float(r, t, v.real);
        break;
    case JINJA_STRING: dump_string(r, t, v.string, style->ascii); break;
    case JINJA_LIST:
    case JINJA_TUPLE: dump_list(r, t, v.list, style, level); break;
    case JINJA_DICT: dump_dict(r, t, v.dict, style, level); break;
    default: jinja_fail(r, WF_ERROR_FORMAT, "tojson: %s has no JSON form", jinja_type_name(v));
    }
    jinja_leave(r);
}

// tojson(ensure_ascii=false, indent=none, separators=none, sort_keys=false), as Hugging Face defines it.
jinja_value jinja_filter_tojson(jinja_run *r, jinja_value v, const jinja_args *args)
{
    json_style style = {.ascii = jinja_arg_bool(r, args, 0, "ensure_ascii", false),
                        .sort_keys = jinja_arg_bool(r, args, 3, "sort_keys", false)};
    const jinja_value *indent = jinja_arg(args, 1, "indent"), *separators = jinja_arg(args, 2, "separators");
    int64_t width;
    jinja_text t = {0};
    if (indent && indent->kind == JINJA_STRING) {
        style.indent = indent->string;
    } else if (indent && jinja_integer(*indent, &width)) {
        for (int64_t i = 0; i < width; i++) jinja_text_add_literal(r, &t, " ");
        style.indent = jinja_text_end(r, &t);
        t = (jinja_text){0};
    }
    style.comma = jinja_literal(r, style.indent ? "," : ", ").string;
    style.colon = jinja_literal(r, ": ").string;
    if (separators && separators->kind != JINJA_NONE) {
        if ((separators->kind != JINJA_TUPLE && separators->kind != JINJA_LIST) || separators->list->n != 2)
            jinja_fail(r, WF_ERROR_FORMAT, "tojson: separators must be two strings");
        style.comma = jinja_to_string(r, separators->list->items[0]);
        style.colon = jinja_to_string(r, separators->list->items[1]);
    }
    dump(r, &t, v, &style, 0);
    return jinja_str(jinja_text_end(r, &t));
}
