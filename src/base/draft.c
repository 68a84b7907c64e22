#include "base/draft.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

bool draft_open(int folder, const char *path, unsigned mode, draft *d)
{
    const char *slash = strrchr(path, '/');
    char place[PATH_MAX];
    *d = (draft){.fd = -1, .folder = folder};
    if (!file_new_name(path, place)) return false;
    snprintf(place, sizeof place, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
    d->fd = openat(folder, place, O_TMPFILE | O_RDWR | O_CLOEXEC, (mode_t)mode);
    if (d->fd < 0) d->fd = file_create_new(folder, path, mode, d->name);
    if (d->fd < 0) d->name[0] = 0;
    if (d->fd >= 0) flock(d->fd, LOCK_SH | LOCK_NB);
    return d->fd >= 0;
}

// A link must not replace a file: where there is one, a name of its own comes first.
static bool link_to(draft *d, const char *path)
{
    char self[64];
    snprintf(self, sizeof self, "/proc/self/fd/%d", d->fd);
    if (!linkat(AT_FDCWD, self, d->folder, path, AT_SYMLINK_FOLLOW)) return true;
    for (int tries = 0; tries < 100 && errno == EEXIST && file_new_name(path, d->name); tries++)
        if (!linkat(AT_FDCWD, self, d->folder, d->name, AT_SYMLINK_FOLLOW)) return true;
    d->name[0] = 0;
    return false;
}

bool draft_publish(draft *d, const char *path)
{
    if (!d->name[0] && !link_to(d, path)) return false;
    if (d->name[0] && renameat(d->folder, d->name, d->folder, path)) return false;
    d->name[0] = 0;
    return true;
}

void draft_close(draft *d)
{
    if (d->name[0]) unlinkat(d->folder, d->name, 0);
    if (d->fd >= 0) close(d->fd);
    *d = (draft){.fd = -1};
}

// Whether the name still means the open file: another may have been published in its place.
static bool is_named(int folder, const char *name, int fd)
{
    struct stat named, open;
    return !fstatat(folder, name, &named, AT_SYMLINK_NOFOLLOW) && !fstat(fd, &open) && named.st_dev == open.st_dev &&
           named.st_ino == open.st_ino;
}

bool draft_remove_unused(int folder, const char *name)
{
    // To write as well, which NFS asks of an exclusive lock.
    int fd = openat(folder, name, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    if (fd < 0) return false;
    bool gone = !flock(fd, LOCK_EX | LOCK_NB) && is_named(folder, name, fd) && !unlinkat(folder, name, 0);
    close(fd);
    return gone;
}
