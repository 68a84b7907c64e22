#include "base/file.h"

#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h> // needs those above

static char folder[] = "/tmp/welford-file-test-XXXXXX";
static wf_error err;

static const char *in_folder(const char *name)
{
    static char paths[4][PATH_MAX];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, PATH_MAX, "%s/%s", folder, name);
    return path;
}

static void writes(const char *path, const char *text)
{
    if (file_write(path, text, strlen(text), &err) != WF_OK) fail_msg("%s", err.message);
}

static void holds(const char *path, const char *text)
{
    char *data;
    size_t bytes;
    assert_int_equal(file_read(path, &data, &bytes, &err), WF_OK);
    assert_string_equal(data, text);
    free(data);
}

static mode_t mode_of(const char *path)
{
    struct stat st;
    assert_int_equal(lstat(path, &st), 0);
    return st.st_mode;
}

static void replaces_plain_files(void **state)
{
    (void)state;
    const char *path = in_folder("plain");
    umask(022);
    writes(path, "one");
    assert_int_equal(mode_of(path), S_IFREG | 0644);
    assert_int_equal(chmod(path, 0751), 0);
    int before = open(path, O_RDONLY | O_CLOEXEC);
    writes(path, "another");
    holds(path, "another");
    assert_int_equal(mode_of(path), S_IFREG | 0751);
    char old[8] = {0}; // readers of the old file keep it whole
    assert_int_equal(read(before, old, sizeof old - 1), 3);
    assert_string_equal(old, "one");
    close(before);
}

static void keeps_the_owner(void **state)
{
    (void)state;
    struct stat st;
    const char *path = in_folder("owned");
    if (geteuid()) skip();
    writes(path, "one");
    assert_int_equal(chown(path, 1234, 5678), 0);
    assert_int_equal(chmod(path, 0640), 0);
    writes(path, "two");
    holds(path, "two");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_uid, 1234);
    assert_int_equal(st.st_gid, 5678);
    assert_int_equal(st.st_mode, S_IFREG | 0640);
}

static void follows_links(void **state)
{
    (void)state;
    writes(in_folder("target"), "one");
    assert_int_equal(mkdir(in_folder("sub"), 0755), 0);
    assert_int_equal(symlink("../target", in_folder("sub/relative")), 0);
    assert_int_equal(symlink(in_folder("sub/relative"), in_folder("chain")), 0);
    assert_int_equal(symlink("not-yet", in_folder("dangling")), 0);
    assert_int_equal(symlink("loop", in_folder("loop")), 0);
    writes(in_folder("chain"), "two");
    holds(in_folder("target"), "two");
    assert_true(S_ISLNK(mode_of(in_folder("chain"))) && S_ISLNK(mode_of(in_folder("sub/relative"))));
    writes(in_folder("dangling"), "three");
    holds(in_folder("not-yet"), "three");
    assert_true(S_ISLNK(mode_of(in_folder("dangling"))));
    assert_int_equal(file_write(in_folder("loop"), "x", 1, &err), WF_ERROR_IO);
    assert_true(S_ISLNK(mode_of(in_folder("loop"))));
}

static void writes_into_fifos_and_devices(void **state)
{
    (void)state;
    char text[8] = {0};
    const char *fifo = in_folder("fifo"), *device = in_folder("device"), *link = in_folder("link");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    int reader = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    writes(fifo, "through");
    assert_int_equal(read(reader, text, sizeof text - 1), 7);
    assert_string_equal(text, "through");
    assert_true(S_ISFIFO(mode_of(fifo)));
    close(reader);
    if (mknod(device, S_IFCHR | 0666, makedev(1, 3))) return; // needs root: a null device of our own
    if (file_write(device, "x", 1, &err) != WF_OK) return;    // a file system without devices
    assert_int_equal(symlink("device", link), 0);
    writes(link, "x");
    assert_true(S_ISCHR(mode_of(device)));
}

static void takes_standard_output(void **state)
{
    (void)state;
    const char *path = in_folder("stdout");
    fflush(stdout);
    int saved = dup(STDOUT_FILENO), to = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    dup2(to, STDOUT_FILENO);
    printf("one ");
    writes("-", "two ");
    writes(path, "three "); // the same file
    if (!access("/dev/stdout", F_OK)) writes("/dev/stdout", "four");
    dup2(saved, STDOUT_FILENO);
    close(saved);
    close(to);
    holds(path, access("/dev/stdout", F_OK) ? "one two three " : "one two three four");
}

static void says_why_not(void **state)
{
    (void)state;
    char name[PATH_MAX] = "";
    assert_int_equal(file_write(folder, "x", 1, &err), WF_ERROR_IO);
    assert_non_null(strstr(err.message, "directory"));
    assert_int_equal(file_write(in_folder("none/file"), "x", 1, &err), WF_ERROR_IO);
    assert_non_null(strstr(err.message, "No such file"));
    memset(name, 'n', NAME_MAX); // as long as a name may be: none is left for a longer one beside it
    writes(in_folder(name), "long");
    holds(in_folder(name), "long");
    const char *path = in_folder("read-only");
    if (!geteuid()) return;
    writes(path, "one");
    assert_int_equal(chmod(path, 0444), 0);
    assert_int_equal(file_write(path, "two", 3, &err), WF_ERROR_IO);
    holds(path, "one");
}

static int make_folder(void **state)
{
    (void)state;
    return !mkdtemp(folder);
}

static int remove_folder(void **state)
{
    (void)state;
    char command[64];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replaces_plain_files),  cmocka_unit_test(keeps_the_owner),
        cmocka_unit_test(follows_links),         cmocka_unit_test(writes_into_fifos_and_devices),
        cmocka_unit_test(takes_standard_output), cmocka_unit_test(says_why_not),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
