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
    // from model_open on
    model_options options;
    cpu_features cpu;
    checkpoint *file;
    model_sizes sizes;
    compiler_door door; // open when there is something to compile
    // from model_load on
    program program;
    pack pack;
    bool program_cached, pack_cached; // came from the cache
    program_times compiled;
    double pack_started, pack_seconds; // CLOCK_MONOTONIC
} model;

// The cheap part: opens a checkpoint and says, in milliseconds, what can be said without compiling or packing it: all
// reasons why it cannot be, and its sizes. Strings of the options must outlive the model.
wf_status model_open(const char *path, const model_options *options, model **m, wf_error *err);

// The dear part, once and before anything is computed: the program, from the cache or from the compiler library, then
// the pack, from the cache or built by `pool`.
wf_status model_load(model *m, thread_pool *pool, wf_error *err);
void model_close(model *m);

// 32 hex digits for what a KV cache depends on: the checkpoint, the types of its weights and of the cache. False: out
// of memory.
bool model_identity(const model *m, char identity[CACHE_KEY_CHARS]);

#endif
