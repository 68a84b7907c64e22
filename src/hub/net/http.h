// HTTP as the hub speaks it, over libcurl: http and https only, redirects followed, the token sent to the hub alone.
//
// A request that failed in a way that may pass (no connection, cut short, stalled, 408, 429, 5xx) is tried again, with
// pauses that double; a download goes on where it was cut.
#ifndef WELFORD_HUB_NET_HTTP_H
#define WELFORD_HUB_NET_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "hub/name.h"

enum { HTTP_TRIES = 6 }; // the pauses between them: 0.25 to 4 s

typedef struct http http; // one connection after the other, for one thread

// WF_ERROR_USAGE when HF_ENDPOINT or the token make no sense.
wf_status http_open(http **h, wf_error *err);
void http_close(http *h);

const char *http_endpoint(const http *h); // $HF_ENDPOINT, else https://huggingface.co; no slash at its end
bool http_has_token(const http *h);       // from $HF_TOKEN, or the file "token" in the home folder that a login left

typedef struct http_answer {
    long code;  // 200, 404, ...; 0: there was no whole answer, for `reason`
    bool final; // code 0, and trying again makes no sense
    char reason[256];
    char error[64]; // the hub's header X-Error-Code, such as "RevisionNotFound"; "" without one
} http_answer;

// GET of a document of at most `limit` bytes. WF_OK whatever the answer's code: the caller decides. WF_ERROR_FORMAT: it
// is too long.
wf_status http_get(http *h, const char *url, size_t limit, int tries, buffer *body, http_answer *answer, wf_error *err);

// What a HEAD request tells about a file.
typedef struct http_file {
    char etag[HUB_ETAG_BYTES]; // of the file itself, not of the place that the hub redirects to; "": none that fits
    int64_t bytes;             // -1: not told
} http_file;
void http_head(http *h, const char *url, http_file *file, http_answer *answer);

// Called with the bytes that are in the file.
typedef void http_progress(void *context, int64_t done);

// Appends the file to `fd`, which holds its first `done` bytes, until it has `bytes`. A server that ignores the range
// sends all again: the file is then emptied first. WF_OK whatever the code; it is 200 when `bytes` bytes are there.
// WF_ERROR_FORMAT: the server sends more; WF_ERROR_IO: they cannot be written.
wf_status http_download(http *h, const char *url, int fd, int64_t done, int64_t bytes, http_progress *progress,
                        void *context, http_answer *answer, wf_error *err);

#endif
