// Any bytes as a relocatable object: refused with one line, or loaded with each function inside the code. Nothing runs.
#include <stdlib.h>
#include <string.h>

#include "runtime/program/executable.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes);

static void check(bool holds)
{
    if (!holds) abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes)
{
    static const char *const NAMES[] = {"f", "g"};
    enum { N_NAMES = sizeof NAMES / sizeof *NAMES };
    const view object = {(const char *)data, bytes}, twice[] = {object, object};
    for (size_t n_objects = 1; n_objects <= 2; n_objects++) {
        kernel_fn functions[N_NAMES];
        void *code;
        size_t code_bytes;
        wf_error err = {0};
        wf_status status = objects_load(twice, n_objects, "fuzz", NAMES, N_NAMES, functions, &code, &code_bytes, &err);
        if (status == WF_OK) {
            for (int i = 0; i < N_NAMES; i++) check((uintptr_t)functions[i] - (uintptr_t)code < code_bytes);
            objects_unload(code, code_bytes);
        } else {
            check(status == WF_ERROR_FORMAT && !code);
            check(!strncmp(err.message, "fuzz: ", 6) && !strchr(err.message, '\n'));
        }
    }
    return 0;
}
