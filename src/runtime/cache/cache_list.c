#include "runtime/cache/cache_list.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/array.h"
#include "base/checked.h"
#include "base/draft.h"
#include "base/file.h"
#include "runtime/cache/cache_record.h"

typedef struct cache_folders {
    int fds[CACHE_KIND_COUNT]; // -1: it is missing, or not to be used
} cache_folders;

static cache_folders open_folders(cache_access access)
{
    cache_folders f;
    for (int k = 0; k < CACHE_KIND_COUNT; k++) f.fds[k] = cache_folder_open((cache_kind)k, access);
    return f;
}

static void close_folders(cache_folders *f)
{
    for (int k = 0; k < CACHE_KIND_COUNT; k++)
        if (f->fds[k] >= 0) close(f->fds[k]);
}

// ---- listing

static wf_status add_item(cache_items *list, int folder, cache_item item, const char *name, wf_error *err)
{
    struct stat st;
    if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) || S_ISDIR(st.st_mode)) return WF_OK; // gone, or not ours
    void *items = array_grow(list->items, list->count, &list->capacity, sizeof *list->items);
    if (!items) return error_memory(err, list->capacity * sizeof *list->items);
    list->items = items;
    item.bytes = (size_t)st.st_size;
    item.used = st.st_mtime;
    item.name = arena_strdup(&list->memory, view_of(name));
    if (!item.name) return error_memory(err, strlen(name));
    list->items[list->count++] = item;
    return WF_OK;
}

static wf_status list_folder(cache_items *list, int folder, cache_kind kind, wf_error *err)
{
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); // which the walk closes
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        if (fd >= 0) close(fd);
        return error_set(err, WF_ERROR_IO, "the cache's folder of %ss: %s", cache_kind_name(kind), strerror(errno));
    }
    wf_status status = WF_OK;
    for (struct dirent *e; status == WF_OK && (e = readdir(dir));) {
        cache_item item = {.kind = kind};
        if (cache_is_name(e->d_name, kind, &item.is_draft)) status = add_item(list, folder, item, e->d_name, err);
    }
    closedir(dir);
    return status;
}

static wf_status list_folders(cache_items *list, const cache_folders *folders, wf_error *err)
{
    *list = (cache_items){0};
    for (int k = 0; k < CACHE_KIND_COUNT; k++)
        if (folders->fds[k] >= 0) TRY(list_folder(list, folders->fds[k], (cache_kind)k, err));
    return WF_OK;
}

void cache_items_free(cache_items *list)
{
    arena_free(&list->memory);
    free(list->items);
    *list = (cache_items){0};
}

static wf_status read_origin(cache_items *list, cache_item *item, int folder, wf_error *err)
{
    unsigned char bytes[CACHE_RECORD_BYTES];
    cache_record record = {0};
    int fd = openat(folder, item->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
    ssize_t n = fd < 0 ? 0 : pread(fd, bytes, sizeof bytes, 0);
    if (fd >= 0) close(fd);
    if (n < 0 || !cache_record_read(bytes, (size_t)n, &record)) record.origin[0] = 0;
    item->origin = arena_strdup(&list->memory, view_of(record.origin));
    return item->origin ? WF_OK : error_memory(err, strlen(record.origin));
}

// All there is, with its origins, and the folders still open.
static wf_status open_and_list(cache_items *list, cache_folders *folders, wf_error *err)
{
    char path[PATH_MAX];
    *list = (cache_items){0};
    *folders = (cache_folders){{-1, -1}};
    if (!cache_folder(path, sizeof path))
        return error_set(err, WF_ERROR_IO, "no cache folder: WELFORD_CACHE, XDG_CACHE_HOME and HOME are not set");
    *folders = open_folders(CACHE_LOOK);
    TRY(list_folders(list, folders, err));
    for (size_t i = 0; i < list->count; i++) {
        cache_item *item = &list->items[i];
        TRY(read_origin(list, item, folders->fds[item->kind], err));
    }
    return WF_OK;
}

wf_status cache_list(cache_items *list, wf_error *err)
{
    cache_folders folders;
    wf_status status = open_and_list(list, &folders, err);
    close_folders(&folders);
    return status;
}

// ---- removing

static bool remove_unused(void *context, const cache_item *item)
{
    const cache_folders *folders = context;
    return draft_remove_unused(folders->fds[item->kind], item->name);
}

static cache_bound bound_now(int folder, size_t coming)
{
    return (cache_bound){.now = time(NULL), .limit = cache_limit(folder), .coming = coming};
}

wf_status cache_prune(cache_items *list, wf_error *err)
{
    cache_folders folders;
    wf_status status = open_and_list(list, &folders, err);
    if (status == WF_OK && list->count) {
        cache_bound bound = bound_now(folders.fds[list->items[0].kind], 0);
        cache_bound_apply(&bound, list->items, list->count, remove_unused, &folders);
    }
    close_folders(&folders);
    return status;
}

wf_status cache_clear(cache_items *list, wf_error *err)
{
    cache_folders folders;
    char compiler[PATH_MAX];
    wf_status status = open_and_list(list, &folders, err);
    if (cache_compiler_path(compiler, sizeof compiler)) unlink(compiler);
    for (size_t i = 0; status == WF_OK && i < list->count; i++) {
        cache_item *item = &list->items[i];
        item->removed = !unlinkat(folders.fds[item->kind], item->name, 0);
        if (!item->removed && errno != ENOENT)
            status = error_set(err, WF_ERROR_IO, "%s in the cache: %s", item->name, strerror(errno));
    }
    close_folders(&folders);
    return status;
}

void cache_sweep(void)
{
    cache_items list;
    cache_folders folders = open_folders(CACHE_USE);
    list_folders(&list, &folders, NULL); // what it finds before memory is out
    for (size_t i = 0; i < list.count; i++)
        if (list.items[i].is_draft) remove_unused(&folders, &list.items[i]);
    cache_items_free(&list);
    close_folders(&folders);
}

// ---- room

size_t cache_limit(int folder)
{
    const char *text = getenv("WELFORD_CACHE_LIMIT");
    size_t bytes;
    struct statvfs st;
    if (text && *text) {
        if (cache_limit_parse(text, &bytes)) return bytes;
        cache_warn("WELFORD_CACHE_LIMIT=%s is neither bytes (as 512M or 20G) nor none: a tenth of the disk it is",
                   text);
    }
    if (fstatvfs(folder, &st) || !checked_mul(st.f_blocks, st.f_frsize, &bytes)) return CACHE_NO_LIMIT;
    return bytes / 10;
}

// Bytes that a new file may have: of the disk, and of any file that this process writes.
static size_t measure_room(int folder)
{
    struct statvfs st;
    size_t bytes = SIZE_MAX; // writing will tell
    if (fstatvfs(folder, &st) || !checked_mul(st.f_bavail, st.f_frsize, &bytes)) bytes = SIZE_MAX;
    return bytes < file_size_limit() ? bytes : file_size_limit();
}

// Whether there can be room once everything else is gone.
static bool can_fit(int folder, const cache_items *list, size_t bytes)
{
    size_t room = measure_room(folder);
    for (size_t i = 0; i < list->count; i++)
        if (!checked_add(room, list->items[i].bytes, &room)) return true;
    return room >= bytes && file_size_limit() >= bytes;
}

// What is about to be replaced does not count as being there.
static void leave_out(cache_items *list, const char *name)
{
    size_t n = 0;
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].name, name)) list->items[n++] = list->items[i];
    list->count = n;
}

size_t cache_make_room(int folder, const char *name, size_t bytes)
{
    cache_items list;
    cache_folders folders = open_folders(CACHE_USE);
    if (list_folders(&list, &folders, NULL) == WF_OK && can_fit(folder, &list, bytes)) {
        cache_bound bound = bound_now(folder, bytes);
        leave_out(&list, name);
        cache_bound_apply(&bound, list.items, list.count, remove_unused, &folders);
    }
    cache_items_free(&list);
    close_folders(&folders);
    return measure_room(folder);
}
