#include "base/area.h"

#include <sys/mman.h>

wf_status area_reserve(area *a, size_t bytes, wf_error *err)
{
    if (bytes == 0) bytes = AREA_ALIGNMENT;
    void *data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data == MAP_FAILED) return error_memory(err, bytes);
    *a = (area){data, bytes};
    return WF_OK;
}

void area_release(area *a)
{
    if (a->data) munmap(a->data, a->bytes);
    *a = (area){0};
}
