// The cache folder.
//
//   programs/KEY.wfprog   compiled programs (runtime/program.h)
//   packs/KEY.wfpack      packed weights (runtime/pack.h)
//   models/               downloaded checkpoints, which are never removed
//
// Entries appear whole (base/draft.h, file_write). A writer that died may leave KEY.SUFFIX.something behind,
// which cache_sweep removes.
#define _GNU_SOURCE
#include "runtime/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/draft.h"
#include "base/file.h"

static const char PROGRAMS[] = "programs", PACKS[] = "packs", MODELS[] = "models";

// A chain: each step hashes what came before, the part's length and its hash, so that parts cannot trade bytes.
void cache_key(const view *parts, size_t n_parts, char key[CACHE_KEY_CHARS])
{
    XXH128_canonical_t chain[2] = {0};
    for (size_t i = 0; i < n_parts; i++) {
        XXH128_canonicalFromHash(&chain[1], XXH3_128bits_withSeed(parts[i].data, parts[i].len, parts[i].len));
        XXH128_canonicalFromHash(&chain[0], XXH3_128bits(chain, sizeof chain));
    }
    for (size_t i = 0; i < sizeof chain[0].digest; i++) snprintf(key + 2 * i, 3, "%02x", chain[0].digest[i]);
}

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

bool cache_path(const char *kind, const char *key, const char *suffix, char *path, size_t path_bytes)
{
    char folder[PATH_MAX];
    if (!cache_folder(folder, sizeof folder)) return false;
    int n = snprintf(path, path_bytes, "%s/%s", folder, kind);
    if (n < 0 || (size_t)n >= path_bytes || file_make_folder(path, NULL) != WF_OK) return false;
    n = snprintf(path, path_bytes, "%s/%s/%s%s", folder, kind, key, suffix);
    return n > 0 && (size_t)n < path_bytes;
}

// KEY.suffix or a writer's temporary of it: nothing else in the folder is ours to remove.
static bool is_entry(const char *name)
{
    size_t digits = strspn(name, "0123456789abcdef");
    return digits == CACHE_KEY_CHARS - 1 && name[digits] == '.';
}

// KEY.SUFFIX.something
static bool is_temporary(const char *name) { return is_entry(name) && strchr(name + CACHE_KEY_CHARS, '.'); }

static wf_status fail_at(const char *folder, const char *kind, const char *name, wf_error *err)
{
    return error_set(err, WF_ERROR_IO, "%s/%s%s%s: %s", folder, kind, *name ? "/" : "", name, strerror(errno));
}

// Counts the regular files in folder/kind; with `remove`, the entries only, which go. A file that another process
// removed meanwhile, and a folder that is not there, are fine.
static wf_status walk(const char *folder, const char *kind, bool remove, size_t *count, size_t *bytes, wf_error *err)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/%s", folder, kind);
    if (n < 0 || (size_t)n >= sizeof path) return error_set(err, WF_ERROR_IO, "%s: path too long", folder);
    DIR *dir = opendir(path);
    if (!dir) return errno == ENOENT ? WF_OK : fail_at(folder, kind, "", err);
    wf_status status = WF_OK;
    for (struct dirent *e; status == WF_OK && (e = readdir(dir));) {
        struct stat st;
        if (remove && !is_entry(e->d_name)) continue;
        if (fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode)) continue;
        if (remove && unlinkat(dirfd(dir), e->d_name, 0)) {
            if (errno != ENOENT) status = fail_at(folder, kind, e->d_name, err);
            continue;
        }
        ++*count;
        *bytes += (size_t)st.st_size;
    }
    closedir(dir);
    return status;
}

static wf_status walk_all(bool remove, cache_usage *u, wf_error *err)
{
    char folder[PATH_MAX];
    *u = (cache_usage){0};
    if (!cache_folder(folder, sizeof folder))
        return error_set(err, WF_ERROR_IO, "no cache folder: WELFORD_CACHE, XDG_CACHE_HOME and HOME are not set");
    TRY(walk(folder, PROGRAMS, remove, &u->n_programs, &u->program_bytes, err));
    TRY(walk(folder, PACKS, remove, &u->n_packs, &u->pack_bytes, err));
    return remove ? WF_OK : walk(folder, MODELS, false, &u->n_models, &u->model_bytes, err);
}

wf_status cache_measure(cache_usage *usage, wf_error *err) { return walk_all(false, usage, err); }

bool cache_compiler_path(char *path, size_t path_bytes)
{
    if (!cache_folder(path, path_bytes)) return false;
    size_t len = strlen(path);
    int n = snprintf(path + len, path_bytes - len, "/compiler");
    return n > 0 && (size_t)n < path_bytes - len;
}

wf_status cache_clear(cache_usage *removed, wf_error *err)
{
    char path[PATH_MAX];
    if (cache_compiler_path(path, sizeof path)) unlink(path);
    return walk_all(true, removed, err);
}

static void sweep(const char *folder, const char *kind)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/%s", folder, kind);
    DIR *dir = n > 0 && (size_t)n < sizeof path ? opendir(path) : NULL;
    if (!dir) return;
    for (struct dirent *e; (e = readdir(dir));)
        if (is_temporary(e->d_name) && draft_is_abandoned(dirfd(dir), e->d_name)) unlinkat(dirfd(dir), e->d_name, 0);
    closedir(dir);
}

void cache_sweep(void)
{
    char folder[PATH_MAX];
    if (cache_folder(folder, sizeof folder)) sweep(folder, PACKS);
}
