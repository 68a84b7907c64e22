// The hub's answer to a name: one request for the listing, then the files that are missing.
//
//   GET  ENDPOINT/api/models/OWNER/NAME/revision/REVISION?blobs=true   commit, files, their sizes and checksums
//   HEAD ENDPOINT/OWNER/NAME/resolve/COMMIT/PATH                       for a file whose size or checksum that left out
//   GET  ENDPOINT/OWNER/NAME/resolve/COMMIT/PATH
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file.h"
#include "hub/net/download.h"

#define WF_EXPORT __attribute__((visibility("default")))

enum { MAX_LISTING = 64 << 20 };

typedef struct fetch {
    const hub_request *request;
    download_job job;
    char folder[HUB_FOLDER_BYTES];
    hub_listing listing;
    hub_choice choice;
    int lock;          // of the model; -1: not taken
    int64_t done, all; // bytes of the files before the one that is being brought; of all
    wf_error *err;
} fetch;

static wf_status ask_listing(fetch *f, bool *unreachable)
{
    const hub_name *name = f->request->name;
    http *h = f->job.h;
    buffer url = {0}, body = {0};
    http_answer answer;
    buffer_printf(&url, "%s/api/models/%s/revision/", http_endpoint(h), name->repository);
    url_append(&url, name->revision, false);
    buffer_printf(&url, "?blobs=true");
    wf_status status = url.failed ? error_memory(f->err, 0) : WF_OK;
    int tries = f->request->has_cached ? 1 : HTTP_TRIES;
    if (status == WF_OK) status = http_get(h, url.data, MAX_LISTING, tries, &body, &answer, f->err);
    if (status == WF_OK && answer.code != 200) {
        *unreachable = answer.code != 404;
        status = download_fail(h, name, "", &answer, f->err);
    }
    if (status == WF_OK) status = hub_listing_parse(name->repository, buffer_view(&body), &f->listing, f->err);
    buffer_free(&url);
    buffer_free(&body);
    return status;
}

// ---- files

static bool has_file(const fetch *f, const hub_file *file) { return hub_has_file(f->folder, f->listing.commit, file); }

// Makes the folders, and takes the model's lock so that a removal does not meet a half-made snapshot.
static wf_status begin_writing(fetch *f)
{
    char path[PATH_MAX];
    if (f->lock >= 0) return WF_OK;
    TRY(hub_lock(f->request->name, HUB_MODEL_LOCK, f->request->options, &f->lock, f->err));
    snprintf(path, sizeof path, "%s/blobs", f->folder);
    return file_make_folder(path, f->err);
}

static void report(void *context, int64_t done)
{
    fetch *f = context;
    const hub_options *o = f->request->options;
    if (o->progress) o->progress(o->context, "downloading", (size_t)(f->done + done), (size_t)f->all);
}

// The index tells which files of weights there are, so it comes first.
static wf_status bring_index(fetch *f)
{
    char path[PATH_MAX];
    if (!f->choice.index) return WF_OK;
    hub_file *file = hub_listing_find(&f->listing, f->choice.index);
    if (has_file(f, file)) {
        snprintf(path, sizeof path, "%s/snapshots/%s/%s", f->folder, f->listing.commit, file->path);
    } else {
        TRY(begin_writing(f));
        if (!file->etag[0]) TRY(download_describe(&f->job, file, f->err));
        TRY(download_blob(&f->job, file, f->err));
        snprintf(path, sizeof path, "%s/blobs/%s", f->folder, file->etag);
    }
    return hub_choose_shards(&f->listing, path, &f->choice, f->err);
}

// Sums up what has to be brought, and refuses when the disk is too small for it.
static wf_status measure(fetch *f)
{
    struct statvfs disk;
    int64_t missing = 0;
    f->done = f->all = 0;
    for (size_t i = 0; i < f->choice.count; i++) {
        hub_file *file = f->choice.files[i];
        if (has_file(f, file)) continue;
        TRY(begin_writing(f));
        if (!file->etag[0]) TRY(download_describe(&f->job, file, f->err));
        if (__builtin_add_overflow(f->all, file->bytes, &f->all))
            return error_set(f->err, WF_ERROR_FORMAT, "%s: the hub tells impossible sizes",
                             f->request->name->repository);
        missing += file->bytes - download_bytes_here(&f->job, file);
    }
    if (!missing || statvfs(f->folder, &disk)) return WF_OK;
    double free_bytes = (double)disk.f_bavail * (double)disk.f_frsize;
    if ((double)missing <= free_bytes) return WF_OK;
    return error_set(f->err, WF_ERROR_IO, "%s: %.1f MB are to be downloaded, and %s has room for %.1f MB",
                     f->request->name->repository, (double)missing / 1e6, f->folder, free_bytes / 1e6);
}

static wf_status bring_files(fetch *f)
{
    for (size_t i = 0; i < f->choice.count; i++) {
        const hub_file *file = f->choice.files[i];
        if (has_file(f, file)) continue;
        TRY(download_blob(&f->job, file, f->err));
        f->done += file->bytes;
        report(f, 0);
    }
    return WF_OK;
}

// All files are there. config.json is linked last: without it a folder is no model.
static wf_status link_files(fetch *f)
{
    for (int last = 0; last < 2; last++)
        for (size_t i = 0; i < f->choice.count; i++) {
            const hub_file *file = f->choice.files[i];
            if (last != !strcmp(file->path, "config.json") || has_file(f, file)) continue;
            TRY(hub_link_file(f->folder, f->listing.commit, file, f->err));
        }
    return WF_OK;
}

static wf_status run(fetch *f, char path[PATH_MAX], bool *unreachable)
{
    const hub_name *name = f->request->name;
    TRY(hub_model_folder(name, f->folder, f->err));
    TRY(http_open(&f->job.h, f->err));
    TRY(ask_listing(f, unreachable));
    TRY(hub_choose(&f->listing, name, &f->choice, f->err));
    TRY(bring_index(f));
    TRY(measure(f));
    TRY(bring_files(f));
    TRY(link_files(f));
    // Where nothing was written the cache may be one that cannot be: then the old ref stays.
    wf_status status = hub_write_ref(f->folder, name->revision, f->listing.commit, f->lock >= 0 ? f->err : NULL);
    if (f->lock >= 0) TRY(status);
    return hub_opened_path(f->folder, f->listing.commit, &f->choice, path, f->err);
}

WF_EXPORT hub_fetch_fn welford_hub_fetch;

WF_EXPORT wf_status welford_hub_fetch(const hub_request *request, char path[PATH_MAX], bool *unreachable, wf_error *err)
{
    fetch f = {.request = request, .lock = -1, .err = err};
    f.job = (download_job){.name = request->name,
                           .folder = f.folder,
                           .commit = f.listing.commit,
                           .options = request->options,
                           .progress = report,
                           .context = &f};
    wf_status status = run(&f, path, unreachable);
    if (f.lock >= 0) close(f.lock);
    http_close(f.job.h);
    hub_listing_free(&f.listing);
    return status;
}
