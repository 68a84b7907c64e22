// Quotas of control groups in files made here, and what this process may use.
#include "base/cores.h"

#include <limits.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h> // needs those above

#include "base/file.h"

static void put(const char *folder, const char *name, const char *text)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    char *slash = strrchr(path, '/');
    *slash = 0;
    assert_int_equal(file_make_folder(path, NULL), WF_OK);
    *slash = '/';
    assert_int_equal(file_write(path, text, strlen(text), NULL), WF_OK);
}

static void remove_tree(const char *folder)
{
    char command[PATH_MAX + 16];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    assert_int_equal(system(command), 0);
}

static void test_quota(void **state)
{
    (void)state;
    char folder[] = "/tmp/welford-cores-XXXXXX", list[PATH_MAX];
    assert_non_null(mkdtemp(folder));
    snprintf(list, sizeof list, "%s/cgroup", folder);
    assert_int_equal(cores_quota(list, folder), 0); // no file at all

    put(folder, "cgroup", "0::/a/b\n");
    assert_int_equal(cores_quota(list, folder), 0);
    put(folder, "a/b/cpu.max", "max 100000\n");
    assert_int_equal(cores_quota(list, folder), 0);
    put(folder, "a/cpu.max", "350000 100000\n"); // a parent's quota holds too
    assert_int_equal(cores_quota(list, folder), 4);
    put(folder, "a/b/cpu.max", "50000 100000\n");
    assert_int_equal(cores_quota(list, folder), 1);
    put(folder, "a/b/cpu.max", "800000 100000\n");
    assert_int_equal(cores_quota(list, folder), 4);
    put(folder, "a/cpu.max", "nonsense\n");
    assert_int_equal(cores_quota(list, folder), 8);
    put(folder, "a/b/cpu.max", "100000 0\n");
    assert_int_equal(cores_quota(list, folder), 0);
    put(folder, "cpu.max", "200000 100000"); // the group's own folder is not visible in the container, the root is
    put(folder, "cgroup", "0::/somewhere/else");
    assert_int_equal(cores_quota(list, folder), 2);

    put(folder, "cgroup", "7:cpuset:/\n4:cpu,cpuacct:/job\n0::/hidden\nnonsense\n:\n");
    put(folder, "cpu,cpuacct/job/cpu.cfs_quota_us", "-1\n");
    put(folder, "cpu,cpuacct/job/cpu.cfs_period_us", "100000\n");
    put(folder, "cpu.max", "max 100000");
    assert_int_equal(cores_quota(list, folder), 0);
    put(folder, "cpu,cpuacct/job/cpu.cfs_quota_us", "150000\n");
    assert_int_equal(cores_quota(list, folder), 2);
    put(folder, "unified/hidden/cpu.max", "100000 100000");
    assert_int_equal(cores_quota(list, folder), 1);
    remove_tree(folder);
}

static void test_usable(void **state)
{
    (void)state;
    int all = cores_usable();
    assert_true(all >= 1 && all <= sysconf(_SC_NPROCESSORS_CONF));
    cpu_set_t before, one;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    CPU_ZERO(&one);
    for (size_t i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &before)) {
            CPU_SET(i, &one);
            break;
        }
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    int usable = cores_usable();
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    assert_int_equal(usable, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quota),
        cmocka_unit_test(test_usable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
