// Filters of numbers; see jinja_filter.c.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "text/jinja/jinja_internal.h"

// An int in `base`, as Python's int() reads it: white space around, a sign, single underscores.
static bool parse_int(jinja_run *r, const jinja_string *s, int64_t base, jinja_value *result)
{
    s = jinja_string_strip(r, s, NULL, true, true);
    size_t pos = s->len && (s->data[0] == '-' || s->data[0] == '+'), len = 0;
    bool negative = pos && s->data[0] == '-', digit_before = false, overflow = false;
    int64_t value = 0;
    char letter = base == 16 ? 'x' : base == 8 ? 'o' : base == 2 ? 'b' : 0;
    char *digits = jinja_alloc(r, s->len + 2, 1);
    if (letter && s->len > pos + 2 && s->data[pos] == '0' && (s->data[pos + 1] | 32) == letter) {
        pos += 2;
        pos += s->data[pos] == '_';
    }
    if (negative) digits[len++] = '-';
    for (; pos < s->len; pos++) {
        char c = s->data[pos];
        if (c == '_' && digit_before && pos + 1 < s->len) {
            digit_before = false;
            continue;
        }
        int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'z' ? (c | 32) - 'a' + 10 : 99;
        if (digit >= base) return false;
        digit_before = true;
        digits[len++] = c;
        overflow |= __builtin_mul_overflow(value, base, &value) || __builtin_sub_overflow(value, digit, &value);
    }
    if (!digit_before) return false;
    overflow |= !negative && __builtin_sub_overflow(0, value, &value);
    if (overflow && base != 10) jinja_fail(r, WF_ERROR_UNSUPPORTED, "integer beyond 64 bits");
    *result = overflow ? jinja_integer_of(r, (view){digits, len}) : jinja_int(value);
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
    const jinja_value *radix = jinja_arg(args, 1, "base");
    int64_t i, base = 10;
    jinja_value result;
    double f;
    char digits[400];
    if (v.kind == JINJA_UNDEFINED) jinja_fail_undefined(r, v);
    if (v.kind == JINJA_BIG) return v;
    if (jinja_integer(v, &i)) return jinja_int(i);
    if (radix && !jinja_integer(*radix, &base)) base = -1; // int() fails then, and float() is tried
    if (v.kind == JINJA_STRING && base == 0) jinja_fail(r, WF_ERROR_UNSUPPORTED, "int with base 0");
    if (v.kind == JINJA_STRING && base >= 2 && base <= 36 && parse_int(r, v.string, base, &result)) return result;
    bool read = v.kind == JINJA_STRING ? parse_float(r, v.string, &f) : jinja_number(v, &f);
    if (!read || isnan(f) || isinf(f)) return fallback ? *fallback : jinja_int(0);
    snprintf(digits, sizeof digits, "%.0f", trunc(f));
    return jinja_integer_of(r, view_of(digits));
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
    int64_t i = 0;
    (void)args;
    if (v.kind == JINJA_UNDEFINED) jinja_fail_undefined(r, v);
    if (v.kind == JINJA_FLOAT) return jinja_float(fabs(v.real));
    bool big = v.kind == JINJA_BIG;
    if (!big && !jinja_integer(v, &i)) jinja_fail(r, WF_ERROR_FORMAT, "abs of %s", jinja_type_name(v));
    bool negative = big ? v.string->data[0] == '-' : i < 0;
    return negative ? jinja_negate(r, v) : big ? v : jinja_int(i);
}

// An int to a multiple of 10^places, ties to even.
static int64_t round_int(jinja_run *r, int64_t i, int64_t places)
{
    int64_t unit = 1, result;
    if (places > 18) return 0;
    while (places-- > 0) unit *= 10;
    int64_t rest = i % unit, down;
    if (rest < 0) rest += unit;
    if (__builtin_sub_overflow(i, rest, &down)) jinja_fail(r, WF_ERROR_UNSUPPORTED, "integer beyond 64 bits");
    bool up = rest > unit - rest || (rest == unit - rest && down / unit % 2 != 0);
    if (__builtin_add_overflow(down, up ? unit : 0, &result))
        jinja_fail(r, WF_ERROR_UNSUPPORTED, "integer beyond 64 bits");
    return result;
}

// The exact decimal value, ties to even, as printf and Python round.
static jinja_value round_common(jinja_run *r, jinja_value v, int64_t precision)
{
    char text[800];
    int64_t i;
    if (v.kind == JINJA_BIG && precision < 0) jinja_fail(r, WF_ERROR_UNSUPPORTED, "integer beyond 64 bits");
    if (v.kind == JINJA_BIG) return v;
    if (jinja_integer(v, &i)) return jinja_int(precision < 0 ? round_int(r, i, -precision) : i);
    if (isnan(v.real) || isinf(v.real) || precision > 323) return v;
    if (precision < -308) return jinja_float(copysign(0, v.real));
    if (precision < 0) {
        double unit = pow(10, (double)-precision);
        return jinja_float(nearbyint(v.real / unit) * unit);
    }
    snprintf(text, sizeof text, "%.*f", (int)precision, v.real);
    return jinja_float(strtod(text, NULL));
}

FILTER(filter_round)
{
    int64_t precision = jinja_arg_int(r, args, 0, "precision", 0);
    const jinja_string *method = jinja_arg_string(r, args, 1, "method");
    view how = method ? jinja_string_view(method) : VIEW_LITERAL("common");
    double f;
    if (v.kind == JINJA_UNDEFINED) jinja_fail_undefined(r, v);
    if (!jinja_number(v, &f)) jinja_fail(r, WF_ERROR_FORMAT, "round of %s", jinja_type_name(v));
    if (view_is(how, "common")) return round_common(r, v, precision);
    bool up = view_is(how, "ceil");
    if (!up && !view_is(how, "floor")) jinja_fail(r, WF_ERROR_FORMAT, "round: method must be common, ceil or floor");
    double scale = pow(10, (double)precision), scaled = f * scale;
    if (isnan(scaled) || isinf(scaled)) jinja_fail(r, WF_ERROR_FORMAT, "round of no finite number");
    return jinja_float((up ? ceil(scaled) : floor(scaled)) / scale + 0.0); // + 0: an int has no -0
}

// In the largest unit that leaves 1 or more.
FILTER(filter_filesizeformat)
{
    static const char *const units[][8] = {{"kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"},
                                           {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"}};
    bool binary = jinja_arg_bool(r, args, 0, "binary", false);
    double bytes, base = binary ? 1024 : 1000;
    size_t unit = 0;
    jinja_text t = {0};
    char number[400];
    if (v.kind == JINJA_UNDEFINED) jinja_fail_undefined(r, v);
    bool read = v.kind == JINJA_STRING ? parse_float(r, v.string, &bytes) : jinja_number(v, &bytes);
    if (!read) jinja_fail(r, WF_ERROR_FORMAT, "filesizeformat of %s", jinja_type_name(v));
    if (bytes == 1) return jinja_literal(r, "1 Byte");
    if (bytes < base) {
        if (isinf(bytes)) jinja_fail(r, WF_ERROR_FORMAT, "filesizeformat of no finite number");
        snprintf(number, sizeof number, "%.0f Bytes", trunc(bytes) + 0.0);
    } else {
        double size = base * base;
        while (unit < 7 && !(bytes < size)) unit++, size *= base;
        snprintf(number, sizeof number, "%.1f %s", base * bytes / size, units[binary][unit]);
    }
    jinja_text_add_literal(r, &t, number);
    return jinja_str(jinja_text_end(r, &t));
}

const jinja_filter_row jinja_number_filters[] = {
    {"abs", filter_abs, ""},
    {"filesizeformat", filter_filesizeformat, "binary?"},
    {"float", filter_float, "default?"},
    {"int", filter_int, "default? base?"},
    {"round", filter_round, "precision? method?"},
    {NULL, NULL, NULL},
};
