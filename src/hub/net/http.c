// Requests over libcurl. https://curl.se/libcurl/c/
#include "hub/net/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"

enum {
    REDIRECTS = 10,
    CONNECT_SECONDS = 10,
    STALLED_SECONDS = 20, // without a byte; HF_HUB_DOWNLOAD_TIMEOUT says otherwise
    FIRST_PAUSE_MS = 250,
    LONGEST_PAUSE_S = 30, // that a server may ask for (Retry-After)
    URL_BYTES = 4096,
    PROGRESS_BYTES = 1 << 20, // a download that went on by so much has its tries anew
};

struct http {
    CURL *curl;
    char endpoint[512];
    const char *certificates; // a file of authorities to trust; NULL: the system's
    long stalled_seconds;
    struct curl_slist *token; // the header that carries it; NULL: none
    char reason[CURL_ERROR_SIZE];
    http_answer *answer; // of the running request
};

// ---- opening

// The token file of a login. NULL: none; else free.
static char *read_token_file(void)
{
    char path[PATH_MAX], *text;
    const char *own = hub_variable("HF_TOKEN_PATH");
    size_t bytes;
    if (own)
        snprintf(path, sizeof path, "%s", own);
    else if (!hub_home_path("token", path, sizeof path))
        return NULL;
    return file_read(path, &text, &bytes, NULL) == WF_OK ? text : NULL;
}

static wf_status set_token(http *h, wf_error *err)
{
    char header[1024], *from_file = NULL;
    const char *token = hub_variable("HF_TOKEN");
    if (!token && !hub_variable_is_on("HF_HUB_DISABLE_IMPLICIT_TOKEN")) token = from_file = read_token_file();
    wf_status status = WF_OK;
    if (token) token += strspn(token, " \t\r\n");
    if (token && *token) {
        int n = (int)strcspn(token, " \t\r\n"),
            length = snprintf(header, sizeof header, "Authorization: Bearer %.*s", n, token);
        h->token = length < (int)sizeof header ? curl_slist_append(NULL, header) : NULL;
        if (!h->token) status = error_set(err, WF_ERROR_USAGE, "the access token (HF_TOKEN) is too long");
    }
    free(from_file);
    return status;
}

static void set_limits(http *h)
{
    static const char *const FILES[] = {"CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"};
    const char *seconds = hub_variable("HF_HUB_DOWNLOAD_TIMEOUT");
    h->stalled_seconds = seconds ? strtol(seconds, NULL, 10) : STALLED_SECONDS;
    if (h->stalled_seconds < 1 || h->stalled_seconds > 3600) h->stalled_seconds = STALLED_SECONDS;
    for (size_t i = 0; i < sizeof FILES / sizeof *FILES && !h->certificates; i++)
        h->certificates = hub_variable(FILES[i]);
}

wf_status http_open(http **result, wf_error *err)
{
    *result = NULL;
    http *h = calloc(1, sizeof *h);
    if (!h) return error_memory(err, sizeof *h);
    const char *endpoint = hub_variable("HF_ENDPOINT");
    if (!endpoint) endpoint = "https://huggingface.co";
    size_t n = strlen(endpoint);
    while (n && endpoint[n - 1] == '/') n--;
    wf_status status = WF_OK;
    if (n >= sizeof h->endpoint || (strncmp(endpoint, "http://", 7) && strncmp(endpoint, "https://", 8))) {
        status = error_set(err, WF_ERROR_USAGE, "HF_ENDPOINT: '%.200s' is no http or https address", endpoint);
        goto fail;
    }
    snprintf(h->endpoint, sizeof h->endpoint, "%.*s", (int)n, endpoint);
    set_limits(h);
    TRY_GOTO(set_token(h, err), fail);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) || !(h->curl = curl_easy_init())) {
        status = error_set(err, WF_ERROR_IO, "libcurl cannot be started");
        goto fail;
    }
    *result = h;
    return WF_OK;
fail:
    http_close(h);
    return status;
}

void http_close(http *h)
{
    if (!h) return;
    curl_slist_free_all(h->token);
    curl_easy_cleanup(h->curl);
    free(h);
}

const char *http_endpoint(const http *h) { return h->endpoint; }

bool http_has_token(const http *h) { return h->token != NULL; }

// ---- one request

// A header's line, without its end.
static void copy_line(const char *data, size_t n, char line[1024])
{
    snprintf(line, 1024, "%.*s", (int)(n < 1024 ? n : 1023), data);
    line[strcspn(line, "\r\n")] = 0;
}

// The value of header `name` in a line, or NULL.
static const char *header_value(const char *line, const char *name)
{
    size_t n = strlen(name);
    if (strncasecmp(line, name, n) || line[n] != ':') return NULL;
    line += n + 1;
    return line + strspn(line, " \t");
}

static size_t take_error_header(char *data, size_t size, size_t n, void *context)
{
    http *h = context;
    char line[1024];
    copy_line(data, size * n, line);
    const char *value = header_value(line, "X-Error-Code");
    if (value) snprintf(h->answer->error, sizeof h->answer->error, "%s", value);
    return size * n;
}

static bool is_hub(const http *h, const char *url)
{
    size_t n = strlen(h->endpoint);
    return !strncmp(url, h->endpoint, n) && url[n] == '/';
}

static void begin_request(http *h, const char *url, http_answer *answer)
{
    CURL *c = h->curl;
    curl_easy_reset(c);
    h->reason[0] = 0;
    h->answer = answer;
    *answer = (http_answer){0};
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, h->reason);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_MAXREDIRS, (long)REDIRECTS);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, h->stalled_seconds);
    if (h->certificates) curl_easy_setopt(c, CURLOPT_CAINFO, h->certificates);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "welford/" WELFORD_VERSION);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, take_error_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, h);
    // libcurl drops this header when a redirect leads to another host, port or protocol.
    if (h->token && is_hub(h, url)) curl_easy_setopt(c, CURLOPT_HTTPHEADER, h->token);
}

static bool is_final(CURLcode code)
{
    return code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_URL_MALFORMAT || code == CURLE_TOO_MANY_REDIRECTS ||
           code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE;
}

static CURLcode perform(http *h)
{
    http_answer *answer = h->answer;
    CURLcode code = curl_easy_perform(h->curl);
    curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &answer->code);
    if (code == CURLE_OK) return code;
    answer->code = 0;
    answer->final = is_final(code);
    snprintf(answer->reason, sizeof answer->reason, "%s", h->reason[0] ? h->reason : curl_easy_strerror(code));
    return code;
}

static bool may_pass(const http_answer *answer)
{
    if (answer->code == 0) return !answer->final;
    return answer->code == 408 || answer->code == 429 || answer->code >= 500;
}

// Waits before try `i` (from 1), longer where the last answer asked for it.
static void pause_before(const http *h, int i)
{
    curl_off_t asked = 0;
    long ms = (long)FIRST_PAUSE_MS << (i - 1);
    curl_easy_getinfo(h->curl, CURLINFO_RETRY_AFTER, &asked);
    if (asked > LONGEST_PAUSE_S) asked = LONGEST_PAUSE_S;
    if (asked * 1000 > ms) ms = (long)asked * 1000;
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

// ---- documents

typedef struct document {
    buffer *body;
    size_t limit;
    bool too_long;
} document;

static size_t take_document(char *data, size_t size, size_t n, void *context)
{
    document *d = context;
    d->too_long = size * n > d->limit - d->body->len;
    if (d->too_long) return 0;
    buffer_append(d->body, data, size * n);
    return d->body->failed ? 0 : size * n;
}

wf_status http_get(http *h, const char *url, size_t limit, int tries, buffer *body, http_answer *answer, wf_error *err)
{
    document d = {.body = body, .limit = limit};
    for (int i = 0; i < tries; i++) {
        if (i) pause_before(h, i);
        buffer_clear(body);
        begin_request(h, url, answer);
        curl_easy_setopt(h->curl, CURLOPT_FOLLOWLOCATION, 1L);
        curl_easy_setopt(h->curl, CURLOPT_ACCEPT_ENCODING, ""); // whatever libcurl can unpack
        curl_easy_setopt(h->curl, CURLOPT_WRITEFUNCTION, take_document);
        curl_easy_setopt(h->curl, CURLOPT_WRITEDATA, &d);
        perform(h);
        if (d.too_long || body->failed || !may_pass(answer)) break;
    }
    if (body->failed) return error_memory(err, body->len);
    if (d.too_long) return error_set(err, WF_ERROR_FORMAT, "%s: an answer of more than %zu bytes", url, limit);
    return WF_OK;
}

// ---- what a file is

typedef struct head {
    http *h;
    http_file own, linked; // by ETag and Content-Length; by X-Linked-*, which speak of the file behind a redirect
} head;

static void take_etag(const char *value, char etag[HUB_ETAG_BYTES])
{
    if (!strncmp(value, "W/", 2)) value += 2;
    if (*value == '"') value++;
    size_t n = strcspn(value, "\" \t");
    if (n < HUB_ETAG_BYTES) snprintf(etag, HUB_ETAG_BYTES, "%.*s", (int)n, value);
    if (!hub_is_etag(etag)) etag[0] = 0;
}

static int64_t take_size(const char *value)
{
    char *end;
    errno = 0;
    long long n = strtoll(value, &end, 10);
    return end == value || errno || n < 0 ? -1 : n;
}

static size_t take_head(char *data, size_t size, size_t n, void *context)
{
    head *found = context;
    char line[1024];
    const char *value;
    copy_line(data, size * n, line);
    if ((value = header_value(line, "ETag"))) take_etag(value, found->own.etag);
    if ((value = header_value(line, "Content-Length"))) found->own.bytes = take_size(value);
    if ((value = header_value(line, "X-Linked-Etag"))) take_etag(value, found->linked.etag);
    if ((value = header_value(line, "X-Linked-Size"))) found->linked.bytes = take_size(value);
    return take_error_header(data, size, n, found->h);
}

// One HEAD request without following: *next (empty: no redirect) is where the answer points to.
static void ask_head(http *h, const char *url, head *found, http_answer *answer, char next[URL_BYTES])
{
    char *redirect = NULL;
    for (int i = 0; i < HTTP_TRIES; i++) {
        if (i) pause_before(h, i);
        *found = (head){.h = h, .own.bytes = -1, .linked.bytes = -1};
        begin_request(h, url, answer);
        curl_easy_setopt(h->curl, CURLOPT_NOBODY, 1L);
        curl_easy_setopt(h->curl, CURLOPT_HEADERFUNCTION, take_head);
        curl_easy_setopt(h->curl, CURLOPT_HEADERDATA, found);
        perform(h);
        if (!may_pass(answer)) break;
    }
    next[0] = 0;
    if (answer->code >= 300 && answer->code < 400) curl_easy_getinfo(h->curl, CURLINFO_REDIRECT_URL, &redirect);
    if (redirect && strlen(redirect) < URL_BYTES) memcpy(next, redirect, strlen(redirect) + 1);
}

void http_head(http *h, const char *url, http_file *file, http_answer *answer)
{
    char at[URL_BYTES], next[URL_BYTES];
    head found = {0};
    snprintf(at, sizeof at, "%s", url);
    for (int i = 0; i <= REDIRECTS; i++) {
        ask_head(h, at, &found, answer, next);
        bool linked = found.linked.etag[0] && found.linked.bytes >= 0 && answer->code >= 200 && answer->code < 400;
        if (linked) answer->code = 200; // the file's own place need not be asked
        *file = linked ? found.linked : found.own;
        if (linked || !next[0]) return;
        memcpy(at, next, sizeof at);
    }
    answer->code = 0;
    snprintf(answer->reason, sizeof answer->reason, "more than %d redirects", REDIRECTS);
}

// ---- downloads

typedef struct download {
    http *h;
    int fd;
    int64_t done, bytes;
    int64_t begins_at; // of this answer, by its Content-Range; -1: it has none
    bool began, too_long;
    int error; // errno of writing
    http_progress *progress;
    void *context;
} download;

static size_t take_range(char *data, size_t size, size_t n, void *context)
{
    download *d = context;
    char line[1024];
    copy_line(data, size * n, line);
    const char *value = header_value(line, "Content-Range");
    if (value && !strncasecmp(value, "bytes ", 6)) d->begins_at = take_size(value + 6);
    return take_error_header(data, size, n, d->h);
}

static bool write_all(download *d, const char *data, size_t n)
{
    while (n) {
        ssize_t written = pwrite(d->fd, data, n, d->done);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) {
            d->error = written < 0 ? errno : EIO;
            return false;
        }
        data += written;
        n -= (size_t)written;
        d->done += written;
    }
    return true;
}

static void start_over(download *d)
{
    d->done = 0;
    if (ftruncate(d->fd, 0)) d->error = errno;
}

static size_t take_bytes(char *data, size_t size, size_t n, void *context)
{
    download *d = context;
    long code = 0;
    curl_easy_getinfo(d->h->curl, CURLINFO_RESPONSE_CODE, &code);
    if (code != 200 && code != 206) return size * n; // the text of an error
    if (!d->began && !(code == 206 && d->begins_at == d->done)) {
        start_over(d); // this is all of the file, or another part of it than was asked for
        if (d->error || (code == 206 && d->begins_at != 0)) return 0;
    }
    d->began = true;
    d->too_long = (int64_t)(size * n) > d->bytes - d->done;
    if (d->too_long || !write_all(d, data, size * n)) return 0;
    if (d->progress) d->progress(d->context, d->done);
    return size * n;
}

static void ask_range(download *d, const char *url, http_answer *answer)
{
    CURL *c = d->h->curl;
    char range[32];
    begin_request(d->h, url, answer);
    d->began = false;
    d->begins_at = -1;
    snprintf(range, sizeof range, "%" PRId64 "-", d->done);
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, take_range);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, d);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_bytes);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, d);
    // Not CURLOPT_RESUME_FROM: libcurl would refuse a server's whole file.
    if (d->done) curl_easy_setopt(c, CURLOPT_RANGE, range);
    perform(d->h);
    if (answer->code != 200 && answer->code != 206 && answer->code != 416) return;
    if (answer->code == 416)
        snprintf(answer->reason, sizeof answer->reason, "it cannot go on at byte %" PRId64, d->done);
    else if (d->done == d->bytes)
        return;
    else
        snprintf(answer->reason, sizeof answer->reason, "the server sent %" PRId64 " bytes of %" PRId64, d->done,
                 d->bytes);
    if (answer->code == 416) start_over(d);
    answer->code = 0;
}

wf_status http_download(http *h, const char *url, int fd, int64_t done, int64_t bytes, http_progress *progress,
                        void *context, http_answer *answer, wf_error *err)
{
    download d = {.h = h, .fd = fd, .done = done, .bytes = bytes, .progress = progress, .context = context};
    int64_t furthest = done;
    for (int i = 0; i < HTTP_TRIES; i++) {
        if (i) pause_before(h, i);
        ask_range(&d, url, answer);
        if (d.error || d.too_long || !may_pass(answer)) break;
        if (d.done >= furthest + PROGRESS_BYTES) furthest = d.done, i = 0;
    }
    if (d.error) return error_set(err, WF_ERROR_IO, "cannot write: %s", strerror(d.error));
    if (d.too_long) return error_set(err, WF_ERROR_FORMAT, "the server sends more than its %" PRId64 " bytes", bytes);
    if (answer->code == 206) answer->code = 200;
    return WF_OK;
}
