// The ceilings as a program, so that they run like a model's kernels do: by the same walker, on the same threads.
#include <string.h>

#include "compiler/codegen/context.h"
#include "compiler/codegen/object.h"
#include "compiler/export.h"
#include "compiler/kernel/ceiling.h"
#include "runtime/program.h"

enum {
    Y_BYTES = 1024,
    READ_BYTES = 256 << 20, // far beyond any cache
    READ_TILES = READ_BYTES / CEILING_READ_BYTES,
    CHAIN_TILES = 256,
};

static affine constant(int64_t number) { return (affine){.c = {[DIM_ONE] = number}}; }

static void make_calls(plan_call calls[CEILING_COUNT], const kernel_target *target)
{
    static const char *const LABELS[] = {
        [CEILING_FMA] = "f32 multiply-adds",
        [CEILING_BF16] = "bf16 products",
        [CEILING_INT8] = "8-bit products",
        [CEILING_READ] = "reading memory",
    };
    for (int i = 0; i < CEILING_COUNT; i++) {
        bool reads = i == CEILING_READ;
        int64_t tiles = reads ? READ_TILES : CHAIN_TILES;
        calls[i] =
            (plan_call){.kernel = (uint32_t)i,
                        .label = LABELS[i],
                        .n_buffers = reads ? 2 : 1,
                        .buffers = {{BASE_ARENA, constant(0), constant(Y_BYTES), true},
                                    {BASE_ARENA, constant(Y_BYTES), constant(READ_BYTES), false}},
                        .tiles = {constant(tiles), 1, 1, {0}},
                        .flops = constant((int64_t)(ceiling_tile_flops((ceiling_kind)i, target) * (double)tiles))};
    }
}

WF_EXPORT ceilings_fn welford_ceilings;

wf_status welford_ceilings(const cpu_features *cpu, buffer *image, wf_error *err)
{
    compiler_context c;
    builder b;
    buffer object = {0};
    const char *names[CEILING_COUNT];
    plan_call calls[CEILING_COUNT];
    TRY(compiler_context_create(&c, err));
    builder_init(&b, c.mlir, cpu);
    for (int i = 0; i < CEILING_COUNT; i++) {
        names[i] = ceiling_name((ceiling_kind)i);
        ceiling_build(&b, (ceiling_kind)i);
    }
    make_calls(calls, &b.target);
    const plan p = {.architecture = "ceilings",
                    .name = "",
                    .n_vocab = 1,
                    .n_ctx_train = 1,
                    .n_embd = 1,
                    .kv = {.n_layer = 1, .n_kv_heads = 1, .head_dim = 1},
                    .arena_bytes = constant(Y_BYTES + READ_BYTES),
                    .n_kernels = CEILING_COUNT,
                    .kernels = names,
                    .n_calls = CEILING_COUNT,
                    .calls = calls};
    wf_status status = object_emit(&c, b.module, cpu, &object, NULL, err);
    if (status == WF_OK) program_write(&p, &(view){object.data, object.len}, 1, image);
    if (status == WF_OK && image->failed) status = error_memory(err, object.len);
    buffer_free(&object);
    mlirModuleDestroy(b.module);
    compiler_context_destroy(&c);
    return status;
}
