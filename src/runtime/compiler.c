// The compiler library: $WELFORD_COMPILER, else beside the program, else where it was installed (library.h).
#include "runtime/compiler.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/draft.h"
#include "base/file.h"
#include "base/versions.h"
#include "runtime/cache/cache_folder.h"
#include "runtime/library.h"

static const library_name LIBRARY = {"libwelford_compiler.so", "WELFORD_COMPILER"};

// False: there is none.
static bool find_library(char identity[COMPILER_IDENTITY_CHARS])
{
    char path[LIBRARY_PATH_BYTES];
    struct stat st;
    for (int i = 0; library_place(LIBRARY, i, path); i++) {
        if (stat(path, &st)) continue;
        snprintf(identity, COMPILER_IDENTITY_CHARS, "%s %lld %lld.%09ld", WELFORD_COMPILER_VERSION,
                 (long long)st.st_size, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
        return true;
    }
    return false;
}

// What was kept; empty where there is nothing.
static void read_kept(char identity[COMPILER_IDENTITY_CHARS])
{
    char path[PATH_MAX];
    FILE *file = cache_compiler_path(path, sizeof path) ? fopen(path, "re") : NULL;
    size_t n = file ? fread(identity, 1, COMPILER_IDENTITY_CHARS - 1, file) : 0;
    identity[n] = 0;
    if (file) fclose(file);
}

void compiler_identity(char identity[COMPILER_IDENTITY_CHARS])
{
    if (!find_library(identity)) read_kept(identity);
}

void compiler_keep_identity(void)
{
    char path[PATH_MAX], identity[COMPILER_IDENTITY_CHARS], kept[COMPILER_IDENTITY_CHARS];
    if (!find_library(identity) || !cache_compiler_path(path, sizeof path)) return;
    read_kept(kept);
    draft d; // without it: only a miss later
    if (!strcmp(kept, identity) || !draft_open(AT_FDCWD, path, 0600, &d)) return;
    if (file_write_at(d.fd, identity, strlen(identity), 0)) draft_publish(&d, path);
    draft_close(&d);
}

wf_status compiler_find(const char *name, void **function, wf_error *err)
{
    wf_error reason;
    if (library_find(LIBRARY, name, function, &reason) == WF_OK) return WF_OK;
    return error_set(err, WF_ERROR_COMPILE, "%s", reason.message);
}
