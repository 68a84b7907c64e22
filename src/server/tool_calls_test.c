// Calls in answers, cut at every place where a stream may be.
#include "server/tool_calls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const tool_format HERMES = {"<tool_call>", "</tool_call>", "name", "arguments"};
static const tool_format MISTRAL = {"[TOOL_CALLS] [", "", "name", "arguments"};
static const tool_format LLAMA = {"", "", "name", "parameters"};

static void add_text(void *context, const char *text, size_t bytes) { buffer_append(context, text, bytes); }

static void add_call(void *context, const char *name, json_t *arguments)
{
    buffer_printf(context, "(%s ", name);
    json_take(context, arguments);
    buffer_append_char(context, ')');
}

static json_t *make_tools(void)
{
    return json_pack("[{s:{s:s}}, {s:{s:s}}]", "function", "name", "f", "function", "name", "g");
}

// `expected`: the text, with each call as "(name arguments)".
static void check(const tool_format *format, bool one, const char *answer, const char *expected)
{
    json_t *tools = make_tools();
    size_t n = strlen(answer);
    for (size_t first = 0; first <= n; first++) {
        for (size_t second = first; second <= n; second += 1 + n / 16) {
            buffer out = {0};
            tool_parser p = {.format = format, .tools = tools, .to = {add_text, add_call, &out}, .one = one};
            tool_parser_feed(&p, answer, first);
            tool_parser_feed(&p, answer + first, second - first);
            tool_parser_feed(&p, answer + second, n - second);
            assert_true(tool_parser_finish(&p));
            assert_string_equal(out.data ? out.data : "", expected);
            buffer_free(&out);
        }
    }
    json_decref(tools);
}

static void test_text(void **state)
{
    (void)state;
    check(&HERMES, false, "", "");
    check(&HERMES, false, " hello <tool> {\"a\": 1} \n", " hello <tool> {\"a\": 1} \n");
    check(&LLAMA, false, " hello {\"name\": \"f\", \"parameters\": {}}",
          " hello {\"name\": \"f\", \"parameters\": {}}");
}

static void test_calls(void **state)
{
    (void)state;
    check(&HERMES, false, "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": [1, \"}\\\"\"]}}\n</tool_call>",
          "(f {\"x\":[1,\"}\\\"\"]})");
    check(&HERMES, false,
          "Let me see.\n<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>\n<tool_call>{\"arguments\": "
          "{\"y\": 2}, "
          "\"name\": \"g\"}</tool_call>",
          "Let me see.(f {})(g {\"y\":2})");
    check(&MISTRAL, false,
          "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {}}, {\"name\": \"g\", \"arguments\": {\"a\": {}}}]",
          "(f {})(g {\"a\":{}})");
    check(&LLAMA, false, " {\"name\": \"f\", \"parameters\": {\"a\": \"b\"}}", "(f {\"a\":\"b\"})");
    check(&HERMES, true,
          "<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call><tool_call>{\"name\": \"g\", \"arguments\": "
          "{}}</tool_call>",
          "(f {})");
}

// What is no call stays text.
static void test_no_calls(void **state)
{
    (void)state;
    check(&HERMES, false, "<tool_call>{\"name\": \"unknown\", \"arguments\": {}}",
          "{\"name\": \"unknown\", \"arguments\": {}}");
    check(&HERMES, false, "<tool_call>{\"name\": \"f\", \"arguments\": 3}", "{\"name\": \"f\", \"arguments\": 3}");
    check(&HERMES, false, "<tool_call>{\"name\": \"f\", \"argum", "{\"name\": \"f\", \"argum");
    check(&HERMES, false, "<tool_call>{nonsense} x", "{nonsense} x");
    check(&LLAMA, false, "{\"a\": 1} and more", "{\"a\": 1} and more");
}

static void test_begin(void **state)
{
    (void)state;
    buffer out = {0};
    tool_format_begin(&HERMES, "f", &out);
    assert_string_equal(out.data, "<tool_call>\n{\"name\": \"f\", \"arguments\": ");
    buffer_clear(&out);
    tool_format_begin(&LLAMA, NULL, &out);
    assert_string_equal(out.data, "{\"name\": \"");
    buffer_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_text), cmocka_unit_test(test_calls),
                                       cmocka_unit_test(test_no_calls), cmocka_unit_test(test_begin)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
