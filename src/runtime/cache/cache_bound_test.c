// What goes and in which order, and how limits are written.
#include "runtime/cache/cache_bound.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { DAY = 24 * 3600, NOW = 1000 * DAY };

typedef struct watched {
    const char *in_use; // a name
    char removed[64];   // names, in the order in which they went
} watched;

static bool remove_item(void *context, const cache_item *item)
{
    watched *w = context;
    if (w->in_use && !strcmp(item->name, w->in_use)) return false;
    strcat(w->removed, item->name);
    return true;
}

// Five items of 100 bytes; b was used least recently, then d, a, c, e.
static void check(size_t limit, size_t coming, const char *in_use, const char *expected)
{
    cache_item items[] = {{.name = "a", .used = NOW - 3 * DAY, .bytes = 100},
                          {.name = "b", .used = NOW - 5 * DAY, .bytes = 100},
                          {.name = "c", .used = NOW - 2 * DAY, .bytes = 100},
                          {.name = "d", .used = NOW - 4 * DAY, .bytes = 100},
                          {.name = "e", .used = NOW - 1 * DAY, .bytes = 100}};
    const cache_bound bound = {.now = NOW, .limit = limit, .coming = coming};
    watched w = {.in_use = in_use};
    cache_bound_apply(&bound, items, 5, remove_item, &w);
    assert_string_equal(w.removed, expected);
    for (int i = 0; i < 5; i++) assert_int_equal(items[i].removed, strchr(expected, *items[i].name) != NULL);
}

static void test_least_recently_used_goes(void **state)
{
    (void)state;
    check(500, 0, NULL, "");
    check(499, 0, NULL, "b");
    check(500, 1, NULL, "b");
    check(300, 0, NULL, "bd");
    check(300, 100, NULL, "bda");
    check(0, 0, NULL, "bdace");
    check(CACHE_NO_LIMIT, 1000, NULL, "");
    check(CACHE_NO_LIMIT, SIZE_MAX, NULL, "");
    check(500, SIZE_MAX, NULL, "bdace"); // more than there can be: the sum does not overflow
}

static void test_what_is_in_use_stays(void **state)
{
    (void)state;
    check(300, 0, "b", "da"); // others go in its place
    check(0, 0, "c", "bdae");
}

static void test_thirty_days(void **state)
{
    (void)state;
    cache_item items[] = {{.name = "a", .used = NOW - 30 * DAY, .bytes = 1},
                          {.name = "b", .used = NOW - 30 * DAY + 1, .bytes = 1},
                          {.name = "c", .used = NOW + DAY, .bytes = 1}, // a clock was set back
                          {.name = "d", .used = NOW, .bytes = 1, .is_draft = true},
                          {.name = "e", .used = 0, .bytes = 1}};
    const cache_bound bound = {.now = NOW, .limit = CACHE_NO_LIMIT};
    watched w = {0};
    cache_bound_apply(&bound, items, 5, remove_item, &w);
    assert_string_equal(w.removed, "ead");
    cache_bound_apply(&bound, NULL, 0, remove_item, &w);
}

static void test_limits(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t bytes;
    } GOOD[] = {{"0", 0},
                {"1", 1},
                {"1048576", 1048576},
                {"3K", 3072},
                {"3k", 3072},
                {"512M", (size_t)512 << 20},
                {"20G", (size_t)20 << 30},
                {"2t", (size_t)2 << 40},
                {"18446744073709551615", SIZE_MAX},
                {"none", CACHE_NO_LIMIT}};
    static const char *const BAD[] = {"",          "K",
                                      "-1",        "+1",
                                      " 1",        "1 ",
                                      "1KB",       "1.5G",
                                      "1P",        "1e9",
                                      "None",      "unlimited",
                                      "0x10",      "1\n",
                                      "1+",        "18446744073709551616",
                                      "16777216T", "99999999999999999999G"};
    size_t bytes;
    for (size_t i = 0; i < sizeof GOOD / sizeof *GOOD; i++) {
        if (!cache_limit_parse(GOOD[i].text, &bytes)) fail_msg("%s", GOOD[i].text);
        assert_int_equal(bytes, GOOD[i].bytes);
    }
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
        if (cache_limit_parse(BAD[i], &bytes)) fail_msg("%s", BAD[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_least_recently_used_goes),
        cmocka_unit_test(test_what_is_in_use_stays),
        cmocka_unit_test(test_thirty_days),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
