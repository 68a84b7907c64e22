// Hosts, origins and keys.
#include "server/guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static int ask(const guard *g, guard_request r)
{
    api_error err = {0};
    bool ok = guard_check(g, &r, &err);
    assert_int_equal(ok, err.http_status == 0);
    return ok ? 200 : err.http_status;
}

static void test_hosts(void **state)
{
    (void)state;
    const guard g = {.host = "127.0.0.1", .allow_host = "box,other.example"};
    static const char *const GOOD[] = {"localhost", "LOCALHOST:80", "127.0.0.1:8080", "192.168.1.2",
                                       "[::1]",     "[fe80::1]:1",  "box:1",          "other.example"};
    static const char *const BAD[] = {"", "evil", "localhost.evil", "127.0.0.1.evil", "[evil]", "bo", "boxx", "1.2.3"};
    for (size_t i = 0; i < sizeof GOOD / sizeof *GOOD; i++)
        assert_int_equal(ask(&g, (guard_request){.host = GOOD[i]}), 200);
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
        assert_int_equal(ask(&g, (guard_request){.host = BAD[i]}), 403);
    assert_int_equal(ask(&g, (guard_request){0}), 400);
}

static void test_origins(void **state)
{
    (void)state;
    const guard g = {.host = "127.0.0.1", .cors_origin = "https://a.example,http://b.example:8"},
                all = {.cors_origin = "*"};
    assert_int_equal(ask(&g, (guard_request){.host = "localhost:1", .origin = "http://localhost:1"}), 200);
    assert_int_equal(ask(&g, (guard_request){.host = "localhost:1", .origin = "http://localhost:2"}), 403);
    assert_int_equal(ask(&g, (guard_request){.host = "localhost:1", .origin = "null"}), 403);
    assert_int_equal(ask(&g, (guard_request){.host = "localhost:1", .origin = ""}), 403);
    assert_int_equal(ask(&g, (guard_request){.host = "localhost:1", .origin = "http://b.example:8"}), 200);
    assert_int_equal(ask(&g, (guard_request){.host = "localhost:1", .origin = "http://b.example"}), 403);
    assert_int_equal(ask(&all, (guard_request){.host = "localhost:1", .origin = "http://any"}), 200);
}

static void test_keys(void **state)
{
    (void)state;
    char one[] = "one", two[] = "twotwo", *keys[] = {one, two};
    const guard g = {.keys = keys, .n_keys = 2, .host = "0.0.0.0"};
    assert_int_equal(ask(&g, (guard_request){.host = "any"}), 401);
    assert_int_equal(ask(&g, (guard_request){.host = "any", .open = true}), 200);
    assert_int_equal(ask(&g, (guard_request){.host = "any", .api_key = "one"}), 200);
    assert_int_equal(ask(&g, (guard_request){.host = "any", .authorization = "bearer twotwo"}), 200);
    static const char *const BAD[] = {"", "o", "on", "onee", "oneone", "two", "twotwotwo"};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
        assert_int_equal(ask(&g, (guard_request){.host = "any", .api_key = BAD[i]}), 401);
    assert_int_equal(ask(&g, (guard_request){.host = "any", .authorization = "one"}), 401);
}

static void test_loopback(void **state)
{
    (void)state;
    assert_true(guard_is_loopback("127.0.0.1") && guard_is_loopback("127.1.2.3") && guard_is_loopback("::1"));
    assert_true(guard_is_loopback("localhost"));
    assert_false(guard_is_loopback("0.0.0.0") || guard_is_loopback("::") || guard_is_loopback("127.evil"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_hosts), cmocka_unit_test(test_origins),
                                       cmocka_unit_test(test_keys), cmocka_unit_test(test_loopback)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
