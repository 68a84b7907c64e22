// Whole files: mapped for reading, written without harm to what is there.
#ifndef WELFORD_BASE_FILE_H
#define WELFORD_BASE_FILE_H

#include "base/status.h"
#include "base/view.h"

typedef struct file_map {
    const unsigned char *data; // read-only; NULL when the file is empty
    size_t bytes;
    int64_t mtime_ns; // last modification, ns since the epoch
} file_map;

// Maps a regular file read-only. WF_ERROR_IO names the path and the system's reason.
wf_status file_map_open(const char *path, file_map *map, wf_error *err);
void file_map_close(file_map *map);

// Reads a whole file, pipe or device ("-" is stdin) into memory that the caller frees; zero-terminated after *bytes.
wf_status file_read(const char *path, char **data, size_t *bytes, wf_error *err);

// Writes `data` to what `path` names. A plain file is replaced so that readers see the old one or the whole new one (a
// temporary file in the same folder, then rename), and keeps its mode and, where that is allowed, its owner; a symlink
// leads to its target; a device or FIFO is written to; "-" is stdout. Nothing is left behind on failure.
wf_status file_write(const char *path, const void *data, size_t bytes, wf_error *err);

// Whether a file could be written at `path`, without touching it: for results that take long to compute.
wf_status file_check_output(const char *path, wf_error *err);

// Creates the folder and its parents (mode 0777 less the umask); an existing folder is fine.
wf_status file_make_folder(const char *path, wf_error *err);

#endif
