#include "base/memory.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static size_t minimum(size_t a, size_t b) { return a < b ? a : b; }

static size_t add(size_t a, size_t b) { return a > SIZE_MAX - b ? SIZE_MAX : a + b; }

static size_t subtract(size_t a, size_t b) { return a > b ? a - b : 0; }

// The number behind `name` in a file of lines "name number"; false: none.
static bool read_field(const char *path, const char *name, size_t *value)
{
    FILE *file = fopen(path, "re");
    char line[256];
    bool found = false;
    size_t length = strlen(name);
    while (file && !found && fgets(line, sizeof line, file))
        found = !strncmp(line, name, length) && sscanf(line + length, "%zu", value) == 1;
    if (file) fclose(file);
    return found;
}

// Two fields of /proc/meminfo together, in bytes.
static size_t read_system(const char *memory, const char *swap)
{
    size_t kib = 0, swap_kib = 0;
    if (!read_field("/proc/meminfo", memory, &kib)) return SIZE_MAX;
    read_field("/proc/meminfo", swap, &swap_kib);
    return add(kib, swap_kib) * 1024;
}

// What the control group (version 2) allows, less what it holds and cannot let go unless `whole`. Pages of files can.
static size_t read_group(bool whole)
{
    char group[PATH_MAX] = "", folder[PATH_MAX + 64], path[PATH_MAX + 96];
    FILE *file = fopen("/proc/self/cgroup", "re");
    while (file && fgets(folder, sizeof folder, file))
        if (sscanf(folder, "0::%4095[^\n]", group) == 1) break;
    if (file) fclose(file);
    size_t limit, used = 0, of_files = 0;
    snprintf(folder, sizeof folder, "/sys/fs/cgroup%s", group);
    snprintf(path, sizeof path, "%s/memory.max", folder);
    if (!read_field(path, "", &limit)) return SIZE_MAX; // "max", or no such file
    if (whole) return limit;
    snprintf(path, sizeof path, "%s/memory.current", folder);
    read_field(path, "", &used);
    snprintf(path, sizeof path, "%s/memory.stat", folder);
    read_field(path, "file ", &of_files);
    return subtract(limit, subtract(used, of_files));
}

// Of addresses (ulimit -v).
static size_t read_process(bool whole)
{
    struct rlimit limit;
    size_t pages = 0;
    if (getrlimit(RLIMIT_AS, &limit) || limit.rlim_cur == RLIM_INFINITY) return SIZE_MAX;
    if (!whole) read_field("/proc/self/statm", "", &pages);
    return subtract((size_t)limit.rlim_cur, pages * (size_t)sysconf(_SC_PAGESIZE));
}

size_t memory_available(void)
{
    return minimum(minimum(read_system("MemAvailable:", "SwapFree:"), read_group(false)), read_process(false));
}

size_t memory_total(void)
{
    return minimum(minimum(read_system("MemTotal:", "SwapTotal:"), read_group(true)), read_process(true));
}
