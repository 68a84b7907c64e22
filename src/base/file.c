#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"

wf_status file_map_open(const char *path, file_map *map, wf_error *err)
{
    *map = (file_map){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return error_set(err, WF_ERROR_IO, "%s: %s", path, strerror(errno));
    struct stat st;
    wf_status status = WF_OK;
    if (fstat(fd, &st)) {
        status = error_set(err, WF_ERROR_IO, "%s: %s", path, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        status = error_set(err, WF_ERROR_IO, "%s: not a regular file", path);
    } else if (st.st_size > 0) {
        void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (data == MAP_FAILED)
            status = error_set(err, errno == ENOMEM ? WF_ERROR_MEMORY : WF_ERROR_IO, "%s: %s", path, strerror(errno));
        else
            map->data = data, map->bytes = (size_t)st.st_size;
    }
    if (status == WF_OK) map->mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    close(fd);
    return status;
}

void file_map_close(file_map *map)
{
    if (map->data) munmap((void *)map->data, map->bytes);
    *map = (file_map){0};
}

wf_status file_read(const char *path, char **data, size_t *bytes, wf_error *err)
{
    *data = NULL;
    *bytes = 0;
    bool is_stdin = !strcmp(path, "-");
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return error_set(err, WF_ERROR_IO, "%s: %s", path, strerror(errno));
    buffer b = {0};
    wf_status status = WF_OK;
    for (;;) {
        if (!buffer_reserve(&b, 64 * 1024)) {
            status = error_memory(err, b.len + 64 * 1024);
            break;
        }
        ssize_t n = read(fd, b.data + b.len, 64 * 1024);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) status = error_set(err, WF_ERROR_IO, "%s: %s", is_stdin ? "stdin" : path, strerror(errno));
        if (n <= 0) break;
        b.len += (size_t)n;
    }
    if (!is_stdin) close(fd);
    if (status != WF_OK) {
        buffer_free(&b);
        return status;
    }
    b.data[b.len] = 0;
    *data = b.data;
    *bytes = b.len;
    return WF_OK;
}

// ---- writing

// 0, or errno.
static int write_all(int fd, const char *data, size_t bytes)
{
    while (bytes) {
        ssize_t written = write(fd, data, bytes);
        if (written >= 0)
            data += written, bytes -= (size_t)written;
        else if (errno != EINTR)
            return errno;
    }
    return 0;
}

static int close_after(int fd, int reason) { return close(fd) && !reason ? errno : reason; }

// Into what is there: a device, a FIFO, a file in a folder that may not be written to.
static int write_through(const char *path, const char *data, size_t bytes)
{
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOCTTY);
    return fd < 0 ? errno : close_after(fd, write_all(fd, data, bytes));
}

// The name that a chain of symlinks ends in, which need not exist. 0, or errno.
static int follow_links(const char *path, char target[PATH_MAX])
{
    enum { MAX_LINKS = 40 }; // as in Linux
    if (snprintf(target, PATH_MAX, "%s", path) >= PATH_MAX) return ENAMETOOLONG;
    for (int i = 0; i < MAX_LINKS; i++) {
        char link[PATH_MAX];
        ssize_t n = readlink(target, link, sizeof link - 1);
        if (n < 0) return 0; // the end of the chain, or nothing there
        link[n] = 0;
        const char *slash = strrchr(target, '/');
        size_t folder = link[0] == '/' || !slash ? 0 : (size_t)(slash - target) + 1;
        if (folder + (size_t)n >= PATH_MAX) return ENAMETOOLONG;
        memcpy(target + folder, link, (size_t)n + 1);
    }
    return ELOOP;
}

// A new file beside `path`, whose name tells whose it is where that is not too long.
static int create_beside(const char *path, char temporary[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    int fd = -1, folder = slash ? (int)(slash - path) + 1 : 0;
    errno = ENAMETOOLONG;
    if (snprintf(temporary, PATH_MAX, "%s.XXXXXX", path) < PATH_MAX) fd = mkostemp(temporary, O_CLOEXEC);
    if (fd >= 0 || errno != ENAMETOOLONG) return fd;
    if (snprintf(temporary, PATH_MAX, "%.*s.welford.XXXXXX", folder, path) >= PATH_MAX) return -1;
    return mkostemp(temporary, O_CLOEXEC);
}

// Owner and mode of the file that is replaced; without one, mode 0666 less the umask.
static int copy_owner(int fd, const struct stat *old)
{
    mode_t mask = umask(0), mode = 0666 & ~mask;
    umask(mask);
    if (old) mode = fchown(fd, old->st_uid, old->st_gid) ? old->st_mode & 0777 : old->st_mode & 07777;
    return fchmod(fd, mode) ? errno : 0;
}

// `old`: of the plain file there, or NULL.
static int replace(const char *path, const struct stat *old, const char *data, size_t bytes)
{
    char temporary[PATH_MAX];
    if (old && access(path, W_OK)) return errno; // a file that says it is not to be written to
    int fd = create_beside(path, temporary);
    if (fd < 0 && old && (errno == EACCES || errno == EPERM)) return write_through(path, data, bytes);
    if (fd < 0) return errno;
    int reason = write_all(fd, data, bytes);
    if (!reason) reason = copy_owner(fd, old);
    reason = close_after(fd, reason);
    if (!reason && rename(temporary, path)) reason = errno;
    if (reason) unlink(temporary);
    return reason;
}

// The descriptor of standard output or standard error when `path` is that, as /dev/stdout is; else -1.
static int find_standard(const char *path, const struct stat *there)
{
    if (!strcmp(path, "-")) return STDOUT_FILENO;
    for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++) {
        struct stat own;
        if (there && !fstat(fd, &own) && own.st_dev == there->st_dev && own.st_ino == there->st_ino) return fd;
    }
    return -1;
}

wf_status file_write(const char *path, const void *data, size_t bytes, wf_error *err)
{
    char target[PATH_MAX];
    struct stat st;
    const struct stat *there = stat(path, &st) ? NULL : &st;
    int standard = find_standard(path, there), reason;
    if (standard >= 0) {
        fflush(standard == STDOUT_FILENO ? stdout : stderr);
        reason = write_all(standard, data, bytes);
    } else if (there && !S_ISREG(st.st_mode)) {
        reason = write_through(path, data, bytes);
    } else {
        reason = follow_links(path, target);
        if (!reason) reason = replace(target, there, data, bytes);
    }
    return reason ? error_set(err, WF_ERROR_IO, "%s: %s", path, strerror(reason)) : WF_OK;
}

wf_status file_check_output(const char *path, wf_error *err)
{
    char folder[PATH_MAX];
    struct stat st;
    bool exists = !stat(path, &st);
    const char *slash = strrchr(path, '/');
    if (!strcmp(path, "-")) return WF_OK;
    if (exists && S_ISDIR(st.st_mode)) return error_set(err, WF_ERROR_IO, "%s: %s", path, strerror(EISDIR));
    int n = snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
    if (n >= (int)sizeof folder) return error_set(err, WF_ERROR_IO, "%s: path too long", path);
    // a plain file is replaced, for which its folder counts
    if (!access(exists && !S_ISREG(st.st_mode) ? path : folder, W_OK)) return WF_OK;
    return error_set(err, WF_ERROR_IO, "%s: %s", path, strerror(errno));
}

wf_status file_make_folder(const char *path, wf_error *err)
{
    char prefix[PATH_MAX];
    size_t len = strlen(path);
    if (len >= sizeof prefix) return error_set(err, WF_ERROR_IO, "%s: path too long", path);
    memcpy(prefix, path, len + 1);
    for (size_t i = 1; i <= len; i++) {
        if (prefix[i] != '/' && prefix[i] != 0) continue;
        prefix[i] = 0;
        if (mkdir(prefix, 0777) && errno != EEXIST)
            return error_set(err, WF_ERROR_IO, "%s: %s", prefix, strerror(errno));
        if (i < len) prefix[i] = '/';
    }
    struct stat st;
    if (stat(path, &st) || !S_ISDIR(st.st_mode)) return error_set(err, WF_ERROR_IO, "%s: not a folder", path);
    return WF_OK;
}
