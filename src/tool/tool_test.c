// Numbers in options, exit codes, colours.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tool/tool.h"

static bool parse_int(const char *text, int64_t *value)
{
    return tool_parse_int("welford x", "-n", text, -5, 5, value);
}

static void test_parse_int(void **state)
{
    (void)state;
    int64_t value = 0;
    assert_true(parse_int("-5", &value) && value == -5);
    assert_true(parse_int("+5", &value) && value == 5);
    static const char *const BAD[] = {"", " 1", "1 ", "1x", "x", "6", "-6", "0x1", "1.0", "99999999999999999999"};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) assert_false(parse_int(BAD[i], &value));
    assert_int_equal(value, 5);
    assert_true(tool_parse_int("welford x", "-s", "-9223372036854775808", INT64_MIN, INT64_MAX, &value));
    assert_true(value == INT64_MIN);
}

static bool parse_float(const char *text, double *value)
{
    return tool_parse_float("welford x", "--temp", text, 0, 2, value);
}

static void test_parse_float(void **state)
{
    (void)state;
    double value = 0;
    assert_true(parse_float("0.5", &value) && value == 0.5);
    assert_true(parse_float("2", &value) && value == 2);
    assert_true(parse_float("1e-1", &value) && value == 0.1);
    static const char *const BAD[] = {"", " 1", "1 ", "1,5", "nan", "inf", "-0.1", "2.1", "1e999"};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) assert_false(parse_float(BAD[i], &value));
    assert_true(value == 0.1);
}

// Reads a command line to its end: how many options it has, or 100 + the exit code.
static int count_options(const char *const *args)
{
    static const struct option NAMES[] = {{"json", no_argument, NULL, 'j'},
                                          {"file", required_argument, NULL, 'f'},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    char *argv[8] = {(char *)"welford x"};
    int argc = 1, count = 0, exit_code = -1;
    while (args[argc - 1]) argv[argc] = (char *)args[argc - 1], argc++;
    optind = 0; // glibc: start afresh
    while (tool_next_option(argc, argv, "f:", NAMES, "", &exit_code) != -1) count++;
    return exit_code < 0 ? count : 100 + exit_code;
}

static void test_next_option(void **state)
{
    (void)state;
    static const struct {
        const char *args[7];
        int count;
    } cases[] = {{{NULL}, 0},
                 {{"m", "-f", "a", "--json"}, 2},
                 {{"--file=a", "--js", "m"}, 2},
                 {{"-h"}, 100},
                 {{"m", "--help"}, 100},
                 {{"-fa", "-h", "-x"}, 100},
                 {{"-x"}, 102},
                 {{"--nope"}, 102},
                 {{"--json=1"}, 102},
                 {{"-f"}, 102},
                 {{"--file"}, 102},
                 {{"--", "-x"}, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(count_options(cases[i].args), cases[i].count);
}

static void test_exit_codes(void **state)
{
    (void)state;
    wf_error err = {WF_ERROR_FORMAT, "damaged"};
    assert_int_equal(tool_fail("welford x", &err), 1);
    err.status = WF_ERROR_USAGE;
    assert_int_equal(tool_fail("welford x", &err), 2);
    assert_int_equal(tool_fail_usage("welford x", "no %s", "model"), 2);
}

static void test_no_colour_in_a_file(void **state)
{
    (void)state;
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_int_equal(unsetenv("NO_COLOR"), 0);
    assert_false(tool_wants_colour(file));
    fclose(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_int),           cmocka_unit_test(test_parse_float),
        cmocka_unit_test(test_next_option),         cmocka_unit_test(test_exit_codes),
        cmocka_unit_test(test_no_colour_in_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
