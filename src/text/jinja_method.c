// What values can do: operators, attributes, subscripts, methods, and the global functions.
//
// As in jinja2's sandbox: methods that change a list or a dict are refused.
#define _POSIX_C_SOURCE 200809L // localtime_r
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "text/jinja_internal.h"

// ---- arguments

const jinja_value *jinja_arg(const jinja_args *args, size_t index, const char *name)
{
    if (index < args->n) return &args->items[index];
    for (size_t i = 0; i < args->n_named; i++)
        if (view_is(args->names[i], name)) return &args->named[i];
    return NULL;
}

bool jinja_arg_bool(jinja_run *r, const jinja_args *args, size_t index, const char *name, bool fallback)
{
    const jinja_value *v = jinja_arg(args, index, name);
    return v ? jinja_is_true(r, *v) : fallback;
}

int64_t jinja_arg_int(jinja_run *r, const jinja_args *args, size_t index, const char *name, int64_t fallback)
{
    const jinja_value *v = jinja_arg(args, index, name);
    int64_t i;
    if (!v) return fallback;
    if (!jinja_integer(*v, &i))
        jinja_fail(r, WF_ERROR_FORMAT, "argument '%s' must be an int, not %s", name, jinja_type_name(*v));
    return i;
}

const jinja_string *jinja_arg_string(jinja_run *r, const jinja_args *args, size_t index, const char *name)
{
    const jinja_value *v = jinja_arg(args, index, name);
    if (!v || v->kind == JINJA_NONE) return NULL;
    if (v->kind != JINJA_STRING)
        jinja_fail(r, WF_ERROR_FORMAT, "argument '%s' must be a string, not %s", name, jinja_type_name(*v));
    return v->string;
}

static const jinja_string *need_string(jinja_run *r, const jinja_args *args, size_t index, const char *name)
{
    const jinja_string *s = jinja_arg_string(r, args, index, name);
    if (!s) jinja_fail(r, WF_ERROR_FORMAT, "argument '%s' is missing", name);
    return s;
}

static const jinja_value *need_arg(jinja_run *r, const jinja_args *args, size_t index, const char *name)
{
    const jinja_value *v = jinja_arg(args, index, name);
    if (!v) jinja_fail(r, WF_ERROR_FORMAT, "argument '%s' is missing", name);
    return v;
}

// ---- operators

static _Noreturn void fail_operands(jinja_run *r, jinja_op op, jinja_value a, jinja_value b)
{
    static const char *const names[] = {"+", "-", "*", "/", "//", "%", "**"};
    if (a.kind == JINJA_UNDEFINED) jinja_fail_undefined(r, a);
    if (b.kind == JINJA_UNDEFINED) jinja_fail_undefined(r, b);
    jinja_fail(r, WF_ERROR_FORMAT, "no operator %s for %s and %s", names[op], jinja_type_name(a), jinja_type_name(b));
}

static int64_t power(jinja_run *r, int64_t base, int64_t exponent)
{
    int64_t result = 1;
    if (base == 0 || base == 1) return exponent ? base : 1;
    if (base == -1) return exponent % 2 ? -1 : 1;
    for (int64_t i = 0; i < exponent; i++)
        if (__builtin_mul_overflow(result, base, &result))
            jinja_fail(r, WF_ERROR_UNSUPPORTED, "integer beyond 64 bits");
    return result;
}

static jinja_value integer_op(jinja_run *r, jinja_op op, int64_t a, int64_t b)
{
    int64_t c = 0;
    bool overflow = false;
    if (b == 0 && (op == OP_DIV || op == OP_FLOOR_DIV || op == OP_MOD))
        jinja_fail(r, WF_ERROR_FORMAT, "division by zero");
    switch (op) {
    case OP_ADD: overflow = __builtin_add_overflow(a, b, &c); break;
    case OP_SUB: overflow = __builtin_sub_overflow(a, b, &c); break;
    case OP_MUL: overflow = __builtin_mul_overflow(a, b, &c); break;
    case OP_DIV: return jinja_float((double)a / (double)b);
    case OP_POW:
        if (b < 0 && a == 0) jinja_fail(r, WF_ERROR_FORMAT, "division by zero");
        if (b < 0) return jinja_float(pow((double)a, (double)b));
        return jinja_int(power(r, a, b));
    case OP_FLOOR_DIV: // rounds down, where C rounds towards zero
        if (b == -1)
            overflow = __builtin_sub_overflow(0, a, &c);
        else
            c = a / b - (a % b != 0 && (a < 0) != (b < 0));
        break;
    case OP_MOD: // has the sign of b
        if (b != -1) c = a % b + (a % b != 0 && (a < 0) != (b < 0) ? b : 0);
        break;
    default: break;
    }
    if (overflow) jinja_fail(r, WF_ERROR_UNSUPPORTED, "integer beyond 64 bits");
    return jinja_int(c);
}

static double float_mod(double a, double b)
{
    double m = fmod(a, b);
    if (m != 0) return (b < 0) != (m < 0) ? m + b : m;
    return copysign(0, b);
}

// Python's: from the remainder, so that (a // b) * b + a % b is a.
static double float_floor_div(double a, double b)
{
    double quotient = (a - float_mod(a, b)) / b, down = floor(quotient);
    if (quotient == 0) return copysign(0, a / b);
    return quotient - down > 0.5 ? down + 1 : down;
}

static jinja_value float_op(jinja_run *r, jinja_op op, double a, double b)
{
    if (b == 0 && (op == OP_DIV || op == OP_FLOOR_DIV || op == OP_MOD))
        jinja_fail(r, WF_ERROR_FORMAT, "division by zero");
    switch (op) {
    case OP_ADD: return jinja_float(a + b);
    case OP_SUB: return jinja_float(a - b);
    case OP_MUL: return jinja_float(a * b);
    case OP_DIV: return jinja_float(a / b);
    case OP_FLOOR_DIV: return jinja_float(float_floor_div(a, b));
    case OP_MOD: return jinja_float(float_mod(a, b));
    default: break;
    }
    if (a == 0 && b < 0) jinja_fail(r, WF_ERROR_FORMAT, "division by zero");
    if (a < 0 && b != floor(b)) jinja_fail(r, WF_ERROR_UNSUPPORTED, "complex number");
    return jinja_float(pow(a, b));
}

static jinja_value add_strings(jinja_run *r, const jinja_string *a, const jinja_string *b)
{
    jinja_text t = {0};
    bool markup = a->markup || b->markup;
    jinja_text_add_string(r, &t, markup && !a->markup ? jinja_string_escape(r, a) : a);
    jinja_text_add_string(r, &t, markup && !b->markup ? jinja_string_escape(r, b) : b);
    jinja_string *sum = jinja_text_end(r, &t);
    sum->markup = markup;
    return jinja_str(sum);
}

static jinja_value add_lists(jinja_run *r, jinja_value a, jinja_value b)
{
    jinja_list *sum = jinja_list_new(r);
    for (size_t i = 0; i < a.list->n; i++) jinja_list_add(r, sum, a.list->items[i]);
    for (size_t i = 0; i < b.list->n; i++) jinja_list_add(r, sum, b.list->items[i]);
    return jinja_seq(a.kind, sum);
}

// A string, list or tuple `times` times; the limits on memory and text end what is too much.
static jinja_value repeat(jinja_run *r, jinja_value v, int64_t times)
{
    jinja_text t = {0};
    jinja_list *list = jinja_list_new(r);
    if (v.kind == JINJA_STRING) {
        for (int64_t i = 0; i < times && v.string->len; i++) {
            jinja_step(r, 1);
            jinja_text_add_string(r, &t, v.string);
        }
        return jinja_str(jinja_text_end(r, &t));
    }
    for (int64_t i = 0; i < times && v.list->n; i++)
        for (size_t k = 0; k < v.list->n; k++) jinja_list_add(r, list, v.list->items[k]);
    return jinja_seq(v.kind, list);
}

static bool can_repeat(jinja_value v)
{
    return v.kind == JINJA_STRING || v.kind == JINJA_LIST || v.kind == JINJA_TUPLE;
}

jinja_value jinja_binary(jinja_run *r, jinja_op op, jinja_value a, jinja_value b)
{
    int64_t i, j;
    double x, y;
    if (op == OP_MOD && a.kind == JINJA_STRING) return jinja_format(r, a.string, b);
    if (jinja_integer(a, &i) && jinja_integer(b, &j)) return integer_op(r, op, i, j);
    if (jinja_number(a, &x) && jinja_number(b, &y)) return float_op(r, op, x, y);
    if (op == OP_ADD && a.kind == JINJA_STRING && b.kind == JINJA_STRING) return add_strings(r, a.string, b.string);
    if (op == OP_ADD && a.kind == b.kind && (a.kind == JINJA_LIST || a.kind == JINJA_TUPLE)) return add_lists(r, a, b);
    if (op == OP_MUL && can_repeat(a) && jinja_integer(b, &j)) return repeat(r, a, j);
    if (op == OP_MUL && can_repeat(b) && jinja_integer(a, &i)) return repeat(r, b, i);
    fail_operands(r, op, a, b);
}

// One conversion of the operator %: flags, width and precision in `spec` ("%-5"), then `letter`.
static void format_one(jinja_run *r, jinja_text *t, const char *spec, char letter, jinja_value v)
{
    char format[48], out[512];
    double f = 0;
    int64_t i = 0;
    int len;
    if (letter == 's' || letter == 'r') {
        if (spec[1]) jinja_fail(r, WF_ERROR_UNSUPPORTED, "format '%s%c'", spec, letter);
        if (letter == 's')
            jinja_print(r, t, v);
        else
            jinja_repr(r, t, v);
        return;
    }
    bool is_real = letter && strchr("eEfFgG", letter);
    if (!letter || (!is_real && !strchr("dixXo", letter)))
        jinja_fail(r, WF_ERROR_UNSUPPORTED, "format '%s%c'", spec, letter);
    if (!jinja_number(v, &f))
        jinja_fail(r, WF_ERROR_FORMAT, "format '%s%c' needs a number, not %s", spec, letter, jinja_type_name(v));
    if (is_real) {
        snprintf(format, sizeof format, "%s%c", spec, letter);
        len = snprintf(out, sizeof out, format, f);
    } else {
        if (!jinja_integer(v, &i)) {
            if (!(fabs(f) < 9e18)) jinja_fail(r, WF_ERROR_UNSUPPORTED, "integer beyond 64 bits");
            i = (int64_t)f;
        }
        if (i < 0 && letter != 'd' && letter != 'i')
            jinja_fail(r, WF_ERROR_UNSUPPORTED, "format '%s%c' of a negative number", spec, letter);
        snprintf(format, sizeof format, "%sll%c", spec, letter);
        len = snprintf(out, sizeof out, format, (long long)i);
    }
    if (len < 0 || (size_t)len >= sizeof out)
        jinja_fail(r, WF_ERROR_UNSUPPORTED, "format wider than %zu characters", sizeof out - 1);
    jinja_text_add(r, t, out, (size_t)len, NULL);
}

jinja_value jinja_format(jinja_run *r, const jinja_string *format, jinja_value args)
{
    jinja_text t = {0};
    size_t n = args.kind == JINJA_TUPLE ? args.list->n : 1, used = 0;
    const jinja_value *values = args.kind == JINJA_TUPLE ? args.list->items : &args;
    for (size_t pos = 0; pos < format->len; pos++) {
        if (format->data[pos] != '%') {
            jinja_text_add(r, &t, format->data + pos, 1, format->origin ? format->origin + pos : NULL);
            continue;
        }
        char spec[24] = "%";
        size_t len = 1;
        for (pos++; pos < format->len && format->data[pos] && strchr("-+ #0123456789.", format->data[pos]); pos++) {
            if (len == 8) jinja_fail(r, WF_ERROR_UNSUPPORTED, "format '%s...'", spec);
            spec[len++] = format->data[pos];
        }
        if (pos >= format->len) jinja_fail(r, WF_ERROR_FORMAT, "incomplete format");
        if (format->data[pos] == '%') {
            jinja_text_add_literal(r, &t, "%");
            continue;
        }
        if (format->data[pos] == '(') jinja_fail(r, WF_ERROR_UNSUPPORTED, "format with names");
        if (used == n) jinja_fail(r, WF_ERROR_FORMAT, "not enough values for the format");
        if (values[used].kind == JINJA_UNDEFINED && format->data[pos] != 's') jinja_fail_undefined(r, values[used]);
        format_one(r, &t, spec, format->data[pos], values[used++]);
    }
    if (used < n && args.kind != JINJA_DICT && args.kind != JINJA_LIST)
        jinja_fail(r, WF_ERROR_FORMAT, "too many values for the format");
    return jinja_str(jinja_text_end(r, &t));
}

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
    const jinja_string *s = self.string, *separator = need_string(r, args, 0, "sep");
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
    const jinja_string *s = self.string, *separator = need_string(r, args, 0, "sep");
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
    const jinja_value *affix = need_arg(r, args, 0, at_end ? "suffix" : "prefix");
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
    const jinja_string *s = self.string, *affix = need_string(r, args, 0, "prefix");
    return jinja_str(has_affix(s, affix, false) ? jinja_string_slice(r, s, affix->len, s->len) : s);
}

static jinja_value string_removesuffix(jinja_run *r, jinja_value self, const jinja_args *args)
{
    const jinja_string *s = self.string, *affix = need_string(r, args, 0, "suffix");
    return jinja_str(has_affix(s, affix, true) ? jinja_string_slice(r, s, 0, s->len - affix->len) : s);
}

static jinja_value string_replace(jinja_run *r, jinja_value self, const jinja_args *args)
{
    return jinja_str(jinja_string_replace(r, self.string, need_string(r, args, 0, "old"),
                                          need_string(r, args, 1, "new"), jinja_arg_int(r, args, 2, "count", -1)));
}

static jinja_value string_join(jinja_run *r, jinja_value self, const jinja_args *args)
{
    const jinja_list *list = jinja_iterate(r, *need_arg(r, args, 0, "iterable"));
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
    const jinja_string *s = self.string, *needle = need_string(r, args, 0, "sub");
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
    return place(r, self.string, jinja_string_find(r, self.string, need_string(r, args, 0, "sub"), 0));
}

static jinja_value string_rfind(jinja_run *r, jinja_value self, const jinja_args *args)
{
    if (args->n > 1) jinja_fail(r, WF_ERROR_UNSUPPORTED, "rfind with a place to start");
    return place(r, self.string, find_last(r, self.string, need_string(r, args, 0, "sub"), self.string->len));
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
    const jinja_value *wanted = need_arg(r, args, 0, "value");
    for (size_t i = 0; i < self.list->n; i++)
        if (jinja_equal(r, self.list->items[i], *wanted)) return jinja_int((int64_t)i);
    jinja_fail(r, WF_ERROR_FORMAT, "index: the value is not in the list");
}

static jinja_value list_count(jinja_run *r, jinja_value self, const jinja_args *args)
{
    const jinja_value *wanted = need_arg(r, args, 0, "value");
    int64_t n = 0;
    for (size_t i = 0; i < self.list->n; i++) n += jinja_equal(r, self.list->items[i], *wanted);
    return jinja_int(n);
}

static jinja_value list_copy(jinja_run *r, jinja_value self, const jinja_args *args)
{
    (void)args;
    return add_lists(r, self, jinja_seq(JINJA_LIST, jinja_list_new(r)));
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
    const jinja_value *found = jinja_dict_find(r, self.dict, *need_arg(r, args, 0, "key")),
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

jinja_value jinja_call_method(jinja_run *r, const jinja_method *m, const jinja_args *args)
{
    const method_entry *entry = find_method(m->self, m->name);
    if (entry->call == no_method)
        jinja_fail(r, WF_ERROR_UNSUPPORTED, "method '%s' of %s", entry->name, jinja_type_name(m->self));
    return entry->call(r, m->self, args);
}

// ---- attributes and subscripts

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
    else if (view_is(name, "depth")) // recursive loops, which are not supported, would be deeper
        *v = jinja_int(1);
    else if (view_is(name, "depth0"))
        *v = jinja_int(0);
    else if (view_is(name, "previtem") && i > 0)
        *v = loop->list->items[i - 1];
    else if (view_is(name, "nextitem") && i < n - 1)
        *v = loop->list->items[i + 1];
    else
        return false;
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
    if (v.kind == JINJA_MACRO && view_is(n, "name")) {
        *found = jinja_str(v.macro->node->name_string);
        return true;
    }
    if (!find_method(v, n)) return false;
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
        return jinja_undefined(jinja_literal(r, "slice").string, v.kind);
    }
    if (indexed && jinja_integer(key, &i) && index_item(r, v, i, &found)) return found;
    if (v.kind == JINJA_DICT && key.kind != JINJA_LIST && key.kind != JINJA_DICT) {
        const jinja_value *item = jinja_dict_find(r, v.dict, key);
        if (item) return *item;
    }
    if (key.kind == JINJA_STRING && own_attribute(r, v, key.string, &found)) return found;
    return jinja_undefined(jinja_to_string(r, key), v.kind);
}

// ---- global functions

static jinja_value call_range(jinja_run *r, const jinja_args *args)
{
    int64_t bounds[3] = {0, 0, 1};
    if (args->n < 1 || args->n > 3 || args->n_named)
        jinja_fail(r, WF_ERROR_FORMAT, "range takes one to three arguments");
    for (size_t i = 0; i < args->n; i++)
        if (!jinja_integer(args->items[i], &bounds[args->n == 1 ? 1 : i])) {
            if (args->items[i].kind == JINJA_UNDEFINED) jinja_fail_undefined(r, args->items[i]);
            jinja_fail(r, WF_ERROR_FORMAT, "range takes ints, not %s", jinja_type_name(args->items[i]));
        }
    if (!bounds[2]) jinja_fail(r, WF_ERROR_FORMAT, "range with a step of zero");
    jinja_list *list = jinja_list_new(r);
    for (int64_t i = bounds[0]; bounds[2] > 0 ? i < bounds[1] : i > bounds[1];) {
        if (list->n == JINJA_MAX_RANGE) jinja_fail(r, WF_ERROR_LIMIT, "range of more than %d items", JINJA_MAX_RANGE);
        jinja_list_add(r, list, jinja_int(i));
        if (__builtin_add_overflow(i, bounds[2], &i)) break;
    }
    char label[96];
    int len = snprintf(label, sizeof label, bounds[2] == 1 ? "range(%lld, %lld)" : "range(%lld, %lld, %lld)",
                       (long long)bounds[0], (long long)bounds[1], (long long)bounds[2]);
    char *copy = jinja_alloc(r, (size_t)len + 1, 1);
    memcpy(copy, label, (size_t)len);
    list->label = copy;
    return jinja_seq(JINJA_RANGE, list);
}

// dict(pairs or dict, name=value, ...), also the contents of namespace().
static jinja_dict *make_dict(jinja_run *r, const jinja_args *args)
{
    jinja_dict *d = jinja_dict_new(r);
    if (args->n > 1) jinja_fail(r, WF_ERROR_FORMAT, "dict and namespace take at most one positional argument");
    if (args->n && args->items[0].kind == JINJA_DICT) {
        const jinja_dict *from = args->items[0].dict;
        for (size_t i = 0; i < from->n; i++) jinja_dict_set(r, d, from->keys[i], from->values[i]);
    } else if (args->n) {
        const jinja_list *pairs = jinja_iterate(r, args->items[0]);
        for (size_t i = 0; i < pairs->n; i++) {
            const jinja_list *pair = jinja_iterate(r, pairs->items[i]);
            if (pair->n != 2) jinja_fail(r, WF_ERROR_FORMAT, "dict needs pairs");
            jinja_dict_set(r, d, pair->items[0], pair->items[1]);
        }
    }
    for (size_t i = 0; i < args->n_named; i++)
        jinja_dict_set(r, d, jinja_str(jinja_string_new(r, args->names[i].data, args->names[i].len)), args->named[i]);
    return d;
}

static jinja_value call_dict(jinja_run *r, const jinja_args *args)
{
    return (jinja_value){.kind = JINJA_DICT, .dict = make_dict(r, args)};
}
static jinja_value call_namespace(jinja_run *r, const jinja_args *args)
{
    return (jinja_value){.kind = JINJA_NAMESPACE, .dict = make_dict(r, args)};
}

static jinja_value call_raise_exception(jinja_run *r, const jinja_args *args)
{
    const jinja_string *text = jinja_to_string(r, *need_arg(r, args, 0, "message"));
    jinja_fail(r, WF_ERROR_FORMAT, "the template refuses: %.*s", VIEW_ARG(jinja_string_view(text)));
}

static jinja_value call_strftime_now(jinja_run *r, const jinja_args *args)
{
    const jinja_string *format = need_string(r, args, 0, "format");
    char text[256], zero[128];
    time_t now = time(NULL);
    struct tm local;
    if (format->len >= sizeof zero || (format->len && memchr(format->data, 0, format->len)))
        jinja_fail(r, WF_ERROR_UNSUPPORTED, "strftime_now with a format of %zu bytes", format->len);
    if (format->len) memcpy(zero, format->data, format->len);
    zero[format->len] = 0;
    if (!format->len) return jinja_literal(r, "");
    localtime_r(&now, &local);
    size_t len = strftime(text, sizeof text, zero, &local);
    char *copy = jinja_alloc(r, len + 1, 1);
    memcpy(copy, text, len);
    return jinja_str(jinja_string_new(r, copy, len));
}

const jinja_function *jinja_find_function(view name)
{
    static const jinja_function functions[] = {
        {"range", call_range},
        {"dict", call_dict},
        {"namespace", call_namespace},
        {"raise_exception", call_raise_exception},
        {"strftime_now", call_strftime_now},
    };
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (view_is(name, functions[i].name)) return &functions[i];
    return NULL;
}
