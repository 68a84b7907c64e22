// The compiler, top to bottom: checkpoint, graph, passes, program and kernels, objects, image.
#include <stdio.h>

#include "compiler/codegen/object.h"
#include "compiler/dialect/context.h"
#include "compiler/export.h"
#include "compiler/frontend/checkpoint/frontend.h"
#include "compiler/lower/lower.h"
#include "compiler/runner.h"
#include "runtime/compiler.h"

static bool is_step(view name)
{
    return view_is(name, "all") || view_is(name, "frontend") || pass_find(name.data, name.len);
}

static wf_status check_options(const compile_options *options, wf_error *err)
{
    TRY(runner_check_names(options->print_ir_after, "print-ir-after", "pass", is_step, err));
    TRY(runner_check_names(options->fuse, "fuse", "fusion", pass_is_fusion, err));
    return runner_check_names(options->no_fuse, "no-fuse", "fusion", pass_is_fusion, err);
}

static const char *why_no_kernel(MlirOperation op) { return lower_why_not(op, GRAPH_OF_SEQUENCE); }

static wf_status compile_graph(compiler_context *c, const checkpoint *file, const model_facts *facts, MlirModule module,
                               const compile_options *options, buffer *image, wf_error *err)
{
    MlirOperation function = mlirBlockGetFirstOperation(mlirModuleGetBody(module));
    builder kernels;
    program p = {0};
    buffer notes = {0}, constants = {0};
    const lower_options lowered = {.file = file, .facts = facts, .kv = options->kv};
    builder_init(&kernels, c->mlir, &options->cpu);
    const runner r = {.c = c,
                      .module = module,
                      .fuse = options->fuse,
                      .no_fuse = options->no_fuse,
                      .print_ir_after = options->print_ir_after,
                      .back_end = why_no_kernel,
                      .notes = &notes};
    wf_status status = runner_finish_step(&r, "frontend", err);
    if (status == WF_OK) status = runner_run_passes(&r, &p.memory, &p.fusions, &p.n_fusions, err);
    fwrite(buffer_view(&notes).data, 1, notes.len, stderr);
    if (status == WF_OK) status = lower_function(function, &lowered, &kernels, &p, &constants, err);
    if (status == WF_OK)
        status =
            program_emit(c, &p, kernels.module, &options->cpu, options->n_threads, buffer_view(&constants), image, err);
    buffer_free(&notes);
    buffer_free(&constants);
    program_free(&p);
    mlirModuleDestroy(kernels.module);
    return status;
}

WF_EXPORT compile_fn welford_compile;

wf_status welford_compile(const checkpoint *file, const compile_options *options, model_sizes *sizes, buffer *image,
                          wf_error *err)
{
    compiler_context c;
    TRY(check_options(options, err));
    TRY(compiler_context_create(&c, err));
    arena memory = {0};
    model_facts facts;
    MlirModule module;
    wf_status status = frontend_graph(file, options->weights, &c, &memory, &facts, &module, err);
    if (status == WF_OK) {
        *sizes = (model_sizes){facts.n_vocab, facts.n_ctx_train, facts_kv_layout(&facts, options->kv)};
        if (image) status = compile_graph(&c, file, &facts, module, options, image, err);
        mlirModuleDestroy(module);
    }
    arena_free(&memory);
    compiler_context_destroy(&c);
    return status;
}
