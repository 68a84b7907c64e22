// The ceilings as a program, so that they run like a model's kernels do: by the same walker, on the same threads.

#include "compiler/codegen/object.h"
#include "compiler/dialect/context.h"
#include "compiler/export.h"
#include "compiler/kernel/ceiling.h"
#include "runtime/program/executable.h"

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
    buffer object = {0};
    const char *names[CEILING_COUNT];
    program_call calls[CEILING_COUNT];
    TRY(compiler_context_create(&c, err));
    builder_init(&b, c.mlir, cpu);
    for (int i = 0; i < CEILING_COUNT; i++) {
        names[i] = ceiling_name((ceiling_kind)i);
        ceiling_build(&b, (ceiling_kind)i);
    }
    make_calls(calls, &b.target);
    const program p = {.name = "ceilings",
                       .n_dims = 1,
                       .dims = &ONE,
                       .n_areas = FUNCTION_ARRAYS,
                       .areas = AREAS,
                       .n_kernels = CEILING_COUNT,
                       .kernels = names,
                       .n_calls = CEILING_COUNT,
                       .calls = calls};
    wf_status status = object_emit(&c, b.module, cpu, &object, NULL, err);
    if (status == WF_OK) executable_write(&p, &(view){object.data, object.len}, 1, (view){0}, image);
    if (status == WF_OK && image->failed) status = error_memory(err, object.len);
    buffer_free(&object);
    mlirModuleDestroy(b.module);
    compiler_context_destroy(&c);
    return status;
}
