#include "engine/session_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "base/file.h"
#include "base/versions.h"

enum { CHECKSUM = 8, HASHED = 16, IDENTITY = 16, TOKENS = 48, STATE_BYTES = 56, HEADER = 64, ALIGNMENT = 64 };

static size_t state_offset(uint64_t n_tokens)
{
    return (HEADER + n_tokens * sizeof(int32_t) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

wf_status session_save(const session *s, const wf_model *m, const char *path, wf_error *err)
{
    uint64_t n_tokens = (uint64_t)session_past(s);
    uint64_t state_bytes = session_state_bytes(s, session_past(s));
    size_t offset = state_offset(n_tokens), bytes = offset + state_bytes; // both are in memory: the sum fits
    char identity[CACHE_KEY_CHARS];
    unsigned char *data = calloc(bytes, 1);
    if (!data || !compiled_model_identity(m->compiled, identity)) {
        free(data);
        return error_memory(err, bytes);
    }
    memcpy(data, SESSION_MAGIC, MAGIC_BYTES);
    memcpy(data + IDENTITY, identity, TOKENS - IDENTITY);
    memcpy(data + TOKENS, &n_tokens, sizeof n_tokens);
    memcpy(data + STATE_BYTES, &state_bytes, sizeof state_bytes);
    memcpy(data + HEADER, session_tokens(s), n_tokens * sizeof(int32_t));
    session_get_state(s, data + offset);
    uint64_t checksum = XXH3_64bits(data + HASHED, bytes - HASHED);
    memcpy(data + CHECKSUM, &checksum, sizeof checksum);
    wf_status status = file_write(path, data, bytes, err);
    free(data);
    return status;
}

static wf_status check_file(const file_map *map, const char *path, wf_error *err)
{
    uint64_t checksum;
    if (map->bytes < HEADER || memcmp(map->data, SESSION_MAGIC, MAGIC_BYTES))
        return error_set(err, WF_ERROR_FORMAT, "%s: not a prompt cache of this version of welford", path);
    memcpy(&checksum, map->data + CHECKSUM, sizeof checksum);
    if (XXH3_64bits(map->data + HASHED, map->bytes - HASHED) != checksum)
        return error_set(err, WF_ERROR_FORMAT, "%s: the prompt cache is damaged: its checksum is wrong", path);
    return WF_OK;
}

// What a file holds, checked; n_tokens 0 and no map: there is no file.
typedef struct saved {
    file_map map;
    int64_t n_tokens;
    const int32_t *tokens;
    const unsigned char *state;
} saved;

static wf_status read_state(const wf_model *m, int64_t n_ctx, const char *path, saved *out, wf_error *err)
{
    char identity[CACHE_KEY_CHARS];
    uint64_t n_tokens, state_bytes;
    const unsigned char *data = out->map.data;
    const model_sizes *sizes = &m->compiled->sizes;
    TRY(check_file(&out->map, path, err));
    if (!compiled_model_identity(m->compiled, identity)) return error_memory(err, 0);
    if (memcmp(data + IDENTITY, identity, TOKENS - IDENTITY))
        return error_set(
            err, WF_ERROR_UNSUPPORTED,
            "%s: the prompt cache is of another model (or of other --weights or --kv): remove it, or name another file",
            path);
    memcpy(&n_tokens, data + TOKENS, sizeof n_tokens);
    memcpy(&state_bytes, data + STATE_BYTES, sizeof state_bytes);
    bool fits = n_tokens <= (uint64_t)sizes->n_ctx_train &&
                state_bytes == kv_state_bytes(&sizes->kv, (int64_t)n_tokens) &&
                out->map.bytes == state_offset(n_tokens) + state_bytes;
    if (!fits) return error_set(err, WF_ERROR_FORMAT, "%s: the prompt cache's sizes do not agree", path);
    if ((int64_t)n_tokens > n_ctx)
        return error_set(err, WF_ERROR_LIMIT,
                         "%s: the prompt cache holds %lld tokens, the context has room for %lld (-c)", path,
                         (long long)n_tokens, (long long)n_ctx);
    out->n_tokens = (int64_t)n_tokens;
    out->tokens = (const int32_t *)(const void *)(data + HEADER);
    out->state = data + state_offset(n_tokens);
    return WF_OK;
}

static wf_status open_saved(const wf_model *m, int64_t n_ctx, const char *path, saved *out, wf_error *err)
{
    struct stat st;
    *out = (saved){0};
    bool there = !stat(path, &st);
    if (!there && errno == ENOENT) return WF_OK;
    if (there && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) return WF_OK; // a device to write to
    TRY(file_map_open(path, &out->map, err));
    wf_status status = read_state(m, n_ctx, path, out, err);
    if (status != WF_OK) file_map_close(&out->map);
    return status;
}

wf_status session_file_check(const wf_model *m, int64_t n_ctx, const char *path, wf_error *err)
{
    saved file;
    TRY(open_saved(m, n_ctx, path, &file, err));
    file_map_close(&file.map);
    return WF_OK;
}

wf_status session_restore(session *s, const wf_model *m, const char *path, bool *restored, wf_error *err)
{
    saved file;
    *restored = false;
    TRY(open_saved(m, session_context(s), path, &file, err));
    if (!file.map.data) return WF_OK;
    wf_status status = session_set_state(s, file.tokens, file.n_tokens, file.state, err);
    file_map_close(&file.map);
    *restored = status == WF_OK;
    return status;
}
