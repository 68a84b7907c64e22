// Attributes, items and slices: v.name, v[key], v[a:b:c].
#include "text/jinja/jinja_internal.h"

static bool loop_attribute(const jinja_loop *loop, view name, jinja_value *v)
{
    int64_t i = (int64_t)loop->index, n = (int64_t)loop->list->n;
    if (view_is(name, "index"))
        *v = jinja_int(i + 1);
    else if (view_is(name, "index0"))
        *v = jinja_int(i);
    else if (view_is(name, "revindex"))
        *v = jinja_int(n - i);
    else if (view_is(name, "revindex0"))
        *v = jinja_int(n - i - 1);
    else if (view_is(name, "first"))
        *v = jinja_bool(i == 0);
    else if (view_is(name, "last"))
        *v = jinja_bool(i == n - 1);
    else if (view_is(name, "length"))
        *v = jinja_int(n);
    else if (view_is(name, "depth"))
        *v = jinja_int((int64_t)loop->depth + 1);
    else if (view_is(name, "depth0"))
        *v = jinja_int((int64_t)loop->depth);
    else if (view_is(name, "previtem") && i > 0)
        *v = loop->list->items[i - 1];
    else if (view_is(name, "nextitem") && i < n - 1)
        *v = loop->list->items[i + 1];
    else
        return false;
    return true;
}

static bool macro_attribute(jinja_run *r, const jinja_node *macro, view name, jinja_value *v)
{
    if (view_is(name, "name")) {
        *v = macro->name_string ? jinja_str(macro->name_string) : jinja_none();
    } else if (view_is(name, "arguments")) {
        *v = jinja_seq(JINJA_TUPLE, jinja_list_new(r));
        for (size_t i = 0; i < macro->n_items; i++) {
            view parameter = macro->arg_names[i];
            jinja_list_add(r, v->list, jinja_str(jinja_string_new(r, parameter.data, parameter.len)));
        }
    } else if (view_is(name, "catch_kwargs")) {
        *v = jinja_bool(macro->specials & JINJA_KWARGS);
    } else if (view_is(name, "catch_varargs")) {
        *v = jinja_bool(macro->specials & JINJA_VARARGS);
    } else if (view_is(name, "caller")) {
        *v = jinja_bool(macro->specials & JINJA_CALLER);
    } else {
        return false;
    }
    return true;
}

// What Python's getattr finds; false when there is nothing.
static bool own_attribute(jinja_run *r, jinja_value v, const jinja_string *name, jinja_value *found)
{
    view n = jinja_string_view(name);
    if (v.kind == JINJA_NAMESPACE) {
        const jinja_value *item = jinja_dict_find(r, v.dict, jinja_str(name));
        if (item) *found = *item;
        return item != NULL;
    }
    if (v.kind == JINJA_LOOP && loop_attribute(v.loop, n, found)) return true;
    if (v.kind == JINJA_MACRO) return macro_attribute(r, v.macro->node, n, found);
    if (v.kind == JINJA_CYCLER && view_is(n, "current")) {
        *found = v.cycle->items[v.cycle->next];
        return true;
    }
    if (!jinja_has_method(v, n)) return false;
    jinja_method *m = jinja_alloc(r, 1, sizeof *m);
    *m = (jinja_method){.self = v, .name = n};
    *found = (jinja_value){.kind = JINJA_METHOD, .method = m};
    return true;
}

// The attribute, else the item of that name.
jinja_value jinja_get_attr(jinja_run *r, jinja_value v, const jinja_string *name)
{
    jinja_value found;
    if (v.kind == JINJA_UNDEFINED) jinja_fail_undefined(r, v);
    if (own_attribute(r, v, name, &found)) return found;
    const jinja_value *item = v.kind == JINJA_DICT ? jinja_dict_find(r, v.dict, jinja_str(name)) : NULL;
    return item ? *item : jinja_undefined(name, v.kind);
}

// Python's slice.indices: the first index, the step and how many items a slice takes of n.
static size_t slice_bounds(jinja_run *r, const jinja_value *slice, int64_t n, int64_t *first, int64_t *step)
{
    int64_t bounds[2];
    *step = 1;
    for (size_t i = 0; i < 3; i++)
        if (slice[i].kind == JINJA_UNDEFINED) jinja_fail_undefined(r, slice[i]);
    if (slice[2].kind != JINJA_NONE && !jinja_integer(slice[2], step))
        jinja_fail(r, WF_ERROR_FORMAT, "a slice's step must be an int");
    if (*step == 0) jinja_fail(r, WF_ERROR_FORMAT, "a slice's step must not be zero");
    if (*step > n + 1) *step = n + 1; // no farther than out, so that nothing overflows
    if (*step < -n - 1) *step = -n - 1;
    int64_t low = *step < 0 ? -1 : 0, high = *step < 0 ? n - 1 : n;
    for (size_t i = 0; i < 2; i++) {
        if (slice[i].kind == JINJA_NONE) {
            bounds[i] = (i == 0) == (*step > 0) ? low : high;
            continue;
        }
        if (!jinja_integer(slice[i], &bounds[i])) jinja_fail(r, WF_ERROR_FORMAT, "a slice's bounds must be ints");
        if (bounds[i] < 0) bounds[i] = bounds[i] < -n ? low : bounds[i] + n;
        if (bounds[i] > high) bounds[i] = high;
        if (bounds[i] < low) bounds[i] = low;
    }
    *first = bounds[0];
    int64_t distance = *step > 0 ? bounds[1] - bounds[0] : bounds[0] - bounds[1];
    int64_t stride = *step > 0 ? *step : -*step;
    return distance <= 0 || stride <= 0 ? 0 : (size_t)((distance + stride - 1) / stride);
}

// The byte offset of each code point, and of the end.
static size_t *code_point_offsets(jinja_run *r, const jinja_string *s, size_t *n)
{
    *n = jinja_count(s);
    jinja_step(r, s->len / 8);
    size_t *offsets = jinja_alloc(r, *n + 1, sizeof *offsets), i = 0;
    for (size_t pos = 0, used; pos < s->len; pos += used) {
        offsets[i++] = pos;
        jinja_code_point(s->data + pos, s->len - pos, &used);
    }
    offsets[i] = s->len;
    return offsets;
}

static jinja_value slice_string(jinja_run *r, const jinja_string *s, const jinja_value *slice)
{
    size_t n;
    const size_t *offsets = code_point_offsets(r, s, &n);
    int64_t first, step;
    size_t count = slice_bounds(r, slice, (int64_t)n, &first, &step);
    if (!count) return jinja_literal(r, "");
    if (step == 1) return jinja_str(jinja_string_slice(r, s, offsets[first], offsets[(size_t)first + count]));
    jinja_text t = {0};
    for (size_t i = 0; i < count; i++, first += step)
        jinja_text_add_string(r, &t, jinja_string_slice(r, s, offsets[first], offsets[first + 1]));
    return jinja_str(jinja_text_end(r, &t));
}

static jinja_value slice_list(jinja_run *r, jinja_value v, const jinja_value *slice)
{
    jinja_list *cut = jinja_list_new(r);
    int64_t first, step;
    size_t count = slice_bounds(r, slice, (int64_t)v.list->n, &first, &step);
    for (size_t i = 0; i < count; i++, first += step) jinja_list_add(r, cut, v.list->items[first]);
    return jinja_seq(v.kind, cut);
}

static bool index_item(jinja_run *r, jinja_value v, int64_t i, jinja_value *found)
{
    int64_t n = v.kind == JINJA_STRING ? (int64_t)jinja_count(v.string) : (int64_t)v.list->n;
    if (i < 0) i += n;
    if (i < 0 || i >= n) return false;
    if (v.kind == JINJA_STRING) {
        size_t pos = 0, used;
        jinja_step(r, v.string->len / 16);
        for (; i >= 0; i--, pos += used) jinja_code_point(v.string->data + pos, v.string->len - pos, &used);
        *found = jinja_str(jinja_string_slice(r, v.string, pos - used, pos));
    } else {
        *found = v.list->items[i];
    }
    return true;
}

// The item, else (for a string) the attribute of that name, else undefined.
jinja_value jinja_get_item(jinja_run *r, jinja_value v, jinja_value key)
{
    bool indexed = v.kind == JINJA_STRING || v.kind == JINJA_LIST || v.kind == JINJA_TUPLE || v.kind == JINJA_RANGE;
    int64_t i;
    jinja_value found;
    if (v.kind == JINJA_UNDEFINED) jinja_fail_undefined(r, v);
    if (key.kind == JINJA_SLICE) {
        if (v.kind == JINJA_STRING) return slice_string(r, v.string, key.slice);
        if (indexed) return slice_list(r, v, key.slice);
        jinja_fail(r, WF_ERROR_FORMAT, "%s cannot be sliced", jinja_type_name(v));
    }
    if (indexed && jinja_integer(key, &i) && index_item(r, v, i, &found)) return found;
    if (v.kind == JINJA_DICT && key.kind != JINJA_LIST && key.kind != JINJA_DICT) {
        const jinja_value *item = jinja_dict_find(r, v.dict, key);
        if (item) return *item;
    }
    if (key.kind == JINJA_STRING && own_attribute(r, v, key.string, &found)) return found;
    return jinja_undefined(jinja_to_string(r, key), v.kind);
}
