// SHA-1 and SHA-256 from libcrypto. Git's object format: https://git-scm.com/book/en/v2/Git-Internals-Git-Objects
#include "hub/net/checksum.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 1 << 20 };

static wf_status fail_crypto(wf_error *err)
{
    return error_set(err, WF_ERROR_IO, "libcrypto cannot compute a checksum");
}

static wf_status add_file(int fd, EVP_MD_CTX *context, wf_error *err)
{
    unsigned char *chunk = malloc(CHUNK);
    if (!chunk) return error_memory(err, CHUNK);
    wf_status status = WF_OK;
    off_t at = 0;
    while (status == WF_OK) {
        ssize_t n = pread(fd, chunk, CHUNK, at);
        if (n == 0) break;
        if (n < 0 && errno == EINTR) continue;
        if (n < 0)
            status = error_set(err, WF_ERROR_IO, "cannot read back: %s", strerror(errno));
        else if (EVP_DigestUpdate(context, chunk, (size_t)n) != 1)
            status = fail_crypto(err);
        at += n;
    }
    free(chunk);
    return status;
}

static wf_status compute(int fd, int64_t bytes, bool git, EVP_MD_CTX *context, char *hex, wf_error *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int n = 0;
    char header[64];
    if (EVP_DigestInit_ex(context, git ? EVP_sha1() : EVP_sha256(), NULL) != 1) return fail_crypto(err);
    int length = snprintf(header, sizeof header, "blob %" PRId64, bytes);
    if (git && EVP_DigestUpdate(context, header, (size_t)length + 1) != 1) return fail_crypto(err);
    TRY(add_file(fd, context, err));
    if (EVP_DigestFinal_ex(context, digest, &n) != 1) return fail_crypto(err);
    for (unsigned int i = 0; i < n; i++) snprintf(hex + 2 * (size_t)i, 3, "%02x", digest[i]);
    return WF_OK;
}

wf_status checksum_equals(int fd, int64_t bytes, const char *etag, bool *equal, wf_error *err)
{
    char hex[2 * EVP_MAX_MD_SIZE + 1] = "";
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (!context) return fail_crypto(err);
    wf_status status = compute(fd, bytes, strlen(etag) == 40, context, hex, err);
    EVP_MD_CTX_free(context);
    *equal = status == WF_OK && !strcmp(hex, etag);
    return status;
}
