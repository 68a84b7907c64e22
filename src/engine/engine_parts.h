// What the files of the engine share: its insides, and those of a sequence.
#ifndef WELFORD_ENGINE_ENGINE_PARTS_H
#define WELFORD_ENGINE_ENGINE_PARTS_H

#include "base/area.h"
#include "engine/engine.h"

struct engine {
    const compiled_model *m;
    thread_pool *pool;
    executor *executor;
    block_pool *blocks;
    prefix_store *store; // NULL: none
    int64_t n_ctx;       // what the caller may use
    int64_t n_capacity;  // kv_capacity(n_ctx): DIM_CONTEXT
    int64_t n_batch;
    int64_t n_rope;    // rows of the rotation tables that are filled
    int64_t n_outputs; // rows of logits
    area arena, rope;
    area tokens;  // [n_batch] i32: input of one step
    area rows;    // [n_batch] i32
    area logits;  // [n_outputs, n_vocab] f32, grown on demand, with AREA_ALIGNMENT bytes of slack
    bool batches; // a step of several sequences is one walk
    execute_segment *segments;
    size_t n_segments;
};

struct sequence {
    engine *e;
    int64_t n_past;
    int64_t n_blocks;      // that it holds: of its tokens, and those reserved for more
    int64_t n_known;       // of these, whole ones that others can find: the first
    int64_t n_stored;      // of these, in the store: the first
    int32_t *blocks;       // [n_blocks]
    unsigned char **table; // [n_blocks]: where they are; kernels may look at one entry more than there are
    int32_t *history;      // [n_past]: ids
    area memory;           // of all three
};

#endif
