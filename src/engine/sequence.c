// Sequences of an engine: their tokens, and the blocks of the cache that hold them.
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine_parts.h" // IWYU pragma: keep (engine, sequence)

static size_t round_up(size_t bytes) { return (bytes + AREA_ALIGNMENT - 1) / AREA_ALIGNMENT * AREA_ALIGNMENT; }

wf_status sequence_create(engine *e, sequence **out, wf_error *err)
{
    *out = NULL;
    sequence *q = calloc(1, sizeof *q);
    if (!q) return error_memory(err, sizeof *q);
    q->e = e;
    size_t n_blocks = (size_t)kv_blocks(e->n_ctx), table = round_up((n_blocks + 1) * sizeof *q->table),
           blocks = round_up(n_blocks * sizeof *q->blocks);
    wf_status status = area_reserve(&q->memory, table + blocks + (size_t)e->n_ctx * sizeof *q->history, err);
    if (status != WF_OK) {
        free(q);
        return status;
    }
    q->table = (unsigned char **)(void *)q->memory.data;
    q->blocks = (int32_t *)(void *)(q->memory.data + table);
    q->history = (int32_t *)(void *)(q->memory.data + table + blocks);
    *out = q;
    return WF_OK;
}

// ---- blocks

// The last ones go first (block_pool.h).
static void release_from(sequence *q, int64_t first)
{
    while (q->n_blocks > first) block_pool_release(q->e->blocks, q->blocks[--q->n_blocks]);
    if (q->n_known > first) q->n_known = first;
    if (q->n_stored > first) q->n_stored = first;
}

static void set_block(sequence *q, int64_t i, int32_t block)
{
    q->blocks[i] = block;
    q->table[i] = block_pool_data(q->e->blocks, block);
    if (i >= q->n_blocks) q->n_blocks = i + 1;
}

static int32_t parent_of(const sequence *q, int64_t i) { return i ? q->blocks[i - 1] : BLOCK_NONE; }

// What whole blocks hold may be found from now on. Not before the sequence goes on: a guess may be taken back.
static void publish(sequence *q)
{
    for (; (q->n_known + 1) * KV_BLOCK <= q->n_past; q->n_known++) {
        const int32_t *tokens = q->history + q->n_known * KV_BLOCK;
        int64_t i = q->n_known;
        if (!block_pool_is_known(q->e->blocks, q->blocks[i]))
            set_block(q, i, block_pool_publish(q->e->blocks, q->blocks[i], parent_of(q, i), tokens));
    }
}

bool sequence_reserve(sequence *q, int64_t n)
{
    publish(q);
    block_pool *pool = q->e->blocks;
    int64_t held = q->n_blocks, i = q->n_past / KV_BLOCK, end = kv_blocks(q->n_past + n);
    for (; i < end; i++) {
        bool has = i < q->n_blocks;
        if (has && block_pool_is_own(pool, q->blocks[i])) continue;
        int32_t block = has ? block_pool_own(pool, q->blocks[i]) : block_pool_take(pool);
        if (block == BLOCK_NONE) {
            release_from(q, held);
            return false;
        }
        set_block(q, i, block);
    }
    return true;
}

void sequence_free(sequence *q)
{
    if (!q) return;
    publish(q);
    release_from(q, 0);
    area_release(&q->memory);
    free(q);
}

// ---- tokens

int64_t sequence_past(const sequence *q) { return q->n_past; }
const int32_t *sequence_tokens(const sequence *q) { return q->history; }

wf_status sequence_check(const sequence *q, const int32_t *tokens, int64_t n, wf_error *err)
{
    if (n < 1) return error_set(err, WF_ERROR_USAGE, "no tokens to evaluate");
    if (n > q->e->n_ctx - q->n_past)
        return error_set(err, WF_ERROR_LIMIT,
                         "the context is full: %" PRId64 " tokens in it and %" PRId64 " more, room for %" PRId64,
                         q->n_past, n, q->e->n_ctx);
    int64_t n_vocab = engine_vocabulary(q->e);
    for (int64_t i = 0; i < n; i++)
        if (tokens[i] < 0 || tokens[i] >= n_vocab)
            return error_set(err, WF_ERROR_USAGE,
                             "token %" PRId32 " at index %" PRId64 " is outside the vocabulary of %" PRId64, tokens[i],
                             i, n_vocab);
    return WF_OK;
}

static void cut(sequence *q, int64_t n)
{
    q->n_past = n;
    release_from(q, kv_blocks(n));
    if (q->n_known > n / KV_BLOCK) q->n_known = n / KV_BLOCK;
    if (q->n_stored > n / KV_BLOCK) q->n_stored = n / KV_BLOCK;
}

wf_status sequence_truncate(sequence *q, int64_t n_past, wf_error *err)
{
    if (n_past < 0 || n_past > q->n_past)
        return error_set(err, WF_ERROR_USAGE, "cannot go back to %" PRId64 " tokens: the cache holds %" PRId64, n_past,
                         q->n_past);
    cut(q, n_past);
    return WF_OK;
}

int64_t sequence_common_prefix(const sequence *q, const int32_t *tokens, int64_t n)
{
    int64_t limit = n < q->n_past ? n : q->n_past, i = 0;
    while (i < limit && q->history[i] == tokens[i]) i++;
    return i;
}

// The key of the first k blocks of tokens.
static prefix_key key_of(const int32_t *tokens, int64_t k)
{
    prefix_key key = {0};
    for (int64_t i = 0; i < k; i++) key = prefix_key_next(key, tokens + i * KV_BLOCK);
    return key;
}

// Block k of tokens, from the store, held and known from now on; BLOCK_NONE: it is not there, or there is no place.
static int32_t read_stored(const sequence *q, int64_t k, const int32_t *tokens)
{
    block_pool *pool = q->e->blocks;
    const int32_t *own = tokens + k * KV_BLOCK;
    if (!q->e->store) return BLOCK_NONE;
    prefix_key behind = key_of(tokens, k);
    if (!prefix_store_has(q->e->store, behind, own)) return BLOCK_NONE;
    int32_t block = block_pool_take(pool);
    if (block == BLOCK_NONE) return BLOCK_NONE;
    if (prefix_store_read(q->e->store, behind, own, block_pool_data(pool, block)))
        return block_pool_publish(pool, block, parent_of(q, k), own);
    block_pool_release(pool, block);
    return BLOCK_NONE;
}

int64_t sequence_match(sequence *q, const int32_t *tokens, int64_t n)
{
    publish(q);
    int64_t common = sequence_common_prefix(q, tokens, n), first = common / KV_BLOCK;
    if (n > q->e->n_ctx) n = q->e->n_ctx;
    for (int64_t k = first; (k + 1) * KV_BLOCK <= n; k++) {
        const int32_t *own = tokens + k * KV_BLOCK;
        int32_t block = block_pool_find(q->e->blocks, parent_of(q, k), own);
        if (block == BLOCK_NONE) block = read_stored(q, k, tokens);
        if (block == BLOCK_NONE) break;
        if (k == first) cut(q, first * KV_BLOCK);
        memcpy(q->history + q->n_past, own, KV_BLOCK * sizeof *own);
        set_block(q, k, block);
        q->n_known = k + 1;
        q->n_past += KV_BLOCK;
        common = q->n_past;
    }
    cut(q, common);
    return common;
}

bool sequence_store_next(sequence *q)
{
    if (!q->e->store) return false;
    publish(q);
    for (; q->n_stored < q->n_known; q->n_stored++) {
        const int32_t *own = q->history + q->n_stored * KV_BLOCK;
        prefix_key behind = key_of(q->history, q->n_stored);
        if (prefix_store_has(q->e->store, behind, own)) continue;
        if (!prefix_store_write(q->e->store, behind, own, q->table[q->n_stored])) return false;
        q->n_stored++;
        return true;
    }
    return false;
}

wf_status sequence_copy(sequence *q, const sequence *from, int64_t n, wf_error *err)
{
    if (n < 0 || n > from->n_past)
        return error_set(err, WF_ERROR_USAGE, "cannot copy %" PRId64 " tokens: the cache holds %" PRId64, n,
                         from->n_past);
    if (q == from) {
        cut(q, n);
        return WF_OK;
    }
    cut(q, 0);
    for (int64_t i = 0; i < kv_blocks(n); i++) {
        block_pool_hold(q->e->blocks, from->blocks[i]);
        set_block(q, i, from->blocks[i]);
    }
    memcpy(q->history, from->history, (size_t)n * sizeof *q->history);
    q->n_past = n;
    q->n_known = n / KV_BLOCK < from->n_known ? n / KV_BLOCK : from->n_known;
    return WF_OK;
}

// ---- the state

static const kv_layout *layout_of(const sequence *q) { return &q->e->m->executable.program.kv; }

size_t sequence_state_bytes(const sequence *q, int64_t n) { return kv_state_bytes(layout_of(q), n); }

void sequence_get_state(const sequence *q, unsigned char *state)
{
    kv_copy_out(layout_of(q), q->table, q->n_past, state);
}

// Whether there are blocks for n tokens once its own are released.
static bool has_room_for(const sequence *q, int64_t n)
{
    int64_t room = block_pool_left(block_pool_count(q->e->blocks));
    for (int64_t i = 0; i < q->n_blocks; i++) room += block_pool_holders(q->e->blocks, q->blocks[i]) == 1;
    return kv_blocks(n) <= room;
}

wf_status sequence_set_state(sequence *q, const int32_t *tokens, int64_t n, const unsigned char *state, wf_error *err)
{
    int64_t n_past = q->n_past;
    q->n_past = 0;
    wf_status status = n ? sequence_check(q, tokens, n, err) : WF_OK;
    q->n_past = n_past;
    if (status != WF_OK) return status;
    if (!has_room_for(q, n))
        return error_set(err, WF_ERROR_LIMIT, "the cache is full: there are no blocks for %" PRId64 " tokens", n);
    cut(q, 0);
    sequence_reserve(q, n); // there are as many
    kv_copy_in(layout_of(q), q->table, n, state);
    if (n) memcpy(q->history, tokens, (size_t)n * sizeof *tokens);
    q->n_past = n;
    return WF_OK;
}
