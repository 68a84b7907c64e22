// Programs in the cache, and from the compiler.
#ifndef WELFORD_RUNTIME_PROGRAM_CACHE_H
#define WELFORD_RUNTIME_PROGRAM_CACHE_H

#include "base/buffer.h"
#include "runtime/cache/cache_folder.h"
#include "runtime/program/executable.h"

// Whether the cache has a good program of that id; a damaged entry is none.
bool program_find(const cache_id *id, executable *exe);

// Appends the image of a program.
typedef wf_status make_program(void *context, buffer *image, wf_error *err);

// Loads an image fresh from the compiler, which may be freed afterwards: one that does not load is WF_ERROR_COMPILE.
wf_status executable_load_made(const buffer *image, executable *exe, wf_error *err);

typedef struct program_times {
    double started, seconds; // of making it: CLOCK_MONOTONIC
} program_times;

// How a program that was made is called in the cache; NULL: it is not kept.
typedef const cache_id *name_program(void *context, const program *p);

// Makes a program and puts it into the cache, where it replaces what was there. Errors as of executable_load_made.
wf_status program_make(make_program *make, name_program *name, void *context, executable *exe, program_times *times,
                       wf_error *err);

#endif
