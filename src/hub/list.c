// What is in the cache folder.
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/array.h"
#include "base/buffer.h"
#include "hub/hub.h"

enum { MAX_REF_DEPTH = 8 };

static wf_status fail_errno(const char *path, wf_error *err)
{
    return error_set(err, WF_ERROR_IO, "%s: %s", path, strerror(errno));
}

// "models--owner--name" to "owner/name".
static bool read_folder_name(const char *folder, hub_name *name)
{
    static const char PREFIX[] = "models--";
    const char *owner = folder + sizeof PREFIX - 1, *dashes;
    char text[HUB_NAME_BYTES];
    if (strncmp(folder, PREFIX, sizeof PREFIX - 1) || !(dashes = strstr(owner, "--"))) return false;
    int n = snprintf(text, sizeof text, "%.*s/%s", (int)(dashes - owner), owner, dashes + 2);
    return n > 0 && (size_t)n < sizeof text && hub_parse_name(text, name, NULL) == WF_OK && !name->file[0] &&
           !strcmp(name->repository, text);
}

static wf_status add_entry(hub_entries *list, const hub_entry *entry, wf_error *err)
{
    hub_entry *entries = array_grow(list->entries, list->count, &list->capacity, sizeof *entries);
    if (!entries) return error_memory(err, list->count * sizeof *entries);
    list->entries = entries;
    hub_entry *e = &list->entries[list->count];
    *e = (hub_entry){.bytes = entry->bytes,
                     .repository = arena_strdup(&list->memory, view_of(entry->repository)),
                     .file = arena_strdup(&list->memory, view_of(entry->file)),
                     .revision = arena_strdup(&list->memory, view_of(entry->revision)),
                     .path = arena_strdup(&list->memory, view_of(entry->path))};
    if (!e->repository || !e->file || !e->revision || !e->path) return error_memory(err, sizeof *e);
    list->count++;
    return WF_OK;
}

// Appends the refs below refs/PREFIX that mean the commit.
static void append_refs(const char *folder, const char *prefix, const char *commit, int depth, buffer *out)
{
    char path[PATH_MAX], ref[HUB_REVISION_BYTES], meant[HUB_COMMIT_BYTES];
    struct stat st;
    snprintf(path, sizeof path, "%s/refs/%s", folder, prefix);
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        int n = snprintf(ref, sizeof ref, "%s%s%s", prefix, *prefix ? "/" : "", e->d_name);
        if (e->d_name[0] == '.' || n >= (int)sizeof ref) continue;
        snprintf(path, sizeof path, "%s/refs/%s", folder, ref);
        if (stat(path, &st)) continue;
        if (S_ISDIR(st.st_mode) && depth < MAX_REF_DEPTH)
            append_refs(folder, ref, commit, depth + 1, out);
        else if (S_ISREG(st.st_mode) && hub_read_ref(folder, ref, meant) && !strcmp(meant, commit))
            buffer_printf(out, "%s%s", out->len ? "," : "", ref);
    }
    if (dir) closedir(dir);
}

static uint64_t sum_bytes(hub_file *const *files, size_t n)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) sum += (uint64_t)files[i]->bytes;
    return sum;
}

// Every GGUF model of a snapshot is an entry of its own. *n: how many there were.
static wf_status add_ggufs(hub_entries *list, const char *folder, const hub_name *name, hub_entry e, hub_listing *l,
                           size_t *n, wf_error *err)
{
    for (size_t i = 0; i < l->count; i++) {
        hub_name own = *name;
        hub_choice choice;
        char path[PATH_MAX];
        if (!hub_ends_with(l->files[i].path, ".gguf")) continue;
        snprintf(own.file, sizeof own.file, "%s", l->files[i].path);
        // of a split one its first part stands for all
        if (hub_choose(l, &own, &choice, NULL) != WF_OK || choice.files[0] != &l->files[i]) continue;
        TRY(hub_opened_path(folder, l->commit, &choice, path, err));
        e.file = own.file;
        e.path = path;
        e.bytes = sum_bytes(choice.files, choice.count);
        TRY(add_entry(list, &e, err));
        ++*n;
    }
    return WF_OK;
}

static wf_status add_snapshot(hub_entries *list, const char *folder, hub_name *name, const char *commit, wf_error *err)
{
    buffer refs = {0};
    hub_listing l;
    hub_cached found = {0};
    size_t n_ggufs = 0;
    append_refs(folder, "", commit, 0, &refs);
    hub_entry e = {.repository = name->repository, .file = "", .path = "", .revision = refs.len ? refs.data : commit};
    wf_status status;
    memcpy(name->revision, commit, HUB_COMMIT_BYTES);
    TRY_GOTO(hub_list_snapshot(folder, commit, &l, err), done);
    TRY_GOTO(add_ggufs(list, folder, name, e, &l, &n_ggufs, err), listed);
    TRY_GOTO(hub_find_cached(name, &found, err), listed);
    bool is_folder = found.path[0] && !hub_ends_with(found.path, ".gguf");
    for (size_t i = 0; i < l.count; i++)
        if (!hub_ends_with(l.files[i].path, ".gguf")) e.bytes += (uint64_t)l.files[i].bytes;
    if (is_folder) e.path = found.path;
    if (is_folder || !n_ggufs) status = add_entry(list, &e, err);
listed:
    hub_listing_free(&l);
done:
    buffer_free(&refs);
    return status;
}

static wf_status add_model(hub_entries *list, hub_name *name, wf_error *err)
{
    char folder[HUB_FOLDER_BYTES], path[PATH_MAX];
    TRY(hub_model_folder(name, folder, err));
    snprintf(path, sizeof path, "%s/snapshots", folder);
    DIR *dir = opendir(path);
    wf_status status = WF_OK;
    for (struct dirent *e; dir && status == WF_OK && (e = readdir(dir));)
        if (hub_is_commit(e->d_name)) status = add_snapshot(list, folder, name, e->d_name, err);
    if (dir) closedir(dir);
    return status;
}

static int compare_entries(const void *a, const void *b)
{
    const hub_entry *x = a, *y = b;
    int order = strcmp(x->repository, y->repository);
    if (!order) order = strcmp(x->revision, y->revision);
    return order ? order : strcmp(x->file, y->file);
}

wf_status hub_list(hub_entries *list, wf_error *err)
{
    *list = (hub_entries){0};
    TRY(hub_cache_folder(list->folder, err));
    DIR *dir = opendir(list->folder);
    if (!dir) return errno == ENOENT ? WF_OK : fail_errno(list->folder, err);
    wf_status status = WF_OK;
    for (struct dirent *e; status == WF_OK && (e = readdir(dir));) {
        hub_name name;
        if (read_folder_name(e->d_name, &name)) status = add_model(list, &name, err);
    }
    closedir(dir);
    if (status != WF_OK)
        hub_entries_free(list);
    else if (list->count)
        qsort(list->entries, list->count, sizeof *list->entries, compare_entries);
    return status;
}

void hub_entries_free(hub_entries *list)
{
    free(list->entries);
    arena_free(&list->memory);
    *list = (hub_entries){0};
}
