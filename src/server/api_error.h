// What a client is told when its request fails.
#ifndef WELFORD_SERVER_API_ERROR_H
#define WELFORD_SERVER_API_ERROR_H

#include "base/status.h"

typedef struct api_error {
    int http_status; // 0: none
    char field[64];  // of the request, "messages[0].content"; "": none
    char message[512];
} api_error;

// Formats the message, and returns false. A first error stays: what follows from it is ignored.
bool api_fail(api_error *e, int http_status, const char *field, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

// The failure of a function of welford.h; `field` is what a WF_ERROR_LIMIT or _USAGE is about.
bool api_fail_status(api_error *e, const char *field, const wf_error *err);

// OpenAI's word for a status: "invalid_request_error".
const char *api_error_type(int http_status);

#endif
