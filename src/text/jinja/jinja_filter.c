// Filters, which stand after "|": those of sequences, and the search in the tables of all. Arguments and results as in
// jinja2; those that give generators there give an iterator here, which is used up by the first look at it.
#include "text/jinja/jinja_internal.h"

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

jinja_value jinja_filter_items(jinja_run *r, jinja_value v, const jinja_args *args)
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

// The values at "path,path,..." as a list, which like Python's compares no items that are equal.
static jinja_value sort_key(jinja_run *r, const jinja_value *attribute, jinja_value item, bool case_sensitive)
{
    jinja_list *keys = jinja_list_new(r);
    bool named = attribute && attribute->kind == JINJA_STRING;
    const jinja_string *paths = named ? attribute->string : jinja_literal(r, "").string;
    for (size_t begin = 0, end; begin <= paths->len; begin = end + 1) {
        for (end = begin; end < paths->len && paths->data[end] != ',';) end++;
        jinja_value name = jinja_str(jinja_string_slice(r, paths, begin, end));
        attribute_path path = read_path(r, named ? &name : attribute);
        jinja_list_add(r, keys, fold_case(r, follow_path(r, &path, item), case_sensitive));
    }
    return jinja_seq(JINJA_LIST, keys);
}

FILTER(filter_sort)
{
    bool descending = jinja_arg_bool(r, args, 0, "reverse", false),
         case_sensitive = jinja_arg_bool(r, args, 1, "case_sensitive", false);
    const jinja_value *attribute = jinja_arg(args, 2, "attribute");
    const jinja_list *list = jinja_iterate(r, v);
    keyed *a = jinja_alloc(r, list->n, sizeof *a);
    for (size_t i = 0; i < list->n; i++)
        a[i] = (keyed){sort_key(r, attribute, list->items[i], case_sensitive), list->items[i]};
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
    const jinja_list *list = jinja_iterate(r, v);
    jinja_list *batches = jinja_list_new(r), *batch = jinja_list_new(r);
    for (size_t i = 0; i < list->n; i++) {
        if ((int64_t)batch->n == n) {
            jinja_list_add(r, batches, jinja_seq(JINJA_LIST, batch));
            batch = jinja_list_new(r);
        }
        jinja_list_add(r, batch, list->items[i]);
    }
    if (batch->n) {
        fill_up(r, batch, n, jinja_arg(args, 1, "fill_with"));
        jinja_list_add(r, batches, jinja_seq(JINJA_LIST, batch));
    }
    return jinja_seq(JINJA_ITERATOR, batches);
}

// So many lists of equal length, the first ones an item longer where it does not come out even.
FILTER(filter_slice)
{
    int64_t n = jinja_arg_int(r, args, 0, "slices", 0);
    const jinja_value *fill = jinja_arg(args, 1, "fill_with");
    const jinja_list *list = jinja_iterate(r, v);
    jinja_list *slices = jinja_list_new(r);
    if (n == 0) jinja_fail(r, WF_ERROR_FORMAT, "slice into 0 lists");
    size_t next = 0;
    for (int64_t i = 0; i < n; i++) {
        jinja_list *slice = jinja_list_new(r);
        bool longer = i < (int64_t)list->n % n;
        for (int64_t k = 0; k < (int64_t)list->n / n + longer; k++) jinja_list_add(r, slice, list->items[next++]);
        if (!longer) fill_up(r, slice, (int64_t)slice->n + 1, fill);
        jinja_list_add(r, slices, jinja_seq(JINJA_LIST, slice));
    }
    return jinja_seq(JINJA_ITERATOR, slices);
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

FILTER(filter_sum)
{
    attribute_path path = read_path(r, jinja_arg(args, 0, "attribute"));
    const jinja_value *start = jinja_arg(args, 1, "start");
    jinja_value sum = start ? *start : jinja_int(0);
    const jinja_list *list = jinja_iterate(r, v);
    for (size_t i = 0; i < list->n; i++) sum = jinja_binary(r, OP_ADD, sum, follow_path(r, &path, list->items[i]));
    return sum;
}

// ---- map and select

jinja_value jinja_apply_filter(jinja_run *r, const jinja_filter_row *row, jinja_value v, const jinja_args *args)
{
    jinja_check_args(r, row->name, row->parameters, args);
    return row->filter(r, v, args);
}

static const jinja_filter_row *named_filter(jinja_run *r, jinja_value name)
{
    const jinja_string *s = jinja_to_string(r, name);
    const jinja_filter_row *f = jinja_find_filter(jinja_string_view(s));
    if (!f) jinja_fail(r, WF_ERROR_UNSUPPORTED, "filter '%.*s'", VIEW_ARG(jinja_string_view(s)));
    return f;
}

static const jinja_test_row *named_test(jinja_run *r, jinja_value name)
{
    const jinja_string *s = jinja_to_string(r, name);
    const jinja_test_row *f = jinja_find_test(jinja_string_view(s));
    if (!f) jinja_fail(r, WF_ERROR_UNSUPPORTED, "test '%.*s'", VIEW_ARG(jinja_string_view(s)));
    return f;
}

// What map, select and the like look at: nothing where there is nothing, such as none.
static const jinja_list *items_of(jinja_run *r, jinja_value v)
{
    return jinja_is_true(r, v) ? jinja_iterate(r, v) : jinja_list_new(r);
}

FILTER(filter_map)
{
    const jinja_list *list = items_of(r, v);
    jinja_list *mapped = jinja_list_new(r);
    if (args->n) {
        const jinja_filter_row *f = named_filter(r, args->items[0]);
        jinja_args rest = args_from(args, 1);
        jinja_enter(r); // map("map", "map", ...)
        for (size_t i = 0; i < list->n; i++) jinja_list_add(r, mapped, jinja_apply_filter(r, f, list->items[i], &rest));
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
    const jinja_test_row *test = rest.n && rest.items ? named_test(r, rest.items[0]) : NULL;
    rest = args_from(&rest, 1);
    const jinja_list *list = items_of(r, v);
    for (size_t i = 0; i < list->n; i++) {
        jinja_value part = follow_path(r, &path, list->items[i]);
        jinja_step(r, 1);
        if ((test ? jinja_apply_test(r, test, part, &rest) : jinja_is_true(r, part)) == wanted)
            jinja_list_add(r, kept, list->items[i]);
    }
    return jinja_seq(JINJA_ITERATOR, kept);
}

FILTER(filter_select) { return choose(r, v, args, false, true); }
FILTER(filter_reject) { return choose(r, v, args, false, false); }
FILTER(filter_selectattr) { return choose(r, v, args, true, true); }
FILTER(filter_rejectattr) { return choose(r, v, args, true, false); }

static const jinja_filter_row sequence_filters[] = {
    {"attr", filter_attr, "name"},
    {"batch", filter_batch, "linecount fill_with?"},
    {"count", filter_length, ""},
    {"d", filter_default, "default_value? boolean?"},
    {"default", filter_default, "default_value? boolean?"},
    {"dictsort", filter_dictsort, "case_sensitive? by? reverse?"},
    {"first", filter_first, ""},
    {"groupby", filter_groupby, "attribute default? case_sensitive?"},
    {"items", jinja_filter_items, ""},
    {"join", filter_join, "d? attribute?"},
    {"last", filter_last, ""},
    {"length", filter_length, ""},
    {"list", filter_list, ""},
    {"map", filter_map, "* **"},
    {"max", filter_max, "case_sensitive? attribute?"},
    {"min", filter_min, "case_sensitive? attribute?"},
    {"reject", filter_reject, "* **"},
    {"rejectattr", filter_rejectattr, "* **"},
    {"reverse", filter_reverse, ""},
    {"select", filter_select, "* **"},
    {"selectattr", filter_selectattr, "* **"},
    {"slice", filter_slice, "slices fill_with?"},
    {"sort", filter_sort, "reverse? case_sensitive? attribute?"},
    {"sum", filter_sum, "attribute? start?"},
    {"tojson", jinja_filter_tojson, "ensure_ascii? indent? separators? sort_keys?"},
    {"unique", filter_unique, "case_sensitive? attribute?"},
    {NULL, NULL, NULL},
};

const jinja_filter_row *jinja_find_filter(view name)
{
    static const jinja_filter_row *const tables[] = {sequence_filters, jinja_text_filters, jinja_number_filters,
                                                     jinja_html_filters, jinja_wrap_filters};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        for (const jinja_filter_row *row = tables[i]; row->name; row++)
            if (view_is(name, row->name)) return row;
    return NULL;
}
