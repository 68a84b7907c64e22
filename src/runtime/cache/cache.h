// The cache of what is dear to make: compiled programs and packed weights, each found by a key.
//
//     cache_open ──▶ entry, mapped                              it is there
//     cache_draft_open ── write to fd ──▶ cache_draft_publish   it is not
//
// Whatever goes wrong with the cache means "not there", never a failure. Entries are machine code and weights, so one
// is used only if nobody but the user (and root) can have written it (cache_folder.h); they are kept within a bound
// (cache_bound.h), but never go while they are mapped.
#ifndef WELFORD_RUNTIME_CACHE_CACHE_H
#define WELFORD_RUNTIME_CACHE_CACHE_H

#include "base/draft.h"
#include "base/file.h"
#include "runtime/cache/cache_folder.h"
#include "runtime/cache/cache_record.h"

// XXH3-128 over the parts as 32 hex digits.
void cache_key(const view *parts, size_t n_parts, char key[CACHE_KEY_CHARS]);

typedef struct cache_entry {
    file_map map; // of the whole file, under a lock that keeps it in the cache
    view payload; // aligned to 4096
    uint64_t checksum;
} cache_entry;

// Maps an entry and notes that it was used. The payload is not looked at; cache_entry_close ends it, or whoever takes
// `map` over.
bool cache_open(const cache_id *id, cache_entry *entry);
void cache_entry_close(cache_entry *entry);

// An entry in the making: its payload goes to byte CACHE_RECORD_BYTES and on of `file.fd`.
typedef struct cache_draft {
    cache_id id;
    size_t payload_bytes;
    int folder;
    draft file;
    size_t room; // bytes that could be written when it was opened
} cache_draft;

// Makes room by the bound, and a draft. False: there is no folder, or no room in it for so many bytes (d->room says for
// how many); nothing is to be closed then.
bool cache_draft_open(const cache_id *id, size_t payload_bytes, cache_draft *d);
// Puts it into the cache, in the place of an entry of that name. False: it is a draft still.
bool cache_draft_publish(cache_draft *d, uint64_t checksum);
// Maps what was written, whether it was published or not.
bool cache_draft_map(cache_draft *d, file_map *map);
void cache_draft_close(cache_draft *d);

#endif
