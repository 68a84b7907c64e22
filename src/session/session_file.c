#define _GNU_SOURCE
#include "session/session_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "base/checked.h"
#include "base/file.h"

static const view MAGIC = VIEW_LITERAL("WFSESS01");

enum { CHECKSUM = 8, HASHED = 16, IDENTITY = 16, TOKENS = 48, STATE_BYTES = 56, HEADER = 64, ALIGNMENT = 64 };

// Equal parts of the KV cache: K and V of every head of every layer.
static wf_status count_parts(const engine *e, int64_t *n_parts, wf_error *err)
{
    const plan *p = &e->m->program.plan;
    char key[96];
    int64_t heads = 1;
    snprintf(key, sizeof key, "%s.attention.head_count", p->architecture);
    TRY(checkpoint_get_int(e->m->file, key, 1, INT32_MAX, &heads, err));
    snprintf(key, sizeof key, "%s.attention.head_count_kv", p->architecture);
    TRY(checkpoint_get_int_or(e->m->file, key, 1, INT32_MAX, &heads, err));
    *n_parts = 2 * p->n_layer * heads;
    return p->kv_bytes.c[DIM_CONTEXT] % *n_parts
               ? error_set(err, WF_ERROR_FORMAT, "%s: the KV cache has no %lld equal parts",
                           checkpoint_path(e->m->file), (long long)*n_parts)
               : WF_OK;
}

static size_t state_offset(uint64_t n_tokens)
{
    return (HEADER + n_tokens * sizeof(int32_t) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

wf_status session_save(const session *s, const engine *e, const char *path, wf_error *err)
{
    int64_t n_parts;
    TRY(count_parts(e, &n_parts, err));
    uint64_t n_tokens = (uint64_t)session_past(s);
    uint64_t state_bytes = session_state_bytes(s, n_parts, session_past(s));
    size_t offset = state_offset(n_tokens), bytes = offset + state_bytes; // both are in memory: the sum fits
    char identity[CACHE_KEY_CHARS];
    unsigned char *data = calloc(bytes, 1);
    if (!data || !model_identity(e->m, identity)) {
        free(data);
        return error_memory(err, bytes);
    }
    memcpy(data, MAGIC.data, MAGIC.len);
    memcpy(data + IDENTITY, identity, TOKENS - IDENTITY);
    memcpy(data + TOKENS, &n_tokens, sizeof n_tokens);
    memcpy(data + STATE_BYTES, &state_bytes, sizeof state_bytes);
    memcpy(data + HEADER, session_tokens(s), n_tokens * sizeof(int32_t));
    session_get_state(s, n_parts, data + offset);
    uint64_t checksum = XXH3_64bits(data + HASHED, bytes - HASHED);
    memcpy(data + CHECKSUM, &checksum, sizeof checksum);
    wf_status status = file_write(path, data, bytes, err);
    free(data);
    return status;
}

static wf_status check_file(const file_map *map, const char *path, wf_error *err)
{
    uint64_t checksum;
    if (map->bytes < HEADER || memcmp(map->data, MAGIC.data, MAGIC.len))
        return error_set(err, WF_ERROR_FORMAT, "%s: not a prompt cache of this version of welford", path);
    memcpy(&checksum, map->data + CHECKSUM, sizeof checksum);
    if (XXH3_64bits(map->data + HASHED, map->bytes - HASHED) != checksum)
        return error_set(err, WF_ERROR_FORMAT, "%s: the prompt cache is damaged: its checksum is wrong", path);
    return WF_OK;
}

static wf_status take_state(session *s, const engine *e, const file_map *map, const char *path, wf_error *err)
{
    char identity[CACHE_KEY_CHARS];
    uint64_t n_tokens, state_bytes;
    int64_t n_parts;
    TRY(check_file(map, path, err));
    if (!model_identity(e->m, identity)) return error_memory(err, 0);
    if (memcmp(map->data + IDENTITY, identity, TOKENS - IDENTITY))
        return error_set(
            err, WF_ERROR_UNSUPPORTED,
            "%s: the prompt cache is of another model (or of other --weights or --kv): remove it, or name another file",
            path);
    TRY(count_parts(e, &n_parts, err));
    memcpy(&n_tokens, map->data + TOKENS, sizeof n_tokens);
    memcpy(&state_bytes, map->data + STATE_BYTES, sizeof state_bytes);
    bool fits = n_tokens <= (uint64_t)e->m->program.plan.n_ctx_train &&
                state_bytes == session_state_bytes(s, n_parts, (int64_t)n_tokens) &&
                map->bytes == state_offset(n_tokens) + state_bytes;
    if (!fits) return error_set(err, WF_ERROR_FORMAT, "%s: the prompt cache's sizes do not agree", path);
    if ((int64_t)n_tokens > session_context(s))
        return error_set(err, WF_ERROR_LIMIT,
                         "%s: the prompt cache holds %lld tokens, the context has room for %lld (-c)", path,
                         (long long)n_tokens, (long long)session_context(s));
    const int32_t *tokens = (const int32_t *)(const void *)(map->data + HEADER);
    return session_set_state(s, n_parts, tokens, (int64_t)n_tokens, map->data + state_offset(n_tokens), err);
}

wf_status session_restore(session *s, const engine *e, const char *path, bool *restored, wf_error *err)
{
    struct stat st;
    file_map map;
    *restored = false;
    bool there = !stat(path, &st);
    if (!there && errno == ENOENT) return WF_OK;
    if (there && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) return WF_OK; // a device, to write to
    TRY(file_map_open(path, &map, err));
    wf_status status = take_state(s, e, &map, path, err);
    file_map_close(&map);
    *restored = status == WF_OK;
    return status;
}
