// The pack: a checkpoint's or a function's weights in the layouts that kernels stream (runtime/weight/layout.h), as program.weights
// says.
#ifndef WELFORD_RUNTIME_PACK_PACK_H
#define WELFORD_RUNTIME_PACK_PACK_H

#include "base/file.h"
#include "base/threads.h"
#include "format/checkpoint.h"
#include "runtime/cache/cache_folder.h"
#include "runtime/program/program.h"

typedef struct pack {
    const unsigned char *data; // [program.weights_bytes], aligned to 4096
    file_map file;             // where it is a part of one
    void *memory;              // else, what to unmap; NULL in both: it is lent
    size_t memory_bytes;
    bool cached; // came from (or went to) the cache, or is lent: mapped, not private memory
} pack;

// Writes one weight's packed form to `out` [weight->bytes]. Checks that the tensors have the recorded types and sizes.
wf_status pack_weight(const checkpoint *file, const program_weight *weight, unsigned char *out, wf_error *err);

// Packs all weights, in parallel over weights and panels. `progress` (may be NULL) is called from one thread with bytes
// done and in all.
wf_status pack_build(const checkpoint *file, const program *p, thread_pool *pool,
                     void (*progress)(void *, size_t, size_t), void *context, unsigned char *out, wf_error *err);

// Maps the pack from the cache, or builds it: there, or in memory when `id` is NULL or the cache cannot be written to
// or has no room for it. WF_ERROR_MEMORY: there is no room in memory either, which is known before anything is packed.
// An entry of the wrong size or checksum is rebuilt.
wf_status pack_open(const checkpoint *file, const program *p, const cache_id *id, thread_pool *pool,
                    void (*progress)(void *, size_t, size_t), void *context, pack *out, wf_error *err);

// The part of pack_open that only looks into the cache; false: no good pack is there.
bool pack_find(const program *p, const cache_id *id, thread_pool *pool, pack *out);

// Packs again what is made of the tensor `source`, whose values have changed since: into memory of the pack's own, for
// others go on with the cache's. Nobody may read the pack meanwhile.
wf_status pack_renew(const checkpoint *file, const program *p, const char *source, pack *k, wf_error *err);

// A pack that somebody else has mapped, and who keeps it mapped; checked against the program and what pack_checksum
// gave.
// `name` is the file's, for messages.
wf_status pack_lend(view bytes, uint64_t checksum, const program *p, const char *name, thread_pool *pool, pack *out,
                    wf_error *err);
// Over the packed weights, by all threads; false: out of memory.
bool pack_checksum(const program *p, thread_pool *pool, const unsigned char *data, uint64_t *checksum);
void pack_close(pack *p);

#endif
