// Blocks of the KV cache on disk, so that a prompt whose beginning was evaluated once, by any process, is not again.
//
//     FOLDER/IDENTITY/KEY     one block: 64 tokens behind those of the blocks before it
//
//     0    magic (base/versions.h)
//     8    u64 XXH3-64 of all that follows
//     16   32 hex digits: the identity, of all that a bit may depend on (model_open_prefixes)
//     48   the key of what is before it, 16 bytes
//     64   i32 tokens [64]
//     320  the block (runtime/program/kv.h)
//
// A key is XXH3-128 of the key before it and the block's tokens: it stands for all tokens up to there. Files are written
// whole or not at all; one that is damaged, or not what its name says, is as good as none. Any of them may be removed at
// any time.
#ifndef WELFORD_ENGINE_PREFIX_STORE_H
#define WELFORD_ENGINE_PREFIX_STORE_H

#include "base/status.h"
#include "runtime/program/kv.h"

typedef struct prefix_store prefix_store;

typedef struct prefix_key {
    uint64_t low, high;
} prefix_key; // {0}: of no tokens

// Makes the folders, for the user alone where they are not there yet. `identity`: 32 characters at most. WF_ERROR_IO names what
// cannot be made.
wf_status prefix_store_open(const char *folder, const char *identity, size_t block_bytes, prefix_store **s,
                            wf_error *err);
void prefix_store_close(prefix_store *s); // NULL is fine

prefix_key prefix_key_next(prefix_key behind, const int32_t *tokens); // [KV_BLOCK]

// Whether there is a file for `tokens` [KV_BLOCK] behind that key.
bool prefix_store_has(const prefix_store *s, prefix_key behind, const int32_t *tokens);
// Reads the block; false: there is none, or none that is good.
bool prefix_store_read(prefix_store *s, prefix_key behind, const int32_t *tokens, unsigned char *block);
// Writes it. False: it could not be; stderr is told the first time.
bool prefix_store_write(prefix_store *s, prefix_key behind, const int32_t *tokens, const unsigned char *block);

typedef struct prefix_store_counts {
    int64_t n_read, n_written, n_failed; // blocks; files that were no good or could not be written
} prefix_store_counts;

prefix_store_counts prefix_store_count(const prefix_store *s);

#endif
