// Opening the compiler library: $WELFORD_COMPILER, else beside the program, else where it was installed.
#define _GNU_SOURCE
#include "runtime/compiler.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef WELFORD_COMPILER_DIR
#define WELFORD_COMPILER_DIR "/usr/local/lib/welford"
#endif

static const char LIBRARY[] = "libwelford_compiler.so";

// Opens `path` when there is such a file. False without a message: no file; with: it cannot be opened.
static bool open_library(const char *path, void **library, buffer *tried)
{
    buffer_printf(tried, "%s%s", tried->len ? ", " : "", path);
    if (access(path, F_OK)) return false;
    // The library stays loaded when its handle is closed: LLVM does not survive being unloaded.
    *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (*library) return true;
    const char *reason = dlerror();
    buffer_printf(tried, " (%s)", reason ? reason : "cannot be opened");
    return false;
}

static bool find_library(void **library, buffer *tried)
{
    const char *forced = getenv("WELFORD_COMPILER");
    if (forced && *forced) return open_library(forced, library, tried);
    char exe[PATH_MAX], path[PATH_MAX + 64];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (n > 0) {
        exe[n] = 0;
        char *slash = strrchr(exe, '/');
        if (slash) *slash = 0;
        static const char *const FOLDERS[] = {"", "/../lib/welford", "/../lib"};
        for (size_t i = 0; i < sizeof FOLDERS / sizeof *FOLDERS; i++) {
            snprintf(path, sizeof path, "%s%s/%s", exe, FOLDERS[i], LIBRARY);
            if (open_library(path, library, tried)) return true;
        }
    }
    snprintf(path, sizeof path, "%s/%s", WELFORD_COMPILER_DIR, LIBRARY);
    return open_library(path, library, tried);
}

wf_status compiler_open(const char *name, compiler_door *door, wf_error *err)
{
    *door = (compiler_door){0};
    buffer tried = {0};
    wf_status status = WF_OK;
    if (!find_library(&door->library, &tried)) {
        status = error_set(err, WF_ERROR_COMPILE, "no compiler library; tried %s", tried.data ? tried.data : LIBRARY);
    } else {
        door->function = dlsym(door->library, name);
        if (!door->function)
            status = error_set(err, WF_ERROR_COMPILE, "%s: it has no function %s", tried.data ? tried.data : LIBRARY, name);
    }
    if (status != WF_OK) compiler_close(door);
    buffer_free(&tried);
    return status;
}

void compiler_close(compiler_door *door)
{
    if (door->library) dlclose(door->library);
    *door = (compiler_door){0};
}
