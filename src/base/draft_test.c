// Drafts: nothing is seen of them until they are published, in the place of whatever was there, and nothing after.
#define _GNU_SOURCE
#include "base/draft.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[32];

static const char *in_folder(const char *name)
{
    static char path[64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int set_up(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/welford-draft-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(in_folder("file"));
    unlink(in_folder("file.aaaaaa"));
    return rmdir(folder); // fails where a test left anything else
}

static int count_files(void)
{
    DIR *dir = opendir(folder);
    int n = 0;
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) n += e->d_name[0] != '.';
    closedir(dir);
    return n;
}

static void write_draft(const char *text, bool publish)
{
    draft d;
    assert_true(draft_open(in_folder("file"), 0600, &d));
    assert_int_equal(write(d.fd, text, strlen(text)), (ssize_t)strlen(text));
    if (publish) assert_true(draft_publish(&d, in_folder("file")));
    draft_close(&d);
}

static void check_file(const char *text)
{
    char data[64] = "";
    int fd = open(in_folder("file"), O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && read(fd, data, sizeof data - 1) >= 0);
    close(fd);
    assert_string_equal(data, text);
}

static void test_publishes(void **state)
{
    (void)state;
    write_draft("nothing", false);
    assert_int_equal(count_files(), 0);
    write_draft("one", true);
    check_file("one");
    write_draft("nothing", false);
    write_draft("two", true);
    check_file("two");
    assert_int_equal(count_files(), 1);
}

static void test_where_it_cannot(void **state)
{
    (void)state;
    draft d;
    assert_false(draft_open("/dev/null/file", 0600, &d));
    draft_close(&d);
    char path[PATH_MAX + 8];
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = 0;
    assert_false(draft_open(path, 0600, &d));
    assert_true(draft_open(in_folder("file"), 0600, &d));
    assert_false(draft_publish(&d, in_folder("missing/file")));
    draft_close(&d);
    assert_int_equal(count_files(), 0);
}

static void test_abandoned(void **state)
{
    (void)state;
    int at = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd = open(in_folder("file.aaaaaa"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(at >= 0 && fd >= 0);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_false(draft_is_abandoned(at, "file.aaaaaa"));
    close(fd);
    assert_true(draft_is_abandoned(at, "file.aaaaaa"));
    assert_false(draft_is_abandoned(at, "missing"));
    close(at);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_publishes), TEST(test_where_it_cannot), TEST(test_abandoned)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
