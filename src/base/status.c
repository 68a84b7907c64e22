#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>

#ifdef __clang_analyzer__
#undef error_set
#undef error_memory
#endif

wf_status error_set(wf_error *err, wf_status status, const char *format, ...)
{
    if (!err) return status;
    err->status = status;
    va_list args;
    va_start(args, format);
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    for (unsigned char *p = (unsigned char *)err->message; *p; p++)
        if (*p < 0x20 || *p == 0x7f) *p = '?';
    return status;
}

wf_status error_memory(wf_error *err, size_t bytes)
{
    return error_set(err, WF_ERROR_MEMORY, "out of memory (%zu bytes requested)", bytes);
}
