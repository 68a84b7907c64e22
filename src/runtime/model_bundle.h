// Models compiled ahead of time: what a .wf file (format/bundle.h) says of where it comes from, and opening one.
#ifndef WELFORD_RUNTIME_MODEL_BUNDLE_H
#define WELFORD_RUNTIME_MODEL_BUNDLE_H

#include "runtime/compiled_model.h"

// In the metadata, beside the checkpoint's own:
//
//     welford.source    name of the file or folder, without where it lay
//     welford.header    32 hex digits: XXH3-128 of the checkpoint's header
//     welford.identity  compiled_model_identity: what is saved of a session with one goes on with the other
enum { MODEL_ORIGIN_VALUES = 3 };
typedef struct model_origin {
    metadata_value values[MODEL_ORIGIN_VALUES]; // views into the rest, and into the checkpoint's path
    char header[CACHE_KEY_CHARS], identity[CACHE_KEY_CHARS];
} model_origin;

// False: out of memory.
bool model_origin_find(const compiled_model *m, model_origin *origin);
// The identity that a model compiled ahead of time brings along; false: it brings none.
bool model_origin_identity(const checkpoint *file, char identity[CACHE_KEY_CHARS]);

// The step of compiled_model_open for a .wf file: program, sizes, and the checkpoint that has the weights where the file has
// none.
wf_status compiled_model_open_bundle(const char *path, compiled_model *m, wf_error *err);

#endif
