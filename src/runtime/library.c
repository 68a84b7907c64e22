// Where the libraries lie, and dlopen.
#include "runtime/library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"

#ifndef WELFORD_LIBRARY_DIR
#define WELFORD_LIBRARY_DIR "/usr/local/lib/welford"
#endif

// Folder of the file that holds this code (the program, or libwelford.so), without the slash; false when unknown.
static bool own_folder(char folder[PATH_MAX])
{
    Dl_info info;
    char file[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", file, sizeof file - 1);
    if (n > 0) file[n] = 0;
    // dladdr names a shared library by its path, the program itself by what the user typed
    bool is_library = dladdr((void *)(uintptr_t)library_find, &info) && info.dli_fname && strstr(info.dli_fname, ".so");
    if (is_library ? !realpath(info.dli_fname, folder) : n <= 0) return false;
    if (!is_library) memcpy(folder, file, (size_t)n + 1);
    char *slash = strrchr(folder, '/');
    if (slash) *slash = 0;
    return slash != NULL;
}

bool library_place(library_name name, int i, char path[LIBRARY_PATH_BYTES])
{
    static const char *const FOLDERS[] = {"", "/welford", "/../lib/welford", "/../lib"};
    enum { N_FOLDERS = sizeof FOLDERS / sizeof *FOLDERS };
    const char *forced = getenv(name.variable);
    if (forced && *forced) {
        snprintf(path, LIBRARY_PATH_BYTES, "%s", forced);
        return i == 0;
    }
    char folder[PATH_MAX];
    if (i < N_FOLDERS && own_folder(folder))
        snprintf(path, LIBRARY_PATH_BYTES, "%s%s/%s", folder, FOLDERS[i], name.file);
    else
        snprintf(path, LIBRARY_PATH_BYTES, "%s/%s", WELFORD_LIBRARY_DIR, name.file);
    return i <= N_FOLDERS;
}

static void *open_library(library_name name, buffer *tried)
{
    char path[LIBRARY_PATH_BYTES];
    for (int i = 0; library_place(name, i, path); i++) {
        buffer_printf(tried, "%s%s", tried->len ? ", " : "", path);
        if (access(path, F_OK)) continue;
        void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
        if (library) return library;
        const char *reason = dlerror();
        buffer_printf(tried, " (%s)", reason ? reason : "cannot be opened");
    }
    return NULL;
}

wf_status library_find(library_name name, const char *function, void **address, wf_error *err)
{
    buffer tried = {0};
    void *library = open_library(name, &tried);
    const char *places = tried.data ? tried.data : name.file;
    *address = library ? dlsym(library, function) : NULL;
    if (!library)
        error_set(err, WF_ERROR_IO, "no %s; tried %s", name.file, places);
    else if (!*address)
        error_set(err, WF_ERROR_IO, "%s: it has no function %s", places, function);
    if (library) dlclose(library); // it stays
    buffer_free(&tried);
    return *address ? WF_OK : WF_ERROR_IO;
}
