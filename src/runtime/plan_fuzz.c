// Any bytes as a plan: reading fails with a message or gives a plan that prints, evaluates inside its areas and is
// written back as it came.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/plan.h"

static void expect(int good)
{
    if (!good) abort();
}

// Forms of every buffer at the largest call with an empty cache: UBSan watches for overflow.
static void evaluate(const plan *p)
{
    int64_t n_ctx = (p->n_ctx_train + 63) / 64 * 64;
    int64_t dims[DIM_COUNT];
    plan_dims(n_ctx, 0, n_ctx, n_ctx, dims);
    int64_t arena_bytes = affine_eval(&p->arena_bytes, dims), kv_end = kv_position_bytes(&p->kv) * dims[DIM_CONTEXT];
    for (uint32_t i = 0; i < p->n_calls; i++) {
        const plan_call *call = &p->calls[i];
        for (uint32_t b = 0; b < call->n_buffers; b++) {
            int64_t begin = affine_eval(&call->buffers[b].offset, dims);
            int64_t end = begin + affine_eval(&call->buffers[b].bytes, dims);
            expect(begin >= 0 && end >= begin);
            if (call->buffers[b].base == BASE_ARENA) expect(end <= arena_bytes);
            if (call->buffers[b].base == BASE_KV) expect(end <= kv_end);
            if (call->buffers[b].base == BASE_WEIGHTS) expect((size_t)end <= p->weights_bytes);
        }
        for (uint32_t d = 0; d < call->n_dims; d++) expect(affine_eval(&call->dims[d], dims) >= 0);
        expect(plan_count_eval(&call->tiles, dims) >= 0);
        expect(affine_eval(&call->flops, dims) >= 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    plan p;
    wf_error err = {0};
    if (plan_read(data, bytes, "fuzz", &p, &err) != WF_OK) {
        expect(!strncmp(err.message, "fuzz: ", 6) && !strchr(err.message, '\n'));
        return 0;
    }
    evaluate(&p);
    buffer out = {0};
    plan_print(&p, &out);
    buffer_clear(&out);
    plan_write(&p, &out);
    expect(!out.failed && out.len <= bytes && !memcmp(out.data, data, out.len));
    buffer_free(&out);
    plan_free(&p);
    return 0;
}
