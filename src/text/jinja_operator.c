// Arithmetic, + and * of sequences, and % of strings, which formats.
#include <math.h>
#include <stdio.h>

#include "text/jinja_internal.h"

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
    if (a.kind == JINJA_BIG || b.kind == JINJA_BIG) jinja_fail(r, WF_ERROR_UNSUPPORTED, "integer beyond 64 bits");
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
