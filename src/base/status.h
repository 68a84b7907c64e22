// Status and error message: how every fallible function of welford reports.
//
// A fallible function returns wf_status and takes a `wf_error *err` as its last parameter. The first failure fills
// `err` with one line that names the file, the place in it and the reason; callers pass it on untouched:
//
//     TRY(gguf_open(path, &file, err));
//
// WF_OK is 0. `err` may be NULL where the caller does not want the message.
#ifndef WELFORD_BASE_STATUS_H
#define WELFORD_BASE_STATUS_H

#include "welford.h"

#define TRY(expression)                                                                                                \
    do {                                                                                                               \
        wf_status try_status_ = (expression);                                                                          \
        if (try_status_ != WF_OK) return try_status_;                                                                  \
    } while (0)

// Like TRY, for functions that clean up at their end: sets the local `status` and jumps.
#define TRY_GOTO(expression, label)                                                                                    \
    do {                                                                                                               \
        status = (expression);                                                                                         \
        if (status != WF_OK) goto label;                                                                               \
    } while (0)

// Formats the message into err (if not NULL) and returns `status`. Line breaks and control characters that a hostile
// file smuggled into a string are replaced by '?', so that a message is always one line.
wf_status error_set(wf_error *err, wf_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));

// WF_ERROR_MEMORY with the size that could not be had.
wf_status error_memory(wf_error *err, size_t bytes);

#ifdef __clang_analyzer__ // does not see into status.c, what they return
#define error_set(err, status, ...) (error_set(err, status, __VA_ARGS__), (status))
#define error_memory(err, bytes) (error_memory(err, bytes), WF_ERROR_MEMORY)
#endif

#endif
