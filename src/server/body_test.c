// Fields of a request: defaults, ranges, and what errors say.
#include "server/body.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static json_t *parse(const char *text)
{
    api_error err = {0};
    json_t *root = body_parse(view_of(text), &err);
    assert_int_equal(err.http_status, root ? 0 : 400);
    return root;
}

static void test_parse(void **state)
{
    (void)state;
    static const char *const BAD[] = {"",
                                      "{",
                                      "[]",
                                      "3",
                                      "null",
                                      "{\"a\": 1, \"a\": 2}",
                                      "{\"a\": 1} x",
                                      "{\"a\": \"\xff\"}",
                                      "{\"a\": \"\\u0000\"}"};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) assert_null(parse(BAD[i]));
    json_t *root = parse("{\"a\": \"[[[\\\"[[[\", \"b\": 1}");
    assert_non_null(root);
    json_decref(root);
}

static void test_depth(void **state)
{
    (void)state;
    for (int depth = BODY_MAX_DEPTH - 1; depth <= BODY_MAX_DEPTH + 1; depth++) {
        buffer text = {0};
        buffer_append(&text, "{\"a\":", 5);
        for (int i = 1; i < depth; i++) buffer_append_char(&text, '[');
        for (int i = 1; i < depth; i++) buffer_append_char(&text, ']');
        buffer_append_char(&text, '}');
        json_t *root = parse(text.data);
        assert_int_equal(root != NULL, depth <= BODY_MAX_DEPTH);
        json_decref(root);
        buffer_free(&text);
    }
}

static void test_fields(void **state)
{
    (void)state;
    api_error err = {0};
    json_t *root =
        parse("{\"real\": 0.5, \"whole\": 3.0, \"int\": 7, \"yes\": true, \"text\": \"x\", \"nothing\": null, "
              "\"list\": [], \"object\": {}}");
    const fields f = {root, "", &err};
    assert_true(field_number(&f, "real", 0, 1, 9) == 0.5);
    assert_true(field_number(&f, "none", 0, 1, 9) == 9);
    assert_true(field_number(&f, "nothing", 0, 1, 9) == 9);
    assert_int_equal(field_integer(&f, "whole", 0, 10, 1), 3);
    assert_int_equal(field_integer(&f, "int", 0, 10, 1), 7);
    assert_true(field_bool(&f, "yes", false));
    assert_true(field_bool(&f, "none", true));
    assert_string_equal(field_string(&f, "text", ""), "x");
    assert_non_null(field_array(&f, "list"));
    assert_non_null(field_object(&f, "object"));
    field_refuse(&f, "list");
    field_refuse(&f, "object");
    field_refuse(&f, "none");
    assert_int_equal(err.http_status, 0);
    json_decref(root);
}

static void check_error(const char *text, void (*read)(const fields *f), const char *field, const char *message)
{
    api_error err = {0};
    json_t *root = parse(text);
    const fields f = {root, "a.", &err};
    read(&f);
    assert_int_equal(err.http_status, 400);
    assert_string_equal(err.field, field);
    assert_string_equal(err.message, message);
    json_decref(root);
}

static void read_number(const fields *f) { field_number(f, "x", 0, 2, 1); }
static void read_open(const fields *f) { field_number(f, "x", 0, INFINITY, 1); }
static void read_integer(const fields *f) { field_integer(f, "x", 1, INT64_MAX, 1); }
static void read_bool(const fields *f) { field_bool(f, "x", false); }
static void read_refused(const fields *f) { field_refuse(f, "x"); }
static void read_two(const fields *f) { field_string(f, "x", NULL), field_bool(f, "y", false); }

static void test_errors(void **state)
{
    (void)state;
    check_error("{\"x\": 3}", read_number, "a.x", "a.x: not a number in 0..2");
    check_error("{\"x\": \"3\"}", read_number, "a.x", "a.x: not a number in 0..2");
    check_error("{\"x\": -1}", read_open, "a.x", "a.x: not a number of at least 0");
    check_error("{\"x\": 1.5}", read_integer, "a.x", "a.x: not a whole number of at least 1");
    check_error("{\"x\": 1e300}", read_integer, "a.x", "a.x: not a whole number of at least 1");
    check_error("{\"x\": 1}", read_bool, "a.x", "a.x: neither true nor false");
    check_error("{\"x\": [1]}", read_refused, "a.x", "a.x: not supported");
    check_error("{\"x\": 1, \"y\": 1}", read_two, "a.x", "a.x: not a string"); // the first error stays
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_parse), cmocka_unit_test(test_depth),
                                       cmocka_unit_test(test_fields), cmocka_unit_test(test_errors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
