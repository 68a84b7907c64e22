#include "runtime/program_cache.h"

#include <limits.h>

#include "base/clock.h"
#include "base/file.h"
#include "runtime/compiler.h"

static bool find_path(const char *key, char path[PATH_MAX])
{
    return cache_path("programs", key, ".wfprog", path, PATH_MAX);
}

bool program_find(const char key[CACHE_KEY_CHARS], program *prog)
{
    char path[PATH_MAX];
    return find_path(key, path) && program_open(path, prog, NULL) == WF_OK;
}

wf_status program_load_made(const buffer *image, program *prog, wf_error *err)
{
    wf_error inner = {0};
    if (image->failed) return error_memory(err, image->len);
    wf_status status = program_load(image->data, image->len, "compiled program", prog, &inner);
    if (status == WF_OK) return WF_OK;
    return error_set(err, status == WF_ERROR_FORMAT ? WF_ERROR_COMPILE : status, "%s", inner.message);
}

wf_status program_make(make_program *make, name_program *name, void *context, program *prog, program_times *times,
                       wf_error *err)
{
    char path[PATH_MAX];
    buffer image = {0};
    times->started = clock_seconds();
    wf_status status = make(context, &image, err);
    times->seconds = clock_seconds() - times->started;
    if (status == WF_OK) status = program_load_made(&image, prog, err);
    const char *key = status == WF_OK ? name(context, &prog->plan) : NULL;
    if (key && find_path(key, path) && file_write(path, image.data, image.len, NULL) == WF_OK) // without it: no cache
        compiler_keep_identity();
    buffer_free(&image);
    return status;
}
