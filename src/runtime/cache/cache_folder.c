#include "runtime/cache/cache_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

static const struct {
    const char *name, *folder, *suffix;
} KINDS[CACHE_KIND_COUNT] = {
    [CACHE_PROGRAM] = {"program", "programs", ".wfprog"},
    [CACHE_PACK] = {"pack", "packs", ".wfpack"},
};

// ---- names

static bool is_set(const char *value) { return value && *value; }

bool cache_folder(char *path, size_t path_bytes)
{
    const char *own = getenv("WELFORD_CACHE"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n;
    if (is_set(own))
        n = snprintf(path, path_bytes, "%s", own);
    else if (is_set(xdg) && *xdg == '/') // the XDG specification has relative paths ignored
        n = snprintf(path, path_bytes, "%s/welford", xdg);
    else if (is_set(home))
        n = snprintf(path, path_bytes, "%s/.cache/welford", home);
    else
        return false;
    return n > 0 && (size_t)n < path_bytes;
}

bool cache_compiler_path(char *path, size_t path_bytes)
{
    if (!cache_folder(path, path_bytes)) return false;
    size_t len = strlen(path);
    int n = snprintf(path + len, path_bytes - len, "/compiler");
    return n > 0 && (size_t)n < path_bytes - len;
}

const char *cache_kind_name(cache_kind kind) { return KINDS[kind].name; }

void cache_name(const cache_id *id, char name[CACHE_NAME_CHARS])
{
    snprintf(name, CACHE_NAME_CHARS, "%s%s", id->key, KINDS[id->kind].suffix);
}

bool cache_is_name(const char *name, cache_kind kind, bool *is_draft)
{
    const char *suffix = KINDS[kind].suffix;
    size_t digits = strspn(name, "0123456789abcdef"), length = strlen(suffix);
    if (digits != CACHE_KEY_CHARS - 1 || strncmp(name + digits, suffix, length)) return false;
    const char *rest = name + digits + length;
    *is_draft = *rest == '.';
    return !*rest || *is_draft;
}

// ---- warnings

static atomic_bool has_warned;

bool cache_has_warned(void) { return has_warned; }

void cache_warn(const char *format, ...)
{
    char text[PATH_MAX + 256];
    wf_error line;
    va_list arguments;
    if (atomic_exchange(&has_warned, true)) return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    error_set(&line, WF_ERROR_IO, "%s", text);
    fprintf(stderr, "welford: warning: %s\n", line.message);
}

// ---- opening

// Why others may have written to it; NULL: they cannot have.
static const char *find_fault(const struct stat *st)
{
    if (st->st_uid != geteuid() && st->st_uid != 0) return "it belongs to another user";
    return st->st_mode & (S_IWGRP | S_IWOTH) ? "others may write to it (chmod go-w)" : NULL;
}

// Hands the descriptor of root or root/name on if that may be used; else closes it.
static int check_folder(int fd, const char *root, const char *name)
{
    struct stat st;
    if (fd < 0) return -1;
    if (fstat(fd, &st)) {
        close(fd);
        return -1;
    }
    const char *fault = find_fault(&st);
    if (!fault) return fd;
    cache_warn("the cache folder %s%s%s is not used, since %s", root, *name ? "/" : "", name, fault);
    close(fd);
    return -1;
}

int cache_folder_open(cache_kind kind, cache_access access)
{
    enum { FLAGS = O_RDONLY | O_DIRECTORY | O_CLOEXEC };
    char path[PATH_MAX];
    const char *name = KINDS[kind].folder;
    if (!cache_folder(path, sizeof path)) return -1;
    if (access == CACHE_MAKE && file_make_private_folder(path, NULL) != WF_OK) return -1;
    int root = open(path, FLAGS);
    if (access != CACHE_LOOK) root = check_folder(root, path, "");
    if (root < 0) return -1;
    if (access == CACHE_MAKE) mkdirat(root, name, 0700); // where that fails, opening it says so
    int folder = openat(root, name, FLAGS | O_NOFOLLOW);
    int reason = errno;
    close(root);
    errno = reason;
    return access == CACHE_LOOK ? folder : check_folder(folder, path, name);
}

static const char *find_file_fault(int fd)
{
    struct stat st;
    if (fstat(fd, &st)) return strerror(errno);
    return S_ISREG(st.st_mode) ? find_fault(&st) : "it is not a file";
}

// What is about to be evicted is under an exclusive lock, or has lost its name since it was opened. A file system
// without locks is no reason to do without the entry.
static bool lock(int fd)
{
    struct stat st;
    return !(flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK) && !fstat(fd, &st) && st.st_nlink;
}

int cache_file_open(int folder, cache_kind kind, const char *name)
{
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
    const char *fault = fd >= 0 ? find_file_fault(fd) : errno == ELOOP ? "it is a link" : NULL;
    if (fault) cache_warn("the cached %s %s is made anew, since %s", KINDS[kind].name, name, fault);
    if (fd >= 0 && !fault && lock(fd)) return fd;
    if (fd >= 0) close(fd);
    return -1;
}
