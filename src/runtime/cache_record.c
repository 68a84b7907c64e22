#include "runtime/cache_record.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

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

static void store(unsigned char *to, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++) to[i] = (unsigned char)(value >> 8 * i & 255);
}

static uint64_t load(const unsigned char *from, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++) value |= (uint64_t)from[i] << 8 * i;
    return value;
}

void cache_record_write(const cache_record *r, unsigned char out[CACHE_RECORD_BYTES])
{
    memset(out, 0, CACHE_RECORD_BYTES);
    memcpy(out, CACHE_MAGIC, MAGIC_BYTES);
    store(out + AT_KIND, (uint64_t)r->kind, 4);
    memcpy(out + AT_KEY, r->key, CACHE_KEY_CHARS - 1);
    store(out + AT_BYTES, r->payload_bytes, 8);
    store(out + AT_PAYLOAD_CHECKSUM, r->checksum, 8);
    memcpy(out + AT_ORIGIN, r->origin, strlen(r->origin));
    store(out + AT_CHECKSUM, XXH3_64bits(out, CACHE_RECORD_BYTES), 8);
}

bool cache_record_read(const void *data, size_t bytes, cache_record *r)
{
    unsigned char copy[CACHE_RECORD_BYTES];
    *r = (cache_record){0};
    if (bytes < sizeof copy || memcmp(data, CACHE_MAGIC, MAGIC_BYTES)) return false;
    memcpy(copy, data, sizeof copy);
    uint64_t checksum = load(copy + AT_CHECKSUM, 8), kind = load(copy + AT_KIND, 4);
    store(copy + AT_CHECKSUM, 0, 8);
    if (XXH3_64bits(copy, sizeof copy) != checksum || kind >= CACHE_KIND_COUNT || copy[sizeof copy - 1]) return false;
    r->kind = (cache_kind)kind;
    memcpy(r->key, copy + AT_KEY, CACHE_KEY_CHARS - 1);
    r->payload_bytes = load(copy + AT_BYTES, 8);
    r->checksum = load(copy + AT_PAYLOAD_CHECKSUM, 8);
    memcpy(r->origin, copy + AT_ORIGIN, sizeof r->origin);
    return true;
}
