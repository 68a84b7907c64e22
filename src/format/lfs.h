// Files that stand in place of a model's: what git leaves where git-lfs is not installed, and web pages.
#ifndef WELFORD_FORMAT_LFS_H
#define WELFORD_FORMAT_LFS_H

#include "base/file.h"

// WF_ERROR_FORMAT with what to do when `text`, a whole file, is a git LFS pointer or an HTML page.
wf_status lfs_check(const char *path, view text, wf_error *err);

// Maps a file of a checkpoint, as file_map_open, and checks that.
wf_status lfs_map_open(const char *path, file_map *map, wf_error *err);

#endif
