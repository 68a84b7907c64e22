// Methods of strings, lists, dicts and loops.
//
// As in jinja2's sandbox: those that change a list or a dict are refused.
#include "text/jinja_internal.h"

// ---- methods of strings

static jinja_value do_split(jinja_run *r, const jinja_string *s, const jinja_string *separator, int64_t max)
{
    jinja_list *parts = jinja_list_new(r);
    size_t begin = 0, used;
    if (separator && !separator->len) jinja_fail(r, WF_ERROR_FORMAT, "split with an empty separator");
    if (!separator) s = jinja_string_strip(r, s, NULL, true, false);
    if (!separator && !s->len) return jinja_seq(JINJA_LIST, parts);
    while (max != 0) {
        size_t hit, after;
        if (separator) {
            hit = jinja_string_find(r, s, separator, begin);
            if (hit == SIZE_MAX) break;
            after = hit + separator->len;
        } else {
            for (hit = begin; hit < s->len && !jinja_is_space(jinja_code_point(s->data + hit, s->len - hit, &used));)
                hit += used;
            for (after = hit;
                 after < s->len && jinja_is_space(jinja_code_point(s->data + after, s->len - after, &used));)
                after += used;
            jinja_step(r, (after - begin) / 16);
            if (hit == s->len) break;
        }
        jinja_list_add(r, parts, jinja_str(jinja_string_slice(r, s, begin, hit)));
        begin = after;
        if (max > 0) max--;
        if (!separator && begin == s->len) return jinja_seq(JINJA_LIST, parts);
    }
    jinja_list_add(r, parts, jinja_str(jinja_string_slice(r, s, begin, s->len)));
    return jinja_seq(JINJA_LIST, parts);
}

// The last place of `needle` that ends at or before `end`.
static size_t find_last(jinja_run *r, const jinja_string *s, const jinja_string *needle, size_t end)
{
    if (needle->len > end) return SIZE_MAX;
    for (size_t pos = end - needle->len + 1; pos-- > 0;) {
        if (pos % 32 == 0) jinja_step(r, 1 + needle->len / 32);
        if (!needle->len || !memcmp(s->data + pos, needle->data, needle->len)) return pos;
    }
    return SIZE_MAX;
}

static void reverse_list(jinja_list *l)
{
    for (size_t i = 0; i < l->n / 2; i++) {
        jinja_value v = l->items[i];
        l->items[i] = l->items[l->n - 1 - i];
        l->items[l->n - 1 - i] = v;
    }
}

static jinja_value do_rsplit(jinja_run *r, const jinja_string *s, const jinja_string *separator, int64_t max)
{
    if (max < 0) return do_split(r, s, separator, max);
    if (!separator) jinja_fail(r, WF_ERROR_UNSUPPORTED, "rsplit at white space with a limit");
    if (!separator->len) jinja_fail(r, WF_ERROR_FORMAT, "rsplit with an empty separator");
    jinja_list *parts = jinja_list_new(r);
    size_t end = s->len;
    for (; max > 0; max--) {
        size_t hit = find_last(r, s, separator, end);
        if (hit == SIZE_MAX) break;
        jinja_list_add(r, parts, jinja_str(jinja_string_slice(r, s, hit + separator->len, end)));
        end = hit;
    }
    jinja_list_add(r, parts, jinja_str(jinja_string_slice(r, s, 0, end)));
    reverse_list(parts);
    return jinja_seq(JINJA_LIST, parts);
}

static jinja_value string_split(jinja_run *r, jinja_value self, const jinja_args *args)
{
    return do_split(r, self.string, jinja_arg_string(r, args, 0, "sep"), jinja_arg_int(r, args, 1, "maxsplit", -1));
}

static jinja_value string_rsplit(jinja_run *r, jinja_value self, const jinja_args *args)
{
    return do_rsplit(r, self.string, jinja_arg_string(r, args, 0, "sep"), jinja_arg_int(r, args, 1, "maxsplit", -1));
}

static jinja_value string_partition(jinja_run *r, jinja_value self, const jinja_args *args)
{
    const jinja_string *s = self.string, *separator = jinja_need_string(r, args, 0, "sep");
    if (!separator->len) jinja_fail(r, WF_ERROR_FORMAT, "partition with an empty separator");
    size_t hit = jinja_string_find(r, s, separator, 0), after = hit == SIZE_MAX ? s->len : hit + separator->len;
    if (hit == SIZE_MAX) hit = s->len;
    jinja_list *parts = jinja_list_new(r);
    jinja_list_add(r, parts, jinja_str(jinja_string_slice(r, s, 0, hit)));
    jinja_list_add(r, parts, jinja_str(jinja_string_slice(r, s, hit, after)));
    jinja_list_add(r, parts, jinja_str(jinja_string_slice(r, s, after, s->len)));
    return jinja_seq(JINJA_TUPLE, parts);
}

static jinja_value string_rpartition(jinja_run *r, jinja_value self, const jinja_args *args)
{
    const jinja_string *s = self.string, *separator = jinja_need_string(r, args, 0, "sep");
    if (!separator->len) jinja_fail(r, WF_ERROR_FORMAT, "rpartition with an empty separator");
    size_t hit = find_last(r, s, separator, s->len), after = hit == SIZE_MAX ? 0 : hit + separator->len;
    if (hit == SIZE_MAX) hit = 0;
    jinja_list *parts = jinja_list_new(r);
    jinja_list_add(r, parts, jinja_str(jinja_string_slice(r, s, 0, hit)));
    jinja_list_add(r, parts, jinja_str(jinja_string_slice(r, s, hit, after)));
    jinja_list_add(r, parts, jinja_str(jinja_string_slice(r, s, after, s->len)));
    return jinja_seq(JINJA_TUPLE, parts);
}

static jinja_value string_splitlines(jinja_run *r, jinja_value self, const jinja_args *args)
{
    return jinja_seq(JINJA_LIST,
                     jinja_string_split_lines(r, self.string, jinja_arg_bool(r, args, 0, "keepends", false)));
}

static jinja_value strip_sides(jinja_run *r, jinja_value self, const jinja_args *args, bool left, bool right)
{
    return jinja_str(jinja_string_strip(r, self.string, jinja_arg_string(r, args, 0, "chars"), left, right));
}

static jinja_value string_strip(jinja_run *r, jinja_value self, const jinja_args *args)
{
    return strip_sides(r, self, args, true, true);
}
static jinja_value string_lstrip(jinja_run *r, jinja_value self, const jinja_args *args)
{
    return strip_sides(r, self, args, true, false);
}
static jinja_value string_rstrip(jinja_run *r, jinja_value self, const jinja_args *args)
{
    return strip_sides(r, self, args, false, true);
}

static jinja_value change_case(jinja_run *r, jinja_value self, jinja_case how)
{
    return jinja_str(jinja_string_case(r, self.string, how));
}

static jinja_value string_upper(jinja_run *r, jinja_value self, const jinja_args *args)
{
    (void)args;
    return change_case(r, self, CASE_UPPER);
}
static jinja_value string_lower(jinja_run *r, jinja_value self, const jinja_args *args)
{
    (void)args;
    return change_case(r, self, CASE_LOWER);
}
static jinja_value string_capitalize(jinja_run *r, jinja_value self, const jinja_args *args)
{
    (void)args;
    return change_case(r, self, CASE_CAPITALIZE);
}

// str.title: a word starts after anything that is no letter, where the filter asks for a space or a bracket.
static jinja_value string_title(jinja_run *r, jinja_value self, const jinja_args *args)
{
    const jinja_string *s = self.string;
    jinja_text t = {0};
    (void)args;
    jinja_step(r, s->len);
    for (size_t pos = 0, end, used; pos < s->len; pos = end) {
        bool letters = false;
        for (end = pos; end < s->len; end += used) {
            uint32_t cp = jinja_code_point(s->data + end, s->len - end, &used);
            bool letter = jinja_has_case(cp);
            if (end == pos)
                letters = letter;
            else if (letter != letters)
                break;
        }
        jinja_string *run = jinja_string_slice(r, s, pos, end);
        jinja_text_add_string(r, &t, letters ? jinja_string_case(r, run, CASE_CAPITALIZE) : run);
    }
    return jinja_str(jinja_text_end(r, &t));
}

static bool has_affix(const jinja_string *s, const jinja_string *affix, bool at_end)
{
    if (affix->len > s->len) return false;
    const char *at = at_end ? s->data + (s->len - affix->len) : s->data;
    return !affix->len || !memcmp(at, affix->data, affix->len);
}

// startswith and endswith take one string or a tuple of them.
static jinja_value test_affix(jinja_run *r, jinja_value self, const jinja_args *args, bool at_end)
{
    const jinja_value *affix = jinja_need_arg(r, args, 0, at_end ? "suffix" : "prefix");
    if (args->n > 1) jinja_fail(r, WF_ERROR_UNSUPPORTED, "startswith and endswith with a place");
    size_t n = affix->kind == JINJA_TUPLE ? affix->list->n : 1;
    const jinja_value *all = affix->kind == JINJA_TUPLE ? affix->list->items : affix;
    for (size_t i = 0; i < n; i++) {
        jinja_step(r, 1);
        if (all[i].kind != JINJA_STRING)
            jinja_fail(r, WF_ERROR_FORMAT, "startswith and endswith need a string, not %s", jinja_type_name(all[i]));
        if (has_affix(self.string, all[i].string, at_end)) return jinja_bool(true);
    }
    return jinja_bool(false);
}

static jinja_value string_startswith(jinja_run *r, jinja_value self, const jinja_args *args)
{
    return test_affix(r, self, args, false);
}
static jinja_value string_endswith(jinja_run *r, jinja_value self, const jinja_args *args)
{
    return test_affix(r, self, args, true);
}

static jinja_value string_removeprefix(jinja_run *r, jinja_value self, const jinja_args *args)
{
    const jinja_string *s = self.string, *affix = jinja_need_string(r, args, 0, "prefix");
    return jinja_str(has_affix(s, affix, false) ? jinja_string_slice(r, s, affix->len, s->len) : s);
}

static jinja_value string_removesuffix(jinja_run *r, jinja_value self, const jinja_args *args)
{
    const jinja_string *s = self.string, *affix = jinja_need_string(r, args, 0, "suffix");
    return jinja_str(has_affix(s, affix, true) ? jinja_string_slice(r, s, 0, s->len - affix->len) : s);
}

static jinja_value string_replace(jinja_run *r, jinja_value self, const jinja_args *args)
{
    return jinja_str(jinja_string_replace(r, self.string, jinja_need_string(r, args, 0, "old"),
                                          jinja_need_string(r, args, 1, "new"),
                                          jinja_arg_int(r, args, 2, "count", -1)));
}

static jinja_value string_join(jinja_run *r, jinja_value self, const jinja_args *args)
{
    const jinja_list *list = jinja_iterate(r, *jinja_need_arg(r, args, 0, "iterable"));
    jinja_text t = {0};
    for (size_t i = 0; i < list->n; i++) {
        if (list->items[i].kind != JINJA_STRING)
            jinja_fail(r, WF_ERROR_FORMAT, "join of %s", jinja_type_name(list->items[i]));
        if (i) jinja_text_add_string(r, &t, self.string);
        jinja_text_add_string(r, &t, list->items[i].string);
    }
    return jinja_str(jinja_text_end(r, &t));
}

static jinja_value string_count(jinja_run *r, jinja_value self, const jinja_args *args)
{
    const jinja_string *s = self.string, *needle = jinja_need_string(r, args, 0, "sub");
    if (!needle->len) return jinja_int((int64_t)jinja_count(s) + 1);
    int64_t n = 0;
    for (size_t pos = 0; (pos = jinja_string_find(r, s, needle, pos)) != SIZE_MAX; pos += needle->len) {
        jinja_step(r, 1);
        n++;
    }
    return jinja_int(n);
}

static jinja_value place(jinja_run *r, const jinja_string *s, size_t hit)
{
    if (hit == SIZE_MAX) return jinja_int(-1);
    return jinja_int((int64_t)jinja_count(jinja_string_slice(r, s, 0, hit)));
}

static jinja_value string_find(jinja_run *r, jinja_value self, const jinja_args *args)
{
    if (args->n > 1) jinja_fail(r, WF_ERROR_UNSUPPORTED, "find with a place to start");
    return place(r, self.string, jinja_string_find(r, self.string, jinja_need_string(r, args, 0, "sub"), 0));
}

static jinja_value string_rfind(jinja_run *r, jinja_value self, const jinja_args *args)
{
    if (args->n > 1) jinja_fail(r, WF_ERROR_UNSUPPORTED, "rfind with a place to start");
    return place(r, self.string, find_last(r, self.string, jinja_need_string(r, args, 0, "sub"), self.string->len));
}

static jinja_value string_index(jinja_run *r, jinja_value self, const jinja_args *args)
{
    jinja_value v = string_find(r, self, args);
    if (v.integer < 0) jinja_fail(r, WF_ERROR_FORMAT, "index: substring not found");
    return v;
}

static bool is_digits(const jinja_string *s)
{
    for (size_t i = 0; i < s->len; i++)
        if (s->data[i] < '0' || s->data[i] > '9') return false;
    return s->len > 0;
}

static jinja_value string_isdigit(jinja_run *r, jinja_value self, const jinja_args *args)
{
    (void)args;
    jinja_step(r, self.string->len / 32);
    return jinja_bool(is_digits(self.string));
}

static jinja_value string_isspace(jinja_run *r, jinja_value self, const jinja_args *args)
{
    (void)args;
    return jinja_bool(self.string->len && !jinja_string_strip(r, self.string, NULL, true, false)->len);
}

static jinja_value no_method(jinja_run *r, jinja_value self, const jinja_args *args)
{
    (void)args;
    jinja_fail(r, WF_ERROR_UNSUPPORTED, "this method of %s", jinja_type_name(self));
}

// ---- methods of lists and dicts

static jinja_value list_index(jinja_run *r, jinja_value self, const jinja_args *args)
{
    const jinja_value *wanted = jinja_need_arg(r, args, 0, "value");
    for (size_t i = 0; i < self.list->n; i++)
        if (jinja_equal(r, self.list->items[i], *wanted)) return jinja_int((int64_t)i);
    jinja_fail(r, WF_ERROR_FORMAT, "index: the value is not in the list");
}

static jinja_value list_count(jinja_run *r, jinja_value self, const jinja_args *args)
{
    const jinja_value *wanted = jinja_need_arg(r, args, 0, "value");
    int64_t n = 0;
    for (size_t i = 0; i < self.list->n; i++) n += jinja_equal(r, self.list->items[i], *wanted);
    return jinja_int(n);
}

static jinja_value list_copy(jinja_run *r, jinja_value self, const jinja_args *args)
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

static jinja_value dict_items(jinja_run *r, jinja_value self, const jinja_args *args)
{
    (void)args;
    return dict_view(r, self.dict, "dict_items", true, true);
}
static jinja_value dict_keys(jinja_run *r, jinja_value self, const jinja_args *args)
{
    (void)args;
    return dict_view(r, self.dict, "dict_keys", true, false);
}
static jinja_value dict_values(jinja_run *r, jinja_value self, const jinja_args *args)
{
    (void)args;
    return dict_view(r, self.dict, "dict_values", false, true);
}

static jinja_value dict_get(jinja_run *r, jinja_value self, const jinja_args *args)
{
    const jinja_value *found = jinja_dict_find(r, self.dict, *jinja_need_arg(r, args, 0, "key")),
                      *fallback = jinja_arg(args, 1, "default");
    return found ? *found : fallback ? *fallback : jinja_none();
}

static jinja_value dict_copy(jinja_run *r, jinja_value self, const jinja_args *args)
{
    jinja_dict *d = jinja_dict_new(r);
    (void)args;
    for (size_t i = 0; i < self.dict->n; i++) jinja_dict_set(r, d, self.dict->keys[i], self.dict->values[i]);
    return (jinja_value){.kind = JINJA_DICT, .dict = d};
}

typedef struct method_entry {
    const char *name;
    jinja_value (*call)(jinja_run *r, jinja_value self, const jinja_args *args);
} method_entry;

static const method_entry string_methods[] = {
    {"strip", string_strip},
    {"lstrip", string_lstrip},
    {"rstrip", string_rstrip},
    {"split", string_split},
    {"rsplit", string_rsplit},
    {"partition", string_partition},
    {"rpartition", string_rpartition},
    {"splitlines", string_splitlines},
    {"startswith", string_startswith},
    {"endswith", string_endswith},
    {"removeprefix", string_removeprefix},
    {"removesuffix", string_removesuffix},
    {"replace", string_replace},
    {"upper", string_upper},
    {"lower", string_lower},
    {"title", string_title},
    {"capitalize", string_capitalize},
    {"join", string_join},
    {"count", string_count},
    {"find", string_find},
    {"rfind", string_rfind},
    {"index", string_index},
    {"isdigit", string_isdigit},
    {"isspace", string_isspace},
    {"format", no_method},
    {"encode", no_method},
    {"isalpha", no_method},
    {"isalnum", no_method},
    {"isupper", no_method},
    {"islower", no_method},
    {"isnumeric", no_method},
    {"zfill", no_method},
    {"center", no_method},
    {"ljust", no_method},
    {"rjust", no_method},
    {"swapcase", no_method},
    {"translate", no_method},
    {"expandtabs", no_method},
    {"casefold", no_method},
    {"format_map", no_method},
    {NULL, NULL},
};

static const method_entry list_methods[] = {
    {"index", list_index},  {"count", list_count}, {"copy", list_copy},  {"append", no_method},
    {"extend", no_method},  {"insert", no_method}, {"pop", no_method},   {"remove", no_method},
    {"reverse", no_method}, {"sort", no_method},   {"clear", no_method}, {NULL, NULL},
};

static const method_entry tuple_methods[] = {{"index", list_index}, {"count", list_count}, {NULL, NULL}};

static const method_entry dict_methods[] = {
    {"items", dict_items},     {"keys", dict_keys},  {"values", dict_values}, {"get", dict_get},
    {"copy", dict_copy},       {"pop", no_method},   {"popitem", no_method},  {"update", no_method},
    {"setdefault", no_method}, {"clear", no_method}, {"fromkeys", no_method}, {NULL, NULL},
};

// ---- methods of loops

static jinja_value loop_cycle(jinja_run *r, jinja_value self, const jinja_args *args)
{
    if (!args->n) jinja_fail(r, WF_ERROR_FORMAT, "loop.cycle without arguments");
    return args->items[self.loop->index % args->n];
}

static jinja_value loop_changed(jinja_run *r, jinja_value self, const jinja_args *args)
{
    jinja_value now = jinja_seq(JINJA_TUPLE, jinja_list_new(r));
    for (size_t i = 0; i < args->n; i++) jinja_list_add(r, now.list, args->items[i]);
    bool changed = !jinja_equal(r, self.loop->changed, now);
    if (changed) self.loop->changed = now;
    return jinja_bool(changed);
}

static const method_entry loop_methods[] = {{"cycle", loop_cycle}, {"changed", loop_changed}, {NULL, NULL}};

static const method_entry *find_method(jinja_value v, view name)
{
    const method_entry *table = v.kind == JINJA_STRING  ? string_methods
                                : v.kind == JINJA_LIST  ? list_methods
                                : v.kind == JINJA_TUPLE ? tuple_methods
                                : v.kind == JINJA_DICT  ? dict_methods
                                : v.kind == JINJA_LOOP  ? loop_methods
                                                        : NULL;
    for (; table && table->name; table++)
        if (view_is(name, table->name)) return table;
    return NULL;
}

bool jinja_has_method(jinja_value v, view name) { return find_method(v, name) != NULL; }

jinja_value jinja_call_method(jinja_run *r, const jinja_method *m, const jinja_args *args)
{
    const method_entry *entry = find_method(m->self, m->name);
    if (entry->call == no_method)
        jinja_fail(r, WF_ERROR_UNSUPPORTED, "method '%s' of %s", entry->name, jinja_type_name(m->self));
    return entry->call(r, m->self, args);
}
