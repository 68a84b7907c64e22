// What a repository holds at one commit, and which of its files make a model that welford reads.
//
// The same choice is made from what the hub lists and from what a snapshot in the cache holds.
#ifndef WELFORD_HUB_LISTING_H
#define WELFORD_HUB_LISTING_H

#include <stdint.h>

#include "base/arena.h"
#include "hub/name.h"

typedef struct hub_file {
    const char *path;          // safe (hub_is_safe_path)
    int64_t bytes;             // -1: not told
    char etag[HUB_ETAG_BYTES]; // "": not told
} hub_file;

typedef struct hub_listing {
    arena memory;
    char commit[HUB_COMMIT_BYTES];
    hub_file *files;
    size_t count, capacity;
} hub_listing;

// Reads the hub's answer about a revision: {"sha", "siblings": [{"rfilename", "size", "blobId", "lfs": {"sha256"}}]}.
// `name` stands in messages. WF_ERROR_FORMAT when it is not that, or names a file that is not safe.
wf_status hub_listing_parse(const char *name, view json, hub_listing *l, wf_error *err);
wf_status hub_listing_add(hub_listing *l, const char *path, int64_t bytes, const char *etag, wf_error *err);
hub_file *hub_listing_find(const hub_listing *l, const char *path);
void hub_listing_free(hub_listing *l);

typedef struct hub_choice {
    hub_file **files; // of the listing, which owns the array too; in the order to be brought
    size_t count;
    const char *path;  // what is opened: a GGUF file of the repository, or "": the folder
    const char *index; // the index whose shards are still to be added (hub_choose_shards); NULL: none
} hub_choice;

// Chooses config.json, tokenizer, template, generation_config.json and the weights in safetensors; or the GGUF file
// that is named, or the one of the quantisation that is, or the only one, with all its parts. Where a repository has
// both, safetensors, unless one of those is named. Projectors of images and the like, which lie beside, do not count.
// WF_ERROR_UNSUPPORTED when there is nothing to choose, or too much: the message lists it. WF_ERROR_IO: no such file.
wf_status hub_choose(hub_listing *l, const hub_name *name, hub_choice *choice, wf_error *err);
// Adds the files that the index at `path` (on this disk) names.
wf_status hub_choose_shards(hub_listing *l, const char *path, hub_choice *choice, wf_error *err);

#endif
