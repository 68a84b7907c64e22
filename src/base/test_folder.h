// For tests: a new folder for each, `root`, which goes with all that is in it.
#ifndef WELFORD_BASE_TEST_FOLDER_H
#define WELFORD_BASE_TEST_FOLDER_H

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

static char root[64];

// The path of something in it; good for three calls more.
static inline const char *in_root(const char *name)
{
    static char paths[4][PATH_MAX];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, PATH_MAX, "%s/%s", root, name);
    return path;
}

static inline int make_root(void)
{
    snprintf(root, sizeof root, "/tmp/welford-test-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

// As a test's tear-down.
static inline int remove_root(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", root);
    return system(command);
}

// Changes a bit of a file; false: it cannot be.
static inline int flip_bit(const char *path, long at)
{
    FILE *file = fopen(path, "r+b");
    if (!file) return 0;
    fseek(file, at, SEEK_SET);
    int c = fgetc(file);
    fseek(file, at, SEEK_SET);
    fputc(c ^ 1, file);
    return !fclose(file);
}

#endif
