// Any bytes: npy_parse refuses them with one line, or every value of the array can be read.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "format/npy.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes);

static void check(bool holds)
{
    if (!holds) abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes)
{
    enum { ALIGNMENT = 16 };
    npy_array array = {0};
    wf_error err = {0};
    unsigned char *copy = aligned_alloc(ALIGNMENT, (bytes / ALIGNMENT + 1) * ALIGNMENT);
    check(copy != NULL);
    memcpy(copy, data, bytes);
    wf_status status = npy_parse(copy, bytes, "fuzz.npy", &array, &err);
    if (status == WF_OK) {
        size_t count = 1, all = array.count * npy_item_bytes(array.type);
        const unsigned char *values = array.data;
        for (uint32_t d = 0; d < array.n_dims; d++) count *= (size_t)array.dims[d];
        check(array.n_dims <= NPY_MAX_DIMS && count == array.count);
        check(all == 0 || (values >= copy && all <= bytes - (size_t)(values - copy)));
    } else {
        check(!strncmp(err.message, "fuzz.npy", 8) && !strchr(err.message, '\n'));
    }
    npy_close(&array);
    free(copy);
    return 0;
}
