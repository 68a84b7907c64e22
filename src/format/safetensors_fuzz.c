// Any bytes: safetensors_parse refuses them with one line, or everything it hands out can be read to its last byte.
#include <stdlib.h>

#include "format/safetensors.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes);

static void check(bool holds)
{
    if (!holds) abort();
}

// Reads all of a tensor; the sanitizers watch. The sum keeps the reads alive.
static unsigned sum_bytes(const unsigned char *data, size_t bytes)
{
    unsigned sum = 0;
    for (size_t i = 0; i < bytes; i++) sum += data[i];
    return sum;
}

static void check_tensors(const safetensors *s, const unsigned char *data, size_t bytes, bool cut_short)
{
    unsigned sum = 0;
    size_t end = s->header_bytes;
    check(s->header_bytes <= bytes);
    for (size_t i = 0; i < s->n_tensors; i++) {
        const safetensors_tensor *t = &s->tensors[i];
        check(t->offset == end && t->name && t->dtype && t->n_dims <= SAFETENSORS_MAX_DIMS);
        end += t->bytes;
        check((t->data == data + t->offset && end <= bytes) || (cut_short && !t->data));
        if (t->data) sum += sum_bytes(t->data, t->bytes);
    }
    check(cut_short || end == bytes);
    volatile unsigned sink = sum;
    (void)sink;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes)
{
    for (int cut_short = 0; cut_short < 2; cut_short++) {
        arena memory = {0};
        wf_error err = {0};
        safetensors s;
        if (safetensors_parse(data, bytes, "fuzz", cut_short, &memory, &s, &err) == WF_OK)
            check_tensors(&s, data, bytes, cut_short);
        else
            check(err.message[0] && !strchr(err.message, '\n'));
        arena_free(&memory);
    }
    return 0;
}
