// One model's folder in the cache that Hugging Face's clients share (the layout is drawn in hub.h).
#ifndef WELFORD_HUB_STORE_H
#define WELFORD_HUB_STORE_H

#include "hub/listing.h"

typedef struct hub_options hub_options; // hub.h

// The commit that `revision` means here: itself, or what refs/ noted when it was last asked for. False: unknown.
bool hub_read_ref(const char *folder, const char *revision, char commit[HUB_COMMIT_BYTES]);
wf_status hub_write_ref(const char *folder, const char *revision, const char *commit, wf_error *err);

// The files that are in a snapshot whole: links that lead to a file. WF_OK and none when there is no such snapshot.
wf_status hub_list_snapshot(const char *folder, const char *commit, hub_listing *l, wf_error *err);

// Whether a snapshot has the file, in the size that the listing tells.
bool hub_has_file(const char *folder, const char *commit, const hub_file *file);
// Makes snapshots/COMMIT/PATH a relative link to blobs/ETAG.
wf_status hub_link_file(const char *folder, const char *commit, const hub_file *file, wf_error *err);

// A model in the cache.
typedef struct hub_cached {
    char path[PATH_MAX]; // "": it is not there whole
    char commit[HUB_COMMIT_BYTES];
} hub_cached;

// Looks a name up without the network. A snapshot that only a part was brought of, such as config.json alone, does not
// count.
wf_status hub_find_cached(const hub_name *name, hub_cached *found, wf_error *err);

// What is opened of a snapshot: the chosen GGUF file, or the snapshot's folder.
wf_status hub_opened_path(const char *folder, const char *commit, const hub_choice *choice, char path[PATH_MAX],
                          wf_error *err);

// Locks a file in the model's folder of locks against other processes, and waits until it can, after a notice by
// `options`. *fd: close it to unlock.
wf_status hub_lock(const hub_name *name, const char *file, const hub_options *options, int *fd, wf_error *err);
// The lock against welford's own processes that add to a model, or remove it.
#define HUB_MODEL_LOCK "welford.lock"

#endif
