#define _GNU_SOURCE
#include "base/draft.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static bool make_name(const char *path, char name[PATH_MAX])
{
    int n = snprintf(name, PATH_MAX, "%s.XXXXXX", path);
    if (n > 0 && n < PATH_MAX) return true;
    errno = ENAMETOOLONG;
    return false;
}

bool draft_open(const char *path, unsigned mode, draft *d)
{
    const char *slash = strrchr(path, '/');
    char folder[PATH_MAX];
    *d = (draft){.fd = -1};
    if (!make_name(path, folder)) return false;
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
    d->fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
    if (d->fd >= 0) return true;
    make_name(path, d->name);
    d->fd = mkostemp(d->name, O_CLOEXEC);
    if (d->fd < 0) d->name[0] = 0;
    if (d->fd >= 0) flock(d->fd, LOCK_EX | LOCK_NB);
    return d->fd >= 0;
}

// A link must not replace a file: where there is one, a name of its own comes first.
static bool link_to(draft *d, const char *path)
{
    char self[64];
    snprintf(self, sizeof self, "/proc/self/fd/%d", d->fd);
    if (!linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW)) return true;
    if (errno != EEXIST || !make_name(path, d->name)) return false;
    int fd = mkostemp(d->name, O_CLOEXEC); // a name that is free; and then nearly always still
    if (fd >= 0) close(fd);
    if (fd >= 0 && !unlink(d->name) && !linkat(AT_FDCWD, self, AT_FDCWD, d->name, AT_SYMLINK_FOLLOW)) return true;
    d->name[0] = 0;
    return false;
}

bool draft_publish(draft *d, const char *path)
{
    if (!d->name[0] && !link_to(d, path)) return false;
    if (d->name[0] && rename(d->name, path)) return false;
    d->name[0] = 0;
    return true;
}

void draft_close(draft *d)
{
    if (d->name[0]) unlink(d->name);
    if (d->fd >= 0) close(d->fd);
    *d = (draft){.fd = -1};
}

bool draft_is_abandoned(int folder, const char *name)
{
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    if (fd < 0) return false;
    bool abandoned = !flock(fd, LOCK_EX | LOCK_NB);
    close(fd);
    return abandoned;
}
