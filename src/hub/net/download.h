// One file of a repository, brought into blobs/.
#ifndef WELFORD_HUB_NET_DOWNLOAD_H
#define WELFORD_HUB_NET_DOWNLOAD_H

#include "hub/hub.h"
#include "hub/net/http.h"

typedef struct download_job {
    http *h;
    const hub_name *name;
    const char *folder; // of the model
    const char *commit;
    const hub_options *options;
    http_progress *progress;
    void *context;
} download_job;

// Brings `file`, whose size and checksum are known, to blobs/ETAG: nothing is there under that name before it is whole
// and its checksum right. What an earlier try left in ETAG.incomplete is gone on from.
wf_status download_blob(const download_job *job, const hub_file *file, wf_error *err);

// Asks for size and checksum of a file that the listing did not tell.
wf_status download_describe(const download_job *job, hub_file *file, wf_error *err);

// Bytes of the file that are here already, in blobs/ETAG or ETAG.incomplete.
int64_t download_bytes_here(const download_job *job, const hub_file *file);

// Appends text to an address, escaped; '/' stays if so wanted.
void url_append(buffer *url, const char *text, bool keep_slashes);

// The failure of a request about `what`, from an answer other than 200.
wf_status download_fail(const http *h, const hub_name *name, const char *what, const http_answer *answer,
                        wf_error *err);

#endif
