#include "runtime/cache/cache_record.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "base/versions.h"

enum { AT_KIND = 8, AT_KEY = 16, AT_BYTES = 48, AT_PAYLOAD_CHECKSUM = 56, AT_CHECKSUM = 64, AT_ORIGIN = 72 };

// A path that is too long stays what it was.
static void set_origin(cache_record *record, const char *folder, const char *name)
{
    char text[CACHE_ORIGIN_BYTES];
    int n = snprintf(text, sizeof text, "%s%s", folder, name);
    if (n > 0 && (size_t)n < sizeof text) memcpy(record->origin, text, (size_t)n + 1);
}

void cache_record_set_origin(cache_record *record, const char *path)
{
    char folder[PATH_MAX], absolute[PATH_MAX];
    struct stat st;
    const char *slash = strrchr(path, '/');
    char name[PATH_MAX];
    set_origin(record, "", path);
    if (stat(path, &st)) return;
    if (S_ISDIR(st.st_mode)) {
        if (realpath(path, absolute)) set_origin(record, absolute, "");
        return;
    }
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
    if (!realpath(folder, absolute)) return;
    snprintf(name, sizeof name, "/%s", slash ? slash + 1 : path);
    set_origin(record, strcmp(absolute, "/") ? absolute : "", name);
}

void cache_record_write(const cache_record *r, unsigned char out[CACHE_RECORD_BYTES])
{
    memset(out, 0, CACHE_RECORD_BYTES);
    memcpy(out, CACHE_MAGIC, MAGIC_BYTES);
    store_u32(out + AT_KIND, (uint32_t)r->kind);
    memcpy(out + AT_KEY, r->key, CACHE_KEY_CHARS - 1);
    store_u64(out + AT_BYTES, r->payload_bytes);
    store_u64(out + AT_PAYLOAD_CHECKSUM, r->checksum);
    memcpy(out + AT_ORIGIN, r->origin, strlen(r->origin));
    store_u64(out + AT_CHECKSUM, XXH3_64bits(out, CACHE_RECORD_BYTES));
}

bool cache_record_read(const void *data, size_t bytes, cache_record *r)
{
    unsigned char copy[CACHE_RECORD_BYTES];
    *r = (cache_record){0};
    if (bytes < sizeof copy || memcmp(data, CACHE_MAGIC, MAGIC_BYTES)) return false;
    memcpy(copy, data, sizeof copy);
    uint64_t checksum = load_u64(copy + AT_CHECKSUM), kind = load_u32(copy + AT_KIND);
    store_u64(copy + AT_CHECKSUM, 0);
    if (XXH3_64bits(copy, sizeof copy) != checksum || kind >= CACHE_KIND_COUNT || copy[sizeof copy - 1]) return false;
    r->kind = (cache_kind)kind;
    memcpy(r->key, copy + AT_KEY, CACHE_KEY_CHARS - 1);
    r->payload_bytes = load_u64(copy + AT_BYTES);
    r->checksum = load_u64(copy + AT_PAYLOAD_CHECKSUM);
    memcpy(r->origin, copy + AT_ORIGIN, sizeof r->origin);
    return true;
}
