#include "runtime/program_cache.h"

#include <limits.h>

#include "base/clock.h"
#include "runtime/cache.h"

static wf_status load_made(const buffer *image, program *prog, wf_error *err)
{
    wf_error inner = {0};
    wf_status status = program_load(image->data, image->len, "compiled program", prog, &inner);
    if (status == WF_OK) return WF_OK;
    return error_set(err, status == WF_ERROR_FORMAT ? WF_ERROR_COMPILE : status, "%s", inner.message);
}

wf_status program_obtain(const program_source *source, program *prog, program_origin *origin, wf_error *err)
{
    program_origin ignored;
    char path[PATH_MAX];
    if (!origin) origin = &ignored;
    *origin = (program_origin){0};
    bool cache = source->key && cache_path("programs", source->key, ".wfprog", path, sizeof path);
    if (cache && !source->make_anew && program_open(path, prog, NULL) == WF_OK) {
        origin->cached = true;
        return WF_OK;
    }
    buffer image = {0};
    origin->started = clock_seconds();
    wf_status status = source->make(source->context, &image, err);
    if (status == WF_OK && image.failed) status = error_memory(err, image.len);
    origin->seconds = clock_seconds() - origin->started;
    if (status == WF_OK) status = load_made(&image, prog, err);
    if (status == WF_OK && cache) file_write_atomic(path, image.data, image.len, NULL); // without it: no cache
    buffer_free(&image);
    return status;
}
