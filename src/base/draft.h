// A file under construction: nobody sees it until it is whole.
//
//     draft_open ── write to fd ──▶ draft_publish ──▶ draft_close
//
// It has no name where the file system allows that (O_TMPFILE), so that it goes with the process, however that ends.
// Elsewhere it is PATH.XXXXXX. It is under a shared lock (flock) for as long as its fd is open: draft_remove_unused
// tells by that what nobody writes or reads any more.
//
// Paths are relative to the open folder `folder`, as for openat; AT_FDCWD: to the working directory.
#ifndef WELFORD_BASE_DRAFT_H
#define WELFORD_BASE_DRAFT_H

#include <limits.h>
#include <stdbool.h>

typedef struct draft {
    int fd;              // to read and write; -1: none
    int folder;          // the caller's
    char name[PATH_MAX]; // "": it has none
} draft;

// In the folder of `path`. `mode`: who may read it and write to it, less the umask. False: the folder cannot be
// written, errno says why.
bool draft_open(int folder, const char *path, unsigned mode, draft *d);

// Gives it its name, in the place of what had it. False: it is a draft still.
bool draft_publish(draft *d, const char *path);

// Closes it; what was not published is gone.
void draft_close(draft *d);

// Removes a file, a draft or one that was published, unless somebody holds a lock on it. False: it is there still.
bool draft_remove_unused(int folder, const char *name);

#endif
