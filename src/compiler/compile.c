// The compiler, top to bottom: checkpoint, graph, passes, plan and kernels, objects, image.
#include <stdio.h>

#include "compiler/codegen/context.h"
#include "compiler/codegen/lower.h"
#include "compiler/codegen/shards.h"
#include "compiler/export.h"
#include "compiler/frontend/frontend.h"
#include "compiler/pass/runner.h"
#include "runtime/compiler.h"
#include "runtime/program.h"

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

static wf_status compile_graph(compiler_context *c, const checkpoint *file, const model_facts *facts, MlirModule module,
                               const compile_options *options, buffer *image, wf_error *err)
{
    MlirOperation function = mlirBlockGetFirstOperation(mlirModuleGetBody(module));
    kernel_shards kernels;
    TRY(shards_create(&kernels, &options->cpu, err));
    plan p = {0};
    view objects[N_SHARDS];
    size_t n_objects = 0;
    buffer notes = {0};
    const runner r = {.c = c,
                      .module = module,
                      .fuse = options->fuse,
                      .no_fuse = options->no_fuse,
                      .print_ir_after = options->print_ir_after,
                      .notes = &notes};
    wf_status status = runner_finish_step(&r, "frontend", err);
    if (status == WF_OK) status = runner_run_passes(&r, &p.memory, &p.fusions, &p.n_fusions, err);
    fwrite(buffer_view(&notes).data, 1, notes.len, stderr);
    if (status == WF_OK) status = lower_to_plan(function, file, facts, options, &kernels, &p, err);
    if (status == WF_OK) status = shards_compile(&kernels, options->n_threads, objects, &n_objects, err);
    if (status == WF_OK) program_write(&p, objects, n_objects, image);
    if (status == WF_OK && image->failed) status = error_memory(err, image->len);
    buffer_free(&notes);
    plan_free(&p);
    shards_free(&kernels);
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
        *sizes = (model_sizes){facts.n_vocab, facts.n_ctx_train, facts_kv_layout(&facts, options->kv_f32)};
        if (image) status = compile_graph(&c, file, &facts, module, options, image, err);
        mlirModuleDestroy(module);
    }
    arena_free(&memory);
    compiler_context_destroy(&c);
    return status;
}
