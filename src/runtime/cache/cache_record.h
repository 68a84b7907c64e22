// What every entry of the cache begins with, so that it can be told what it is, and whether it is the one that is
// meant. Little endian:
//
//     0     magic (versions.h)
//     8     u32 kind (cache_kind), u32 zero
//     16    key: 32 hex digits
//     48    u64 bytes of the payload
//     56    u64 its checksum, as its kind defines it (programs have their own inside: 0)
//     64    u64 XXH3-64 of the record with zeros in this place
//     72    origin, zero-terminated; zeros to 4096, where the payload begins
#ifndef WELFORD_RUNTIME_CACHE_CACHE_RECORD_H
#define WELFORD_RUNTIME_CACHE_CACHE_RECORD_H

#include <stdint.h>

#include "runtime/cache/cache_folder.h"

enum { CACHE_RECORD_BYTES = 4096, CACHE_ORIGIN_BYTES = CACHE_RECORD_BYTES - 72 };

typedef struct cache_record {
    cache_kind kind;
    char key[CACHE_KEY_CHARS];
    char origin[CACHE_ORIGIN_BYTES];
    size_t payload_bytes;
    uint64_t checksum;
} cache_record;

// The absolute path of what an entry is made of, if there is such a file; a name that is a link stays.
void cache_record_set_origin(cache_record *record, const char *path);

void cache_record_write(const cache_record *record, unsigned char out[CACHE_RECORD_BYTES]);
// False: fewer bytes than a record has, of another format, or damaged.
bool cache_record_read(const void *data, size_t bytes, cache_record *record);

#endif
