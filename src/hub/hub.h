// Models by name: what "owner/name" means on the Hugging Face hub, kept in the cache folder of Hugging Face's own
// clients, so that either finds what the other has brought.
//
//     $HF_HUB_CACHE, else hub/ in $HF_HOME, else in $XDG_CACHE_HOME/huggingface, else in ~/.cache/huggingface
//       models--OWNER--NAME/
//         refs/REVISION               the commit that a branch or tag meant when it was last asked for
//         blobs/ETAG                  a file, named by its checksum; ETAG.incomplete while it is being brought
//         snapshots/COMMIT/PATH       a relative link to the blob
//       .locks/models--OWNER--NAME/ETAG.lock
//
// Sources: https://huggingface.co/docs/huggingface_hub/guides/manage-cache, https://huggingface.co/docs/hub/api
//
// Snapshots get their links when all the files are there, config.json last, so that what looks whole is whole.
//
// Downloading (net/) is a library of its own, libwelford_hub.so, opened when something has to be asked of the hub:
// libcurl would cost every start 9 ms on a Zen 3 (an empty program with it and without). Names and the cache (this
// folder) need no network.
#ifndef WELFORD_HUB_HUB_H
#define WELFORD_HUB_HUB_H

#include <stdint.h>

#include "hub/store.h"

struct hub_options {
    // May be NULL. Called now and then with the bytes that are here and those of all files that are wanted.
    void (*progress)(void *context, const char *what, size_t done, size_t all);
    // May be NULL. A line for people: what the cache has is used, since the hub could not be asked; another process
    // has to be waited for.
    void (*notice)(void *context, const char *text);
    void *context;
};

// The path of the model that `text` (hub_parse_name) names, a folder or a GGUF file, downloaded where it is missing.
// The hub is asked what a branch or tag means now; when it cannot be reached, the cache answers. A commit that is in
// the cache, and HF_HUB_OFFLINE=1, need no network. WF_ERROR_USAGE: that is no name.
wf_status hub_find(const char *text, const hub_options *options, char path[PATH_MAX], wf_error *err);

// A model in the cache, or a snapshot that is none (path "").
typedef struct hub_entry {
    const char *repository; // "owner/name"
    const char *file;       // of a GGUF repository, for hf:repository/file; "": the snapshot itself
    const char *revision;   // branches and tags that mean it, separated by commas; the commit when there is none
    const char *path;       // what a verb opens; "": welford cannot use it, or it is not whole
    uint64_t bytes;
} hub_entry;

typedef struct hub_entries {
    arena memory;
    hub_entry *entries;
    size_t count, capacity;
    char folder[HUB_FOLDER_BYTES];
} hub_entries;

// All models in the cache folder, sorted; a folder that is not there holds none.
wf_status hub_list(hub_entries *list, wf_error *err);
void hub_entries_free(hub_entries *list);

// What names the model at `path`, a path in the cache of the hub: "owner/name", "hf:owner/name/file". False: it is not
// one.
bool hub_name_of_path(const char *path, char *name, size_t bytes);

// Removes a model's snapshots (with @revision only that one; with a file only that file), then the blobs that no
// snapshot needs. *bytes: what that freed. Nothing outside the model's folder in the cache is touched: links are
// removed, not followed.
wf_status hub_remove(const char *text, const hub_options *options, uint64_t *bytes, wf_error *err);

// ---- the library

// welford_hub_fetch: asks the hub, and downloads. *unreachable: it could not be asked, which is no verdict about the
// name.
typedef struct hub_request {
    const hub_name *name;
    const hub_options *options;
    bool has_cached; // do not insist: the cache has an answer
} hub_request;
typedef wf_status hub_fetch_fn(const hub_request *request, char path[PATH_MAX], bool *unreachable, wf_error *err);

#endif
