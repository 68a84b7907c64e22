#include "format/lfs.h"

#include <string.h>
#include <strings.h>

// https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md: less than 1024 bytes, "version" first, then "oid" and
// "size". Hawser is what git LFS was called first.
enum { POINTER_BYTES = 1024 };

static bool is_pointer(view text)
{
    static const char *const VERSIONS[] = {"version https://git-lfs.github.com/spec/",
                                           "version https://hawser.github.com/spec/"};
    if (text.len >= POINTER_BYTES) return false;
    for (size_t i = 0; i < sizeof VERSIONS / sizeof *VERSIONS; i++)
        if (view_starts_with(text, view_of(VERSIONS[i]))) return true;
    return false;
}

static bool is_page(view text)
{
    static const char *const STARTS[] = {"<!doctype html", "<html"};
    for (size_t i = 0; i < sizeof STARTS / sizeof *STARTS; i++) {
        size_t n = strlen(STARTS[i]);
        if (text.len >= n && !strncasecmp(text.data, STARTS[i], n)) return true;
    }
    return false;
}

wf_status lfs_check(const char *path, view text, wf_error *err)
{
    if (is_pointer(text))
        return error_set(err, WF_ERROR_FORMAT,
                         "%s: a git LFS pointer in place of the file: run 'git lfs install' and 'git lfs pull' in its "
                         "folder, or bring the model by 'welford pull OWNER/NAME'",
                         path);
    if (is_page(text))
        return error_set(
            err, WF_ERROR_FORMAT,
            "%s: a web page (HTML) in place of the file: on the Hugging Face hub files are below /resolve/, "
            "pages below /blob/",
            path);
    return WF_OK;
}

wf_status lfs_map_open(const char *path, file_map *map, wf_error *err)
{
    TRY(file_map_open(path, map, err));
    wf_status status = lfs_check(path, (view){map->data ? (const char *)map->data : "", map->bytes}, err);
    if (status != WF_OK) file_map_close(map);
    return status;
}
