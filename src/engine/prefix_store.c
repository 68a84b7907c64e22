#include "engine/prefix_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/file.h"
#include "base/versions.h"

enum {
    CHECKSUM = 8,
    HASHED = 16,
    IDENTITY = 16,
    IDENTITY_CHARS = 32,
    BEHIND = 48,
    TOKENS = 64,
    TOKENS_BYTES = KV_BLOCK * (int)sizeof(int32_t),
    DATA = TOKENS + TOKENS_BYTES,
    ABANDONED_SECONDS = 3600, // after which a file that is still under its temporary name will not get another
};

struct prefix_store {
    char folder[PATH_MAX]; // of this identity
    size_t block_bytes;
    unsigned char *file; // [DATA + block_bytes] with identity: what is written next
    prefix_store_counts counts;
};

static bool file_path(const prefix_store *s, prefix_key key, char path[PATH_MAX])
{
    return snprintf(path, PATH_MAX, "%s/%016" PRIx64 "%016" PRIx64, s->folder, key.high, key.low) < PATH_MAX;
}

// What processes that were killed left behind: PATH.XXXXXX (base/file.h).
static void remove_abandoned(const char *folder)
{
    DIR *entries = opendir(folder);
    time_t now = time(NULL);
    if (!entries) return;
    for (const struct dirent *entry; (entry = readdir(entries));) {
        struct stat st;
        if (entry->d_name[0] == '.' || !strchr(entry->d_name, '.')) continue;
        if (fstatat(dirfd(entries), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode)) continue;
        if (now - st.st_mtime > ABANDONED_SECONDS) unlinkat(dirfd(entries), entry->d_name, 0);
    }
    closedir(entries);
}

wf_status prefix_store_open(const char *folder, const char *identity, size_t block_bytes, prefix_store **out,
                            wf_error *err)
{
    *out = NULL;
    prefix_store *s = calloc(1, sizeof *s);
    if (!s) return error_memory(err, sizeof *s);
    s->block_bytes = block_bytes;
    s->file = calloc(DATA + block_bytes, 1);
    wf_status status = s->file ? WF_OK : error_memory(err, DATA + block_bytes);
    if (status == WF_OK && snprintf(s->folder, PATH_MAX, "%s/%s", folder, identity) >= PATH_MAX)
        status = error_set(err, WF_ERROR_IO, "%s: the path is too long", folder);
    if (status == WF_OK) status = file_make_private_folder(s->folder, err);
    if (status != WF_OK) {
        prefix_store_close(s);
        return status;
    }
    memcpy(s->file, PREFIX_MAGIC, MAGIC_BYTES);
    memcpy(s->file + IDENTITY, identity, strnlen(identity, IDENTITY_CHARS));
    remove_abandoned(s->folder);
    *out = s;
    return WF_OK;
}

void prefix_store_close(prefix_store *s)
{
    if (!s) return;
    free(s->file);
    free(s);
}

prefix_store_counts prefix_store_count(const prefix_store *s) { return s->counts; }

prefix_key prefix_key_next(prefix_key behind, const int32_t *tokens)
{
    unsigned char data[sizeof behind + TOKENS_BYTES];
    memcpy(data, &behind, sizeof behind);
    memcpy(data + sizeof behind, tokens, TOKENS_BYTES);
    XXH128_hash_t hash = XXH3_128bits(data, sizeof data);
    return (prefix_key){hash.low64, hash.high64};
}

bool prefix_store_has(const prefix_store *s, prefix_key behind, const int32_t *tokens)
{
    char path[PATH_MAX];
    return file_path(s, prefix_key_next(behind, tokens), path) && !access(path, R_OK);
}

// The head of the file that holds these, without its checksum.
static void write_head(prefix_store *s, prefix_key behind, const int32_t *tokens)
{
    memcpy(s->file + BEHIND, &behind, sizeof behind);
    memcpy(s->file + TOKENS, tokens, TOKENS_BYTES);
}

static bool is_good(const prefix_store *s, const file_map *map)
{
    uint64_t checksum;
    if (map->bytes != DATA + s->block_bytes || memcmp(map->data, s->file, MAGIC_BYTES) ||
        memcmp(map->data + HASHED, s->file + HASHED, DATA - HASHED))
        return false;
    memcpy(&checksum, map->data + CHECKSUM, sizeof checksum);
    return XXH3_64bits(map->data + HASHED, map->bytes - HASHED) == checksum;
}

bool prefix_store_read(prefix_store *s, prefix_key behind, const int32_t *tokens, unsigned char *block)
{
    char path[PATH_MAX];
    file_map map;
    if (!file_path(s, prefix_key_next(behind, tokens), path) || file_map_open(path, &map, NULL) != WF_OK) return false;
    write_head(s, behind, tokens);
    bool good = is_good(s, &map);
    if (good) memcpy(block, map.data + DATA, s->block_bytes);
    file_map_close(&map);
    *(good ? &s->counts.n_read : &s->counts.n_failed) += 1;
    return good;
}

bool prefix_store_write(prefix_store *s, prefix_key behind, const int32_t *tokens, const unsigned char *block)
{
    char path[PATH_MAX];
    size_t bytes = DATA + s->block_bytes;
    wf_error err = {0};
    write_head(s, behind, tokens);
    memcpy(s->file + DATA, block, s->block_bytes);
    uint64_t checksum = XXH3_64bits(s->file + HASHED, bytes - HASHED);
    memcpy(s->file + CHECKSUM, &checksum, sizeof checksum);
    if (file_path(s, prefix_key_next(behind, tokens), path) && file_write(path, s->file, bytes, &err) == WF_OK) {
        s->counts.n_written++;
        return true;
    }
    if (s->counts.n_failed++ == 0) fprintf(stderr, "warning: prompts are not kept: %s\n", err.message);
    return false;
}
