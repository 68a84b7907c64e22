#include "compiler/kernel/harness.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "compiler/codegen/object.h"
#include "runtime/program/executable.h"

const char *const HARNESS_CPUS[N_HARNESS_CPUS] = {
    "haswell", "znver3", "alderlake", "skylake-avx512", "icelake-server", "cooperlake", "znver4", "sapphirerapids",
};

wf_status harness_open_other(harness *h, const char *cpu_name, wf_error *err)
{
    *h = (harness){0};
    TRY(cpu_named(cpu_name, &h->cpu, err));
    TRY(compiler_context_create(&h->context, err));
    builder_init(&h->builder, h->context.mlir, &h->cpu);
    return WF_OK;
}

wf_status harness_assembly(harness *h, buffer *assembly, wf_error *err)
{
    buffer object = {0};
    wf_status status = object_emit(&h->context, h->builder.module, &h->cpu, &object, assembly, err);
    buffer_free(&object);
    return status;
}

// Wider instructions, written out in AVX2.
static const struct emulation {
    const char *name;
    kernel_target target;
} EMULATIONS[] = {
    {"emulated-avx512", {.lanes = 16, .registers = 32, .vpdpbusd = true, .vdpbf16ps = true, .emulated = true}},
    {"emulated-avx512f", {.lanes = 16, .registers = 32, .emulated = true}},
    {"emulated-avx-vnni", {.lanes = 8, .registers = 16, .vpdpbusd = true, .emulated = true}},
};

wf_status harness_open(harness *h, const char *cpu_name, wf_error *err)
{
    *h = (harness){0};
    const struct emulation *emulation = NULL;
    for (size_t i = 0; i < sizeof EMULATIONS / sizeof *EMULATIONS; i++)
        if (!strcmp(cpu_name, EMULATIONS[i].name)) emulation = &EMULATIONS[i];
    setenv("WELFORD_CPU", emulation ? "haswell" : cpu_name, 1);
    TRY(cpu_detect(&h->cpu, err));
    TRY(compiler_context_create(&h->context, err));
    builder_init(&h->builder, h->context.mlir, &h->cpu);
    if (emulation) h->builder.target = emulation->target;
    return WF_OK;
}

const char *harness_add(harness *h, const kernel_kind *kind, const void *params)
{
    buffer name = {0};
    kernel_write_name(kind, params, &name);
    for (int i = 0; i < h->n_names; i++)
        if (!strcmp(h->names[i], name.data)) {
            buffer_free(&name);
            return h->names[i];
        }
    char **names = realloc(h->names, (size_t)(h->n_names + 1) * sizeof *names);
    if (name.failed || !names) abort(); // tests only
    h->names = names;
    kind->build(&h->builder, params, name.data);
    return h->names[h->n_names++] = name.data;
}

wf_status harness_compile(harness *h, const char *const *names, int n, kernel_fn *functions, wf_error *err)
{
    buffer object = {0}, assembly = {0};
    const char *dump = getenv("WELFORD_DUMP_ASM");
    wf_status status = object_emit(&h->context, h->builder.module, &h->cpu, &object, dump ? &assembly : NULL, err);
    if (status == WF_OK && dump) status = file_write(dump, assembly.data, assembly.len, err);
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
    for (int i = 0; i < h->n_names; i++) free(h->names[i]);
    free(h->names);
    *h = (harness){0};
}
