// `welford opt`: a graph file through passes, as compiler people want to see it.
#include "compiler/dialect/context.h"
#include "compiler/dialect/wf.h"
#include "compiler/export.h"
#include "compiler/frontend/mlir/buffers.h"
#include "compiler/frontend/mlir/graph_file.h"
#include "compiler/registry.h"
#include "compiler/runner.h"
#include "runtime/compiler.h"

typedef struct pipeline {
    runner run;
    const opt_options *options;
    wf_error *err;
} pipeline;

// ---- names in lists

static bool is_known(view name)
{
    return view_is(name, "raise") || view_is(name, "fuse") || view_is(name, "lower") ||
           pass_find(name.data, name.len) || rule_find(name.data, name.len);
}

static bool is_step(view name) { return view_is(name, "all") || view_is(name, "frontend") || is_known(name); }

static wf_status check_options(const opt_options *o, wf_error *err)
{
    TRY(runner_check_names(o->passes, "passes", "pass", is_known, err));
    TRY(runner_check_names(o->fuse, "fuse", "fusion", pass_is_fusion, err));
    TRY(runner_check_names(o->no_fuse, "no-fuse", "fusion", pass_is_fusion, err));
    return runner_check_names(o->print_ir_after, "print-ir-after", "pass", is_step, err);
}

// ---- running

static wf_status run_pass(const pipeline *p, const pass *which)
{
    return runner_run_pass(&p->run, which, NULL, p->err);
}

static wf_status run_group(const pipeline *p, pass_group group, const char *name)
{
    for (const pass *which = PASSES; which->name; which++)
        if (which->group == group) TRY(run_pass(p, which));
    return runner_finish_step(&p->run, name, p->err);
}

static wf_status run_named(const pipeline *p, view name)
{
    if (view_is(name, "raise")) return runner_raise(&p->run, p->err);
    if (view_is(name, "fuse")) return run_group(p, PASS_FUSE, "fuse");
    if (view_is(name, "lower")) return run_group(p, PASS_LOWER, "lower");
    // "attention" names both: the rule that finds it, then the fusion
    const rule *found = rule_find(name.data, name.len);
    const pass *which = pass_find(name.data, name.len);
    if (found) TRY(runner_settle(&p->run, p->err));
    if (found) TRY(runner_run_rule(&p->run, found, p->err));
    return which ? run_pass(p, which) : WF_OK;
}

static bool is_on_tensors(MlirOperation function)
{
    MlirBlock entry = function_body(function);
    for (intptr_t i = 0; i < mlirBlockGetNumArguments(entry); i++)
        if (!mlirTypeIsARankedTensor(mlirValueGetType(mlirBlockGetArgument(entry, i)))) return false;
    return true;
}

static void find_buffer(MlirOperation op, void *found)
{
    if (op_name_starts_with(op, "memref.") || op_name_starts_with(op, "bufferization.")) *(bool *)found = true;
}

// Buffers inside functions of tensors become tensors, as exec has them: so caches that loops write are seen. All of them
// or, where one cannot, none.
static void settle_buffers(pipeline *p)
{
    wf_error dropped = {0};
    bool found = false;
    for_each_op(mlirModuleGetOperation(p->run.module), find_buffer, &found);
    if (!found) return;
    MlirModule module = mlirModuleFromOperation(mlirOperationClone(mlirModuleGetOperation(p->run.module)));
    wf_status status = WF_OK;
    for (MlirOperation op = mlirBlockGetFirstOperation(mlirModuleGetBody(module)); op.ptr && status == WF_OK;
         op = mlirOperationGetNextInBlock(op))
        if (op_is(op, "func.func") && function_body(op).ptr && is_on_tensors(op))
            status = buffers_to_tensors(p->run.c, module, op, &dropped);
    MlirModule old = status == WF_OK ? p->run.module : module;
    if (status == WF_OK) p->run.module = module;
    mlirModuleDestroy(old);
}

static wf_status run_pipeline(pipeline *p)
{
    settle_buffers(p);
    TRY(runner_finish_step(&p->run, "frontend", p->err));
    if (p->options->passes) {
        view name;
        for (const char *list = p->options->passes; next_name(&list, &name);) TRY(run_named(p, name));
        return WF_OK;
    }
    TRY(runner_raise(&p->run, p->err));
    for (const pass *which = PASSES; which->name; which++) TRY(run_pass(p, which));
    return WF_OK;
}

// ---- the entry

static void write_module(const pipeline *p, buffer *out)
{
    MlirOperation module = mlirModuleGetOperation(p->run.module);
    if (p->options->bytecode)
        mlirOperationWriteBytecode(module, append_text, out);
    else
        print_operation(module, out);
}

WF_EXPORT opt_fn welford_opt;

wf_status welford_opt(const char *text, size_t bytes, const opt_options *options, buffer *out, buffer *notes,
                      wf_error *err)
{
    compiler_context c;
    TRY(check_options(options, err));
    TRY(compiler_context_create(&c, err));
    pipeline p = {.run = {.c = &c,
                          .file = options->name,
                          .fuse = options->fuse,
                          .no_fuse = options->no_fuse,
                          .print_ir_after = options->print_ir_after,
                          .explain = options->explain,
                          .notes = notes},
                  .options = options,
                  .err = err};
    wf_status status = graph_file_read(&c, text, bytes, options->name, &p.run.module, err);
    if (status == WF_OK) {
        status = run_pipeline(&p);
        if (status == WF_OK) write_module(&p, out);
        mlirModuleDestroy(p.run.module);
    }
    compiler_context_destroy(&c);
    if (status == WF_OK && out->failed) status = error_memory(err, out->len);
    return status;
}

WF_EXPORT list_fn welford_list;

wf_status welford_list(buffer *out, wf_error *err)
{
    buffer_printf(out, "raise: rules that find wf ops in primitive ops\n");
    for (const rule *r = RULES; r->name; r++) buffer_printf(out, "  %-22s %s\n", r->name, r->help);
    buffer_printf(out, "\nfuse: wf ops to bigger wf ops, each with a switch\n");
    for (const pass *p = PASSES; p->name; p++)
        if (p->group == PASS_FUSE)
            buffer_printf(out, "  %-22s %s%s%s%s\n", p->name, p->help, p->other ? " (also: " : "",
                          p->other ? p->other : "", p->other ? ")" : "");
    buffer_printf(out, "\nlower: wf ops to the forms that kernels take\n");
    for (const pass *p = PASSES; p->name; p++)
        if (p->group == PASS_LOWER) buffer_printf(out, "  %-22s %s\n", p->name, p->help);
    buffer_printf(out, "\nops: of the wf dialect (docs/wf.md)\n");
    wf_list_ops(out);
    buffer_printf(out, "\nkernels: what programs call, each specialised to its sizes and the CPU (src/compiler)\n");
    for (const kernel_kind *const *k = KERNELS; *k; k++)
        buffer_printf(out, "  %-18s %-36s %s\n", (*k)->name, (*k)->file, (*k)->help);
    return out->failed ? error_memory(err, out->len) : WF_OK;
}
