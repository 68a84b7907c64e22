// Downloads of single files, and what a person is told when one fails.
#include "hub/net/download.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hub/net/checksum.h"

void url_append(buffer *url, const char *text, bool keep_slashes)
{
    for (const char *p = text; *p; p++) {
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
                     strchr("-._~", *p) || (keep_slashes && *p == '/');
        if (plain)
            buffer_append_char(url, *p);
        else
            buffer_printf(url, "%%%02X", (unsigned char)*p);
    }
}

static wf_status make_url(const download_job *job, const hub_file *file, buffer *url, wf_error *err)
{
    buffer_printf(url, "%s/%s/resolve/%s/", http_endpoint(job->h), job->name->repository, job->commit);
    url_append(url, file->path, true);
    return url->failed ? error_memory(err, url->len) : WF_OK;
}

// ---- failures

static wf_status fail_access(const http *h, const hub_name *name, const http_answer *answer, wf_error *err)
{
    const char *repository = name->repository;
    if (answer->code == 403 || !strcmp(answer->error, "GatedRepo"))
        return error_set(err, WF_ERROR_IO,
                         "%s is gated (HTTP %ld): ask for access at %s/%s, and set HF_TOKEN to a token that has it",
                         repository, answer->code, http_endpoint(h), repository);
    if (http_has_token(h))
        return error_set(err, WF_ERROR_IO, "%s does not exist, or HF_TOKEN gives no access to it (HTTP %ld)",
                         repository, answer->code);
    return error_set(err, WF_ERROR_IO,
                     "%s does not exist, or is private or gated (HTTP %ld): set HF_TOKEN to a token that has access",
                     repository, answer->code);
}

wf_status download_fail(const http *h, const hub_name *name, const char *what, const http_answer *answer, wf_error *err)
{
    const char *repository = name->repository, *hub = http_endpoint(h);
    if (answer->code == 401 || answer->code == 403) return fail_access(h, name, answer, err);
    if (answer->code == 404 && *what)
        return error_set(err, WF_ERROR_IO, "%s has no file %s at %s", repository, what, name->revision);
    if (answer->code == 404 && !strcmp(answer->error, "RevisionNotFound"))
        return error_set(err, WF_ERROR_IO, "%s has no revision %s", repository, name->revision);
    if (answer->code == 404)
        return error_set(err, WF_ERROR_IO, "%s%s%s is neither on this disk nor on the hub (%s)", repository,
                         strcmp(name->revision, "main") ? "@" : "",
                         strcmp(name->revision, "main") ? name->revision : "", hub);
    if (answer->code)
        return error_set(err, WF_ERROR_IO, "%s%s%s: %s answers with HTTP %ld", repository, *what ? "/" : "", what, hub,
                         answer->code);
    return error_set(err, WF_ERROR_IO, "%s%s%s: %s: %s", repository, *what ? "/" : "", what, hub, answer->reason);
}

static wf_status fail_cut(const download_job *job, const hub_file *file, const http_answer *answer, wf_error *err)
{
    wf_error reason;
    bool may_go_on = answer->code == 0 || answer->code == 408 || answer->code == 429 || answer->code >= 500;
    wf_status status = download_fail(job->h, job->name, file->path, answer, &reason);
    return error_set(err, status, "%s%s", reason.message,
                     may_go_on ? "; the same command goes on where it stopped" : "");
}

static wf_status fail_file(const download_job *job, const hub_file *file, wf_status status, const char *reason,
                           wf_error *err)
{
    return error_set(err, status, "%s/%s: %s", job->name->repository, file->path, reason);
}

// ---- sizes and checksums

wf_status download_describe(const download_job *job, hub_file *file, wf_error *err)
{
    buffer url = {0};
    http_file found;
    http_answer answer;
    wf_status status = make_url(job, file, &url, err);
    if (status == WF_OK) {
        http_head(job->h, url.data, &found, &answer);
        if (answer.code != 200)
            status = download_fail(job->h, job->name, file->path, &answer, err);
        else if (found.bytes < 0 || !found.etag[0])
            status = fail_file(job, file, WF_ERROR_FORMAT, "the hub tells no size and checksum of it", err);
    }
    if (status == WF_OK) {
        file->bytes = found.bytes;
        memcpy(file->etag, found.etag, sizeof file->etag);
    }
    buffer_free(&url);
    return status;
}

static void blob_path(const download_job *job, const hub_file *file, const char *suffix, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s/blobs/%s%s", job->folder, file->etag, suffix);
}

static int64_t size_of(const char *path)
{
    struct stat st;
    return !stat(path, &st) && S_ISREG(st.st_mode) ? st.st_size : -1;
}

int64_t download_bytes_here(const download_job *job, const hub_file *file)
{
    static const char *const SUFFIXES[] = {"", ".incomplete"};
    char path[PATH_MAX];
    for (size_t i = 0; i < sizeof SUFFIXES / sizeof *SUFFIXES; i++) {
        blob_path(job, file, SUFFIXES[i], path);
        int64_t bytes = size_of(path);
        if (bytes > 0 && bytes <= file->bytes) return bytes;
    }
    return 0;
}

// ---- the download

// Fills `fd`, and again from the beginning when what an earlier process left turns out wrong.
static wf_status fill(const download_job *job, const hub_file *file, const char *url, int fd, wf_error *err)
{
    struct stat st;
    wf_error reason = {0};
    if (fstat(fd, &st)) return fail_file(job, file, WF_ERROR_IO, strerror(errno), err);
    int64_t done = st.st_size;
    if (done > file->bytes) done = 0;
    for (bool resumed = done > 0;; resumed = false, done = 0) {
        if (!resumed && ftruncate(fd, 0)) return fail_file(job, file, WF_ERROR_IO, strerror(errno), err);
        http_answer answer = {.code = 200};
        bool equal;
        wf_status status = done == file->bytes ? WF_OK
                                               : http_download(job->h, url, fd, done, file->bytes, job->progress,
                                                               job->context, &answer, &reason);
        if (status != WF_OK) return fail_file(job, file, status, reason.message, err);
        if (answer.code != 200) return fail_cut(job, file, &answer, err);
        status = checksum_equals(fd, file->bytes, file->etag, &equal, &reason);
        if (status != WF_OK) return fail_file(job, file, status, reason.message, err);
        if (equal) return WF_OK;
        if (!resumed)
            return fail_file(job, file, WF_ERROR_FORMAT, "what the hub sent has another checksum than it should", err);
    }
}

static wf_status bring(const download_job *job, const hub_file *file, const char *blob, wf_error *err)
{
    char incomplete[PATH_MAX];
    buffer url = {0};
    TRY(make_url(job, file, &url, err));
    blob_path(job, file, ".incomplete", incomplete);
    int fd = open(incomplete, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    wf_status status = fd < 0 ? fail_file(job, file, WF_ERROR_IO, strerror(errno), err) : WF_OK;
    if (status == WF_OK) status = fill(job, file, url.data, fd, err);
    // What was damaged on its way is not to be gone on from.
    if (status == WF_ERROR_FORMAT) unlink(incomplete);
    // On the disk before it has its name: a power cut must leave nothing that looks whole either.
    if (status == WF_OK && (fsync(fd) || rename(incomplete, blob)))
        status = fail_file(job, file, WF_ERROR_IO, strerror(errno), err);
    if (fd >= 0) close(fd);
    buffer_free(&url);
    return status;
}

wf_status download_blob(const download_job *job, const hub_file *file, wf_error *err)
{
    char blob[PATH_MAX], lock_name[HUB_ETAG_BYTES + 8];
    int lock;
    snprintf(lock_name, sizeof lock_name, "%s.lock", file->etag);
    TRY(hub_lock(job->name, lock_name, job->options, &lock, err));
    blob_path(job, file, "", blob);
    wf_status status = WF_OK;
    if (size_of(blob) != file->bytes) status = bring(job, file, blob, err);
    close(lock);
    return status;
}
