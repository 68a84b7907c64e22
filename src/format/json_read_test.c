#include "format/json_read.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h> // needs those above

static json_t *read_text(const char *text, size_t len)
{
    json_t *root;
    wf_error err = {0};
    wf_status status = json_read((view){text, len}, "t", JSON_RULES_PYTHON, &root, &err);
    if (status != WF_OK) fail_msg("%s: %s", text, err.message);
    return root;
}

static void refuses(const char *text, size_t len, const char *message)
{
    json_t *root;
    wf_error err;
    assert_int_equal(json_read((view){text, len}, "t", JSON_RULES_STRICT, &root, &err), WF_ERROR_FORMAT);
    assert_null(root);
    if (!strstr(err.message, message)) fail_msg("'%s' does not say '%s'", err.message, message);
}

#define READ(literal) read_text(literal, sizeof(literal) - 1)
#define REFUSES(literal, message) refuses(literal, sizeof(literal) - 1, message)

// The text in jansson's compact form.
static void gives(const char *text, const char *expected)
{
    json_t *root = read_text(text, strlen(text));
    char *dumped = json_dumps(root, JSON_COMPACT | JSON_ENCODE_ANY);
    assert_string_equal(dumped, expected);
    free(dumped);
    json_decref(root);
}

static void reads_what_json_has(void **state)
{
    (void)state;
    gives(" \t\r\n{ \"a\" : [ 1 , -2.5e1 , true , false , null , \"x\" ] , \"b\" : { } , \"c\" : [ ] }\n",
          "{\"a\":[1,-25.0,true,false,null,\"x\"],\"b\":{},\"c\":[]}");
    gives("-0", "0");
    gives("9223372036854775807", "9223372036854775807");
    gives("-9223372036854775808", "-9223372036854775808");
    gives("1e5", "100000.0");
    gives("1E+2", "100.0");
    gives("4.9e-324", "4.9406564584124654e-324");
    gives("1e-400", "0.0");
    gives("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u20ac\\ud83d\\ude00z\"",
          "\"\\\"\\\\/\\b\\f\\n\\r\\t\u00e9\u20ac\U0001F600z\"");
    gives("\xef\xbb\xbf[1]", "[1]");
    gives("{\"a\":1,\"b\":2,\"a\":3}", "{\"a\":3,\"b\":2}"); // as Python: the first's place, the last's value
}

static void wide(const char *text, const char *expected, double number)
{
    json_t *root = read_text(text, strlen(text));
    view digits;
    double value;
    assert_true(json_is_wide(root, &digits));
    assert_true(view_is(digits, expected));
    assert_false(json_is_number(root));
    assert_true(json_number_of(root, &value));
    assert_true(value == number || (isnan(value) && isnan(number)));
    json_decref(root);
}

static void keeps_numbers_of_any_size(void **state)
{
    char digits[5001];
    (void)state;
    wide("9223372036854775808", "9223372036854775808", 0x1p63);
    wide("-9223372036854775809", "-9223372036854775809", -0x1p63);
    wide("1000000000000000019884624838656", "1000000000000000019884624838656", 1e30);
    wide("NaN", "NaN", NAN);
    wide("Infinity", "Infinity", INFINITY);
    wide("-Infinity", "-Infinity", -INFINITY);
    wide("1e400", "Infinity", INFINITY);
    wide("-1.5E400", "-Infinity", -INFINITY);
    memset(digits, '7', sizeof digits - 1);
    digits[sizeof digits - 1] = 0;
    wide(digits, digits, INFINITY);
}

// Nothing in a file becomes a number that is none, whatever its names are.
static void takes_no_text_for_a_number(void **state)
{
    static const char *const TEXTS[] = {"{\"\\u0001number\":\"1x\"}", "{\"\\u0001number\":\"\"}",
                                        "{\"\\u0001number\":\"-\"}",  "{\"\\u0001number\":\"1\\u0000\"}",
                                        "{\"\\u0001number\":1}",      "{\"number\":\"1\"}"};
    (void)state;
    for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++) {
        view text;
        json_t *root = read_text(TEXTS[i], strlen(TEXTS[i]));
        assert_false(json_is_wide(root, &text));
        json_decref(root);
    }
}

static void keeps_nul(void **state)
{
    (void)state;
    json_t *root = READ("{\"a\\u0000b\":\"c\\u0000d\"}"), *value = json_object_getn(root, "a\0b", 3);
    assert_int_equal(json_string_length(value), 3);
    assert_memory_equal(json_string_value(value), "c\0d", 3);
    assert_null(json_name_of(value));
    json_decref(root);
}

static void refuses_what_is_no_json(void **state)
{
    static char deep[4002];
    (void)state;
    REFUSES("", "line 1: the text ends");
    REFUSES("{\"a\":\n\n}", "line 3: no JSON value");
    REFUSES("[1 2]", "',' or ']' is missing");
    REFUSES("[1,]", "no JSON value begins so");
    REFUSES("[1", "',' or ']' is missing");
    REFUSES("{\"a\" 1}", "':' is missing");
    REFUSES("{a:1}", "a name in quotes is missing");
    REFUSES("{\"a\":1,}", "a name in quotes is missing");
    REFUSES("1 2", "text after the value");
    REFUSES("1.", "text after the value");
    REFUSES("1e", "text after the value");
    REFUSES("01", "begins with 0");
    REFUSES("-", "without digits");
    REFUSES("+1", "no JSON value");
    REFUSES("nan", "no JSON value");
    REFUSES("\"a", "without an end");
    REFUSES("\"a\nb\"", "control character");
    REFUSES("\"\\x\"", "an escape that JSON does not have");
    REFUSES("\"\\u12g4\"", "an escape that JSON does not have");
    REFUSES("\"\\ud800x\"", "half a surrogate pair");
    REFUSES("\"\\udc00\"", "half a surrogate pair");
    REFUSES("\"\xff\"", "not valid UTF-8");
    REFUSES("{\"\xff\":1}", "not valid UTF-8");
    REFUSES("{\"a\":1,\"a\":2}", "duplicate");
    REFUSES("{\"a\\u0000\":1}", "NUL in a name");
    memset(deep, '[', 2000);
    memset(deep + 2000, ']', 2000);
    refuses(deep, 4000, "1000 deep");
    refuses(deep, 1001, "1000 deep");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_json_has),        cmocka_unit_test(keeps_numbers_of_any_size),
        cmocka_unit_test(takes_no_text_for_a_number), cmocka_unit_test(keeps_nul),
        cmocka_unit_test(refuses_what_is_no_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
