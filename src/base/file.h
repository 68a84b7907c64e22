// Whole files: mapped for reading, written without harm to what is there.
#ifndef WELFORD_BASE_FILE_H
#define WELFORD_BASE_FILE_H

#include <limits.h>

#include "base/status.h"
#include "base/view.h"

typedef struct file_map {
    const unsigned char *data; // read-only; NULL when the file is empty
    size_t bytes;
    int64_t mtime_ns; // last modification, ns since the epoch
    bool holds;       // `fd` stays open as long as the map, for the sake of a lock
    int fd;
} file_map;

// Maps a regular file read-only. WF_ERROR_IO names the path and the system's reason.
wf_status file_map_open(const char *path, file_map *map, wf_error *err);
// The same of an open file, which belongs to the map then, and is closed with it (on failure at once).
wf_status file_map_take(int fd, const char *name, file_map *map, wf_error *err);
void file_map_close(file_map *map);

// Reads a whole file, pipe or device ("-" is stdin) into memory that the caller frees; zero-terminated after *bytes.
wf_status file_read(const char *path, char **data, size_t *bytes, wf_error *err);

// Writes `data` to what `path` names. A plain file is replaced so that readers see the old one or the whole new one (a
// temporary file in the same folder, then rename), and keeps its mode and, where that is allowed, its owner; a symlink
// leads to its target; a device or FIFO is written to; "-" is stdout. Nothing is left behind on failure.
wf_status file_write(const char *path, const void *data, size_t bytes, wf_error *err);

// Whether a file could be written at `path`, without touching it: for results that take long to compute.
wf_status file_check_output(const char *path, wf_error *err);

// All of `data` to byte `at` of a file; false: errno says why.
bool file_write_at(int fd, const void *data, size_t bytes, size_t at);

// How long a file may become that this process writes (`ulimit -f`): the system kills who writes on. SIZE_MAX: no
// limit.
size_t file_size_limit(void);

// Creates PATH.XXXXXX, a name that nobody has, to read and write; `mode` less the umask. The path is relative to
// `folder`, as for openat. -1: errno says why.
int file_create_new(int folder, const char *path, unsigned mode, char name[PATH_MAX]);
// The next such name: false when it is too long.
bool file_new_name(const char *path, char name[PATH_MAX]);

// Creates the folder and its parents (mode 0777 less the umask); an existing folder is fine.
wf_status file_make_folder(const char *path, wf_error *err);
// The same, but what is created is for the user alone (mode 0700).
wf_status file_make_private_folder(const char *path, wf_error *err);

#endif
