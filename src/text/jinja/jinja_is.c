// Tests: what may stand after "is".
#include "text/jinja/jinja_internal.h"

static jinja_value operand(const jinja_args *args) { return args->n ? args->items[0] : args->named[0]; }

// v % divisor == rest, of floats too.
static bool leaves(jinja_run *r, jinja_value v, jinja_value divisor, int64_t rest)
{
    return jinja_equal(r, jinja_binary(r, OP_MOD, v, divisor), jinja_int(rest));
}

#define TEST(name) static bool name(jinja_run *r, jinja_value v, const jinja_args *args)
#define KIND_TEST(name, condition)                                                                                     \
    TEST(name)                                                                                                         \
    {                                                                                                                  \
        (void)r;                                                                                                       \
        (void)args;                                                                                                    \
        return condition;                                                                                              \
    }

KIND_TEST(is_defined, v.kind != JINJA_UNDEFINED)
KIND_TEST(is_undefined, v.kind == JINJA_UNDEFINED)
KIND_TEST(is_none, v.kind == JINJA_NONE)
KIND_TEST(is_boolean, v.kind == JINJA_BOOL)
KIND_TEST(is_true, v.kind == JINJA_BOOL && v.boolean)
KIND_TEST(is_false, v.kind == JINJA_BOOL && !v.boolean)
KIND_TEST(is_integer, v.kind == JINJA_INT || v.kind == JINJA_BIG)
KIND_TEST(is_float, v.kind == JINJA_FLOAT)
KIND_TEST(is_number, v.kind == JINJA_INT || v.kind == JINJA_BIG || v.kind == JINJA_FLOAT || v.kind == JINJA_BOOL)
KIND_TEST(is_string, v.kind == JINJA_STRING)
KIND_TEST(is_mapping, v.kind == JINJA_DICT)
KIND_TEST(is_iterable, jinja_is_iterable(v))
// Undefined has a length and subscripts, so jinja2 takes it for a sequence, and for callable.
KIND_TEST(is_sequence, v.kind == JINJA_STRING || v.kind == JINJA_LIST || v.kind == JINJA_TUPLE ||
                           v.kind == JINJA_RANGE || v.kind == JINJA_DICT || v.kind == JINJA_UNDEFINED)
KIND_TEST(is_callable, v.kind == JINJA_MACRO || v.kind == JINJA_FUNCTION || v.kind == JINJA_METHOD ||
                           v.kind == JINJA_LOOP || v.kind == JINJA_JOINER || v.kind == JINJA_UNDEFINED)
KIND_TEST(is_escaped, v.kind == JINJA_STRING && v.string->markup)
KIND_TEST(is_odd, leaves(r, v, jinja_int(2), 1))
KIND_TEST(is_even, leaves(r, v, jinja_int(2), 0))
KIND_TEST(is_divisible, leaves(r, v, operand(args), 0))
KIND_TEST(is_equal, jinja_equal(r, v, operand(args)))
KIND_TEST(is_unequal, !jinja_equal(r, v, operand(args)))
KIND_TEST(is_in, jinja_contains(r, operand(args), v))
KIND_TEST(is_less, jinja_order(r, v, operand(args)) < 0)
KIND_TEST(is_greater, jinja_order(r, v, operand(args)) == 1)
KIND_TEST(is_at_most, jinja_order(r, v, operand(args)) <= 0)
KIND_TEST(is_at_least, jinja_order(r, operand(args), v) <= 0)

// Whether there is a filter or test of that name: as Python looks it up, with a value that may be a key.
static const jinja_string *name_of(jinja_run *r, jinja_value v)
{
    if (!jinja_is_hashable(r, v)) jinja_fail(r, WF_ERROR_FORMAT, "%s is no name", jinja_type_name(v));
    return v.kind == JINJA_STRING ? v.string : jinja_literal(r, "").string;
}

KIND_TEST(is_filter, jinja_find_filter(jinja_string_view(name_of(r, v))) != NULL)
KIND_TEST(is_test, jinja_find_test(jinja_string_view(name_of(r, v))) != NULL)

// The same object: equal for the few that Python keeps once, else the same place in memory.
TEST(is_same)
{
    jinja_value other = operand(args);
    if (v.kind != other.kind) return false;
    if (v.kind == JINJA_NONE || v.kind == JINJA_BOOL || v.kind == JINJA_INT) return jinja_equal(r, v, other);
    return v.list == other.list;
}

static bool is_case(jinja_run *r, jinja_value v, jinja_case how)
{
    const jinja_string *s = jinja_to_string(r, v), *upper = jinja_string_case(r, s, CASE_UPPER),
                       *lower = jinja_string_case(r, s, CASE_LOWER);
    bool has_letters = !view_equal(jinja_string_view(upper), jinja_string_view(lower));
    return has_letters && view_equal(jinja_string_view(s), jinja_string_view(how == CASE_UPPER ? upper : lower));
}

KIND_TEST(is_upper, is_case(r, v, CASE_UPPER))
KIND_TEST(is_lower, is_case(r, v, CASE_LOWER))

bool jinja_apply_test(jinja_run *r, const jinja_test_row *row, jinja_value v, const jinja_args *args)
{
    jinja_check_args(r, row->name, row->parameters, args);
    return row->test(r, v, args);
}

const jinja_test_row *jinja_find_test(view name)
{
    static const jinja_test_row tests[] = {
        {"defined", is_defined, ""},   {"undefined", is_undefined, ""},
        {"none", is_none, ""},         {"boolean", is_boolean, ""},
        {"true", is_true, ""},         {"false", is_false, ""},
        {"integer", is_integer, ""},   {"float", is_float, ""},
        {"number", is_number, ""},     {"string", is_string, ""},
        {"mapping", is_mapping, ""},   {"iterable", is_iterable, ""},
        {"sequence", is_sequence, ""}, {"callable", is_callable, ""},
        {"escaped", is_escaped, ""},   {"odd", is_odd, ""},
        {"even", is_even, ""},         {"divisibleby", is_divisible, "num"},
        {"in", is_in, "seq"},          {"sameas", is_same, "other"},
        {"upper", is_upper, ""},       {"lower", is_lower, ""},
        {"filter", is_filter, ""},     {"test", is_test, ""},
        {"eq", is_equal, "/ b"},       {"equalto", is_equal, "/ b"},
        {"==", is_equal, "/ b"},       {"ne", is_unequal, "/ b"},
        {"!=", is_unequal, "/ b"},     {"lt", is_less, "/ b"},
        {"lessthan", is_less, "/ b"},  {"<", is_less, "/ b"},
        {"gt", is_greater, "/ b"},     {"greaterthan", is_greater, "/ b"},
        {">", is_greater, "/ b"},      {"le", is_at_most, "/ b"},
        {"<=", is_at_most, "/ b"},     {"ge", is_at_least, "/ b"},
        {">=", is_at_least, "/ b"},
    };
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        if (view_is(name, tests[i].name)) return &tests[i];
    return NULL;
}
