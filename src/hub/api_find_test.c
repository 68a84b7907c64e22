// Models by name through the public interface: what is taken as a path, and what is said of what is neither.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h> // needs those above

#include "welford.h"

static void expect_itself(const char *name)
{
    char *path;
    assert_int_equal(wf_model_find(name, NULL, &path, NULL), WF_OK);
    assert_string_equal(path, name);
    wf_free(path);
}

static void test_paths(void **state)
{
    (void)state;
    expect_itself("/tmp");                        // there
    expect_itself("/tmp/no/such/folder");         // not there: opening it says so
    expect_itself("no-such-model-anywhere.gguf"); // looks like a file
}

static void refuse(const char *name, wf_status status, const char *words)
{
    char *path = NULL;
    wf_error err = {0};
    assert_int_equal(wf_model_find(name, NULL, &path, &err), status);
    assert_null(path);
    assert_non_null(strstr(err.message, words));
    assert_null(strchr(err.message, '\n'));
}

static void test_names(void **state)
{
    (void)state;
    setenv("HF_HUB_OFFLINE", "1", 1);
    setenv("HF_HUB_CACHE", "/nowhere", 1);
    refuse("owner/name", WF_ERROR_IO, "HF_HUB_OFFLINE is set");
    refuse("no-such-model-anywhere", WF_ERROR_IO, "which has the form owner/name");
    refuse("hf:owner", WF_ERROR_USAGE, "hf:owner");
    refuse(NULL, WF_ERROR_USAGE, "no name");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
