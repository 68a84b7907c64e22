// Snapshots, refs and locks.
#include "hub/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/file.h"
#include "hub/hub.h" // IWYU pragma: keep (hub_options)

enum { MAX_DEPTH = 16 };

static wf_status fail_errno(const char *path, wf_error *err)
{
    return error_set(err, WF_ERROR_IO, "%s: %s", path, strerror(errno));
}

// ---- refs

bool hub_read_ref(const char *folder, const char *revision, char commit[HUB_COMMIT_BYTES])
{
    char path[PATH_MAX];
    size_t n = strlen(revision);
    bool known = hub_is_commit(revision);
    if (known) {
        memcpy(commit, revision, n + 1);
        return true;
    }
    snprintf(path, sizeof path, "%s/refs/%s", folder, revision);
    FILE *file = fopen(path, "re");
    if (!file) return false;
    known = fgets(commit, HUB_COMMIT_BYTES, file) && hub_is_commit(commit);
    fclose(file);
    return known;
}

static wf_status make_parent(char *path, wf_error *err)
{
    char *slash = strrchr(path, '/');
    *slash = 0;
    wf_status status = file_make_folder(path, err);
    *slash = '/';
    return status;
}

wf_status hub_write_ref(const char *folder, const char *revision, const char *commit, wf_error *err)
{
    char path[PATH_MAX], before[HUB_COMMIT_BYTES];
    if (hub_is_commit(revision)) return WF_OK;
    if (hub_read_ref(folder, revision, before) && !strcmp(before, commit)) return WF_OK;
    snprintf(path, sizeof path, "%s/refs/%s", folder, revision);
    TRY(make_parent(path, err));
    return file_write(path, commit, strlen(commit), err);
}

// ---- snapshots

// Adds what lies below `path`, whose last bytes from `root` on are the path in the repository. `path` is restored.
static wf_status list_below(buffer *path, size_t root, int depth, hub_listing *l, wf_error *err)
{
    DIR *dir = opendir(path->data);
    if (!dir) return errno == ENOENT || errno == ENOTDIR ? WF_OK : fail_errno(path->data, err);
    wf_status status = WF_OK;
    size_t length = path->len;
    for (struct dirent *e; status == WF_OK && (e = readdir(dir));) {
        struct stat st;
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
        buffer_printf(path, "/%s", e->d_name);
        const char *name = path->data + root;
        if (path->failed) {
            status = error_memory(err, path->len);
        } else if (path->len >= PATH_MAX || !hub_is_safe_path(name) || lstat(path->data, &st)) {
            // nothing that the hub could name
        } else if (S_ISDIR(st.st_mode)) {
            if (depth < MAX_DEPTH) status = list_below(path, root, depth + 1, l, err);
        } else if (!stat(path->data, &st) && S_ISREG(st.st_mode)) {
            status = hub_listing_add(l, name, st.st_size, "", err);
        }
        path->len = length;
        path->data[length] = 0;
    }
    closedir(dir);
    return status;
}

wf_status hub_list_snapshot(const char *folder, const char *commit, hub_listing *l, wf_error *err)
{
    *l = (hub_listing){0};
    snprintf(l->commit, sizeof l->commit, "%s", commit);
    buffer path = {0};
    buffer_printf(&path, "%s/snapshots/%s", folder, commit);
    wf_status status = path.failed ? error_memory(err, 0) : list_below(&path, path.len + 1, 0, l, err);
    buffer_free(&path);
    if (status != WF_OK) hub_listing_free(l);
    return status;
}

static wf_status snapshot_path(const char *folder, const char *commit, const char *file, char path[PATH_MAX],
                               wf_error *err)
{
    int n = snprintf(path, PATH_MAX, "%s/snapshots/%s%s%s", folder, commit, *file ? "/" : "", file);
    return n > 0 && n < PATH_MAX ? WF_OK : error_set(err, WF_ERROR_IO, "%s: the path is too long", folder);
}

bool hub_has_file(const char *folder, const char *commit, const hub_file *file)
{
    char path[PATH_MAX];
    struct stat st;
    return snapshot_path(folder, commit, file->path, path, NULL) == WF_OK && !stat(path, &st) && S_ISREG(st.st_mode) &&
           (file->bytes < 0 || st.st_size == file->bytes);
}

wf_status hub_link_file(const char *folder, const char *commit, const hub_file *file, wf_error *err)
{
    char path[PATH_MAX];
    buffer target = {0};
    if (hub_has_file(folder, commit, file)) return WF_OK;
    TRY(snapshot_path(folder, commit, file->path, path, err));
    TRY(make_parent(path, err));
    for (const char *p = file->path; *p; p++)
        if (*p == '/') buffer_printf(&target, "../");
    buffer_printf(&target, "../../blobs/%s", file->etag);
    wf_status status = WF_OK;
    if (target.failed)
        status = error_memory(err, 0);
    else if ((unlink(path) && errno != ENOENT) || (symlink(target.data, path) && errno != EEXIST))
        status = fail_errno(path, err); // EEXIST: another client has just made it
    buffer_free(&target);
    return status;
}

// ---- looking up

wf_status hub_opened_path(const char *folder, const char *commit, const hub_choice *choice, char path[PATH_MAX],
                          wf_error *err)
{
    return snapshot_path(folder, commit, choice->path, path, err);
}

// Whether the snapshot's files make the model that `name` means. Of a folder the tokenizer must be there too: other
// clients bring the weights alone.
static bool is_whole(const char *folder, const hub_name *name, hub_listing *l, hub_choice *choice)
{
    char index[PATH_MAX];
    if (hub_choose(l, name, choice, NULL) != WF_OK) return false;
    if (choice->path[0]) return true;
    if (!hub_listing_find(l, "tokenizer.json")) return false;
    return !choice->index || (snapshot_path(folder, l->commit, choice->index, index, NULL) == WF_OK &&
                              hub_choose_shards(l, index, choice, NULL) == WF_OK);
}

wf_status hub_find_cached(const hub_name *name, hub_cached *found, wf_error *err)
{
    char folder[HUB_FOLDER_BYTES];
    hub_listing l;
    hub_choice choice;
    *found = (hub_cached){0};
    TRY(hub_model_folder(name, folder, err));
    if (!hub_read_ref(folder, name->revision, found->commit)) return WF_OK;
    TRY(hub_list_snapshot(folder, found->commit, &l, err));
    wf_status status = WF_OK;
    if (is_whole(folder, name, &l, &choice)) status = hub_opened_path(folder, found->commit, &choice, found->path, err);
    hub_listing_free(&l);
    return status;
}

// ---- locks

static void tell_waiting(const hub_name *name, const hub_options *o)
{
    char text[HUB_NAME_BYTES + 64];
    if (!o->notice) return;
    snprintf(text, sizeof text, "waiting for another process that works on %s", name->repository);
    o->notice(o->context, text);
}

wf_status hub_lock(const hub_name *name, const char *file, const hub_options *options, int *fd, wf_error *err)
{
    char folder[HUB_FOLDER_BYTES], path[PATH_MAX];
    *fd = -1;
    TRY(hub_lock_folder(name, folder, err));
    TRY(file_make_folder(folder, err));
    snprintf(path, sizeof path, "%s/%s", folder, file);
    // Group-writable, as the other clients make it, for a cache that users share.
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0664);
    if (*fd < 0) return fail_errno(path, err);
    for (int waits = LOCK_NB; flock(*fd, LOCK_EX | waits);) {
        if (errno == EINTR) continue;
        if (errno == EWOULDBLOCK && waits) {
            tell_waiting(name, options);
            waits = 0;
            continue;
        }
        wf_status status = fail_errno(path, err);
        close(*fd);
        *fd = -1;
        return status;
    }
    return WF_OK;
}
