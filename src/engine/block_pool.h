// The memory of the KV cache: blocks of equal size (runtime/program/kv.h), shared by sequences that begin alike.
//
//               take                     release, last, unknown
//      free ───────────▶ in use, own ──────────────────────────▶ free
//       ▲                   │ publish
//       │ take, when no     ▼            release, last
//       │ block is free  in use, known ─────────────────────────▶ kept
//       └──────────────────────────────────────────── the one that was released first
//                                find                             kept ──▶ in use, known
//
// A block that is in use has holders, who are counted. What a block holds is known once it has been published: the keys
// and values of 64 tokens behind a chain of known blocks. A known block is never written to, and a later sequence finds
// it by its tokens. Blocks that nobody holds but whose content is known are kept until their place is needed.
//
// Holders of a block hold the chain before it too, and release it last block first. So of a chain nobody holds, the end
// goes first.
#ifndef WELFORD_ENGINE_BLOCK_POOL_H
#define WELFORD_ENGINE_BLOCK_POOL_H

#include "base/status.h"
#include "runtime/program/kv.h"

typedef struct block_pool block_pool;

enum { BLOCK_NONE = -1 };

// n_blocks >= 1 of block_bytes each. Memory is reserved; what no call touches costs nothing. WF_ERROR_MEMORY.
wf_status block_pool_create(size_t block_bytes, int64_t n_blocks, block_pool **p, wf_error *err);
void block_pool_free(block_pool *p); // NULL is fine

unsigned char *block_pool_data(const block_pool *p, int32_t block); // aligned to 64

// A block of one's own; BLOCK_NONE: all are in use.
int32_t block_pool_take(block_pool *p);
void block_pool_hold(block_pool *p, int32_t block); // of one that is in use
void block_pool_release(block_pool *p, int32_t block);

// Whether a holder may write to the block: nobody else holds it and nobody can find it.
bool block_pool_is_own(const block_pool *p, int32_t block);
// A block of one's own with the same bytes, in exchange for one that is held; BLOCK_NONE, and nothing has changed: all
// are in use. Where nobody else holds the block and there is no other, its content is forgotten.
int32_t block_pool_own(block_pool *p, int32_t block);

// Says what an own block holds: `tokens` [KV_BLOCK] behind those of `parent`, a known block that the caller holds, or
// BLOCK_NONE at the beginning. Returns the block to go on with: where another is known to hold the same, that one, held,
// and the given one is released.
int32_t block_pool_publish(block_pool *p, int32_t block, int32_t parent, const int32_t *tokens);
// The block that holds these, held from now on; BLOCK_NONE: none is known.
int32_t block_pool_find(block_pool *p, int32_t parent, const int32_t *tokens);
bool block_pool_is_known(const block_pool *p, int32_t block);

typedef struct block_pool_counts {
    int64_t n_blocks, n_used, n_kept; // in all; held by somebody; known, and held by nobody
} block_pool_counts;

block_pool_counts block_pool_count(const block_pool *p);
int64_t block_pool_holders(const block_pool *p, int32_t block);
static inline int64_t block_pool_left(block_pool_counts c) { return c.n_blocks - c.n_used; } // that can be taken

#endif
