// A model: a checkpoint, its program and its pack, each from the cache where it holds a good one; or all of them from a
// .wf file, where they were compiled ahead of time.
#ifndef WELFORD_RUNTIME_MODEL_H
#define WELFORD_RUNTIME_MODEL_H

#include "format/bundle.h"
#include "format/checkpoint.h"
#include "runtime/cache/cache_folder.h"
#include "runtime/compiler.h"
#include "runtime/pack/pack.h"
#include "runtime/program_cache.h"

typedef struct model_options {
    bool kv_f32, no_cache;
    const char *fuse, *no_fuse, *print_ir_after; // as in compile_options
    const char *weights;                         // as in compile_options
    const char *weights_from;                    // the checkpoint of a .wf file without weights; NULL: beside it
    bool print_plan, print_report;               // the program, what every fusion did: as tables to stderr
    void (*progress)(void *context, const char *what, size_t done, size_t all); // "packing"; may be NULL
    void *progress_context;
} model_options;

typedef struct model {
    // from model_open on
    model_options options;
    cpu_features cpu;
    bundle ahead;       // of a .wf file, compiled ahead of time; else empty
    checkpoint *file;   // of a .wf file: metadata, and tensors without data
    checkpoint *source; // of a .wf file without weights: the checkpoint that has them
    model_sizes sizes;
    compiler_door door; // open when there is something to compile
    // from model_load on
    executable executable;
    pack pack;
    bool program_cached, pack_cached; // came from the cache, or a .wf file
    program_times compiled;
    double pack_started, pack_seconds; // CLOCK_MONOTONIC
} model;

// The cheap part: opens a checkpoint and says, in milliseconds, what can be said without compiling or packing it: all
// reasons why it cannot be, and its sizes. Strings of the options must outlive the model.
wf_status model_open(const char *path, const model_options *options, model **m, wf_error *err);

// The dear part, once and before anything is computed: the program, from the cache or from the compiler library, then
// the pack, from the cache or built by `pool`.
wf_status model_load(model *m, thread_pool *pool, wf_error *err);

// Compiles an open model for a CPU, which need not be this one: appends the image of a program. All that one model
// gives have the same pack.
wf_status model_compile(model *m, const cpu_features *cpu, thread_pool *pool, buffer *image, wf_error *err);
void model_close(model *m);

size_t model_file_bytes(const model *m); // of the checkpoint's files, or of the .wf file

// 32 hex digits for what a KV cache depends on: the checkpoint, the types of its weights and of the cache. False: out
// of memory.
bool model_identity(const model *m, char identity[CACHE_KEY_CHARS]);

#endif
