// The compiler library: $WELFORD_COMPILER, else beside the program, else where it was installed (library.h).
#include "runtime/compiler.h"

#include <stdio.h>
#include <sys/stat.h>

#include "runtime/library.h"
#include "runtime/versions.h"

static const library_name LIBRARY = {"libwelford_compiler.so", "WELFORD_COMPILER"};

void compiler_identity(char identity[COMPILER_IDENTITY_CHARS])
{
    char path[LIBRARY_PATH_BYTES];
    struct stat st;
    snprintf(identity, COMPILER_IDENTITY_CHARS, "%s", WELFORD_COMPILER_VERSION);
    for (int i = 0; library_place(LIBRARY, i, path); i++) {
        if (stat(path, &st)) continue;
        snprintf(identity, COMPILER_IDENTITY_CHARS, "%s %lld %lld.%09ld", WELFORD_COMPILER_VERSION,
                 (long long)st.st_size, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
        return;
    }
}

wf_status compiler_open(const char *name, compiler_door *door, wf_error *err)
{
    wf_error reason;
    *door = (compiler_door){0};
    if (library_open(LIBRARY, name, &door->library, &door->function, &reason) == WF_OK) return WF_OK;
    return error_set(err, WF_ERROR_COMPILE, "%s", reason.message);
}

void compiler_close(compiler_door *door)
{
    library_close(door->library);
    *door = (compiler_door){0};
}
