// Values as format specifications ask for them: "{:>8.2f}" and "%08.2f". Python's Format Specification Mini-Language,
// https://docs.python.org/3/library/string.html#formatspec.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "text/jinja/jinja_format.h"

static _Noreturn void fail_type(jinja_run *r, char type, jinja_value v)
{
    jinja_fail(r, WF_ERROR_FORMAT, "no format '%c' for %s", type, jinja_type_name(v));
}

static void add_fill(jinja_run *r, jinja_text *t, uint32_t fill, int64_t n)
{
    for (int64_t i = 0; i < n; i++) jinja_text_add_code_point(r, t, fill, false);
}

// prefix (a sign, "0x") and body, padded to the width.
static void add_padded(jinja_run *r, jinja_text *t, const format_spec *spec, const char *prefix,
                       const jinja_string *body, char align)
{
    int64_t missing = spec->width - (int64_t)strlen(prefix) - (int64_t)jinja_count(body);
    if (spec->align) align = spec->align;
    if (missing < 0) missing = 0;
    int64_t before = align == '>' ? missing : align == '^' ? missing / 2 : 0;
    uint32_t fill = spec->fill ? spec->fill : ' ';
    add_fill(r, t, fill, before);
    jinja_text_add_literal(r, t, prefix);
    if (align == '=') add_fill(r, t, fill, missing);
    jinja_text_add_string(r, t, body);
    if (align != '=') add_fill(r, t, fill, missing - before);
}

// The digits of `body` before a point or an exponent in groups, after zeros up to the width where those fill it.
static const jinja_string *group_digits(jinja_run *r, const format_spec *spec, const char *body, size_t size,
                                        size_t prefix_len)
{
    size_t n = 0, group = strchr("bBoxX", spec->type) && spec->type ? 4 : 3;
    while (n < size && ((body[n] >= '0' && body[n] <= '9') || (group == 4 && strchr("abcdefABCDEF", body[n])))) n++;
    size_t rest = size - n, zeros = 0;
    bool fills = spec->fill == '0' && spec->align == '=' && n;
    while (fills && (int64_t)(zeros + n + (zeros + n - 1) / group + rest + prefix_len) < spec->width) zeros++;
    jinja_text t = {0};
    for (size_t i = 0; i < zeros + n; i++) {
        if (i && (zeros + n - i) % group == 0) jinja_text_add(r, &t, &spec->grouping, 1, NULL);
        jinja_text_add(r, &t, i < zeros ? "0" : body + i - zeros, 1, NULL);
    }
    jinja_text_add(r, &t, body + n, rest, NULL);
    return jinja_text_end(r, &t);
}

static void add_number(jinja_run *r, jinja_text *t, const format_spec *spec, bool negative, const char *base,
                       const char *body, size_t len)
{
    char prefix[8];
    const char *sign = negative ? "-" : spec->sign == '+' ? "+" : spec->sign == ' ' ? " " : "";
    snprintf(prefix, sizeof prefix, "%s%s", sign, base);
    const jinja_string *digits =
        spec->grouping ? group_digits(r, spec, body, len, strlen(prefix)) : jinja_string_new(r, body, len);
    add_padded(r, t, spec, prefix, digits, '>');
}

// ---- ints

static size_t write_base(uint64_t value, unsigned base, bool upper, char out[65])
{
    size_t n = 0;
    do out[n++] = (upper ? "0123456789ABCDEF" : "0123456789abcdef")[value % base];
    while (value /= base);
    for (size_t i = 0; i < n / 2; i++) {
        char c = out[i];
        out[i] = out[n - 1 - i];
        out[n - 1 - i] = c;
    }
    return n;
}

static void format_int(jinja_run *r, jinja_text *t, const format_spec *spec, jinja_value v)
{
    char digits[65];
    const char *text = digits, *prefix = "";
    size_t len;
    int64_t i;
    bool negative;
    unsigned base = spec->type == 'b' ? 2 : spec->type == 'o' ? 8 : spec->type == 'x' || spec->type == 'X' ? 16 : 10;
    if (v.kind == JINJA_BIG) {
        if (base != 10) jinja_fail(r, WF_ERROR_UNSUPPORTED, "integer beyond 64 bits");
        negative = v.string->data[0] == '-';
        text = v.string->data + negative;
        len = v.string->len - negative;
    } else {
        jinja_integer(v, &i);
        negative = i < 0;
        len = write_base(negative ? 0 - (uint64_t)i : (uint64_t)i, base, spec->type == 'X', digits);
    }
    if (spec->alternate && base != 10) prefix = base == 2 ? "0b" : base == 8 ? "0o" : spec->type == 'X' ? "0X" : "0x";
    if (spec->precision > (int64_t)len) { // only of the operator %: at least so many digits
        jinja_text padded = {0};
        add_fill(r, &padded, '0', spec->precision - (int64_t)len);
        jinja_text_add(r, &padded, text, len, NULL);
        const jinja_string *s = jinja_text_end(r, &padded);
        text = s->data;
        len = s->len;
    }
    add_number(r, t, spec, negative, prefix, text, len);
}

// ---- floats

static char *print_float(jinja_run *r, const char *flags, int64_t precision, char type, double f)
{
    char format[16];
    size_t size = (size_t)precision + 400; // of 1e308 and its sign
    char *out = jinja_alloc(r, size, 1);
    jinja_step(r, size / 32);
    snprintf(format, sizeof format, "%%%s.*%c", flags, type);
    snprintf(out, size, format, (int)precision, f);
    return out;
}

// What no type asks for: the shortest digits, or like %g but with a digit after the point.
static char *print_plain(jinja_run *r, const format_spec *spec, double f)
{
    if (spec->precision < 0) {
        jinja_text t = {0};
        jinja_text_add_float(r, &t, f);
        jinja_text_add(r, &t, "", 1, NULL);
        return t.data;
    }
    int64_t precision = spec->precision ? spec->precision : 1;
    const char *exponent = strchr(print_float(r, "", precision - 1, 'e', f), 'e');
    int64_t decimal_point = exponent ? strtol(exponent + 1, NULL, 10) + 1 : 0;
    char *out = print_float(r, "", precision, 'g', f);
    if (decimal_point > precision - 1 && !strchr(out, 'e') && exponent) { // one digit earlier than %g
        const char *flags = "";
        out = print_float(r, flags, precision - 1, 'e', f);
        char *e = strchr(out, 'e'), *end = e; // without zeros at the end
        if (memchr(out, '.', (size_t)(e - out))) {
            while (end[-1] == '0') end--;
            if (end[-1] == '.') end--;
        }
        memmove(end, e, strlen(e) + 1);
    } else if (!strpbrk(out, ".e") && exponent) {
        strcat(out, ".0");
    }
    return out;
}

static void format_float(jinja_run *r, jinja_text *t, const format_spec *spec, double f)
{
    bool negative = signbit(f) && !isnan(f);
    const char *flags = spec->alternate ? "#" : "";
    int64_t precision = spec->precision < 0 ? 6 : spec->precision;
    char *out;
    f = isnan(f) ? (double)NAN : fabs(f);
    if (!spec->type) {
        out = print_plain(r, spec, f);
    } else if (spec->type == '%') {
        out = print_float(r, flags, precision, 'f', f * 100);
        strcat(out, "%");
    } else {
        out = print_float(r, flags, precision, spec->type == 'n' ? 'g' : spec->type, f);
    }
    add_number(r, t, spec, negative, "", out, strlen(out));
}

// ---- any value

static void format_string(jinja_run *r, jinja_text *t, const format_spec *spec, const jinja_string *s)
{
    if (spec->precision >= 0) {
        size_t end = 0, used;
        for (int64_t i = 0; i < spec->precision && end < s->len; i++, end += used)
            jinja_code_point(s->data + end, s->len - end, &used);
        s = jinja_string_slice(r, s, 0, end);
    }
    add_padded(r, t, spec, "", s, '<');
}

void jinja_format_value(jinja_run *r, jinja_text *t, const format_spec *spec, jinja_value v)
{
    double f;
    int64_t i;
    bool real = spec->type && strchr("eEfFgG%", spec->type);
    if (spec->width > FORMAT_MAX_WIDTH || spec->precision > FORMAT_MAX_WIDTH)
        jinja_fail(r, WF_ERROR_LIMIT, "format wider than %d characters", FORMAT_MAX_WIDTH);
    if (v.kind == JINJA_STRING) {
        if (spec->type && spec->type != 's') fail_type(r, spec->type, v);
        format_string(r, t, spec, v.string);
    } else if (v.kind == JINJA_FLOAT) {
        if (spec->type && !real && spec->type != 'n') fail_type(r, spec->type, v);
        format_float(r, t, spec, v.real);
    } else if (real && jinja_number(v, &f)) {
        format_float(r, t, spec, f);
    } else if (jinja_integer(v, &i) || v.kind == JINJA_BIG) {
        if (spec->type && !strchr("bcdnoxX", spec->type)) fail_type(r, spec->type, v);
        if (spec->type == 'c') {
            jinja_text one = {0};
            if (v.kind == JINJA_BIG || i < 0 || i > 0x10ffff || (i >= 0xd800 && i < 0xe000))
                jinja_fail(r, WF_ERROR_FORMAT, "format 'c' needs the number of a character");
            jinja_text_add_code_point(r, &one, (uint32_t)i, false);
            add_padded(r, t, spec, "", jinja_text_end(r, &one), '<');
        } else {
            format_int(r, t, spec, v);
        }
    } else {
        jinja_fail(r, WF_ERROR_FORMAT, "no format for %s", jinja_type_name(v));
    }
}

// repr() with escapes for all that is not ASCII.
void jinja_ascii(jinja_run *r, jinja_text *t, jinja_value v)
{
    jinja_text all = {0};
    jinja_repr(r, &all, v);
    for (size_t pos = 0, used; pos < all.len; pos += used) {
        char escape[16];
        uint32_t cp = jinja_code_point(all.data + pos, all.len - pos, &used);
        if (cp < 0x80)
            jinja_text_add(r, t, all.data + pos, 1, all.origin ? all.origin + pos : NULL);
        else {
            snprintf(escape, sizeof escape, cp < 0x100 ? "\\x%02x" : cp < 0x10000 ? "\\u%04x" : "\\U%08x", cp);
            jinja_text_add_literal(r, t, escape);
        }
    }
}
