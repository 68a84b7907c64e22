// Values as Python sees them: truth, equality, order, str() and repr(), and JSON in both directions.
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "text/jinja/jinja_internal.h"

jinja_value jinja_undefined(const jinja_string *name, jinja_kind of)
{
    return (jinja_value){.kind = JINJA_UNDEFINED, .of = (unsigned char)of, .string = name};
}

jinja_value jinja_literal(jinja_run *r, const char *s) { return jinja_str(jinja_string_new(r, s, strlen(s))); }

jinja_value jinja_integer_of(jinja_run *r, view digits)
{
    bool negative = digits.len && digits.data[0] == '-';
    size_t zeros = negative;
    while (zeros + 1 < digits.len && digits.data[zeros] == '0') zeros++;
    size_t len = digits.len - zeros;
    char *copy = jinja_alloc(r, len + 2, 1);
    if (negative) copy[0] = '-';
    memcpy(copy + negative, digits.data + zeros, len);
    errno = 0;
    long long small = strtoll(copy, NULL, 10);
    if (errno != ERANGE) return jinja_int(small);
    return (jinja_value){.kind = JINJA_BIG, .string = jinja_string_new(r, copy, len + negative)};
}

// ---- containers

jinja_list *jinja_list_new(jinja_run *r) { return jinja_alloc(r, 1, sizeof(jinja_list)); }

void jinja_list_add(jinja_run *r, jinja_list *l, jinja_value v)
{
    jinja_step(r, 1);
    if (l->n == l->capacity) {
        size_t capacity = l->capacity ? l->capacity * 2 : 4;
        jinja_value *items = jinja_alloc(r, capacity, sizeof *items);
        if (l->n) memcpy(items, l->items, l->n * sizeof *items);
        l->items = items;
        l->capacity = capacity;
    }
    l->items[l->n++] = v;
}

jinja_dict *jinja_dict_new(jinja_run *r) { return jinja_alloc(r, 1, sizeof(jinja_dict)); }

jinja_value *jinja_dict_find(jinja_run *r, const jinja_dict *d, jinja_value key)
{
    jinja_step(r, d->n / 8);
    for (size_t i = 0; i < d->n; i++) {
        bool both_strings = key.kind == JINJA_STRING && d->keys[i].kind == JINJA_STRING;
        bool equal = both_strings ? view_equal(jinja_string_view(key.string), jinja_string_view(d->keys[i].string))
                                  : jinja_equal(r, key, d->keys[i]);
        if (equal) return &d->values[i];
    }
    return NULL;
}

bool jinja_is_hashable(jinja_run *r, jinja_value v)
{
    if (v.kind == JINJA_LIST || v.kind == JINJA_DICT || v.kind == JINJA_SLICE) return false;
    if (v.kind == JINJA_VIEW) return !strcmp(v.list->label, "dict_values");
    if (v.kind != JINJA_TUPLE) return true;
    jinja_enter(r);
    bool hashable = true;
    for (size_t i = 0; i < v.list->n; i++) hashable = hashable && jinja_is_hashable(r, v.list->items[i]);
    jinja_leave(r);
    return hashable;
}

void jinja_dict_set(jinja_run *r, jinja_dict *d, jinja_value key, jinja_value v)
{
    if (!jinja_is_hashable(r, key)) jinja_fail(r, WF_ERROR_FORMAT, "%s cannot be a dict's key", jinja_type_name(key));
    jinja_value *old = jinja_dict_find(r, d, key);
    if (old) {
        *old = v;
        return;
    }
    if (d->n == d->capacity) {
        size_t capacity = d->capacity ? d->capacity * 2 : 4;
        jinja_value *keys = jinja_alloc(r, capacity, sizeof *keys), *values = jinja_alloc(r, capacity, sizeof *values);
        if (d->n) {
            memcpy(keys, d->keys, d->n * sizeof *keys);
            memcpy(values, d->values, d->n * sizeof *values);
        }
        d->keys = keys;
        d->values = values;
        d->capacity = capacity;
    }
    d->keys[d->n] = key;
    d->values[d->n++] = v;
}

// ---- what a value is

const char *jinja_type_name(jinja_value v)
{
    static const char *const names[] = {
        [JINJA_UNDEFINED] = "Undefined",
        [JINJA_NONE] = "NoneType",
        [JINJA_BOOL] = "bool",
        [JINJA_INT] = "int",
        [JINJA_BIG] = "int",
        [JINJA_FLOAT] = "float",
        [JINJA_STRING] = "str",
        [JINJA_LIST] = "list",
        [JINJA_TUPLE] = "tuple",
        [JINJA_RANGE] = "range",
        [JINJA_VIEW] = "dict view",
        [JINJA_ITERATOR] = "generator",
        [JINJA_DICT] = "dict",
        [JINJA_NAMESPACE] = "Namespace",
        [JINJA_MACRO] = "Macro",
        [JINJA_FUNCTION] = "function",
        [JINJA_METHOD] = "method",
        [JINJA_LOOP] = "LoopContext",
        [JINJA_CYCLER] = "Cycler",
        [JINJA_JOINER] = "Joiner",
        [JINJA_SLICE] = "slice",
    };
    return names[v.kind];
}

void jinja_fail_undefined(jinja_run *r, jinja_value v)
{
    int len = v.string->len < 100 ? (int)v.string->len : 100;
    if (v.of == JINJA_UNDEFINED) jinja_fail(r, WF_ERROR_FORMAT, "'%.*s' is undefined", len, v.string->data);
    jinja_fail(r, WF_ERROR_FORMAT, "%s has no attribute or item '%.*s'", jinja_type_name((jinja_value){.kind = v.of}),
               len, v.string->data);
}

bool jinja_is_sequence(jinja_value v)
{
    return v.kind == JINJA_LIST || v.kind == JINJA_TUPLE || v.kind == JINJA_RANGE || v.kind == JINJA_VIEW ||
           v.kind == JINJA_ITERATOR;
}

bool jinja_is_iterable(jinja_value v)
{
    return jinja_is_sequence(v) || v.kind == JINJA_STRING || v.kind == JINJA_DICT || v.kind == JINJA_UNDEFINED ||
           v.kind == JINJA_LOOP;
}

bool jinja_is_true(jinja_run *r, jinja_value v)
{
    (void)r;
    switch (v.kind) {
    case JINJA_UNDEFINED:
    case JINJA_NONE: return false;
    case JINJA_BOOL: return v.boolean;
    case JINJA_INT: return v.integer != 0;
    case JINJA_FLOAT: return v.real != 0;
    case JINJA_STRING: return v.string->len > 0;
    case JINJA_LIST:
    case JINJA_TUPLE:
    case JINJA_RANGE:
    case JINJA_VIEW: return v.list->n > 0;
    case JINJA_DICT: return v.dict->n > 0;
    case JINJA_LOOP: return v.loop->list->n > 0;
    default: return true; // an iterator too, even one without items
    }
}

bool jinja_integer(jinja_value v, int64_t *i)
{
    if (v.kind == JINJA_BOOL)
        *i = v.boolean;
    else if (v.kind == JINJA_INT)
        *i = v.integer;
    else
        return false;
    return true;
}

bool jinja_number(jinja_value v, double *f)
{
    int64_t i;
    if (v.kind == JINJA_FLOAT)
        *f = v.real;
    else if (jinja_integer(v, &i))
        *f = (double)i;
    else if (v.kind == JINJA_BIG)
        *f = strtod(v.string->data, NULL); // zero-terminated, as JSON strings are
    else
        return false;
    return true;
}

int64_t jinja_length(jinja_run *r, jinja_value v)
{
    switch (v.kind) {
    case JINJA_UNDEFINED: return 0;
    case JINJA_STRING: jinja_step(r, v.string->len / 32); return (int64_t)jinja_count(v.string);
    case JINJA_LIST:
    case JINJA_TUPLE:
    case JINJA_RANGE:
    case JINJA_VIEW: return (int64_t)v.list->n;
    case JINJA_DICT: return (int64_t)v.dict->n;
    case JINJA_LOOP: return (int64_t)v.loop->list->n;
    default: jinja_fail(r, WF_ERROR_FORMAT, "%s has no length", jinja_type_name(v));
    }
}

jinja_list *jinja_iterate(jinja_run *r, jinja_value v)
{
    jinja_list *list = NULL;
    switch (v.kind) {
    case JINJA_LIST:
    case JINJA_TUPLE:
    case JINJA_RANGE:
    case JINJA_VIEW: return v.list;
    case JINJA_UNDEFINED: return jinja_list_new(r);
    case JINJA_ITERATOR:
        list = jinja_list_new(r);
        list->items = v.list->items + v.list->next;
        list->n = list->capacity = v.list->n - v.list->next;
        v.list->next = v.list->n;
        return list;
    case JINJA_STRING:
        list = jinja_list_new(r);
        for (size_t pos = 0, used; pos < v.string->len; pos += used) {
            jinja_code_point(v.string->data + pos, v.string->len - pos, &used);
            jinja_string *one = jinja_string_slice(r, v.string, pos, pos + used);
            one->markup = false; // only subscripts and methods keep it
            jinja_list_add(r, list, jinja_str(one));
        }
        return list;
    case JINJA_DICT:
        list = jinja_list_new(r);
        for (size_t i = 0; i < v.dict->n; i++) jinja_list_add(r, list, v.dict->keys[i]);
        return list;
    default: jinja_fail(r, WF_ERROR_FORMAT, "%s is not iterable", jinja_type_name(v));
    }
}

// ---- equality and order

static bool equal_lists(jinja_run *r, const jinja_list *a, const jinja_list *b)
{
    if (a->n != b->n) return false;
    for (size_t i = 0; i < a->n; i++)
        if (!jinja_equal(r, a->items[i], b->items[i])) return false;
    return true;
}

static bool equal_dicts(jinja_run *r, const jinja_dict *a, const jinja_dict *b)
{
    if (a->n != b->n) return false;
    for (size_t i = 0; i < a->n; i++) {
        const jinja_value *other = jinja_dict_find(r, b, a->keys[i]);
        if (!other || !jinja_equal(r, a->values[i], *other)) return false;
    }
    return true;
}

static bool equal_inside(jinja_run *r, jinja_value a, jinja_value b)
{
    double x, y;
    int64_t i, j;
    if (jinja_integer(a, &i) && jinja_integer(b, &j)) return i == j;
    if (a.kind == JINJA_BIG && b.kind == JINJA_BIG)
        return view_equal(jinja_string_view(a.string), jinja_string_view(b.string));
    if ((a.kind == JINJA_BIG && jinja_integer(b, &j)) || (b.kind == JINJA_BIG && jinja_integer(a, &i))) return false;
    if (jinja_number(a, &x) && jinja_number(b, &y)) return x == y;
    if (a.kind != b.kind) return false;
    switch (a.kind) {
    case JINJA_UNDEFINED:
    case JINJA_NONE: return true;
    case JINJA_STRING:
        jinja_step(r, a.string->len / 32);
        return view_equal(jinja_string_view(a.string), jinja_string_view(b.string));
    case JINJA_LIST:
    case JINJA_TUPLE:
    case JINJA_RANGE: return a.list == b.list || equal_lists(r, a.list, b.list);
    case JINJA_DICT: return a.dict == b.dict || equal_dicts(r, a.dict, b.dict);
    default: return a.list == b.list; // the same object
    }
}

bool jinja_equal(jinja_run *r, jinja_value a, jinja_value b)
{
    jinja_step(r, 1);
    jinja_enter(r);
    bool equal = equal_inside(r, a, b);
    jinja_leave(r);
    return equal;
}

// The order of two integers of which one is big.
static int big_order(jinja_value a, jinja_value b)
{
    bool a_negative = a.kind == JINJA_BIG && a.string->data[0] == '-';
    if (b.kind != JINJA_BIG) return a_negative ? -1 : 1;
    bool b_negative = b.string->data[0] == '-';
    if (a.kind != JINJA_BIG) return b_negative ? 1 : -1;
    if (a_negative != b_negative) return a_negative ? -1 : 1;
    size_t m = a.string->len, n = b.string->len;
    int order = m != n ? (m < n ? -1 : 1) : memcmp(a.string->data, b.string->data, n);
    if (a_negative) order = -order;
    return order < 0 ? -1 : order > 0;
}

int jinja_order(jinja_run *r, jinja_value a, jinja_value b)
{
    double x, y;
    int64_t i, j;
    jinja_step(r, 1);
    if (jinja_integer(a, &i) && jinja_integer(b, &j)) return i < j ? -1 : i > j;
    if ((a.kind == JINJA_BIG && (b.kind == JINJA_BIG || jinja_integer(b, &j))) ||
        (b.kind == JINJA_BIG && jinja_integer(a, &i)))
        return big_order(a, b);
    if (jinja_number(a, &x) && jinja_number(b, &y)) return x < y ? -1 : x > y ? 1 : x == y ? 0 : 2;
    if (a.kind == JINJA_UNDEFINED) jinja_fail_undefined(r, a);
    if (b.kind == JINJA_UNDEFINED) jinja_fail_undefined(r, b);
    if (a.kind == JINJA_STRING && b.kind == JINJA_STRING) { // the order of UTF-8 bytes is that of code points
        size_t n = a.string->len < b.string->len ? a.string->len : b.string->len;
        jinja_step(r, n / 32);
        int order = n ? memcmp(a.string->data, b.string->data, n) : 0;
        if (order) return order < 0 ? -1 : 1;
        return a.string->len < b.string->len ? -1 : a.string->len > b.string->len;
    }
    if (a.kind != b.kind || (a.kind != JINJA_LIST && a.kind != JINJA_TUPLE))
        jinja_fail(r, WF_ERROR_FORMAT, "%s and %s have no order", jinja_type_name(a), jinja_type_name(b));
    jinja_enter(r);
    int order = a.list->n < b.list->n ? -1 : a.list->n > b.list->n;
    for (size_t k = 0; k < a.list->n && k < b.list->n; k++) {
        if (jinja_equal(r, a.list->items[k], b.list->items[k])) continue;
        order = jinja_order(r, a.list->items[k], b.list->items[k]);
        break;
    }
    jinja_leave(r);
    return order;
}

bool jinja_contains(jinja_run *r, jinja_value container, jinja_value item)
{
    if (container.kind == JINJA_STRING) {
        if (item.kind == JINJA_UNDEFINED) jinja_fail_undefined(r, item);
        if (item.kind != JINJA_STRING)
            jinja_fail(r, WF_ERROR_FORMAT, "'in' a string needs a string, not %s", jinja_type_name(item));
        return jinja_string_find(r, container.string, item.string, 0) != SIZE_MAX;
    }
    if (container.kind == JINJA_DICT) {
        if (!jinja_is_hashable(r, item))
            jinja_fail(r, WF_ERROR_FORMAT, "%s cannot be a dict's key", jinja_type_name(item));
        return jinja_dict_find(r, container.dict, item) != NULL;
    }
    const jinja_list *list = jinja_iterate(r, container);
    for (size_t i = 0; i < list->n; i++)
        if (jinja_equal(r, item, list->items[i])) return true;
    return false;
}

// ---- str() and repr()

// The shortest digits that read back as f, in Python's form: an exponent below 1e-4 and from 1e16 on, else a point.
void jinja_text_add_float(jinja_run *r, jinja_text *t, double f)
{
    char digits[40], text[64];
    if (isnan(f) || isinf(f)) {
        jinja_text_add_literal(r, t, isnan(f) ? "nan" : f < 0 ? "-inf" : "inf");
        return;
    }
    int precision = 0;
    do snprintf(digits, sizeof digits, "%.*e", precision, f);
    while (strtod(digits, NULL) != f && ++precision <= 16);
    int exponent = (int)strtol(strchr(digits, 'e') + 1, NULL, 10);
    if (exponent >= -4 && exponent < 16) {
        int decimals = precision > exponent ? precision - exponent : 0;
        snprintf(text, sizeof text, "%.*f%s", decimals, f, decimals ? "" : ".0");
        jinja_text_add_literal(r, t, text);
    } else {
        jinja_text_add_literal(r, t, digits);
    }
}

void jinja_text_add_int(jinja_run *r, jinja_text *t, int64_t i)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)i);
    jinja_text_add_literal(r, t, text);
}

static void repr_string(jinja_run *r, jinja_text *t, const jinja_string *s)
{
    bool has_single = s->len && memchr(s->data, '\'', s->len), has_double = s->len && memchr(s->data, '"', s->len);
    char quote = has_single && !has_double ? '"' : '\'';
    jinja_step(r, s->len / 8);
    jinja_text_add(r, t, &quote, 1, NULL);
    for (size_t pos = 0, used; pos < s->len; pos += used) {
        uint32_t cp = jinja_code_point(s->data + pos, s->len - pos, &used);
        char escape[16] = {0};
        if (cp == (unsigned char)quote || cp == '\\')
            snprintf(escape, sizeof escape, "\\%c", (char)cp);
        else if (cp == '\n')
            snprintf(escape, sizeof escape, "\\n");
        else if (cp == '\r')
            snprintf(escape, sizeof escape, "\\r");
        else if (cp == '\t')
            snprintf(escape, sizeof escape, "\\t");
        else if (!jinja_is_printable(cp))
            snprintf(escape, sizeof escape, cp < 0x100 ? "\\x%02x" : cp < 0x10000 ? "\\u%04x" : "\\U%08x", cp);
        if (escape[0])
            jinja_text_add_literal(r, t, escape);
        else
            jinja_text_add(r, t, s->data + pos, used, s->origin ? s->origin + pos : NULL);
    }
    jinja_text_add(r, t, &quote, 1, NULL);
}

static void repr_items(jinja_run *r, jinja_text *t, const jinja_list *list, const char *open, const char *close)
{
    jinja_text_add_literal(r, t, open);
    for (size_t i = 0; i < list->n; i++) {
        if (i) jinja_text_add_literal(r, t, ", ");
        jinja_repr(r, t, list->items[i]);
    }
    jinja_text_add_literal(r, t, close);
}

static void repr_dict(jinja_run *r, jinja_text *t, const jinja_dict *d)
{
    jinja_text_add_literal(r, t, "{");
    for (size_t i = 0; i < d->n; i++) {
        if (i) jinja_text_add_literal(r, t, ", ");
        jinja_repr(r, t, d->keys[i]);
        jinja_text_add_literal(r, t, ": ");
        jinja_repr(r, t, d->values[i]);
    }
    jinja_text_add_literal(r, t, "}");
}

static void repr_inside(jinja_run *r, jinja_text *t, jinja_value v)
{
    switch (v.kind) {
    case JINJA_UNDEFINED: jinja_text_add_literal(r, t, "Undefined"); break;
    case JINJA_NONE: jinja_text_add_literal(r, t, "None"); break;
    case JINJA_BOOL: jinja_text_add_literal(r, t, v.boolean ? "True" : "False"); break;
    case JINJA_INT: jinja_text_add_int(r, t, v.integer); break;
    case JINJA_BIG: jinja_text_add_string(r, t, v.string); break;
    case JINJA_FLOAT: jinja_text_add_float(r, t, v.real); break;
    case JINJA_STRING:
        if (v.string->markup) jinja_text_add_literal(r, t, "Markup(");
        repr_string(r, t, v.string);
        if (v.string->markup) jinja_text_add_literal(r, t, ")");
        break;
    case JINJA_LIST: repr_items(r, t, v.list, "[", "]"); break;
    case JINJA_TUPLE: repr_items(r, t, v.list, "(", v.list->n == 1 ? ",)" : ")"); break;
    case JINJA_RANGE:
        if (!v.list->label) jinja_fail(r, WF_ERROR_UNSUPPORTED, "printing a part of a range");
        jinja_text_add_literal(r, t, v.list->label);
        break;
    case JINJA_VIEW:
        jinja_text_add_literal(r, t, v.list->label);
        repr_items(r, t, v.list, "([", "])");
        break;
    case JINJA_DICT: repr_dict(r, t, v.dict); break;
    case JINJA_NAMESPACE:
        jinja_text_add_literal(r, t, "<Namespace ");
        repr_dict(r, t, v.dict);
        jinja_text_add_literal(r, t, ">");
        break;
    case JINJA_MACRO:
        jinja_text_add_literal(r, t, "<Macro ");
        if (v.macro->node->name_string)
            repr_string(r, t, v.macro->node->name_string);
        else
            jinja_text_add_literal(r, t, "anonymous");
        jinja_text_add_literal(r, t, ">");
        break;
    case JINJA_LOOP: {
        char text[80];
        snprintf(text, sizeof text, "<LoopContext %zu/%zu>", v.loop->index + 1, v.loop->list->n);
        jinja_text_add_literal(r, t, text);
        break;
    }
    default: // Python prints an address here
        jinja_text_add_literal(r, t, "<");
        jinja_text_add_literal(r, t, jinja_type_name(v));
        jinja_text_add_literal(r, t, ">");
    }
}

void jinja_repr(jinja_run *r, jinja_text *t, jinja_value v)
{
    jinja_step(r, 1);
    jinja_enter(r);
    repr_inside(r, t, v);
    jinja_leave(r);
}

void jinja_print(jinja_run *r, jinja_text *t, jinja_value v)
{
    if (v.kind == JINJA_STRING)
        jinja_text_add_string(r, t, v.string);
    else if (v.kind != JINJA_UNDEFINED)
        jinja_repr(r, t, v);
}

const jinja_string *jinja_to_string(jinja_run *r, jinja_value v)
{
    if (v.kind == JINJA_STRING) return v.string;
    jinja_text t = {0};
    jinja_print(r, &t, v);
    return jinja_text_end(r, &t);
}
