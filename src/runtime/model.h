// A model: a checkpoint, its program and its pack, each from the cache where it holds a good one.
#ifndef WELFORD_RUNTIME_MODEL_H
#define WELFORD_RUNTIME_MODEL_H

#include "format/checkpoint.h"
#include "runtime/cache.h"
#include "runtime/compiler.h"
#include "runtime/pack.h"
#include "runtime/program_cache.h"

typedef struct model_options {
    bool kv_f32, no_cache;
    const char *fuse, *no_fuse, *print_ir_after; // as in compile_options
    const char *weights;                         // as in compile_options
    bool print_plan, print_report;               // the plan, what every fusion did: as tables to stderr
    void (*progress)(void *context, const char *what, size_t done, size_t all); // "packing"; may be NULL
    void *progress_context;
} model_options;

typedef struct model {
    checkpoint *file;
    program program;
    pack pack;
    program_origin program_origin;
    bool pack_cached;                  // came from the cache
    double pack_started, pack_seconds; // CLOCK_MONOTONIC
} model;

// Opens a checkpoint: key from its header, CPU and options; program from the cache or from the compiler library
// (dlopen'ed only then); pack from the cache or built by `pool`.
wf_status model_open(const char *path, const model_options *options, thread_pool *pool, model **m, wf_error *err);
void model_close(model *m);

// 32 hex digits for what a KV cache depends on: the weights as packed, and the cache's type. False: out of memory.
bool model_identity(const model *m, char identity[CACHE_KEY_CHARS]);

#endif
