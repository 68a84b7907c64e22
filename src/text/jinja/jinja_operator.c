// Arithmetic, + and * of sequences; % of strings, which formats, is in jinja_percent.c.
#include <math.h>

#include "text/jinja/jinja_internal.h"

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

jinja_value jinja_negate(jinja_run *r, jinja_value v)
{
    static const char least[] = "9223372036854775808"; // - INT64_MIN
    int64_t i = 0;
    jinja_text t = {0};
    if (jinja_integer(v, &i)) return i == INT64_MIN ? jinja_integer_of(r, view_of(least)) : jinja_int(-i);
    bool negative = v.string->data[0] == '-';
    if (!negative) jinja_text_add_literal(r, &t, "-");
    jinja_text_add_string(r, &t, jinja_string_slice(r, v.string, negative, v.string->len));
    return jinja_integer_of(r, (view){t.data, t.len});
}

jinja_value jinja_binary(jinja_run *r, jinja_op op, jinja_value a, jinja_value b)
{
    int64_t i, j;
    double x, y;
    if (op == OP_MOD && a.kind == JINJA_STRING) return jinja_format(r, a.string, b);
    if (jinja_integer(a, &i) && jinja_integer(b, &j)) return integer_op(r, op, i, j);
    bool one_real = a.kind == JINJA_FLOAT || b.kind == JINJA_FLOAT;
    if ((a.kind == JINJA_BIG || b.kind == JINJA_BIG) && jinja_number(a, &x) && jinja_number(b, &y) && !one_real)
        jinja_fail(r, WF_ERROR_UNSUPPORTED, "arithmetic on an integer beyond 64 bits");
    if (jinja_number(a, &x) && jinja_number(b, &y)) return float_op(r, op, x, y);
    if (op == OP_ADD && a.kind == JINJA_STRING && b.kind == JINJA_STRING) return add_strings(r, a.string, b.string);
    if (op == OP_ADD && a.kind == b.kind && (a.kind == JINJA_LIST || a.kind == JINJA_TUPLE)) return add_lists(r, a, b);
    if (op == OP_MUL && can_repeat(a) && jinja_integer(b, &j)) return repeat(r, a, j);
    if (op == OP_MUL && can_repeat(b) && jinja_integer(a, &i)) return repeat(r, b, i);
    fail_operands(r, op, a, b);
}
