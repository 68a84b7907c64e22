// Compiling ahead of time: makes .wf files (format/bundle.h).
#ifndef WELFORD_RUNTIME_BUNDLE_MAKE_H
#define WELFORD_RUNTIME_BUNDLE_MAKE_H

#include "runtime/function.h"
#include "runtime/compiled_model.h"

typedef struct bundle_options {
    const char *output;
    const cpu_features *cpus; // [n_cpus], each other
    size_t n_cpus;
    bool no_weights; // of a model: who opens it brings the checkpoint
} bundle_options;

// Programs, metadata and packed weights of the checkpoint at `path`.
wf_status bundle_make_model(const char *path, const wf_model_options *how, const bundle_options *options,
                            thread_pool *pool, wf_error *err);

// Programs of the functions `entries` [n_entries] of a file; none: of the one that source->options chooses; and the packs
// that they read, each once. Shapes of arguments that its file fixes need not be given: function_options.as_declared.
wf_status bundle_make_function(const function_source *source, const char *const *entries, uint32_t n_entries,
                               const bundle_options *options, thread_pool *pool, buffer *notes, wf_error *err);

#endif
