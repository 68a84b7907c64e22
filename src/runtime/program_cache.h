// Programs from the cache, or from the compiler.
#ifndef WELFORD_RUNTIME_PROGRAM_CACHE_H
#define WELFORD_RUNTIME_PROGRAM_CACHE_H

#include "runtime/program.h"

// Appends the image of a program.
typedef wf_status make_program(void *context, buffer *image, wf_error *err);

typedef struct program_source {
    make_program *make;
    void *context;
    const char *key; // in the cache; NULL: it is made, and not kept
    bool make_anew;  // even if the cache has it: who wants to see the compiler's graphs wants it to run
} program_source;

typedef struct program_origin {
    bool cached;             // it came from the cache
    double started, seconds; // of making it: CLOCK_MONOTONIC
} program_origin;

// A missing, cut or damaged entry of the cache is no failure: the program is made anew and replaces it. An image fresh
// from the compiler that does not load is WF_ERROR_COMPILE. `origin` may be NULL.
wf_status program_obtain(const program_source *source, program *prog, program_origin *origin, wf_error *err);

#endif
