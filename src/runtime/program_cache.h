// Programs in the cache, and from the compiler.
#ifndef WELFORD_RUNTIME_PROGRAM_CACHE_H
#define WELFORD_RUNTIME_PROGRAM_CACHE_H

#include "base/buffer.h"
#include "runtime/cache/cache_folder.h"
#include "runtime/program/executable.h"

// Whether the cache has a good program of that id; a damaged entry is none.
bool program_find(const cache_id *id, executable *exe);

// Loads an image fresh from the compiler, which may be freed afterwards: one that does not load is WF_ERROR_COMPILE.
wf_status executable_load_made(const buffer *image, executable *exe, wf_error *err);

// Puts an image that loads into the cache, where it replaces what was there. Where that fails, it is made again the
// next time.
void program_keep(const cache_id *id, view image);

#endif
