// A file under construction: nobody sees it until it is whole.
//
//     draft_open ── write to fd ──▶ draft_publish ──▶ draft_close
//
// It has no name where the file system allows that (O_TMPFILE), so that it goes with the process, however that ends.
// Elsewhere it is PATH.XXXXXX, under a lock for as long as its writer lives: draft_is_abandoned tells.
#ifndef WELFORD_BASE_DRAFT_H
#define WELFORD_BASE_DRAFT_H

#include <limits.h>
#include <stdbool.h>

typedef struct draft {
    int fd;              // to read and write; -1: none
    char name[PATH_MAX]; // "": it has none
} draft;

// In the folder of `path`. `mode`: who may read it and write to it, less the umask; where it has a name, only its
// owner. False: the folder cannot be written, errno says why.
bool draft_open(const char *path, unsigned mode, draft *d);

// Gives it its name, in the place of what had it. False: it is a draft still.
bool draft_publish(draft *d, const char *path);

// Closes it; what was not published is gone.
void draft_close(draft *d);

// Whether a file is a draft that nobody writes any more.
bool draft_is_abandoned(int folder, const char *name);

#endif
