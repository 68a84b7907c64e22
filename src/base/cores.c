#include "base/cores.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/view.h"

static int count_affine_cores(void)
{
    // The kernel refuses a mask smaller than its own, so grow until it fits.
    for (size_t n_cpus = 1024; n_cpus <= 1 << 20; n_cpus *= 2) {
        cpu_set_t *set = CPU_ALLOC(n_cpus);
        if (!set) break;
        size_t bytes = CPU_ALLOC_SIZE(n_cpus);
        int failed = sched_getaffinity(0, bytes, set), reason = errno;
        int count = failed ? 0 : CPU_COUNT_S(bytes, set);
        CPU_FREE(set);
        if (!failed) return count;
        if (reason != EINVAL) break;
    }
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 && online < INT_MAX ? (int)online : 1;
}

// Reads up to two numbers from a file in a folder; false when it is missing or says "max" or -1.
static bool read_numbers(const char *folder, const char *file, long long *first, long long *second)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/%s", folder, file);
    if (n < 0 || (size_t)n >= sizeof path) return false;
    char *text;
    size_t bytes;
    if (file_read(path, &text, &bytes, NULL) != WF_OK) return false;
    int found = sscanf(text, second ? "%lld %lld" : "%lld", first, second);
    free(text);
    return found == (second ? 2 : 1) && *first > 0 && (!second || *second > 0);
}

// The smallest quota on the way from mount/group up to mount, in cores rounded up; `limit` where there is none smaller.
static int find_quota(const char *mount, view group, bool v2, int limit)
{
    char folder[PATH_MAX];
    size_t root = strlen(mount);
    int n = snprintf(folder, sizeof folder, "%s%.*s", mount, VIEW_ARG(group));
    if (n < 0 || (size_t)n >= sizeof folder) return limit;
    for (;;) {
        long long quota, period;
        bool found = v2 ? read_numbers(folder, "cpu.max", &quota, &period)
                        : read_numbers(folder, "cpu.cfs_quota_us", &quota, NULL) &&
                              read_numbers(folder, "cpu.cfs_period_us", &period, NULL);
        long long cores = found ? quota / period + (quota % period != 0) : 0;
        if (found && (!limit || cores < limit)) limit = cores < INT_MAX ? (int)cores : INT_MAX;
        char *slash = strrchr(folder, '/');
        if (!slash || (size_t)(slash - folder) < root) return limit;
        *slash = 0;
    }
}

// Whether a comma-separated list holds "cpu".
static bool lists_cpu(view list)
{
    while (list.len) {
        const char *comma = memchr(list.data, ',', list.len);
        size_t len = comma ? (size_t)(comma - list.data) : list.len;
        if (view_is((view){list.data, len}, "cpu")) return true;
        if (comma) len++;
        list.data += len;
        list.len -= len;
    }
    return false;
}

// A line is "hierarchy:controllers:/group"; version 2 has hierarchy 0 and no controllers. Version 1 mounts each list of
// controllers as a folder of that name; version 2 is the mount itself, or its folder "unified" beside version 1.
int cores_quota(const char *proc_cgroup, const char *mount)
{
    char *text;
    size_t bytes;
    if (file_read(proc_cgroup, &text, &bytes, NULL) != WF_OK) return 0;
    int limit = 0;
    for (char *line = text, *next; *line; line = next) {
        next = line + strcspn(line, "\n");
        size_t len = (size_t)(next - line);
        if (*next) next++;
        const char *first = memchr(line, ':', len);
        const char *second = first ? memchr(first + 1, ':', len - (size_t)(first + 1 - line)) : NULL;
        if (!second) continue;
        view controllers = {first + 1, (size_t)(second - first - 1)},
             group = {second + 1, len - (size_t)(second + 1 - line)};
        char folder[PATH_MAX];
        if (controllers.len == 0) {
            limit = find_quota(mount, group, true, limit);
            snprintf(folder, sizeof folder, "%s/unified", mount);
            limit = find_quota(folder, group, true, limit);
        } else if (lists_cpu(controllers)) {
            snprintf(folder, sizeof folder, "%s/%.*s", mount, VIEW_ARG(controllers));
            limit = find_quota(folder, group, false, limit);
        }
    }
    free(text);
    return limit;
}

int cores_usable(void)
{
    int cores = count_affine_cores(), quota = cores_quota("/proc/self/cgroup", "/sys/fs/cgroup");
    if (quota && quota < cores) cores = quota;
    return cores > 0 ? cores : 1;
}
