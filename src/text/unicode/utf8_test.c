// UTF-8: every kind of ill-formed sequence, and every place where a stream may be cut.
#include "text/unicode/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> // needs those above

#define R "\xEF\xBF\xBD"

typedef struct repair {
    const char *text, *repaired;
} repair;

// The last column is what Python's bytes.decode(errors="replace") gives.
static const repair REPAIRS[] = {
    {"", ""},
    {"plain ascii, long enough for whole words", "plain ascii, long enough for whole words"},
    {"\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80", "\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80"},
    {"\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF\xF0\x90\x80\x80\xF4\x8F\xBF\xBF",
     "\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF\xF0\x90\x80\x80\xF4\x8F\xBF\xBF"},
    {"a\x80z", "a" R "z"},
    {"\xC0\xAF", R R},             // overlong
    {"\xE0\x80\xAF", R R R},       // overlong
    {"\xF0\x80\x80\xAF", R R R R}, // overlong
    {"\xED\xA0\x80", R R R},       // surrogate
    {"\xED\x9F\xBF\xEE\x80\x80", "\xED\x9F\xBF\xEE\x80\x80"},
    {"\xF4\x90\x80\x80", R R R R}, // above U+10FFFF
    {"\xF5\xFF\xFE", R R R},
    {"\xE2\x82z", R "z"}, // one maximal subpart
    {"\xF0\x9F\x98z", R "z"},
    {"\xF0\x9Fz\x98", R "z" R},
    {"\xE2\x82", R}, // cut by the end
    {"\xF0\x9F\x98", R},
    {"\xF0\x9F\xF0\x9F\x98\x80", R "\xF0\x9F\x98\x80"},
    {"\xE1\x80\xE2\xF0\x91\x92\xF1\xBFz", R R R R "z"}, // table 3-8 of the standard
};

static void test_repair(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof REPAIRS / sizeof *REPAIRS; ++i) {
        buffer out = {0};
        utf8_append_repaired(&out, view_of(REPAIRS[i].text));
        assert_string_equal(buffer_view(&out).data, REPAIRS[i].repaired);
        assert_true(utf8_is_valid(buffer_view(&out)));
        assert_int_equal(utf8_is_valid(view_of(REPAIRS[i].text)), !strcmp(REPAIRS[i].text, REPAIRS[i].repaired));
        buffer_free(&out);
    }
}

static void test_valid_at_any_offset(void **state)
{
    (void)state;
    char text[40];
    for (size_t at = 0; at < sizeof text; ++at) {
        memset(text, 'a', sizeof text);
        text[at] = (char)0x80;
        assert_false(utf8_is_valid((view){text, sizeof text}));
        assert_true(utf8_is_valid((view){text, at}));
    }
}

// Every two-byte beginning: the prefix leaves out exactly what more bytes could make a character of.
static void test_complete_prefix(void **state)
{
    (void)state;
    static const char text[] = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80";
    static const size_t expected[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10};
    for (size_t len = 0; len < sizeof expected / sizeof *expected; ++len)
        assert_int_equal(utf8_complete_prefix((view){text, len}), expected[len]);
    for (int first = 0; first < 256; ++first) {
        for (int second = 0; second < 256; ++second) {
            char pair[2] = {(char)first, (char)second};
            utf8_kind one, two;
            size_t length = utf8_next((view){pair, 2}, 0, &one);
            utf8_next((view){pair, 2}, 1, &two);
            size_t wanted = 2;
            if (one == UTF8_TRUNCATED)
                wanted = 0;
            else if (length == 1 && two == UTF8_TRUNCATED)
                wanted = 1;
            assert_int_equal(utf8_complete_prefix((view){pair, 2}), wanted);
        }
    }
    assert_int_equal(utf8_complete_prefix((view){"\x80\x80\x80\x80", 4}), 4); // never becomes whole
    assert_int_equal(utf8_complete_prefix((view){"\xED\xA0", 2}), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_repair),
        cmocka_unit_test(test_valid_at_any_offset),
        cmocka_unit_test(test_complete_prefix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
