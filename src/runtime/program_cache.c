#include "runtime/program_cache.h"

#include "runtime/cache/cache.h"
#include "runtime/compiler.h"

bool program_find(const cache_id *id, executable *exe)
{
    cache_entry entry;
    return cache_open(id, &entry) &&
           executable_open_mapped(&entry.map, entry.payload, "cached program", exe, NULL) == WF_OK;
}

wf_status executable_load_made(const buffer *image, executable *exe, wf_error *err)
{
    wf_error inner = {0};
    if (image->failed) return error_memory(err, image->len);
    wf_status status = executable_load(image->data, image->len, "compiled program", exe, &inner);
    if (status == WF_OK) return WF_OK;
    return error_set(err, status == WF_ERROR_FORMAT ? WF_ERROR_COMPILE : status, "%s", inner.message);
}

void program_keep(const cache_id *id, view image)
{
    cache_draft d;
    if (!cache_draft_open(id, image.len, &d)) return;
    if (file_write_at(d.file.fd, image.data, image.len, CACHE_RECORD_BYTES) && cache_draft_publish(&d, 0))
        compiler_keep_identity();
    cache_draft_close(&d);
}
