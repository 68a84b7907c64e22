#include "server/api_error.h"

#include <stdarg.h>
#include <stdio.h>

bool api_fail(api_error *e, int http_status, const char *field, const char *format, ...)
{
    if (e->http_status) return false;
    va_list args;
    va_start(args, format);
    e->http_status = http_status;
    snprintf(e->field, sizeof e->field, "%s", field ? field : "");
    vsnprintf(e->message, sizeof e->message, format, args);
    va_end(args);
    return false;
}

bool api_fail_status(api_error *e, const char *field, const wf_error *err)
{
    int http_status = 500;
    switch (err->status) {
    case WF_ERROR_USAGE:
    case WF_ERROR_LIMIT:
    case WF_ERROR_FORMAT:
    case WF_ERROR_UNSUPPORTED: http_status = 400; break;
    case WF_ERROR_MEMORY: http_status = 503; break;
    default: break;
    }
    return api_fail(e, http_status, field, "%s", err->message);
}

const char *api_error_type(int http_status)
{
    switch (http_status) {
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 429: return "rate_limit_error";
    case 501: return "not_supported_error";
    case 503: return "unavailable_error";
    default: return http_status < 500 ? "invalid_request_error" : "server_error";
    }
}
