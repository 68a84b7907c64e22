// Methods of lists, dicts, loops and cyclers, and the search in the tables of all.
//
// As in jinja2's sandbox: those that change a list or a dict are refused.
#include <math.h>

#include "text/jinja/jinja_method.h"

// ---- methods of lists and dicts

METHOD(list_index)
{
    int64_t n = (int64_t)self.list->n, bounds[2] = {0, n};
    for (size_t i = 0; i < 2 && i + 1 < args->n; i++) {
        bounds[i] = jinja_arg_int(r, args, i + 1, i ? "stop" : "start", 0);
        if (bounds[i] < 0) bounds[i] = bounds[i] < -n ? 0 : bounds[i] + n;
    }
    for (int64_t i = bounds[0]; i < bounds[1] && i < n; i++)
        if (jinja_equal(r, self.list->items[i], args->items[0])) return jinja_int(i);
    jinja_fail(r, WF_ERROR_FORMAT, "index: the value is not in the list");
}

METHOD(list_count)
{
    const jinja_value *wanted = jinja_need_arg(r, args, 0, "value");
    int64_t n = 0;
    for (size_t i = 0; i < self.list->n; i++) n += jinja_equal(r, self.list->items[i], *wanted);
    return jinja_int(n);
}

METHOD(list_copy)
{
    (void)args;
    return jinja_binary(r, OP_ADD, self, jinja_seq(JINJA_LIST, jinja_list_new(r)));
}

static jinja_value dict_view(jinja_run *r, const jinja_dict *d, const char *label, bool keys, bool values)
{
    jinja_list *list = jinja_list_new(r);
    list->label = label;
    for (size_t i = 0; i < d->n; i++) {
        jinja_value item = keys ? d->keys[i] : d->values[i];
        if (keys && values) {
            item = jinja_seq(JINJA_TUPLE, jinja_list_new(r));
            jinja_list_add(r, item.list, d->keys[i]);
            jinja_list_add(r, item.list, d->values[i]);
        }
        jinja_list_add(r, list, item);
    }
    return jinja_seq(JINJA_VIEW, list);
}

METHOD(dict_items)
{
    (void)args;
    return dict_view(r, self.dict, "dict_items", true, true);
}
METHOD(dict_keys)
{
    (void)args;
    return dict_view(r, self.dict, "dict_keys", true, false);
}
METHOD(dict_values)
{
    (void)args;
    return dict_view(r, self.dict, "dict_values", false, true);
}

METHOD(dict_get)
{
    const jinja_value *found = jinja_dict_find(r, self.dict, *jinja_need_arg(r, args, 0, "key")),
                      *fallback = jinja_arg(args, 1, "default");
    return found ? *found : fallback ? *fallback : jinja_none();
}

METHOD(dict_copy)
{
    jinja_dict *d = jinja_dict_new(r);
    (void)args;
    for (size_t i = 0; i < self.dict->n; i++) jinja_dict_set(r, d, self.dict->keys[i], self.dict->values[i]);
    return (jinja_value){.kind = JINJA_DICT, .dict = d};
}

// dict.fromkeys, which looks at no object.
METHOD(dict_fromkeys)
{
    const jinja_list *keys = jinja_iterate(r, args->items[0]);
    jinja_dict *d = jinja_dict_new(r);
    (void)self;
    for (size_t i = 0; i < keys->n; i++)
        jinja_dict_set(r, d, keys->items[i], args->n > 1 ? args->items[1] : jinja_none());
    return (jinja_value){.kind = JINJA_DICT, .dict = d};
}

METHOD(float_is_integer)
{
    (void)r;
    (void)args;
    return jinja_bool(isfinite(self.real) && self.real == floor(self.real));
}

// ---- methods of loops

METHOD(loop_cycle)
{
    if (!args->n) jinja_fail(r, WF_ERROR_FORMAT, "loop.cycle without arguments");
    return args->items[self.loop->index % args->n];
}

METHOD(loop_changed)
{
    jinja_value now = jinja_seq(JINJA_TUPLE, jinja_list_new(r));
    for (size_t i = 0; i < args->n; i++) jinja_list_add(r, now.list, args->items[i]);
    bool changed = !jinja_equal(r, self.loop->changed, now);
    if (changed) self.loop->changed = now;
    return jinja_bool(changed);
}

METHOD(cycler_next)
{
    (void)r;
    (void)args;
    jinja_value v = self.cycle->items[self.cycle->next];
    self.cycle->next = (self.cycle->next + 1) % self.cycle->n;
    return v;
}

METHOD(cycler_reset)
{
    (void)r;
    (void)args;
    self.cycle->next = 0;
    return jinja_none();
}

// ---- tables

#define REFUSED(name) {name, jinja_no_method, "* **"}
#define END {NULL, NULL, NULL}

static const jinja_method_row list_methods[] = {
    {"index", list_index, "/ value start? stop?"},
    {"count", list_count, "/ value"},
    {"copy", list_copy, ""},
    REFUSED("append"),
    REFUSED("extend"),
    REFUSED("insert"),
    REFUSED("pop"),
    REFUSED("remove"),
    REFUSED("reverse"),
    REFUSED("sort"),
    REFUSED("clear"),
    END,
};
static const jinja_method_row tuple_methods[] = {
    {"index", list_index, "/ value start? stop?"}, {"count", list_count, "/ value"}, END};
static const jinja_method_row range_methods[] = {
    {"index", list_index, "/ value"}, {"count", list_count, "/ value"}, END};
static const jinja_method_row dict_methods[] = {
    {"items", dict_items, ""},
    {"keys", dict_keys, ""},
    {"values", dict_values, ""},
    {"get", dict_get, "/ key default?"},
    {"copy", dict_copy, ""},
    {"fromkeys", dict_fromkeys, "/ iterable value?"},
    REFUSED("pop"),
    REFUSED("popitem"),
    REFUSED("update"),
    REFUSED("setdefault"),
    REFUSED("clear"),
    END,
};
static const jinja_method_row loop_methods[] = {{"cycle", loop_cycle, "*"}, {"changed", loop_changed, "*"}, END};
static const jinja_method_row cycler_methods[] = {{"next", cycler_next, ""}, {"reset", cycler_reset, ""}, END};
static const jinja_method_row float_methods[] = {{"is_integer", float_is_integer, ""}, END};
// The global function dict stands for Python's type.
static const jinja_method_row function_methods[] = {{"fromkeys", dict_fromkeys, "/ iterable value?"}, END};

static const jinja_method_row *find_in(const jinja_method_row *table, view name)
{
    for (; table && table->name; table++)
        if (view_is(name, table->name)) return table;
    return NULL;
}

static const jinja_method_row *find_method(jinja_value v, view name)
{
    static const jinja_method_row *const tables[] = {
        [JINJA_STRING] = jinja_string_methods, [JINJA_LIST] = list_methods,   [JINJA_TUPLE] = tuple_methods,
        [JINJA_RANGE] = range_methods,         [JINJA_DICT] = dict_methods,   [JINJA_LOOP] = loop_methods,
        [JINJA_CYCLER] = cycler_methods,       [JINJA_FLOAT] = float_methods,
    };
    if (v.kind == JINJA_FUNCTION && !strcmp(v.function->name, "dict")) return find_in(function_methods, name);
    const jinja_method_row *row = v.kind < sizeof tables / sizeof *tables ? find_in(tables[v.kind], name) : NULL;
    return row || v.kind != JINJA_STRING ? row : find_in(jinja_text_methods, name);
}

bool jinja_has_method(jinja_value v, view name) { return find_method(v, name) != NULL; }

jinja_value jinja_no_method(jinja_run *r, jinja_value self, const jinja_args *args)
{
    (void)args;
    jinja_fail(r, WF_ERROR_UNSUPPORTED, "this method of %s", jinja_type_name(self));
}

jinja_value jinja_call_method(jinja_run *r, const jinja_method *m, const jinja_args *args)
{
    const jinja_method_row *row = find_method(m->self, m->name);
    if (row->call == jinja_no_method)
        jinja_fail(r, WF_ERROR_UNSUPPORTED, "method '%s' of %s", row->name, jinja_type_name(m->self));
    jinja_check_args(r, row->name, row->parameters, args);
    return row->call(r, m->self, args);
}
