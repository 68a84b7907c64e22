// The compiler, top to bottom: checkpoint, graph, passes, plan and kernels, objects, image.
#include <stdio.h>
#include <string.h>

#include "compiler/codegen/context.h"
#include "compiler/codegen/lower.h"
#include "compiler/codegen/shards.h"
#include "compiler/export.h"
#include "compiler/frontend/frontend.h"
#include "compiler/pass/pass.h"
#include "runtime/compiler.h"
#include "runtime/program.h"

static wf_status check_names(const char *list, const char *option, wf_error *err)
{
    for (const char *p = list; p && *p; p += strcspn(p, ","), p += *p == ',') {
        size_t len = strcspn(p, ",");
        const pass *found = pass_find(p, len);
        if (!found) return error_set(err, WF_ERROR_USAGE, "%s: there is no pass \"%.*s\"", option, (int)len, p);
        if (found->group != PASS_FUSE && strcmp(option, "print-ir-after"))
            return error_set(err, WF_ERROR_USAGE, "%s: \"%.*s\" is not a fusion", option, (int)len, p);
    }
    return WF_OK;
}

static void print_graph_after(const char *name, MlirOperation module)
{
    buffer text = {0};
    print_operation(module, &text);
    fprintf(stderr, "// ---- after %s\n%s\n", name, buffer_view(&text).data);
    buffer_free(&text);
}

// Notes in the plan what a fusion did, with the reasons for what it left: "30 weights of different types".
static wf_status keep_report(plan *out, plan_fusion *fusion, const char *name, const pass_report *report, wf_error *err)
{
    buffer why = {0};
    for (int i = 0; i < report->n_reasons; i++) {
        if (i) buffer_printf(&why, "; ");
        if (report->found) buffer_printf(&why, "%d ", report->reasons[i].count); // a fusion that is off found nothing
        buffer_printf(&why, "%s", report->reasons[i].text);
    }
    *fusion = (plan_fusion){.name = arena_strdup(&out->memory, view_of(name)),
                            .why = arena_strdup(&out->memory, buffer_view(&why)),
                            .found = (uint32_t)report->found,
                            .fused = (uint32_t)report->fused};
    buffer_free(&why);
    if (!fusion->name || !fusion->why) return error_memory(err, 0);
    out->n_fusions++;
    return WF_OK;
}

static wf_status run_passes(compiler_context *c, MlirModule module, MlirOperation function,
                            const compile_options *options, plan *out, wf_error *err)
{
    const char *print = options->print_ir_after;
    bool all = print && !strcmp(print, "all");
    if (print && !all && strcmp(print, "frontend")) TRY(check_names(print, "print-ir-after", err));
    TRY(check_names(options->no_fuse, "no-fuse", err));
    if (all || (print && !strcmp(print, "frontend"))) print_graph_after("frontend", mlirModuleGetOperation(module));
    TRY(check_names(options->fuse, "fuse", err));
    size_t n_passes = 0;
    while (PASSES[n_passes].name) n_passes++;
    plan_fusion *fusions = arena_alloc(&out->memory, n_passes, sizeof *fusions);
    if (!fusions) return error_memory(err, n_passes * sizeof *fusions);
    out->fusions = fusions;
    for (const pass *p = PASSES; p->name; p++) {
        bool off = p->group == PASS_FUSE &&
                   (list_has(options->no_fuse, p->name) || (options->fuse && !list_has(options->fuse, p->name)));
        pass_report report = {0};
        if (off)
            report = (pass_report){.n_reasons = 1, .reasons = {{"switched off", 1}}};
        else
            p->run(function, &report);
        if (p->group == PASS_FUSE) TRY(keep_report(out, &fusions[out->n_fusions], p->name, &report, err));
        if (off) continue;
        wf_error reason = {0};
        compiler_context_watch(c, &reason);
        bool valid = mlirOperationVerify(mlirModuleGetOperation(module));
        compiler_context_watch(c, NULL);
        if (!valid) return error_set(err, WF_ERROR_COMPILE, "after pass %s: %s", p->name, reason.message);
        if (all || list_has(print, p->name)) print_graph_after(p->name, mlirModuleGetOperation(module));
    }
    return WF_OK;
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
    wf_status status = run_passes(c, module, function, options, &p, err);
    if (status == WF_OK) status = lower_to_plan(function, file, facts, options, &kernels, &p, err);
    if (status == WF_OK) status = shards_compile(&kernels, options->n_threads, objects, &n_objects, err);
    if (status == WF_OK) program_write(&p, objects, n_objects, image);
    if (status == WF_OK && image->failed) status = error_memory(err, image->len);
    plan_free(&p);
    shards_free(&kernels);
    return status;
}

WF_EXPORT compile_fn welford_compile;

wf_status welford_compile(const checkpoint *file, const compile_options *options, buffer *image, wf_error *err)
{
    compiler_context c;
    TRY(compiler_context_create(&c, err));
    arena memory = {0};
    model_facts facts;
    MlirModule module;
    wf_status status = frontend_graph(file, options->weights, &c, &memory, &facts, &module, err);
    if (status == WF_OK) {
        status = compile_graph(&c, file, &facts, module, options, image, err);
        mlirModuleDestroy(module);
    }
    arena_free(&memory);
    compiler_context_destroy(&c);
    return status;
}
