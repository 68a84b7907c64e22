// Where the cache lies, and whom it trusts: folders and entries that others may have written are as if they were not
// there, with one warning.
#include "runtime/cache/cache_folder.h"

#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/test_folder.h"

enum { SOMEBODY = 65534 };
#define KEY "0123456789abcdef0123456789abcdef"
static const char ENTRY[] = KEY ".wfprog";

static int set_up(void **state)
{
    (void)state;
    if (make_root()) return -1;
    setenv("WELFORD_CACHE", in_root("cache"), 1);
    return 0;
}

static mode_t mode_of(const char *name)
{
    struct stat st;
    assert_int_equal(lstat(in_root(name), &st), 0);
    return st.st_mode & 07777;
}

static void test_where_it_is(void **state)
{
    (void)state;
    char path[PATH_MAX], *home = getenv("HOME") ? strdup(getenv("HOME")) : NULL;
    assert_true(cache_folder(path, sizeof path));
    assert_string_equal(path, in_root("cache"));
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
    assert_int_equal(cache_folder_open(CACHE_PACK, CACHE_MAKE), -1);
    if (home) setenv("HOME", home, 1);
    free(home);
}

static void test_names(void **state)
{
    (void)state;
    bool draft;
    assert_true(cache_is_name(KEY ".wfprog", CACHE_PROGRAM, &draft) && !draft);
    assert_true(cache_is_name(KEY ".wfprog.aB3xYz", CACHE_PROGRAM, &draft) && draft);
    static const char *const OTHERS[] = {KEY ".wfpack", KEY, KEY ".wfprogs", "0" KEY ".wfprog", "notes.txt", "", ".."};
    for (size_t i = 0; i < sizeof OTHERS / sizeof *OTHERS; i++)
        assert_false(cache_is_name(OTHERS[i], CACHE_PROGRAM, &draft));
}

// Folders are for the user alone, whatever the umask.
static void test_folders_are_private(void **state)
{
    (void)state;
    setenv("WELFORD_CACHE", in_root("a/b"), 1);
    assert_int_equal(cache_folder_open(CACHE_PROGRAM, CACHE_USE), -1);
    assert_int_equal(access(in_root("a"), F_OK), -1); // not made to look into it
    mode_t mask = umask(0);
    int fd = cache_folder_open(CACHE_PROGRAM, CACHE_MAKE);
    umask(mask);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(mode_of("a"), 0700);
    assert_int_equal(mode_of("a/b"), 0700);
    assert_int_equal(mode_of("a/b/programs"), 0700);
    fd = cache_folder_open(CACHE_PROGRAM, CACHE_USE);
    assert_true(fd >= 0);
    close(fd);
    assert_false(cache_has_warned());
}

static void test_folders_that_cannot_be_made(void **state)
{
    (void)state;
    assert_int_equal(file_write(in_root("file"), "x", 1, NULL), WF_OK);
    setenv("WELFORD_CACHE", in_root("file"), 1);
    assert_int_equal(cache_folder_open(CACHE_PACK, CACHE_MAKE), -1);
    char *long_name = calloc(2 * PATH_MAX, 1);
    assert_non_null(long_name);
    memset(long_name, 'x', 2 * PATH_MAX - 1);
    setenv("WELFORD_CACHE", long_name, 1);
    assert_int_equal(cache_folder_open(CACHE_PACK, CACHE_MAKE), -1);
    free(long_name);
    assert_false(cache_has_warned());
}

static void test_read_only_folder(void **state)
{
    (void)state;
    setenv("WELFORD_CACHE", root, 1);
    assert_int_equal(chmod(root, 0555), 0);
    pid_t child = fork();
    if (child == 0) { // root may write anywhere, so become somebody else
        bool other = geteuid() != 0 || (setgid(SOMEBODY) == 0 && setuid(SOMEBODY) == 0);
        _exit(!other ? 2 : cache_folder_open(CACHE_PROGRAM, CACHE_MAKE) >= 0 ? 1 : 0);
    }
    int result;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_int_equal(chmod(root, 0755), 0);
    assert_true(WIFEXITED(result));
    if (WEXITSTATUS(result) == 2) skip();
    assert_int_equal(WEXITSTATUS(result), 0);
}

// ---- trust

// Opens the entry twice, as the user or as somebody else; 'u'sed or 'n'ot in *used, what was printed in `text`.
static void open_entry(bool as_somebody, char *used, char text[4096])
{
    int ends[2], result;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        if (as_somebody && (setgid(SOMEBODY) || setuid(SOMEBODY))) _exit(2);
        bool found = true;
        for (int i = 0; i < 2; i++) {
            int folder = cache_folder_open(CACHE_PROGRAM, CACHE_MAKE);
            int fd = folder < 0 ? -1 : cache_file_open(folder, CACHE_PROGRAM, ENTRY);
            found = found && fd >= 0;
        }
        _exit(found ? 0 : 1);
    }
    close(ends[1]);
    size_t n = 0;
    for (ssize_t got; n < 4095 && (got = read(ends[0], text + n, 4095 - n)) > 0;) n += (size_t)got;
    text[n] = 0;
    close(ends[0]);
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_true(WIFEXITED(result) && WEXITSTATUS(result) < 2);
    *used = WEXITSTATUS(result) == 0 ? 'u' : 'n';
}

static void expect_used(void)
{
    char used, text[4096];
    open_entry(false, &used, text);
    assert_string_equal(text, "");
    assert_int_equal(used, 'u');
}

// Not used, and one line says that, though it was tried twice.
static void expect_warning(const char *what, const char *reason)
{
    char used, text[4096];
    open_entry(false, &used, text);
    assert_int_equal(used, 'n');
    char *end = strchr(text, '\n');
    if (!end || end[1] || strncmp(text, "welford: warning: ", 18) || !strstr(text, what) || !strstr(text, reason))
        fail_msg("%s, %s: %s", what, reason, text);
}

static void make_entry(void)
{
    int fd = cache_folder_open(CACHE_PROGRAM, CACHE_MAKE);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(file_write(in_root("cache/programs/" KEY ".wfprog"), "x", 1, NULL), WF_OK);
    assert_int_equal(chmod(in_root("cache/programs/" KEY ".wfprog"), 0644), 0);
    expect_used();
}

static const struct {
    const char *path, *warning;
} PLACES[] = {{"cache", "/cache is not used"},
              {"cache/programs", "/cache/programs is not used"},
              {"cache/programs/" KEY ".wfprog", "the cached program " KEY ".wfprog is made anew"}};
enum { N_PLACES = sizeof PLACES / sizeof *PLACES };

static void test_others_may_write(void **state)
{
    (void)state;
    make_entry();
    for (size_t i = 0; i < N_PLACES; i++) {
        mode_t before = mode_of(PLACES[i].path);
        const mode_t modes[] = {before | 0020, before | 0002, 0777, 01777};
        for (size_t m = 0; m < sizeof modes / sizeof *modes; m++) {
            assert_int_equal(chmod(in_root(PLACES[i].path), modes[m]), 0);
            expect_warning(PLACES[i].warning, "others may write to it");
        }
        assert_int_equal(chmod(in_root(PLACES[i].path), before), 0);
        expect_used();
    }
    assert_int_equal(chmod(in_root("cache"), 0755), 0); // others may look
    assert_int_equal(chmod(in_root("cache/programs"), 0555), 0);
    expect_used();
    assert_int_equal(chmod(in_root("cache/programs"), 0700), 0); // so that it can be removed
}

static void test_of_another_user(void **state)
{
    (void)state;
    if (geteuid() != 0) skip();
    make_entry();
    for (size_t i = 0; i < N_PLACES; i++) {
        assert_int_equal(chown(in_root(PLACES[i].path), SOMEBODY, SOMEBODY), 0);
        expect_warning(PLACES[i].warning, "it belongs to another user");
        assert_int_equal(chown(in_root(PLACES[i].path), 0, 0), 0);
        expect_used();
    }
}

// What belongs to root may be used by anybody.
static void test_of_root(void **state)
{
    (void)state;
    char used, text[4096];
    if (geteuid() != 0) skip();
    make_entry();
    const char *const folders[] = {"", "cache", "cache/programs"};
    for (int i = 0; i < 3; i++) assert_int_equal(chmod(in_root(folders[i]), 0755), 0);
    open_entry(true, &used, text);
    assert_string_equal(text, "");
    assert_int_equal(used, 'u');
    assert_int_equal(chown(in_root("cache/programs"), 12345, 12345), 0);
    open_entry(true, &used, text);
    assert_int_equal(used, 'n');
    assert_non_null(strstr(text, "it belongs to another user"));
}

static void test_links(void **state)
{
    (void)state;
    make_entry();
    const char *entry = in_root("cache/programs/" KEY ".wfprog");
    assert_int_equal(rename(entry, in_root("elsewhere")), 0);
    assert_int_equal(symlink(in_root("elsewhere"), entry), 0);
    expect_warning("the cached program", "it is a link");
    assert_int_equal(unlink(entry), 0);
    assert_int_equal(mkfifo(entry, 0600), 0);
    expect_warning("the cached program", "it is not a file"); // and nothing waits for a writer
    assert_int_equal(unlink(entry), 0);
    assert_int_equal(rename(in_root("elsewhere"), entry), 0);
    expect_used();

    // The root may be a link, to another disk; it is what it leads to that counts.
    assert_int_equal(rename(in_root("cache"), in_root("disk")), 0);
    assert_int_equal(symlink(in_root("disk"), in_root("cache")), 0);
    expect_used();
    assert_int_equal(chmod(in_root("disk"), 0770), 0);
    expect_warning("/cache is not used", "others may write to it");
    assert_int_equal(chmod(in_root("disk"), 0700), 0);

    char used, text[4096];
    assert_int_equal(rename(in_root("disk/programs"), in_root("programs")), 0);
    assert_int_equal(symlink(in_root("programs"), in_root("disk/programs")), 0);
    open_entry(false, &used, text);
    assert_int_equal(used, 'n');
}

// What is about to be evicted is not there any more; what is open cannot be.
static void test_locks(void **state)
{
    (void)state;
    make_entry();
    int folder = cache_folder_open(CACHE_PROGRAM, CACHE_USE), fd = cache_file_open(folder, CACHE_PROGRAM, ENTRY);
    int evictor = openat(folder, ENTRY, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0 && evictor >= 0);
    assert_int_equal(flock(evictor, LOCK_EX | LOCK_NB), -1);
    close(fd);
    assert_int_equal(flock(evictor, LOCK_EX | LOCK_NB), 0);
    assert_int_equal(cache_file_open(folder, CACHE_PROGRAM, ENTRY), -1);
    close(evictor);
    fd = cache_file_open(folder, CACHE_PROGRAM, ENTRY);
    assert_true(fd >= 0);
    close(fd);
    close(folder);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, remove_root)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_where_it_is),
        TEST(test_names),
        TEST(test_folders_are_private),
        TEST(test_folders_that_cannot_be_made),
        TEST(test_read_only_folder),
        TEST(test_others_may_write),
        TEST(test_of_another_user),
        TEST(test_of_root),
        TEST(test_links),
        TEST(test_locks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
