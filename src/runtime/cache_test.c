// Keys, folders, two writers at once, folders that cannot be written, and what clearing removes.
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "runtime/cache.h"

static char root[64]; // a new folder for each test

static int make_root(void **state)
{
    (void)state;
    snprintf(root, sizeof root, "/tmp/welford-cache-XXXXXX");
    if (!mkdtemp(root)) return -1;
    setenv("WELFORD_CACHE", root, 1);
    return 0;
}

static int remove_root(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", root);
    return system(command);
}

static void put(const char *name, size_t bytes)
{
    char path[PATH_MAX], *data = calloc(bytes + 1, 1);
    assert_non_null(data);
    snprintf(path, sizeof path, "%s/%s", root, name);
    assert_int_equal(file_write(path, data, bytes, NULL), WF_OK);
    free(data);
}

static bool exists(const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", root, name);
    return access(path, F_OK) == 0;
}

static void test_key(void **state)
{
    (void)state;
    char a[CACHE_KEY_CHARS], b[CACHE_KEY_CHARS];
    cache_key((view[]){VIEW_LITERAL("header"), VIEW_LITERAL("1")}, 2, a);
    assert_int_equal(strlen(a), 32);
    assert_int_equal(strspn(a, "0123456789abcdef"), 32);
    cache_key((view[]){VIEW_LITERAL("header"), VIEW_LITERAL("1")}, 2, b);
    assert_string_equal(a, b);
    // Another order, other borders, an empty part: other keys.
    const view others[][3] = {
        {VIEW_LITERAL("1"), VIEW_LITERAL("header")},
        {VIEW_LITERAL("heade"), VIEW_LITERAL("r1")},
        {VIEW_LITERAL("header1"), {NULL, 0}},
        {{NULL, 0}, VIEW_LITERAL("header1")},
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        cache_key(others[i], 2, b);
        assert_string_not_equal(a, b);
    }
    cache_key((view[]){VIEW_LITERAL("header"), VIEW_LITERAL("1"), {NULL, 0}}, 3, b);
    assert_string_not_equal(a, b);
    cache_key(NULL, 0, b);
    assert_int_equal(strlen(b), 32);
}

static void test_folder(void **state)
{
    (void)state;
    char path[PATH_MAX], *home = getenv("HOME") ? strdup(getenv("HOME")) : NULL;
    assert_true(cache_folder(path, sizeof path));
    assert_string_equal(path, root);
    assert_false(cache_folder(path, 4));

    setenv("WELFORD_CACHE", "", 1);
    setenv("XDG_CACHE_HOME", "/xdg", 1);
    assert_true(cache_folder(path, sizeof path));
    assert_string_equal(path, "/xdg/welford");
    setenv("XDG_CACHE_HOME", "relative", 1);
    setenv("HOME", "/home/me", 1);
    assert_true(cache_folder(path, sizeof path));
    assert_string_equal(path, "/home/me/.cache/welford");
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    assert_false(cache_folder(path, sizeof path));
    assert_false(cache_path("programs", "k", ".wfprog", path, sizeof path));
    cache_usage usage;
    wf_error err;
    assert_int_equal(cache_measure(&usage, &err), WF_ERROR_IO);
    if (home) setenv("HOME", home, 1);
    free(home);
}

static void test_path(void **state)
{
    (void)state;
    char path[PATH_MAX], expected[PATH_MAX], deep[96];
    snprintf(deep, sizeof deep, "%s/a/b", root); // folders are made as needed
    setenv("WELFORD_CACHE", deep, 1);
    assert_true(cache_path("programs", "00ff", ".wfprog", path, sizeof path));
    snprintf(expected, sizeof expected, "%s/programs/00ff.wfprog", deep);
    assert_string_equal(path, expected);
    assert_int_equal(file_write(path, "x", 1, NULL), WF_OK);

    // No folder can be made below a file: no cache, and no crash.
    put("file", 3);
    snprintf(deep, sizeof deep, "%s/file", root);
    setenv("WELFORD_CACHE", deep, 1);
    assert_false(cache_path("programs", "00ff", ".wfprog", path, sizeof path));
    char *long_name = calloc(2 * PATH_MAX, 1);
    assert_non_null(long_name);
    memset(long_name, 'x', 2 * PATH_MAX - 1);
    setenv("WELFORD_CACHE", long_name, 1);
    assert_false(cache_path("programs", "00ff", ".wfprog", path, sizeof path));
    free(long_name);
}

static void test_read_only_folder(void **state)
{
    (void)state;
    char path[PATH_MAX];
    assert_int_equal(chmod(root, 0555), 0);
    pid_t child = fork();
    if (child == 0) { // root may write anywhere, so become somebody else
        bool other = geteuid() != 0 || (setgid(65534) == 0 && setuid(65534) == 0);
        _exit(!other ? 2 : cache_path("programs", "00ff", ".wfprog", path, sizeof path) ? 1 : 0);
    }
    int result;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_int_equal(chmod(root, 0755), 0);
    assert_true(WIFEXITED(result));
    if (WEXITSTATUS(result) == 2) skip();
    assert_int_equal(WEXITSTATUS(result), 0);
}

// Two processes write the same entry over and over while this one reads it: always whole.
static void test_two_writers(void **state)
{
    (void)state;
    enum { BYTES = 200000, ROUNDS = 40 };
    char path[PATH_MAX];
    assert_true(cache_path("programs", "0123456789abcdef0123456789abcdef", ".wfprog", path, sizeof path));
    pid_t children[2];
    for (int i = 0; i < 2; i++) {
        children[i] = fork();
        if (children[i]) continue;
        char *data = malloc(BYTES);
        if (!data) _exit(1);
        int bad = 0;
        for (int round = 0; round < ROUNDS; round++) {
            memset(data, 'a' + 2 * (round % 13) + i, BYTES);
            bad |= !cache_path("programs", "0123456789abcdef0123456789abcdef", ".wfprog", path, sizeof path);
            bad |= file_write(path, data, BYTES, NULL) != WF_OK;
        }
        free(data);
        _exit(bad);
    }
    int n_read = 0, n_ended = 0, result;
    while (n_ended < 2) {
        char *data;
        size_t bytes;
        if (file_read(path, &data, &bytes, NULL) == WF_OK) {
            assert_int_equal(bytes, BYTES);
            for (size_t i = 1; i < bytes; i++)
                if (data[i] != data[0]) fail_msg("mixed entry at byte %zu", i);
            free(data);
            n_read++;
        }
        if (waitpid(children[n_ended], &result, WNOHANG) == children[n_ended]) {
            assert_true(WIFEXITED(result) && WEXITSTATUS(result) == 0);
            n_ended++;
        }
    }
    assert_true(n_read > 0);
    cache_usage usage;
    assert_int_equal(cache_measure(&usage, NULL), WF_OK);
    assert_int_equal(usage.n_programs, 1); // no temporary files left
    assert_int_equal(usage.program_bytes, BYTES);
}

static void test_measure_and_clear(void **state)
{
    (void)state;
    cache_usage usage;
    assert_int_equal(cache_measure(&usage, NULL), WF_OK); // nothing there yet
    assert_int_equal(usage.n_programs + usage.n_packs + usage.n_models, 0);
    assert_int_equal(cache_clear(&usage, NULL), WF_OK);

    char path[PATH_MAX];
    assert_true(cache_path("programs", "k", "", path, sizeof path));
    assert_true(cache_path("packs", "k", "", path, sizeof path));
    assert_true(cache_path("models", "k", "", path, sizeof path));
    put("programs/00000000000000000000000000000001.wfprog", 10);
    put("programs/00000000000000000000000000000001.wfprog.aB3xYz", 5);
    put("programs/notes.txt", 100);
    put("packs/00000000000000000000000000000002.wfpack", 1000);
    put("models/smollm2.gguf", 7);
    snprintf(path, sizeof path, "%s/packs/00000000000000000000000000000003.wfpack", root);
    assert_int_equal(mkdir(path, 0755), 0);

    assert_int_equal(cache_measure(&usage, NULL), WF_OK);
    assert_int_equal(usage.n_programs, 3);
    assert_int_equal(usage.program_bytes, 115);
    assert_int_equal(usage.n_packs, 1);
    assert_int_equal(usage.pack_bytes, 1000);
    assert_int_equal(usage.n_models, 1);
    assert_int_equal(usage.model_bytes, 7);

    assert_int_equal(cache_clear(&usage, NULL), WF_OK);
    assert_int_equal(usage.n_programs, 2);
    assert_int_equal(usage.program_bytes, 15);
    assert_int_equal(usage.n_packs, 1);
    assert_int_equal(usage.n_models, 0);
    assert_false(exists("programs/00000000000000000000000000000001.wfprog"));
    assert_false(exists("programs/00000000000000000000000000000001.wfprog.aB3xYz"));
    assert_false(exists("packs/00000000000000000000000000000002.wfpack"));
    assert_true(exists("programs/notes.txt")); // not ours
    assert_true(exists("models/smollm2.gguf"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_root, remove_root)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_key),         TEST(test_folder),
        TEST(test_path),        TEST(test_read_only_folder),
        TEST(test_two_writers), TEST(test_measure_and_clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
