#include "engine/block_pool.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/area.h"
#include "base/checked.h"

typedef struct block {
    int64_t n_holders;
    uint64_t serial; // of its content, unlike every other's of the pool; 0: not known
    uint64_t behind; // the serial of its parent; 0: none
    uint64_t hash;   // of all tokens up to its last
    int32_t bucket_next;
    int32_t newer, older; // of the blocks that are kept; of the free ones `older` is the next
    int32_t tokens[KV_BLOCK];
} block;

struct block_pool {
    area memory;
    size_t block_bytes;
    int64_t n_blocks, n_used, n_kept;
    block *blocks;    // [n_blocks]
    int32_t *buckets; // [n_buckets] the first known block with such a hash
    uint64_t n_buckets;
    uint64_t last_serial;
    int32_t first_free, newest, oldest;
};

wf_status block_pool_create(size_t block_bytes, int64_t n_blocks, block_pool **out, wf_error *err)
{
    size_t bytes = SIZE_MAX;
    *out = NULL;
    if (n_blocks > INT32_MAX || !checked_mul(block_bytes, (size_t)n_blocks, &bytes)) return error_memory(err, bytes);
    block_pool *p = calloc(1, sizeof *p);
    if (!p) return error_memory(err, sizeof *p);
    *p = (block_pool){.block_bytes = block_bytes, .n_blocks = n_blocks, .n_buckets = 16};
    while (p->n_buckets < (uint64_t)n_blocks) p->n_buckets *= 2;
    p->first_free = p->newest = p->oldest = BLOCK_NONE;
    p->blocks = calloc((size_t)n_blocks, sizeof *p->blocks);
    p->buckets = malloc(p->n_buckets * sizeof *p->buckets);
    wf_status status = p->blocks && p->buckets ? WF_OK : error_memory(err, (size_t)n_blocks * sizeof *p->blocks);
    if (status == WF_OK) status = area_reserve(&p->memory, bytes, err);
    if (status != WF_OK) {
        block_pool_free(p);
        return status;
    }
    memset(p->buckets, 0xff, p->n_buckets * sizeof *p->buckets); // BLOCK_NONE
    for (int64_t i = n_blocks; i-- > 0;) {
        p->blocks[i].older = p->first_free;
        p->first_free = (int32_t)i;
    }
    *out = p;
    return WF_OK;
}

void block_pool_free(block_pool *p)
{
    if (!p) return;
    area_release(&p->memory);
    free(p->blocks);
    free(p->buckets);
    free(p);
}

unsigned char *block_pool_data(const block_pool *p, int32_t i) { return p->memory.data + (size_t)i * p->block_bytes; }

block_pool_counts block_pool_count(const block_pool *p)
{
    return (block_pool_counts){p->n_blocks, p->n_used, p->n_kept};
}

int64_t block_pool_holders(const block_pool *p, int32_t i) { return p->blocks[i].n_holders; }
bool block_pool_is_known(const block_pool *p, int32_t i) { return p->blocks[i].serial != 0; }

bool block_pool_is_own(const block_pool *p, int32_t i) { return p->blocks[i].n_holders == 1 && !p->blocks[i].serial; }

// ---- what is known

static int32_t *bucket_of(const block_pool *p, uint64_t hash) { return &p->buckets[hash & (p->n_buckets - 1)]; }

static void forget_content(block_pool *p, int32_t i)
{
    int32_t *link = bucket_of(p, p->blocks[i].hash);
    while (*link != i) link = &p->blocks[*link].bucket_next;
    *link = p->blocks[i].bucket_next;
    p->blocks[i].serial = 0;
}

static uint64_t chained_hash(const block_pool *p, int32_t parent, const int32_t *tokens)
{
    return XXH3_64bits_withSeed(tokens, KV_BLOCK * sizeof *tokens, parent == BLOCK_NONE ? 0 : p->blocks[parent].hash);
}

// The hash leads to it; that it is the right one, its tokens and its parent's serial say.
static int32_t find(const block_pool *p, int32_t parent, const int32_t *tokens)
{
    uint64_t hash = chained_hash(p, parent, tokens), behind = parent == BLOCK_NONE ? 0 : p->blocks[parent].serial;
    int32_t i = *bucket_of(p, hash);
    for (; i != BLOCK_NONE; i = p->blocks[i].bucket_next) {
        const block *b = &p->blocks[i];
        if (b->hash == hash && b->behind == behind && !memcmp(b->tokens, tokens, sizeof b->tokens)) break;
    }
    return i;
}

int32_t block_pool_publish(block_pool *p, int32_t i, int32_t parent, const int32_t *tokens)
{
    int32_t known = block_pool_find(p, parent, tokens);
    if (known != BLOCK_NONE) {
        block_pool_release(p, i);
        return known;
    }
    block *b = &p->blocks[i];
    b->serial = ++p->last_serial;
    b->behind = parent == BLOCK_NONE ? 0 : p->blocks[parent].serial;
    b->hash = chained_hash(p, parent, tokens);
    memcpy(b->tokens, tokens, sizeof b->tokens);
    int32_t *bucket = bucket_of(p, b->hash);
    b->bucket_next = *bucket;
    *bucket = i;
    return i;
}

// ---- holders

static void unlink_kept(block_pool *p, int32_t i)
{
    block *b = &p->blocks[i];
    *(b->newer == BLOCK_NONE ? &p->newest : &p->blocks[b->newer].older) = b->older;
    *(b->older == BLOCK_NONE ? &p->oldest : &p->blocks[b->older].newer) = b->newer;
    p->n_kept--;
}

static void link_kept(block_pool *p, int32_t i)
{
    block *b = &p->blocks[i];
    b->newer = BLOCK_NONE;
    b->older = p->newest;
    *(p->newest == BLOCK_NONE ? &p->oldest : &p->blocks[p->newest].newer) = i;
    p->newest = i;
    p->n_kept++;
}

int32_t block_pool_find(block_pool *p, int32_t parent, const int32_t *tokens)
{
    int32_t i = find(p, parent, tokens);
    if (i == BLOCK_NONE) return BLOCK_NONE;
    if (p->blocks[i].n_holders++ == 0) {
        unlink_kept(p, i);
        p->n_used++;
    }
    return i;
}

int32_t block_pool_take(block_pool *p)
{
    int32_t i = p->first_free;
    if (i != BLOCK_NONE) {
        p->first_free = p->blocks[i].older;
    } else {
        i = p->oldest;
        if (i == BLOCK_NONE) return BLOCK_NONE;
        unlink_kept(p, i);
        forget_content(p, i);
    }
    p->blocks[i].n_holders = 1;
    p->n_used++;
    return i;
}

void block_pool_hold(block_pool *p, int32_t i) { p->blocks[i].n_holders++; }

void block_pool_release(block_pool *p, int32_t i)
{
    block *b = &p->blocks[i];
    if (--b->n_holders) return;
    p->n_used--;
    if (b->serial) {
        link_kept(p, i);
        return;
    }
    b->older = p->first_free;
    p->first_free = i;
}

int32_t block_pool_own(block_pool *p, int32_t i)
{
    int32_t own = block_pool_take(p);
    if (own == BLOCK_NONE) {
        if (p->blocks[i].n_holders > 1) return BLOCK_NONE;
        forget_content(p, i);
        return i;
    }
    memcpy(block_pool_data(p, own), block_pool_data(p, i), p->block_bytes);
    block_pool_release(p, i);
    return own;
}
