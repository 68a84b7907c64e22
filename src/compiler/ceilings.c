// The ceilings as a program, so that they run like a model's kernels do: by the same walker, on the same threads.

#include "base/cores.h"
#include "compiler/codegen/object.h"
#include "compiler/dialect/context.h"
#include "compiler/export.h"
#include "compiler/kernel/ceiling.h"

enum {
    Y_BYTES = 1024,
    READ_BYTES = 256 << 20, // far beyond any cache
    READ_TILES = READ_BYTES / CEILING_READ_BYTES,
    CHAIN_TILES = 256,
};

static const program_buffer BUFFERS[] = {
    {.area = FUNCTION_ARENA, .bytes = {{Y_BYTES}}, .written = true},
    {.area = FUNCTION_ARENA, .offset = {{Y_BYTES}}, .bytes = {{READ_BYTES}}},
};
static const program_area AREAS[FUNCTION_ARRAYS] = {
    {"arena", AREA_ARENA, {{Y_BYTES + READ_BYTES}}},
    {"constants", AREA_CONSTANTS, {{0}}},
    {"math", AREA_MATH, {{8}}},
    {"fault", AREA_FAULT, {{8}}},
    {"weights", AREA_WEIGHTS, {{0}}},
};
static const program_dim ONE = {.name = "1"};

static void make_calls(program_call calls[CEILING_COUNT], const kernel_target *target)
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
        calls[i] = (program_call){
            .kernel = (uint32_t)i,
            .label = LABELS[i],
            .n_buffers = reads ? 2 : 1,
            .buffers = BUFFERS,
            .tiles = {affine_of(DIM_ONE, tiles), 1, 1, {0}},
            .grain = 1,
            .flops = affine_of(DIM_ONE, (int64_t)(ceiling_tile_flops((ceiling_kind)i, target) * (double)tiles))};
    }
}

WF_EXPORT ceilings_fn welford_ceilings;

wf_status welford_ceilings(const cpu_features *cpu, buffer *image, wf_error *err)
{
    compiler_context c;
    builder b;
    buffer names[CEILING_COUNT] = {{0}};
    const char *kernels[CEILING_COUNT];
    program_call calls[CEILING_COUNT];
    bool complete = true;
    TRY(compiler_context_create(&c, err));
    builder_init(&b, c.mlir, cpu);
    for (int i = 0; i < CEILING_COUNT; i++) {
        const ceiling_kernel k = {(ceiling_kind)i};
        kernel_write_name(&CEILING_KERNEL, &k, &names[i]);
        complete = complete && !names[i].failed;
        kernels[i] = buffer_view(&names[i]).data;
        if (complete) CEILING_KERNEL.build(&b, &k, kernels[i]);
    }
    make_calls(calls, &b.target);
    const program p = {.name = "ceilings",
                       .n_dims = 1,
                       .dims = &ONE,
                       .n_areas = FUNCTION_ARRAYS,
                       .areas = AREAS,
                       .n_kernels = CEILING_COUNT,
                       .kernels = kernels,
                       .n_calls = CEILING_COUNT,
                       .calls = calls};
    wf_status status = complete ? program_emit(&c, &p, b.module, cpu, cores_usable(), (view){0}, image, err)
                                : error_memory(err, sizeof names);
    for (int i = 0; i < CEILING_COUNT; i++) buffer_free(&names[i]);
    mlirModuleDestroy(b.module);
    compiler_context_destroy(&c);
    return status;
}
