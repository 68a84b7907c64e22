// Any bytes as a program: reading fails with a message or gives a program that prints, evaluates inside its areas and
// is written back as it came.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/program/program.h"

static void expect(int good)
{
    if (!good) abort();
}

// Forms of every buffer at a large call with an empty cache: UBSan watches for overflow.
static void evaluate(const program *p)
{
    int64_t n_ctx = (p->n_ctx_train + 63) / 64 * 64;
    int64_t dims[DIM_COUNT] = {1};
    if (program_is_sequence(p)) program_dims(n_ctx, 0, n_ctx, n_ctx, dims);
    for (uint32_t i = 0; i < p->n_calls; i++) {
        const program_call *call = &p->calls[i];
        for (uint32_t b = 0; b < call->n_buffers; b++) {
            int64_t begin = affine_eval(&call->buffers[b].offset, dims);
            int64_t end = begin + affine_eval(&call->buffers[b].bytes, dims);
            expect(begin >= 0 && end >= begin);
            expect(end <= affine_eval(&p->areas[call->buffers[b].area].bytes, dims));
        }
        for (uint32_t d = 0; d < call->n_sizes; d++) expect(affine_eval(&call->sizes[d], dims) >= 0);
        if (program_is_sequence(p)) expect(program_count_eval(&call->tiles, dims) >= 0);
        expect(affine_eval(&call->flops, dims) >= 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    program p;
    wf_error err = {0};
    if (program_read(data, bytes, "fuzz", &p, &err) != WF_OK) {
        expect(!strncmp(err.message, "fuzz: ", 6) && !strchr(err.message, '\n'));
        return 0;
    }
    evaluate(&p);
    buffer out = {0};
    program_print(&p, &out);
    buffer_clear(&out);
    program_write(&p, &out);
    expect(!out.failed && out.len <= bytes && !memcmp(out.data, data, out.len));
    buffer_free(&out);
    program_free(&p);
    return 0;
}
