// What is translated keeps its matches; what the two engines read differently is refused.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> // needs those above

#include "text/pretokenize.h"
#include "text/regex.h"

static void refuses(const char *pattern, const char *reason)
{
    buffer out = {0};
    wf_error err = {0};
    assert_int_equal(regex_translate(view_of(pattern), &out, &err), WF_ERROR_UNSUPPORTED);
    if (!strstr(err.message, reason)) fail_msg("%s: '%s' lacks '%s'", pattern, err.message, reason);
    buffer_free(&out);
}

static void test_refuses(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"a\\", "at the end"},    {"\\w+", "escape"},      {"\\bx", "escape"},      {"\\K", "escape"},
        {"^a", "anchor"},         {"a$", "anchor"},        {"[a", "without"},       {"[]a]", "empty"},
        {"[a[b]]", "in a class"}, {"[a&&b]", "inter"},     {"[\\S]", "in a class"}, {"\\pL", "braces"},
        {"\\p{L", "brace"},       {"\\p{L(}", "property"}, {"\\xZ", "code"},        {"\\x{}", "code"},
        {"\\u12", "code"},        {"(?<n>a)", "group"},    {"(?#c)", "group"},      {"(*FAIL)", "group"},
        {"a{", "brace"},          {"a{,3}", "brace"},      {"a{1,2}+", "+"},        {"\xff", "UTF-8"},
        {"(?R)", "group"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) refuses(pairs[i][0], pairs[i][1]);
}

static wf_status collect(void *context, view word, wf_error *err)
{
    (void)err;
    buffer *out = context;
    buffer_append_view(out, word);
    buffer_append_char(out, '|');
    return WF_OK;
}

static void splits(const char *behaviour, const char *pattern, const char *text, const char *expected)
{
    view pair[] = {view_of(behaviour), view_of(pattern)};
    pretokenizer *p;
    buffer out = {0};
    assert_int_equal(pretokenizer_create_patterns(pair, 1, &p, NULL), WF_OK);
    assert_int_equal(pretokenizer_split(p, view_of(text), collect, &out, NULL), WF_OK);
    assert_string_equal(out.data, expected);
    buffer_free(&out);
    pretokenizer_free(p);
}

static void test_splits(void **state)
{
    (void)state;
    splits("isolated", "\\d{1,3}", "ab1234c", "ab|123|4|c|");
    splits("isolated", "\\s+(?!\\S)|\\s+", "a  b \n", "a| | |b| \n|");
    splits("isolated", "[^\\s\\p{L}]+", "ab!?c", "ab|!?|c|");
    splits("isolated", "\\u0041|\\x{42}", "xABy", "x|A|B|y|");
    splits("isolated", "(?i:'S)", "it's", "it|'s|");
    splits("merged_with_previous", "-", "a--b-c", "a-|-|b-|c|");
    splits("merged_with_next", "-", "a--b-c", "a|-|-b|-c|");
    splits("isolated", "\\.", "a.b", "a|.|b|");
}

static void test_bad_patterns(void **state)
{
    (void)state;
    static const char *const patterns[] = {"x*", "", "(?=a)", "a|", "(a", "\\p{Nonsense}", "a{70000}"};
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        view pair[] = {VIEW_LITERAL("isolated"), view_of(patterns[i])};
        pretokenizer *p = NULL;
        wf_error err = {0};
        assert_int_equal(pretokenizer_create_patterns(pair, 1, &p, &err), WF_ERROR_UNSUPPORTED);
        assert_true(err.message[0] != 0);
        assert_null(p);
    }
    view removed[] = {VIEW_LITERAL("removed"), VIEW_LITERAL(" ")};
    pretokenizer *p = NULL;
    assert_int_equal(pretokenizer_create_patterns(removed, 1, &p, NULL), WF_ERROR_UNSUPPORTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_splits),
        cmocka_unit_test(test_bad_patterns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
