// Where the cache lies, and how what lies there is opened: checked by what is open, never by its path.
//
//   $WELFORD_CACHE, else $XDG_CACHE_HOME/welford, else ~/.cache/welford
//     programs/KEY.wfprog   compiled programs (runtime/program/executable.h)
//     packs/KEY.wfpack      packed weights (runtime/pack/pack.h)
//     compiler              which compiler made programs here last (runtime/compiler.c)
//     models/               checkpoints, which are not the cache's to touch
//
// Folders are made for the user alone. The root and its two folders, and an entry, must belong to the user or to root,
// and nobody else may write to them; below the root nothing is a link. What is not so is as if it were not there, and a
// warning says so, once in a process.
#ifndef WELFORD_RUNTIME_CACHE_CACHE_FOLDER_H
#define WELFORD_RUNTIME_CACHE_CACHE_FOLDER_H

#include <stdbool.h>
#include <stddef.h>

enum { CACHE_KEY_CHARS = 33, CACHE_NAME_CHARS = CACHE_KEY_CHARS + 7 }; // 32 hex digits, ".wfprog", the end

typedef enum cache_kind { CACHE_PROGRAM, CACHE_PACK, CACHE_KIND_COUNT } cache_kind;

typedef struct cache_id {
    cache_kind kind;
    char key[CACHE_KEY_CHARS];
    const char *origin; // what it is made of, for people: the path of a model or of a graph file. The caller's
} cache_id;

// The cache folder, not made; false when neither variable nor home is set.
bool cache_folder(char *path, size_t path_bytes);
// The file in it that names the compiler; false as for cache_folder.
bool cache_compiler_path(char *path, size_t path_bytes);

const char *cache_kind_name(cache_kind kind); // "program", "pack"

// An entry's name in its folder.
void cache_name(const cache_id *id, char name[CACHE_NAME_CHARS]);
// Whether a name is an entry's, or that of a draft of one.
bool cache_is_name(const char *name, cache_kind kind, bool *is_draft);

typedef enum cache_access {
    CACHE_LOOK, // to list and remove: whoever may write there
    CACHE_USE,
    CACHE_MAKE, // it is made where it is missing
} cache_access;

// The open folder of a kind; -1: it is missing or not to be used.
int cache_folder_open(cache_kind kind, cache_access access);

// An entry, to read, under a lock that keeps it in the cache until the descriptor is closed; -1: it is missing or not
// to be used.
int cache_file_open(int folder, cache_kind kind, const char *name);

// Prints "welford: warning: …" to stderr, unless that has happened in this process.
void cache_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool cache_has_warned(void);

#endif
