// The cache folder: $WELFORD_CACHE, else $XDG_CACHE_HOME/welford, else ~/.cache/welford. Compiled programs lie in
// programs/, packs in packs/, both named by their key. Whatever goes wrong with it means "no cache", never a failure.
#ifndef WELFORD_RUNTIME_CACHE_H
#define WELFORD_RUNTIME_CACHE_H

#include "base/buffer.h"
#include "base/status.h"

enum { CACHE_KEY_CHARS = 33 }; // 32 hex digits and the end

// XXH3-128 over the parts as 32 hex digits.
void cache_key(const view *parts, size_t n_parts, char key[CACHE_KEY_CHARS]);

// Path of an entry ("programs", "packs") into `path` (PATH_MAX bytes), its folder made; false: no cache can be used.
bool cache_path(const char *kind, const char *key, const char *suffix, char *path, size_t path_bytes);
// The folder itself, not made; false when neither variable nor home is set.
bool cache_folder(char *path, size_t path_bytes);

// The file in the folder that says which compiler made its programs last; false as for cache_folder.
bool cache_compiler_path(char *path, size_t path_bytes);

typedef struct cache_usage {
    size_t n_programs, n_packs, n_models, program_bytes, pack_bytes, model_bytes;
} cache_usage;
wf_status cache_measure(cache_usage *usage, wf_error *err);
// Removes packs that a process was writing when it died.
void cache_sweep(void);

// Removes programs and packs (and left-over temporary files), not downloaded models.
wf_status cache_clear(cache_usage *removed, wf_error *err);

#endif
