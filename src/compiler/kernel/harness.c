#define _GNU_SOURCE
#include "compiler/kernel/harness.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "compiler/codegen/object.h"
#include "runtime/program.h"

wf_status harness_open(harness *h, const char *cpu_name, wf_error *err)
{
    *h = (harness){0};
    bool emulate = !strcmp(cpu_name, "emulated-avx512");
    setenv("WELFORD_CPU", emulate ? "haswell" : cpu_name, 1);
    TRY(cpu_detect(&h->cpu, err));
    TRY(compiler_context_create(&h->context, err));
    builder_init(&h->builder, h->context.mlir, &h->cpu);
    if (emulate)
        h->builder.target =
            (kernel_target){.lanes = 16, .registers = 32, .vpdpbusd = true, .vdpbf16ps = true, .emulated = true};
    return WF_OK;
}

wf_status harness_compile(harness *h, const char *const *names, int n, kernel_fn *functions, wf_error *err)
{
    buffer object = {0}, assembly = {0};
    const char *dump = getenv("WELFORD_DUMP_ASM");
    wf_status status = object_emit(&h->context, h->builder.module, &h->cpu, &object, dump ? &assembly : NULL, err);
    if (status == WF_OK && dump) status = file_write_atomic(dump, assembly.data, assembly.len, err);
    if (status == WF_OK)
        status = objects_load(&(view){object.data, object.len}, 1, "kernel object", names, (size_t)n, functions,
                              &h->code, &h->code_bytes, err);
    buffer_free(&object);
    buffer_free(&assembly);
    return status;
}

void harness_close(harness *h)
{
    if (h->code) objects_unload(h->code, h->code_bytes);
    if (!mlirModuleIsNull(h->builder.module)) mlirModuleDestroy(h->builder.module);
    compiler_context_destroy(&h->context);
    *h = (harness){0};
}
