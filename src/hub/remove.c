// Removing a model from the cache folder.
//
// Every step goes through the open folder above it and follows no link (O_NOFOLLOW, unlinkat), so that nothing outside
// the model's own folder can be reached, whatever a snapshot links to.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "hub/hub.h"

enum { MAX_DEPTH = 32 };

typedef struct removal {
    hub_name name;
    bool all; // no revision was given
    char folder[HUB_FOLDER_BYTES];
    int fd;      // of the folder
    buffer used; // blobs that a snapshot links to: "/ETAG/ETAG/"
    uint64_t bytes;
    wf_error *err;
} removal;

static wf_status fail_errno(const removal *r, const char *name)
{
    return error_set(r->err, WF_ERROR_IO, "%s: %s: %s", r->folder, name, strerror(errno));
}

static bool is_dots(const char *name) { return !strcmp(name, ".") || !strcmp(name, ".."); }

// Opens a folder for reading; *dir is NULL when it is not there, or is no folder.
static wf_status open_folder(const removal *r, int parent, const char *name, DIR **dir)
{
    *dir = NULL;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? WF_OK : fail_errno(r, name);
    *dir = fdopendir(fd);
    if (*dir) return WF_OK;
    wf_status status = fail_errno(r, name);
    close(fd);
    return status;
}

static wf_status remove_entry(removal *r, int parent, const char *name)
{
    struct stat st;
    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW)) return errno == ENOENT ? WF_OK : fail_errno(r, name);
    if (unlinkat(parent, name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) && errno != ENOENT) return fail_errno(r, name);
    if (S_ISREG(st.st_mode)) r->bytes += (uint64_t)st.st_size;
    return WF_OK;
}

// Removes a folder with all that is in it, or a file.
static wf_status remove_tree(removal *r, int parent, const char *name, int depth)
{
    DIR *dir;
    TRY(open_folder(r, parent, name, &dir));
    wf_status status = WF_OK;
    if (dir && depth == MAX_DEPTH) status = error_set(r->err, WF_ERROR_IO, "%s: folders too deep", r->folder);
    for (struct dirent *e; dir && status == WF_OK && (e = readdir(dir));)
        if (!is_dots(e->d_name)) status = remove_tree(r, dirfd(dir), e->d_name, depth + 1);
    if (dir) closedir(dir);
    return status == WF_OK ? remove_entry(r, parent, name) : status;
}

// ---- snapshots

static bool names_file(const removal *r) { return r->name.file[0] || r->name.quant[0]; }

// Takes the parts of the named file out of a snapshot; *empty: nothing else was in it. *found: it was there.
static wf_status remove_file(removal *r, const char *commit, bool *found, bool *empty)
{
    hub_listing l;
    hub_choice choice;
    char path[PATH_MAX];
    *empty = false;
    TRY(hub_list_snapshot(r->folder, commit, &l, r->err));
    wf_status status = WF_OK;
    if (hub_choose(&l, &r->name, &choice, NULL) == WF_OK) {
        *found = true;
        *empty = choice.count == l.count;
        for (size_t i = 0; i < choice.count && !*empty && status == WF_OK; i++) {
            snprintf(path, sizeof path, "snapshots/%s/%s", commit, choice.files[i]->path);
            status = remove_entry(r, r->fd, path);
        }
    }
    hub_listing_free(&l);
    return status;
}

// Removes what is meant of the snapshots. *left: how many stay.
static wf_status remove_snapshots(removal *r, size_t *left)
{
    char commit[HUB_COMMIT_BYTES] = "";
    bool found = r->all && !names_file(r), known = hub_read_ref(r->folder, r->name.revision, commit);
    DIR *dir;
    *left = 0;
    TRY(open_folder(r, r->fd, "snapshots", &dir));
    wf_status status = WF_OK;
    for (struct dirent *e; dir && status == WF_OK && (e = readdir(dir));) {
        if (is_dots(e->d_name)) continue;
        struct stat st;
        bool is_folder = !fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) && S_ISDIR(st.st_mode);
        bool meant = r->all || (known && !strcmp(e->d_name, commit)), gone = meant && !names_file(r);
        if (meant && names_file(r) && is_folder && hub_is_commit(e->d_name))
            status = remove_file(r, e->d_name, &found, &gone);
        if (status == WF_OK && gone) status = remove_tree(r, dirfd(dir), e->d_name, 0);
        if (gone) found = true;
        if (!gone) ++*left;
    }
    if (dir) closedir(dir);
    if (status != WF_OK || found) return status;
    return error_set(r->err, WF_ERROR_IO, "%s%s%s%s%s (%s) is not in the cache, %s", r->name.repository,
                     r->name.file[0] ? "/" : "", r->name.file, r->name.quant[0] ? ":" : "", r->name.quant,
                     r->all ? "any revision" : r->name.revision, r->folder);
}

// ---- what nothing needs any more

static wf_status collect_links(removal *r, int parent, const char *name, int depth)
{
    char target[PATH_MAX];
    DIR *dir;
    TRY(open_folder(r, parent, name, &dir));
    wf_status status = WF_OK;
    for (struct dirent *e; dir && status == WF_OK && (e = readdir(dir));) {
        if (is_dots(e->d_name)) continue;
        ssize_t n = readlinkat(dirfd(dir), e->d_name, target, sizeof target - 1);
        if (n > 0) {
            target[n] = 0;
            const char *slash = strrchr(target, '/');
            buffer_printf(&r->used, "%s/", slash ? slash + 1 : target);
        } else if (depth < MAX_DEPTH) {
            status = collect_links(r, dirfd(dir), e->d_name, depth + 1);
        }
    }
    if (dir) closedir(dir);
    return status;
}

static wf_status remove_unused_blobs(removal *r)
{
    char key[NAME_MAX + 3];
    buffer_append_char(&r->used, '/');
    TRY(collect_links(r, r->fd, "snapshots", 0));
    if (r->used.failed) return error_memory(r->err, r->used.len);
    DIR *dir;
    TRY(open_folder(r, r->fd, "blobs", &dir));
    wf_status status = WF_OK;
    for (struct dirent *e; dir && status == WF_OK && (e = readdir(dir));) {
        snprintf(key, sizeof key, "/%s/", e->d_name);
        // Another client may be at work on what is incomplete: that goes with the whole model only.
        if (is_dots(e->d_name) || hub_ends_with(e->d_name, ".incomplete") || strstr(r->used.data, key)) continue;
        status = remove_tree(r, dirfd(dir), e->d_name, 0);
    }
    if (dir) closedir(dir);
    return status;
}

// Removes the refs below refs/PREFIX whose snapshot is gone.
static wf_status remove_refs(removal *r, const char *prefix, int depth)
{
    char path[PATH_MAX], commit[HUB_COMMIT_BYTES];
    struct stat st;
    snprintf(path, sizeof path, "refs%s%s", *prefix ? "/" : "", prefix);
    DIR *dir;
    TRY(open_folder(r, r->fd, path, &dir));
    wf_status status = WF_OK;
    for (struct dirent *e; dir && status == WF_OK && (e = readdir(dir));) {
        char ref[HUB_REVISION_BYTES];
        int n = snprintf(ref, sizeof ref, "%s%s%s", prefix, *prefix ? "/" : "", e->d_name);
        if (is_dots(e->d_name) || n >= (int)sizeof ref) continue;
        if (fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW)) continue;
        if (S_ISDIR(st.st_mode) && depth < MAX_DEPTH) status = remove_refs(r, ref, depth + 1);
        if (!S_ISREG(st.st_mode) || !hub_read_ref(r->folder, ref, commit)) continue;
        snprintf(path, sizeof path, "snapshots/%s", commit);
        if (fstatat(r->fd, path, &st, AT_SYMLINK_NOFOLLOW)) status = remove_entry(r, dirfd(dir), e->d_name);
    }
    if (dir) closedir(dir);
    return status;
}

static wf_status remove_model(removal *r)
{
    char name[HUB_NAME_BYTES + 16], cache[HUB_FOLDER_BYTES];
    size_t left;
    TRY(remove_snapshots(r, &left));
    if (left) {
        TRY(remove_refs(r, "", 0));
        return remove_unused_blobs(r);
    }
    TRY(hub_cache_folder(cache, r->err));
    hub_folder_name(&r->name, name);
    int fd = open(cache, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return fail_errno(r, cache);
    wf_status status = remove_tree(r, fd, name, 0);
    close(fd);
    return status;
}

wf_status hub_remove(const char *text, const hub_options *options, uint64_t *bytes, wf_error *err)
{
    int lock;
    removal r = {.err = err};
    TRY(hub_parse_name(text, &r.name, err));
    r.all = !r.name.has_revision;
    TRY(hub_model_folder(&r.name, r.folder, err));
    r.fd = open(r.folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (r.fd < 0)
        return error_set(err, WF_ERROR_IO, "%s is not in the cache: %s: %s", r.name.repository, r.folder,
                         strerror(errno));
    wf_status status = hub_lock(&r.name, HUB_MODEL_LOCK, options, &lock, err);
    if (status == WF_OK) {
        status = remove_model(&r);
        close(lock);
    }
    close(r.fd);
    buffer_free(&r.used);
    *bytes = r.bytes;
    return status;
}
