// Filters: what may stand after "|". Arguments and results as in jinja2; those that give generators there give an
// iterator here, which is used up by the first look at it.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "text/jinja_internal.h"

#define FILTER(name) static jinja_value name(jinja_run *r, jinja_value v, const jinja_args *args)

static jinja_args args_from(const jinja_args *args, size_t skip)
{
    jinja_args rest = *args;
    if (skip > rest.n) skip = rest.n;
    if (skip) rest.items += skip;
    rest.n -= skip;
    return rest;
}

// ---- attributes by path: "function.name", "0"

typedef struct attribute_path {
    jinja_value *parts;
    size_t n;
    const jinja_value *fallback; // for a part that is missing
} attribute_path;

static jinja_value path_part(const jinja_string *s)
{
    int64_t index = 0;
    for (size_t i = 0; i < s->len; i++) {
        if (s->data[i] < '0' || s->data[i] > '9' || index > 1000000000) return jinja_str(s);
        index = index * 10 + (s->data[i] - '0');
    }
    return s->len ? jinja_int(index) : jinja_str(s);
}

// `attribute` may be NULL or none: the item itself.
static attribute_path read_path(jinja_run *r, const jinja_value *attribute)
{
    attribute_path path = {0};
    if (!attribute || attribute->kind == JINJA_NONE) return path;
    if (attribute->kind != JINJA_STRING) {
        path.parts = jinja_alloc(r, 1, sizeof *path.parts);
        path.parts[path.n++] = *attribute;
        return path;
    }
    const jinja_string *s = attribute->string;
    path.parts = jinja_alloc(r, s->len + 1, sizeof *path.parts);
    for (size_t begin = 0, end; begin <= s->len; begin = end + 1) {
        for (end = begin; end < s->len && s->data[end] != '.';) end++;
        path.parts[path.n++] = path_part(jinja_string_slice(r, s, begin, end));
    }
    return path;
}

static jinja_value follow_path(jinja_run *r, const attribute_path *path, jinja_value v)
{
    for (size_t i = 0; i < path->n; i++) {
        v = jinja_get_item(r, v, path->parts[i]);
        if (v.kind == JINJA_UNDEFINED && path->fallback && path->fallback->kind != JINJA_NONE) v = *path->fallback;
    }
    return v;
}

static jinja_value fold_case(jinja_run *r, jinja_value v, bool case_sensitive)
{
    if (v.kind != JINJA_STRING || case_sensitive) return v;
    return jinja_str(jinja_string_case(r, v.string, CASE_LOWER));
}

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

FILTER(filter_join)
{
    const jinja_value *d = jinja_arg(args, 0, "d");
    const jinja_string *separator = d ? jinja_to_string(r, *d) : jinja_literal(r, "").string;
    attribute_path path = read_path(r, jinja_arg(args, 1, "attribute"));
    const jinja_list *list = jinja_iterate(r, v);
    jinja_text t = {0};
    for (size_t i = 0; i < list->n; i++) {
        if (i) jinja_text_add_string(r, &t, separator);
        jinja_print(r, &t, follow_path(r, &path, list->items[i]));
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

FILTER(filter_sum)
{
    attribute_path path = read_path(r, jinja_arg(args, 0, "attribute"));
    const jinja_value *start = jinja_arg(args, 1, "start");
    jinja_value sum = start ? *start : jinja_int(0);
    const jinja_list *list = jinja_iterate(r, v);
    for (size_t i = 0; i < list->n; i++) sum = jinja_binary(r, OP_ADD, sum, follow_path(r, &path, list->items[i]));
    return sum;
}

// ---- sequences

FILTER(filter_length)
{
    (void)args;
    return jinja_int(jinja_length(r, v));
}

FILTER(filter_default)
{
    const jinja_value *fallback = jinja_arg(args, 0, "default_value");
    bool use = v.kind == JINJA_UNDEFINED || (jinja_arg_bool(r, args, 1, "boolean", false) && !jinja_is_true(r, v));
    if (!use) return v;
    return fallback ? *fallback : jinja_literal(r, "");
}

FILTER(filter_list)
{
    const jinja_list *all = jinja_iterate(r, v);
    jinja_list *copy = jinja_list_new(r);
    (void)args;
    for (size_t i = 0; i < all->n; i++) jinja_list_add(r, copy, all->items[i]);
    return jinja_seq(JINJA_LIST, copy);
}

FILTER(filter_first)
{
    (void)args;
    if (v.kind == JINJA_ITERATOR && v.list->next < v.list->n) return v.list->items[v.list->next++];
    const jinja_list *list = jinja_iterate(r, v);
    return list->n ? list->items[0]
                   : jinja_undefined(jinja_literal(r, "first of an empty sequence").string, JINJA_UNDEFINED);
}

FILTER(filter_last)
{
    (void)args;
    if (v.kind == JINJA_ITERATOR) jinja_fail(r, WF_ERROR_FORMAT, "last of a generator");
    const jinja_list *list = jinja_iterate(r, v);
    return list->n ? list->items[list->n - 1]
                   : jinja_undefined(jinja_literal(r, "last of an empty sequence").string, JINJA_UNDEFINED);
}

FILTER(filter_reverse)
{
    (void)args;
    if (v.kind == JINJA_STRING) {
        jinja_value step[3] = {jinja_none(), jinja_none(), jinja_int(-1)};
        return jinja_get_item(r, v, (jinja_value){.kind = JINJA_SLICE, .slice = step});
    }
    const jinja_list *all = jinja_iterate(r, v);
    jinja_list *turned = jinja_list_new(r);
    for (size_t i = all->n; i-- > 0;) jinja_list_add(r, turned, all->items[i]);
    return jinja_seq(JINJA_ITERATOR, turned);
}

static jinja_value pair_of(jinja_run *r, jinja_value a, jinja_value b)
{
    jinja_list *pair = jinja_list_new(r);
    jinja_list_add(r, pair, a);
    jinja_list_add(r, pair, b);
    return jinja_seq(JINJA_TUPLE, pair);
}

FILTER(filter_items)
{
    jinja_list *pairs = jinja_list_new(r);
    (void)args;
    if (v.kind != JINJA_DICT && v.kind != JINJA_UNDEFINED)
        jinja_fail(r, WF_ERROR_FORMAT, "items of %s", jinja_type_name(v));
    for (size_t i = 0; v.kind == JINJA_DICT && i < v.dict->n; i++)
        jinja_list_add(r, pairs, pair_of(r, v.dict->keys[i], v.dict->values[i]));
    return jinja_seq(JINJA_ITERATOR, pairs);
}

typedef struct keyed {
    jinja_value key, item;
} keyed;

// Merge sort, stable; `descending` keeps equal items in order too, as Python's reverse=True does.
static void sort_keyed(jinja_run *r, keyed *a, keyed *spare, size_t n, bool descending)
{
    if (n < 2) return;
    size_t half = n / 2, i = 0, j = half, k = 0;
    sort_keyed(r, a, spare, half, descending);
    sort_keyed(r, a + half, spare, n - half, descending);
    while (i < half && j < n) {
        bool take_right =
            descending ? jinja_order(r, a[i].key, a[j].key) == -1 : jinja_order(r, a[j].key, a[i].key) == -1;
        spare[k++] = take_right ? a[j++] : a[i++];
    }
    while (i < half) spare[k++] = a[i++];
    memcpy(a, spare, k * sizeof *a);
}

static jinja_value sorted(jinja_run *r, keyed *a, size_t n, bool descending)
{
    jinja_list *list = jinja_list_new(r);
    sort_keyed(r, a, jinja_alloc(r, n, sizeof *a), n, descending);
    for (size_t i = 0; i < n; i++) jinja_list_add(r, list, a[i].item);
    return jinja_seq(JINJA_LIST, list);
}

FILTER(filter_sort)
{
    bool descending = jinja_arg_bool(r, args, 0, "reverse", false),
         case_sensitive = jinja_arg_bool(r, args, 1, "case_sensitive", false);
    const jinja_value *attribute = jinja_arg(args, 2, "attribute");
    if (attribute && attribute->kind == JINJA_STRING && attribute->string->len &&
        memchr(attribute->string->data, ',', attribute->string->len))
        jinja_fail(r, WF_ERROR_UNSUPPORTED, "sort by several attributes");
    attribute_path path = read_path(r, attribute);
    const jinja_list *list = jinja_iterate(r, v);
    keyed *a = jinja_alloc(r, list->n, sizeof *a);
    for (size_t i = 0; i < list->n; i++)
        a[i] = (keyed){fold_case(r, follow_path(r, &path, list->items[i]), case_sensitive), list->items[i]};
    return sorted(r, a, list->n, descending);
}

FILTER(filter_dictsort)
{
    bool case_sensitive = jinja_arg_bool(r, args, 0, "case_sensitive", false),
         descending = jinja_arg_bool(r, args, 2, "reverse", false);
    const jinja_string *by = jinja_arg_string(r, args, 1, "by");
    if (v.kind == JINJA_UNDEFINED) jinja_fail_undefined(r, v);
    if (v.kind != JINJA_DICT) jinja_fail(r, WF_ERROR_FORMAT, "dictsort of %s", jinja_type_name(v));
    bool by_value = by && view_is(jinja_string_view(by), "value");
    if (by && !by_value && !view_is(jinja_string_view(by), "key"))
        jinja_fail(r, WF_ERROR_FORMAT, "dictsort: by must be key or value");
    keyed *a = jinja_alloc(r, v.dict->n, sizeof *a);
    for (size_t i = 0; i < v.dict->n; i++)
        a[i] = (keyed){fold_case(r, by_value ? v.dict->values[i] : v.dict->keys[i], case_sensitive),
                       pair_of(r, v.dict->keys[i], v.dict->values[i])};
    return sorted(r, a, v.dict->n, descending);
}

FILTER(filter_unique)
{
    bool case_sensitive = jinja_arg_bool(r, args, 0, "case_sensitive", false);
    attribute_path path = read_path(r, jinja_arg(args, 1, "attribute"));
    const jinja_list *list = jinja_iterate(r, v);
    jinja_dict *seen = jinja_dict_new(r);
    jinja_list *kept = jinja_list_new(r);
    for (size_t i = 0; i < list->n; i++) {
        jinja_value key = fold_case(r, follow_path(r, &path, list->items[i]), case_sensitive);
        size_t before = seen->n;
        jinja_dict_set(r, seen, key, jinja_none());
        if (seen->n > before) jinja_list_add(r, kept, list->items[i]);
    }
    return jinja_seq(JINJA_ITERATOR, kept);
}

static jinja_value extreme(jinja_run *r, jinja_value v, const jinja_args *args, int wanted)
{
    bool case_sensitive = jinja_arg_bool(r, args, 0, "case_sensitive", false);
    attribute_path path = read_path(r, jinja_arg(args, 1, "attribute"));
    const jinja_list *list = jinja_iterate(r, v);
    jinja_value best = jinja_undefined(jinja_literal(r, "extreme of an empty sequence").string, JINJA_UNDEFINED),
                best_key = best;
    for (size_t i = 0; i < list->n; i++) {
        jinja_value key = fold_case(r, follow_path(r, &path, list->items[i]), case_sensitive);
        if (i && jinja_order(r, key, best_key) != wanted) continue;
        best = list->items[i];
        best_key = key;
    }
    return best;
}

FILTER(filter_min) { return extreme(r, v, args, -1); }
FILTER(filter_max) { return extreme(r, v, args, 1); }

static void fill_up(jinja_run *r, jinja_list *l, int64_t n, const jinja_value *fill)
{
    while (fill && fill->kind != JINJA_NONE && (int64_t)l->n < n) jinja_list_add(r, l, *fill);
}

FILTER(filter_batch)
{
    int64_t n = jinja_arg_int(r, args, 0, "linecount", 0);
    const jinja_value *fill = jinja_arg(args, 1, "fill_with");
    const jinja_list *list = jinja_iterate(r, v);
    jinja_list *batches = jinja_list_new(r), *batch = NULL;
    if (n < 1) jinja_fail(r, WF_ERROR_UNSUPPORTED, "batch of %lld", (long long)n);
    for (size_t i = 0; i < list->n; i++) {
        if (!batch || (int64_t)batch->n == n) {
            batch = jinja_list_new(r);
            jinja_list_add(r, batches, jinja_seq(JINJA_LIST, batch));
        }
        jinja_list_add(r, batch, list->items[i]);
    }
    if (batch) fill_up(r, batch, n, fill);
    return jinja_seq(JINJA_ITERATOR, batches);
}

// The attribute only, never the item.
FILTER(filter_attr)
{
    const jinja_string *name = jinja_arg_string(r, args, 0, "name");
    if (!name) jinja_fail(r, WF_ERROR_FORMAT, "attr needs a name");
    if (v.kind == JINJA_UNDEFINED) jinja_fail_undefined(r, v);
    jinja_value found = jinja_get_attr(r, v, name);
    return v.kind == JINJA_DICT && found.kind != JINJA_METHOD ? jinja_undefined(name, v.kind) : found;
}

FILTER(filter_groupby)
{
    const jinja_value *attribute = jinja_arg(args, 0, "attribute");
    attribute_path path = read_path(r, attribute);
    path.fallback = jinja_arg(args, 1, "default");
    bool case_sensitive = jinja_arg_bool(r, args, 2, "case_sensitive", false);
    const jinja_list *list = jinja_iterate(r, v);
    keyed *a = jinja_alloc(r, list->n, sizeof *a);
    for (size_t i = 0; i < list->n; i++)
        a[i] = (keyed){fold_case(r, follow_path(r, &path, list->items[i]), case_sensitive), list->items[i]};
    sort_keyed(r, a, jinja_alloc(r, list->n, sizeof *a), list->n, false);
    jinja_list *groups = jinja_list_new(r), *group = NULL;
    for (size_t i = 0; i < list->n; i++) {
        if (!group || !jinja_equal(r, a[i].key, a[i - 1].key)) {
            group = jinja_list_new(r);
            jinja_list_add(r, groups, pair_of(r, follow_path(r, &path, a[i].item), jinja_seq(JINJA_LIST, group)));
        }
        jinja_list_add(r, group, a[i].item);
    }
    return jinja_seq(JINJA_LIST, groups);
}

// ---- map and select

static jinja_filter_fn *named_filter(jinja_run *r, jinja_value name)
{
    const jinja_string *s = jinja_to_string(r, name);
    jinja_filter_fn *f = jinja_find_filter(jinja_string_view(s));
    if (!f) jinja_fail(r, WF_ERROR_UNSUPPORTED, "filter '%.*s'", VIEW_ARG(jinja_string_view(s)));
    return f;
}

static jinja_test_fn *named_test(jinja_run *r, jinja_value name)
{
    const jinja_string *s = jinja_to_string(r, name);
    jinja_test_fn *f = jinja_find_test(jinja_string_view(s));
    if (!f) jinja_fail(r, WF_ERROR_UNSUPPORTED, "test '%.*s'", VIEW_ARG(jinja_string_view(s)));
    return f;
}

FILTER(filter_map)
{
    const jinja_list *list = jinja_iterate(r, v);
    jinja_list *mapped = jinja_list_new(r);
    if (args->n) {
        jinja_filter_fn *f = named_filter(r, args->items[0]);
        jinja_args rest = args_from(args, 1);
        jinja_enter(r); // map("map", "map", ...)
        for (size_t i = 0; i < list->n; i++) jinja_list_add(r, mapped, f(r, list->items[i], &rest));
        jinja_leave(r);
        return jinja_seq(JINJA_ITERATOR, mapped);
    }
    const jinja_value *attribute = jinja_arg(args, 0, "attribute");
    if (!attribute) jinja_fail(r, WF_ERROR_FORMAT, "map needs a filter or an attribute");
    attribute_path path = read_path(r, attribute);
    path.fallback = jinja_arg(args, 1, "default");
    for (size_t i = 0; i < list->n; i++) jinja_list_add(r, mapped, follow_path(r, &path, list->items[i]));
    return jinja_seq(JINJA_ITERATOR, mapped);
}

// Keeps the items whose value (themselves, or by_attribute the one at the path in the first argument) passes the test
// named next, or is true where none is named; with `wanted` false, the others.
static jinja_value choose(jinja_run *r, jinja_value v, const jinja_args *args, bool by_attribute, bool wanted)
{
    jinja_list *kept = jinja_list_new(r);
    attribute_path path = {0};
    if (by_attribute) {
        if (!args->n) jinja_fail(r, WF_ERROR_FORMAT, "selectattr and rejectattr need an attribute");
        path = read_path(r, &args->items[0]);
    }
    jinja_args rest = args_from(args, by_attribute);
    jinja_test_fn *test = rest.n && rest.items ? named_test(r, rest.items[0]) : NULL;
    rest = args_from(&rest, 1);
    if (v.kind == JINJA_NONE) return jinja_seq(JINJA_ITERATOR, kept);
    const jinja_list *list = jinja_iterate(r, v);
    for (size_t i = 0; i < list->n; i++) {
        jinja_value part = follow_path(r, &path, list->items[i]);
        jinja_step(r, 1);
        if ((test ? test(r, part, &rest) : jinja_is_true(r, part)) == wanted) jinja_list_add(r, kept, list->items[i]);
    }
    return jinja_seq(JINJA_ITERATOR, kept);
}

FILTER(filter_select) { return choose(r, v, args, false, true); }
FILTER(filter_reject) { return choose(r, v, args, false, false); }
FILTER(filter_selectattr) { return choose(r, v, args, true, true); }
FILTER(filter_rejectattr) { return choose(r, v, args, true, false); }

jinja_filter_fn *jinja_find_filter(view name)
{
    static const struct {
        const char *name;
        jinja_filter_fn *filter;
    } filters[] = {
        {"abs", filter_abs},
        {"attr", filter_attr},
        {"batch", filter_batch},
        {"capitalize", filter_capitalize},
        {"count", filter_length},
        {"d", filter_default},
        {"default", filter_default},
        {"dictsort", filter_dictsort},
        {"e", filter_escape},
        {"escape", filter_escape},
        {"first", filter_first},
        {"float", filter_float},
        {"format", filter_format},
        {"groupby", filter_groupby},
        {"indent", filter_indent},
        {"int", filter_int},
        {"items", filter_items},
        {"join", filter_join},
        {"last", filter_last},
        {"length", filter_length},
        {"list", filter_list},
        {"lower", filter_lower},
        {"map", filter_map},
        {"max", filter_max},
        {"min", filter_min},
        {"reject", filter_reject},
        {"rejectattr", filter_rejectattr},
        {"replace", filter_replace},
        {"reverse", filter_reverse},
        {"round", filter_round},
        {"safe", filter_safe},
        {"select", filter_select},
        {"selectattr", filter_selectattr},
        {"sort", filter_sort},
        {"string", filter_string},
        {"sum", filter_sum},
        {"title", filter_title},
        {"tojson", jinja_filter_tojson},
        {"trim", filter_trim},
        {"unique", filter_unique},
        {"upper", filter_upper},
        {"wordcount", filter_wordcount},
    };
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
        if (view_is(name, filters[i].name)) return filters[i].filter;
    return NULL;
}
