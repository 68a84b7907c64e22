// Opening the libraries that a start does without: the compiler (MLIR, LLVM) and the hub's downloader (libcurl). Their
// dynamic linking alone takes too long for every start, so they are opened when they are first needed.
#ifndef WELFORD_RUNTIME_LIBRARY_H
#define WELFORD_RUNTIME_LIBRARY_H

#include <limits.h>
#include <stdbool.h>

#include "base/status.h"

typedef struct library_name {
    const char *file;     // "libwelford_compiler.so"
    const char *variable; // environment variable that says where it is instead
} library_name;

enum { LIBRARY_PATH_BYTES = PATH_MAX + 64 };

// The i-th place where the library may be: what the variable says; without it beside the program (or libwelford.so), in
// ../lib/welford from there, and where it was installed. False: no more places.
bool library_place(library_name name, int i, char path[LIBRARY_PATH_BYTES]);

// Opens the library, where it is not open yet, and finds a function in it. WF_ERROR_IO says where it was looked for. It
// stays loaded, since LLVM does not survive being unloaded.
wf_status library_find(library_name name, const char *function, void **address, wf_error *err);

#endif
