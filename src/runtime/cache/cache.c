#include "runtime/cache/cache.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/checked.h"
#include "runtime/cache/cache_list.h"

// A chain: each step hashes what came before, the part's length and its hash, so that parts cannot trade bytes.
void cache_key(const view *parts, size_t n_parts, char key[CACHE_KEY_CHARS])
{
    XXH128_canonical_t chain[2] = {0};
    for (size_t i = 0; i < n_parts; i++) {
        XXH128_canonicalFromHash(&chain[1], XXH3_128bits_withSeed(parts[i].data, parts[i].len, parts[i].len));
        XXH128_canonicalFromHash(&chain[0], XXH3_128bits(chain, sizeof chain));
    }
    for (size_t i = 0; i < sizeof chain[0].digest; i++) snprintf(key + 2 * i, 3, "%02x", chain[0].digest[i]);
}

// ---- using an entry

// The time of modification is that of the last use, to the hour: access times are often not kept, and nothing else
// changes an entry.
static void note_use(int fd)
{
    enum { STEP_SECONDS = 3600 };
    struct stat st;
    time_t now = time(NULL);
    if (!fstat(fd, &st) && (st.st_mtime > now || now - st.st_mtime >= STEP_SECONDS)) futimens(fd, NULL);
}

bool cache_open(const cache_id *id, cache_entry *entry)
{
    cache_record record;
    *entry = (cache_entry){0};
    int folder = cache_folder_open(id->kind, CACHE_USE);
    if (folder < 0) return false;
    char name[CACHE_NAME_CHARS];
    cache_name(id, name);
    int fd = cache_file_open(folder, id->kind, name);
    close(folder);
    if (fd < 0 || file_map_take(fd, name, &entry->map, NULL) != WF_OK) return false;
    if (!cache_record_read(entry->map.data, entry->map.bytes, &record) || record.kind != id->kind ||
        strcmp(record.key, id->key) || record.payload_bytes != entry->map.bytes - CACHE_RECORD_BYTES) {
        cache_entry_close(entry);
        return false;
    }
    note_use(fd);
    entry->payload = (view){(const char *)entry->map.data + CACHE_RECORD_BYTES, record.payload_bytes};
    entry->checksum = record.checksum;
    return true;
}

void cache_entry_close(cache_entry *entry)
{
    file_map_close(&entry->map);
    *entry = (cache_entry){0};
}

// ---- making one

bool cache_draft_open(const cache_id *id, size_t payload_bytes, cache_draft *d)
{
    char name[CACHE_NAME_CHARS];
    size_t bytes;
    *d = (cache_draft){.id = *id, .payload_bytes = payload_bytes, .folder = -1, .file = {.fd = -1}};
    if (!checked_add(payload_bytes, CACHE_RECORD_BYTES, &bytes)) return false;
    d->folder = cache_folder_open(id->kind, CACHE_MAKE);
    if (d->folder < 0) return false;
    cache_name(id, name);
    d->room = cache_make_room(d->folder, name, bytes);
    if (d->room >= bytes && draft_open(d->folder, name, 0600, &d->file)) return true;
    cache_draft_close(d);
    return false;
}

bool cache_draft_publish(cache_draft *d, uint64_t checksum)
{
    unsigned char bytes[CACHE_RECORD_BYTES];
    char name[CACHE_NAME_CHARS];
    cache_record record = {.kind = d->id.kind, .payload_bytes = d->payload_bytes, .checksum = checksum};
    memcpy(record.key, d->id.key, sizeof record.key);
    cache_record_set_origin(&record, d->id.origin);
    cache_record_write(&record, bytes);
    cache_name(&d->id, name);
    return file_write_at(d->file.fd, bytes, sizeof bytes, 0) && draft_publish(&d->file, name);
}

bool cache_draft_map(cache_draft *d, file_map *map)
{
    int fd = d->file.fd; // with its lock
    d->file.fd = -1;
    return file_map_take(fd, "cache", map, NULL) == WF_OK;
}

void cache_draft_close(cache_draft *d)
{
    draft_close(&d->file);
    if (d->folder >= 0) close(d->folder);
    d->folder = -1;
}
