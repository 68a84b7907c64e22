// A compiled model: a checkpoint, its program and its pack, each from the cache where it holds a good one; or all of them from a
// .wf file, where they were compiled ahead of time.
#ifndef WELFORD_RUNTIME_COMPILED_MODEL_H
#define WELFORD_RUNTIME_COMPILED_MODEL_H

#include "format/bundle.h"
#include "format/checkpoint.h"
#include "runtime/cache/cache_folder.h"
#include "runtime/compiler.h"
#include "runtime/pack/pack.h"
#include "runtime/program_cache.h"

typedef struct compiled_model {
    // from compiled_model_open on
    wf_model_options options;
    kv_type kv; // that was asked for
    cpu_features cpu;
    bundle ahead;       // of a .wf file, compiled ahead of time; else empty
    checkpoint *file;   // of a .wf file: metadata, and tensors without data
    checkpoint *source; // of a .wf file without weights: the checkpoint that has them
    model_sizes sizes;
    // from compiled_model_load on
    executable executable;
    pack pack;
    bool program_cached, pack_cached;                                    // came from the cache, or a .wf file
    double compile_started, compile_seconds, pack_started, pack_seconds; // CLOCK_MONOTONIC
} compiled_model;

// The cheap part: opens a checkpoint and says, in milliseconds, what can be said without compiling or packing it: all
// reasons why it cannot be, and its sizes. Strings of the options must outlive the model.
wf_status compiled_model_open(const char *path, const wf_model_options *options, compiled_model **m, wf_error *err);

// The dear part, once and before anything is computed: the program, from the cache or from the compiler library, then
// the pack, from the cache or built by `pool`.
wf_status compiled_model_load(compiled_model *m, thread_pool *pool, wf_error *err);

// Compiles an open model for a CPU, which need not be this one: appends the image of a program. All that one model
// gives have the same pack.
wf_status compiled_model_make_image(compiled_model *m, const cpu_features *cpu, thread_pool *pool, buffer *image,
                                    wf_error *err);
void compiled_model_close(compiled_model *m);

size_t compiled_model_file_bytes(const compiled_model *m); // of the checkpoint's files, or of the .wf file

// 32 hex digits for what a KV cache depends on: the checkpoint, the types of its weights and of the cache. False: out
// of memory.
bool compiled_model_identity(const compiled_model *m, char identity[CACHE_KEY_CHARS]);

#endif
