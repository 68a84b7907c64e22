// What a file is, by its bytes: so that a verb that is given a file of another kind says so, and who takes it.
#ifndef WELFORD_FORMAT_FILE_KIND_H
#define WELFORD_FORMAT_FILE_KIND_H

#include <stdbool.h>

#include "base/file.h"
#include "base/status.h"
#include "base/view.h"

typedef struct file_kind {
    const char *what; // "an ONNX file"
    const char *hint; // what to do with it; NULL: nothing is known
    bool is_model;    // the verbs that take models take it
    bool is_graph;    // opt and exec take it
    bool stands_in;   // for a file that was not brought
} file_kind;

// Of the whole file, or of its beginning: zip archives are told apart by the names in them. NULL: not known.
const file_kind *file_kind_find(view bytes);

// Maps a file of a checkpoint, as file_map_open. WF_ERROR_FORMAT with what to do when it stands in for the file that
// was meant: what git leaves where git-lfs is not installed, or a web page.
wf_status file_kind_map_open(const char *path, file_map *map, wf_error *err);

#endif
