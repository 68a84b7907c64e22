// Opening the compiler library: $WELFORD_COMPILER, else beside the program, else where it was installed.
#define _GNU_SOURCE
#include "runtime/compiler.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef WELFORD_COMPILER_DIR
#define WELFORD_COMPILER_DIR "/usr/local/lib/welford"
#endif

static const char LIBRARY[] = "libwelford_compiler.so";

// Folder of the file that holds this code (the program, or libwelford.so), without the slash; false when unknown.
static bool own_folder(char folder[PATH_MAX])
{
    Dl_info info;
    char file[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", file, sizeof file - 1);
    if (n > 0) file[n] = 0;
    // dladdr names a shared library by its path, the program itself by what the user typed
    bool is_library =
        dladdr((void *)(uintptr_t)compiler_open, &info) && info.dli_fname && strstr(info.dli_fname, ".so");
    if (is_library ? !realpath(info.dli_fname, folder) : n <= 0) return false;
    if (!is_library) memcpy(folder, file, (size_t)n + 1);
    char *slash = strrchr(folder, '/');
    if (slash) *slash = 0;
    return slash != NULL;
}

// The i-th place where the library may be; false: no more places.
static bool place_at(int i, char path[PATH_MAX + 64])
{
    static const char *const FOLDERS[] = {"", "/welford", "/../lib/welford", "/../lib"};
    enum { N_FOLDERS = sizeof FOLDERS / sizeof *FOLDERS };
    const char *forced = getenv("WELFORD_COMPILER");
    if (forced && *forced) {
        snprintf(path, PATH_MAX + 64, "%s", forced);
        return i == 0;
    }
    char folder[PATH_MAX];
    if (i < N_FOLDERS && own_folder(folder))
        snprintf(path, PATH_MAX + 64, "%s%s/%s", folder, FOLDERS[i], LIBRARY);
    else
        snprintf(path, PATH_MAX + 64, "%s/%s", WELFORD_COMPILER_DIR, LIBRARY);
    return i <= N_FOLDERS;
}

static bool find_library(void **library, buffer *tried)
{
    char path[PATH_MAX + 64];
    for (int i = 0; place_at(i, path); i++) {
        buffer_printf(tried, "%s%s", tried->len ? ", " : "", path);
        if (access(path, F_OK)) continue;
        // The library stays loaded when its handle is closed: LLVM does not survive being unloaded.
        *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
        if (*library) return true;
        const char *reason = dlerror();
        buffer_printf(tried, " (%s)", reason ? reason : "cannot be opened");
    }
    return false;
}

void compiler_identity(char identity[COMPILER_IDENTITY_CHARS])
{
    char path[PATH_MAX + 64];
    struct stat st;
    snprintf(identity, COMPILER_IDENTITY_CHARS, "%s", WELFORD_COMPILER_VERSION);
    for (int i = 0; place_at(i, path); i++) {
        if (stat(path, &st)) continue;
        snprintf(identity, COMPILER_IDENTITY_CHARS, "%s %lld %lld.%09ld", WELFORD_COMPILER_VERSION,
                 (long long)st.st_size, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
        return;
    }
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
            status =
                error_set(err, WF_ERROR_COMPILE, "%s: it has no function %s", tried.data ? tried.data : LIBRARY, name);
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
