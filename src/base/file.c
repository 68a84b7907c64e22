#define _GNU_SOURCE
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
            status = error_set(err, WF_ERROR_IO, "%s: %s", path, strerror(errno));
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

wf_status file_write_atomic(const char *path, const void *data, size_t bytes, wf_error *err)
{
    char temporary[PATH_MAX];
    int n = snprintf(temporary, sizeof temporary, "%s.XXXXXX", path);
    if (n < 0 || (size_t)n >= sizeof temporary) return error_set(err, WF_ERROR_IO, "%s: path too long", path);
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0) return error_set(err, WF_ERROR_IO, "%s: %s", path, strerror(errno));
    const char *p = data;
    int reason = 0;
    while (bytes && !reason) {
        ssize_t written = write(fd, p, bytes);
        if (written >= 0)
            p += written, bytes -= (size_t)written;
        else if (errno != EINTR)
            reason = errno;
    }
    mode_t mask = umask(0);
    umask(mask);
    if (!reason && fchmod(fd, 0666 & ~mask)) reason = errno;
    if (close(fd) && !reason) reason = errno;
    if (!reason && rename(temporary, path)) reason = errno;
    if (!reason) return WF_OK;
    unlink(temporary);
    return error_set(err, WF_ERROR_IO, "%s: %s", path, strerror(reason));
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
