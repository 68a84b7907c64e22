// What jinja2 prints is compared in test/e2e/test_chat_template.py; here: statuses, messages, limits, where text came
// from.
#include "text/jinja/jinja.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h> // needs those above

#include "format/json_read.h"

static const char *const FOREIGN[] = {"in", NULL};

static json_t *load(const char *json)
{
    json_t *context;
    wf_error err;
    assert_int_equal(json_read(view_of(json), "context", JSON_RULES_PYTHON, &context, &err), WF_OK);
    return context;
}

static void expect_text(const char *source, const char *json, const char *expected)
{
    jinja_template *t;
    wf_error err;
    buffer out = {0};
    json_t *context = load(json);
    assert_int_equal(jinja_compile(view_of(source), "test", &t, &err), WF_OK);
    assert_int_equal(jinja_render(t, context, &out, &err), WF_OK);
    assert_string_equal(buffer_view(&out).data, expected);
    buffer_free(&out);
    json_decref(context);
    jinja_free(t);
}

// Compiling or rendering fails with this status and message, and leaves the output alone.
static void expect_failure(const char *source, const char *json, wf_status expected, const char *message)
{
    jinja_template *t;
    wf_error err = {0};
    buffer out = {0};
    json_t *context = load(json);
    buffer_append_view(&out, VIEW_LITERAL("before"));
    wf_status status = jinja_compile(view_of(source), "test", &t, &err);
    if (status == WF_OK) status = jinja_render(t, context, &out, &err);
    assert_string_equal(err.message, message);
    assert_int_equal(status, expected);
    assert_int_equal(err.status, expected);
    assert_string_equal(out.data, "before");
    buffer_free(&out);
    json_decref(context);
    jinja_free(t);
}

static void test_renders_more_than_once(void **state)
{
    (void)state;
    jinja_template *t;
    wf_error err;
    buffer out = {0};
    assert_int_equal(jinja_compile(VIEW_LITERAL("{% set n = n + 1 %}{{ n }};"), "test", &t, &err), WF_OK);
    for (int i = 0; i < 3; i++) {
        json_t *context = json_pack("{s:i}", "n", i);
        assert_int_equal(jinja_render(t, context, &out, &err), WF_OK);
        json_decref(context);
    }
    assert_string_equal(out.data, "1;2;3;");
    buffer_free(&out);
    jinja_free(t);
}

static void test_template_need_not_outlive_compile(void **state)
{
    (void)state;
    char source[] = "{{ 'text' }}{{ x }}", name[] = "name";
    jinja_template *t;
    wf_error err;
    buffer out = {0};
    json_t *context = load("{\"x\": 1}");
    assert_int_equal(jinja_compile(view_of(source), name, &t, &err), WF_OK);
    memset(source, '#', sizeof source - 1);
    memset(name, '#', sizeof name - 1);
    assert_int_equal(jinja_render(t, context, &out, &err), WF_OK);
    assert_string_equal(out.data, "text1");
    buffer_free(&out);
    json_decref(context);
    jinja_free(t);
}

static void test_json_values(void **state)
{
    (void)state;
    expect_text("{{ x }}", "{\"x\": [1, 2.5, true, null, \"a'b\", {\"k\": []}]}",
                "[1, 2.5, True, None, \"a'b\", {'k': []}]");
    expect_text("{{ x|length }}{{ x[1] }}", "{\"x\": \"a\\u00e9\\u0001\"}", "3é");
    expect_text("{{ x }}", "{}", "");
    expect_text("{{ range }}", "{\"range\": 5}", "5"); // the context comes before the global functions
}

// What jansson has no value for prints as Python prints it.
static void test_numbers_of_any_size(void **state)
{
    static const char JSON[] = "{\"n\": 1000000000000000019884624838656, \"m\": -9223372036854775809, \"f\": 1e400,"
                               " \"nan\": NaN, \"low\": -Infinity}";
    (void)state;
    expect_text("{{ n }} {{ m }} {{ f }} {{ nan }} {{ low }}", JSON,
                "1000000000000000019884624838656 -9223372036854775809 inf nan -inf");
    expect_text("{{ [n, f, nan, low] | tojson }}", JSON, "[1000000000000000019884624838656, Infinity, NaN, -Infinity]");
    expect_text("{{ [n] }} {{ n ~ '' }} {{ n | string | length }} {{ '%s' % n }} {{ n | int }}", JSON,
                "[1000000000000000019884624838656] 1000000000000000019884624838656 31 "
                "1000000000000000019884624838656 1000000000000000019884624838656");
    expect_text("{{ n == n }} {{ n == m }} {{ n > 5 }} {{ m < 5 }} {{ n is number }} {{ n is integer }} "
                "{{ n is string }} {{ n is mapping }} {{ f is float }} {{ 1 if n else 0 }}",
                JSON, "True False True True True True False False True 1");
    expect_failure("{{ n + 1 }}", JSON, WF_ERROR_UNSUPPORTED, "test: line 1: arithmetic on an integer beyond 64 bits");
    expect_text("{{ n > m }} {{ n < 1 }} {{ m < n }} {{ [n, m, 5]|sort }} {{ m|abs }} {{ -n }} {{ -m }}", JSON,
                "True False True [-9223372036854775809, 5, 1000000000000000019884624838656] 9223372036854775809 "
                "-1000000000000000019884624838656 9223372036854775809");
    expect_text(
        "{{ 123_456_789_012_345_678_901 }} {{ -9223372036854775808 }} {{ 1e30|int }} {{ '00099999999999999999999'"
        "|int }} {{ '%d' % 1e22 }} {{ '{:,}'.format(n) }} {{ n == 5 }} {{ n * 0.5 }}",
        JSON,
        "123456789012345678901 -9223372036854775808 1000000000000000019884624838656 99999999999999999999 "
        "10000000000000000000000 1,000,000,000,000,000,019,884,624,838,656 False 5e+29");
}

static void test_messages_name_line_and_reason(void **state)
{
    (void)state;
    expect_failure("a\n{{ x.y.z }}", "{\"x\": {}}", WF_ERROR_FORMAT, "test: line 2: dict has no attribute or item 'y'");
    expect_failure("{{\n\n x + 1 }}", "{}", WF_ERROR_FORMAT, "test: line 3: 'x' is undefined");
    expect_failure("\n{% if x %}", "{}", WF_ERROR_FORMAT,
                   "test: line 2: expected 'elif', found the end of the template");
    expect_failure("{{ 1 +\n}}", "{}", WF_ERROR_FORMAT, "test: line 2: expected an expression, found '}}'");
    expect_failure("{# x\n", "{}", WF_ERROR_FORMAT, "test: line 1: comment without #}");
    expect_failure("a\n{{ raise_exception('no: ' ~ 1) }}", "{}", WF_ERROR_FORMAT,
                   "test: line 2: the template refuses: no: 1");
    expect_failure("a\r\n{% include 'x' %}", "{}", WF_ERROR_UNSUPPORTED, "test: line 2: statement 'include'");
    expect_failure("a\r\n{{ 1|urlize }}", "{}", WF_ERROR_UNSUPPORTED, "test: line 2: filter 'urlize'");
    expect_failure("{{ 9223372036854775807 + 1 }}", "{}", WF_ERROR_UNSUPPORTED, "test: line 1: integer beyond 64 bits");
    expect_failure("\xff", "{}", WF_ERROR_FORMAT, "test: line 1: the template is not valid UTF-8");
    expect_failure("{{ raise_exception('a\\nb') }}", "{}", WF_ERROR_FORMAT, "test: line 1: the template refuses: a?b");
}

static void test_limits(void **state)
{
    (void)state;
    expect_failure("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "{}", WF_ERROR_LIMIT,
                   "test: line 1: expressions, calls or values lie more than 800 deep");
    expect_failure("{% set l = range(99999)|list %}{% for a in l %}{% if -1 in l %}{% endif %}{% endfor %}", "{}",
                   WF_ERROR_LIMIT, "test: line 1: the template runs too long (more than 20000000 steps)");
    expect_failure("{{ ('x' * 1000) * 99999 }}", "{}", WF_ERROR_LIMIT, "test: line 1: a text grows beyond 64 MB");
    expect_failure("{{ range(100001) }}", "{}", WF_ERROR_LIMIT, "test: line 1: range of more than 100000 items");
}

static void test_deep_json_is_refused(void **state)
{
    (void)state;
    jinja_template *t;
    wf_error err;
    buffer out = {0};
    json_t *deep = json_array();
    for (int i = 0; i < 5000; i++) {
        json_t *outer = json_array();
        json_array_append_new(outer, deep);
        deep = outer;
    }
    json_t *context = json_pack("{s:o}", "x", deep);
    assert_int_equal(jinja_compile(VIEW_LITERAL("{{ x }}"), "test", &t, &err), WF_OK);
    assert_int_equal(jinja_render(t, context, &out, &err), WF_ERROR_LIMIT);
    buffer_free(&out);
    json_decref(context);
    jinja_free(t);
}

// Renders with "in" foreign; expected has '^' under foreign bytes and '.' under others.
static void expect_origin(const char *source, const char *json, const char *text, const char *expected)
{
    jinja_template *t;
    wf_error err;
    buffer out = {0}, origin = {0};
    json_t *context = load(json);
    assert_int_equal(jinja_compile(view_of(source), "test", &t, &err), WF_OK);
    assert_int_equal(jinja_render_origin(t, context, FOREIGN, &out, &origin, &err), WF_OK);
    assert_string_equal(buffer_view(&out).data, text);
    assert_int_equal(origin.len, out.len);
    for (size_t i = 0; i < origin.len; i++) origin.data[i] = origin.data[i] ? '^' : '.';
    assert_string_equal(buffer_view(&origin).data, expected);
    buffer_free(&out);
    buffer_free(&origin);
    json_decref(context);
    jinja_free(t);
}

static void test_origin_follows_text(void **state)
{
    (void)state;
    expect_origin("a{{ in }}b{{ own }}", "{\"in\": \"XY\", \"own\": \"Z\"}", "aXYbZ", ".^^..");
    expect_origin("{{ '<' + in + '>' ~ in[1] }}", "{\"in\": \"XY\"}", "<XY>Y", ".^^.^");
    expect_origin("{{ in|trim }}{{ in.strip() }}{{ in[::-1] }}", "{\"in\": \" X\"}", "XXX ", "^^^^");
    expect_origin("{{ in.split('|')[1] }},{{ in.split('|')|join('-') }}", "{\"in\": \"X|Y\"}", "Y,X-Y", "^.^.^");
    expect_origin("{{ in|upper }}{{ in|title }}{{ (in ~ 'x')|upper }}", "{\"in\": \"xY\"}", "XYXyXYX", "^^^^^^.");
    expect_origin("{{ in|replace('X', 'ab') }}{{ 'aXb'|replace('X', in) }}", "{\"in\": \"XY\"}", "abYaXYb", "..^.^^.");
    expect_origin("{{ in|tojson }}{{ in }}", "{\"in\": {\"k\": \"v\"}}", "{\"k\": \"v\"}{'k': 'v'}",
                  "..^....^....^....^..");
}

static void test_origin_through_statements(void **state)
{
    (void)state;
    expect_origin("{% for m in in %}{{ m.content }}{% endfor %}", "{\"in\": [{\"content\": \"X\"}]}", "X", "^");
    expect_origin("{% set x %}a{{ in }}{% endset %}{{ x }}", "{\"in\": \"X\"}", "aX", ".^");
    expect_origin("{% macro m(x) %}a{{ x }}{% endmacro %}{{ m(in) }}{{ m(1) }}", "{\"in\": \"X\"}", "aXa1", ".^..");
    expect_origin("{% filter upper %}a{{ in }}{% endfilter %}", "{\"in\": \"x\"}", "AX", ".^");
    expect_origin("{{ '%s-%s' % (in, 1) }}{{ in|e }}", "{\"in\": \"<X\"}", "<X-1&lt;X", "^^......^");
    expect_origin("{{ 'ab'|indent(in) }}{{ 'a\nb'|indent(in) }}", "{\"in\": \"X\"}", "aba\nXb", "....^.");
}

static void test_origin_of_roles(void **state)
{
    (void)state;
    expect_origin("{{ in.role }}{{ in.content }}", "{\"in\": {\"role\": \"user\", \"content\": \"user\"}}", "useruser",
                  "....^^^^");
    expect_origin("{{ in.role }}", "{\"in\": {\"role\": \"<|x\"}}", "<|x", "^^^");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_renders_more_than_once),
        cmocka_unit_test(test_template_need_not_outlive_compile),
        cmocka_unit_test(test_json_values),
        cmocka_unit_test(test_numbers_of_any_size),
        cmocka_unit_test(test_messages_name_line_and_reason),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_deep_json_is_refused),
        cmocka_unit_test(test_origin_follows_text),
        cmocka_unit_test(test_origin_through_statements),
        cmocka_unit_test(test_origin_of_roles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
