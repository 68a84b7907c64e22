// Methods of strings: parts of them, and what is found in them. The others are in jinja_method_text.c.
#include "text/jinja/jinja_method.h"

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

// At white space, from the right; what is left over keeps the white space in it.
static jinja_value rsplit_space(jinja_run *r, const jinja_string *s, int64_t max)
{
    jinja_list *words = do_split(r, s, NULL, -1).list, *parts = jinja_list_new(r);
    if ((int64_t)words->n <= max) return jinja_seq(JINJA_LIST, words);
    size_t kept = words->n - (size_t)max;
    const jinja_string *last = words->items[kept - 1].string;
    s = jinja_string_strip(r, s, NULL, false, true);
    size_t end = (size_t)(last->data - s->data) + last->len;
    jinja_list_add(r, parts, jinja_str(jinja_string_slice(r, s, 0, end)));
    for (size_t i = kept; i < words->n; i++) jinja_list_add(r, parts, words->items[i]);
    return jinja_seq(JINJA_LIST, parts);
}

static jinja_value do_rsplit(jinja_run *r, const jinja_string *s, const jinja_string *separator, int64_t max)
{
    if (max < 0) return do_split(r, s, separator, max);
    if (!separator) return rsplit_space(r, s, max);
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

METHOD(string_split)
{
    return do_split(r, self.string, jinja_arg_string(r, args, 0, "sep"), jinja_arg_int(r, args, 1, "maxsplit", -1));
}

METHOD(string_rsplit)
{
    return do_rsplit(r, self.string, jinja_arg_string(r, args, 0, "sep"), jinja_arg_int(r, args, 1, "maxsplit", -1));
}

// What stands before the separator, it, and what stands behind; without one all of the string on the side that the
// search ends at.
static jinja_value partition(jinja_run *r, const jinja_string *s, const jinja_string *separator, bool last)
{
    if (!separator->len) jinja_fail(r, WF_ERROR_FORMAT, "partition with an empty separator");
    size_t hit = last ? find_last(r, s, separator, s->len) : jinja_string_find(r, s, separator, 0);
    size_t begin = hit, end = hit + separator->len;
    if (hit == SIZE_MAX) begin = end = last ? 0 : s->len;
    jinja_list *parts = jinja_list_new(r);
    jinja_list_add(r, parts, jinja_str(jinja_string_slice(r, s, 0, begin)));
    jinja_list_add(r, parts, jinja_str(jinja_string_slice(r, s, begin, end)));
    jinja_list_add(r, parts, jinja_str(jinja_string_slice(r, s, end, s->len)));
    return jinja_seq(JINJA_TUPLE, parts);
}

METHOD(string_partition) { return partition(r, self.string, jinja_need_string(r, args, 0, "sep"), false); }
METHOD(string_rpartition) { return partition(r, self.string, jinja_need_string(r, args, 0, "sep"), true); }

METHOD(string_splitlines)
{
    return jinja_seq(JINJA_LIST,
                     jinja_string_split_lines(r, self.string, jinja_arg_bool(r, args, 0, "keepends", false)));
}

static jinja_value strip_sides(jinja_run *r, jinja_value self, const jinja_args *args, bool left, bool right)
{
    return jinja_str(jinja_string_strip(r, self.string, jinja_arg_string(r, args, 0, "chars"), left, right));
}

METHOD(string_strip) { return strip_sides(r, self, args, true, true); }
METHOD(string_lstrip) { return strip_sides(r, self, args, true, false); }
METHOD(string_rstrip) { return strip_sides(r, self, args, false, true); }

static bool has_affix(const jinja_string *s, const jinja_string *affix, bool at_end)
{
    if (affix->len > s->len) return false;
    const char *at = at_end ? s->data + (s->len - affix->len) : s->data;
    return !affix->len || !memcmp(at, affix->data, affix->len);
}

// self[start:end], from the arguments behind the first; *start: where it begins, in code points. False: it begins
// behind the end, where not even an empty string is found.
static bool window(jinja_run *r, const jinja_string *s, const jinja_args *args, jinja_string *part, int64_t *start)
{
    int64_t n = (int64_t)jinja_count(s), bounds[2] = {0, n};
    jinja_step(r, s->len / 16);
    for (size_t i = 0; i < 2 && i + 1 < args->n; i++) {
        jinja_value v = args->items[i + 1];
        if (v.kind == JINJA_NONE) continue;
        if (!jinja_integer(v, &bounds[i])) jinja_fail(r, WF_ERROR_FORMAT, "a place in a string must be an int");
        if (bounds[i] < 0) bounds[i] = bounds[i] < -n ? 0 : bounds[i] + n;
    }
    if (bounds[1] > n) bounds[1] = n;
    *start = bounds[0];
    if (bounds[0] > bounds[1]) return false;
    size_t pos = 0, begin = 0, used;
    for (int64_t i = 0; i < bounds[1]; i++, pos += used) {
        if (i == bounds[0]) begin = pos;
        jinja_code_point(s->data + pos, s->len - pos, &used);
    }
    *part = *jinja_string_slice(r, s, bounds[0] == bounds[1] ? pos : begin, pos);
    return true;
}

// startswith and endswith take one string or a tuple of them.
static jinja_value test_affix(jinja_run *r, jinja_value self, const jinja_args *args, bool at_end)
{
    jinja_value affix = args->items[0];
    jinja_string part;
    int64_t start;
    size_t n = affix.kind == JINJA_TUPLE ? affix.list->n : 1;
    const jinja_value *all = affix.kind == JINJA_TUPLE ? affix.list->items : &affix;
    bool inside = window(r, self.string, args, &part, &start);
    for (size_t i = 0; i < n; i++) {
        jinja_step(r, 1);
        if (all[i].kind != JINJA_STRING)
            jinja_fail(r, WF_ERROR_FORMAT, "startswith and endswith need a string, not %s", jinja_type_name(all[i]));
        if (inside && has_affix(&part, all[i].string, at_end)) return jinja_bool(true);
    }
    return jinja_bool(false);
}

METHOD(string_startswith) { return test_affix(r, self, args, false); }
METHOD(string_endswith) { return test_affix(r, self, args, true); }

METHOD(string_removeprefix)
{
    const jinja_string *s = self.string, *affix = jinja_need_string(r, args, 0, "prefix");
    return jinja_str(has_affix(s, affix, false) ? jinja_string_slice(r, s, affix->len, s->len) : s);
}

METHOD(string_removesuffix)
{
    const jinja_string *s = self.string, *affix = jinja_need_string(r, args, 0, "suffix");
    return jinja_str(has_affix(s, affix, true) ? jinja_string_slice(r, s, 0, s->len - affix->len) : s);
}

METHOD(string_count)
{
    const jinja_string *needle = jinja_need_string(r, args, 0, "sub");
    jinja_string part;
    int64_t n = 0, start;
    if (!window(r, self.string, args, &part, &start)) return jinja_int(0);
    if (!needle->len) return jinja_int((int64_t)jinja_count(&part) + 1);
    for (size_t pos = 0; (pos = jinja_string_find(r, &part, needle, pos)) != SIZE_MAX; pos += needle->len) {
        jinja_step(r, 1);
        n++;
    }
    return jinja_int(n);
}

static jinja_value find(jinja_run *r, jinja_value self, const jinja_args *args, bool last)
{
    const jinja_string *needle = jinja_need_string(r, args, 0, "sub");
    jinja_string part;
    int64_t start;
    if (!window(r, self.string, args, &part, &start)) return jinja_int(-1);
    size_t hit = last ? find_last(r, &part, needle, part.len) : jinja_string_find(r, &part, needle, 0);
    if (hit == SIZE_MAX) return jinja_int(-1);
    return jinja_int(start + (int64_t)jinja_count(jinja_string_slice(r, &part, 0, hit)));
}

static jinja_value index_of(jinja_run *r, jinja_value self, const jinja_args *args, bool last)
{
    jinja_value v = find(r, self, args, last);
    if (v.integer < 0) jinja_fail(r, WF_ERROR_FORMAT, "index: substring not found");
    return v;
}

METHOD(string_find) { return find(r, self, args, false); }
METHOD(string_rfind) { return find(r, self, args, true); }
METHOD(string_index) { return index_of(r, self, args, false); }
METHOD(string_rindex) { return index_of(r, self, args, true); }

const jinja_method_row jinja_string_methods[] = {
    {"strip", string_strip, "/ chars?"},
    {"lstrip", string_lstrip, "/ chars?"},
    {"rstrip", string_rstrip, "/ chars?"},
    {"split", string_split, "sep? maxsplit?"},
    {"rsplit", string_rsplit, "sep? maxsplit?"},
    {"partition", string_partition, "/ sep"},
    {"rpartition", string_rpartition, "/ sep"},
    {"splitlines", string_splitlines, "keepends?"},
    {"startswith", string_startswith, "/ prefix start? end?"},
    {"endswith", string_endswith, "/ suffix start? end?"},
    {"removeprefix", string_removeprefix, "/ prefix"},
    {"removesuffix", string_removesuffix, "/ suffix"},
    {"count", string_count, "/ sub start? end?"},
    {"find", string_find, "/ sub start? end?"},
    {"rfind", string_rfind, "/ sub start? end?"},
    {"index", string_index, "/ sub start? end?"},
    {"rindex", string_rindex, "/ sub start? end?"},
    {NULL, NULL, NULL},
};
