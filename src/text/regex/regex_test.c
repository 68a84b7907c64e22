// What is translated keeps its matches; what the two engines read differently is refused.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> // needs those above

#include "text/regex/regex.h"
#include "text/tokenizer/pretokenize.h"

static void refuses(const char *pattern, const char *reason)
{
    buffer out = {0};
    regex_sets sets = {0};
    wf_error err = {0};
    assert_int_equal(regex_parse(view_of(pattern), &sets, &out, &err), WF_ERROR_UNSUPPORTED);
    if (!strstr(err.message, reason)) fail_msg("%s: '%s' lacks '%s'", pattern, err.message, reason);
    regex_sets_free(&sets);
    buffer_free(&out);
}

static void test_refuses(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"a\\", "at the end"},    {"\\G", "escape"},
        {"\\X", "escape"},        {"\\K", "escape"},
        {"\\1", "escape"},        {"[a", "without"},
        {"[]a]", "empty"},        {"[a[b]", "without"},
        {"[b-a]", "empty range"}, {"[a-", "without"},
        {"\\pL", "braces"},       {"\\p{L", "brace"},
        {"\\p{L(}", "property"},  {"\\p{Nonsense}", "prop"},
        {"\\xZ", "code"},         {"\\x{}", "code"},
        {"\\x{110000}", "code"},  {"\\u12", "code"},
        {"(?<n>a)", "group"},     {"(?#c)", "group"},
        {"(*FAIL)", "group"},     {"a{", "brace"},
        {"a{,}", "brace"},        {"a{1,2,3}", "brace"},
        {"a{1,2}+", "+"},         {"a{2}?", "?"},
        {"\xff", "UTF-8"},        {"(?R)", "group"},
        {"a(?i)b", "flag"},       {"(a", "without its end"},
        {"a)", "alone"},          {"[[:nonsense:]]", "prop"},
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
    assert_int_equal(pretokenizer_create(pair, 1, &p, NULL), WF_OK);
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

static void test_sets(void **state)
{
    (void)state;
    splits("isolated", "[a-c&&[^b]]", "abc", "a|b|c|");
    splits("isolated", "[\\p{L}&&[^\\p{Han}]]+", "ab漢c", "ab|漢|c|");
    splits("isolated", "[^\\S\\n]+", "a \t\nb", "a| \t|\nb|");
    splits("isolated", "[[:digit:]x]+", "a1x", "a|1x|");
    splits("isolated", "[a\\-c]+", "a-cb", "a-c|b|");
    splits("isolated", "[+--]+", "+,-.", "+,-|.|");
    splits("isolated", "(?i:ſOS|k)", "sos \u212a", "sos| |\u212a|");
    splits("isolated", "(?i)b|c", "aBaC", "a|B|a|C|");
    splits("isolated", "(?i:x)x", "XxXX", "Xx|XX|");
    splits("isolated", "[^a]", "ab\n", "a|b|\n|");
    splits("isolated", ".+", "ab\nc", "ab|\n|c|");
    splits("isolated", "(?m:.+)", "ab\nc", "ab\nc|");
    splits("isolated", "\\p{S}", "a\U0001FA77b", "a|\U0001FA77|b|");                    // of Unicode 15
    splits("isolated", "\\p{Nd}+", "a\U00010D40\U00010D41", "a|\U00010D40\U00010D41|"); // of Unicode 16
}

static void test_places(void **state)
{
    (void)state;
    splits("isolated", "\\s+$", "a \n b  ", "a| |\n b|  |");
    splits("isolated", "^a", "aa\na", "a|a\n|a|");
    splits("isolated", "\\bb", "ab b", "ab |b|");
    splits("isolated", "(?=(\\d{3})+(?!\\d))", "1234567", "1|234|567|"); // empty matches cut
    splits("isolated", "x*", "axb", "a|x|b|");
    splits("isolated", "(?<=a)b", "bab", "ba|b|");
}

static void test_behaviours(void **state)
{
    (void)state;
    splits("removed", " ", " a  b ", "a|b|");
    splits("removed inverted", "[a-z]", "ab1c", "a|b|c|");
    splits("contiguous", "\\d", "12a3", "12|a|3|");
    splits("contiguous inverted", "\\d", "12a3", "12|a|3|");
    splits("merged_with_previous inverted", "-", "a--b", "a|-|-b|");
    splits("merged_with_next inverted", "-", "a--b", "a-|-|b|");
    splits("removed", "-", "\u00e9-\u00e8", "\u00e9|\u00e8|");
}

static void test_bad_patterns(void **state)
{
    (void)state;
    static const char *const patterns[] = {"(a", "a{70000}", "?", "(?<=a*)b"};
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        view pair[] = {VIEW_LITERAL("isolated"), view_of(patterns[i])};
        pretokenizer *p = NULL;
        wf_error err = {0};
        assert_int_equal(pretokenizer_create(pair, 1, &p, &err), WF_ERROR_UNSUPPORTED);
        assert_true(err.message[0] != 0);
        assert_null(p);
    }
    view unknown[] = {VIEW_LITERAL("dropped"), VIEW_LITERAL(" ")};
    pretokenizer *p = NULL;
    assert_int_equal(pretokenizer_create(unknown, 1, &p, NULL), WF_ERROR_UNSUPPORTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refuses), cmocka_unit_test(test_splits),     cmocka_unit_test(test_sets),
        cmocka_unit_test(test_places),  cmocka_unit_test(test_behaviours), cmocka_unit_test(test_bad_patterns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
