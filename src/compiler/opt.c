// `welford opt`: a graph file through passes, as compiler people want to see it.
#include <stdio.h>
#include <string.h>

#include "compiler/codegen/context.h"
#include "compiler/export.h"
#include "compiler/frontend/graph_file.h"
#include "compiler/kernel/kernels.h"
#include "compiler/pass/pass.h"
#include "compiler/raise/raise.h"
#include "runtime/compiler.h"

typedef struct pipeline {
    compiler_context *c;
    MlirModule module;
    const opt_options *options;
    buffer *notes;
    wf_error *err;
} pipeline;

// ---- names in lists

static bool is_group(view name) { return view_is(name, "raise") || view_is(name, "fuse") || view_is(name, "lower"); }

static bool is_fusion(view name)
{
    const pass *p = pass_find(name.data, name.len);
    return p && p->group == PASS_FUSE;
}

static bool is_known(view name)
{
    return is_group(name) || pass_find(name.data, name.len) || rule_find(name.data, name.len);
}

static wf_status check_names(const opt_options *o, wf_error *err)
{
    view name;
    for (const char *list = o->passes; next_name(&list, &name);)
        if (!is_known(name))
            return error_set(err, WF_ERROR_USAGE, "--passes: there is no pass '%.*s' (see --list)", VIEW_ARG(name));
    for (int i = 0; i < 2; i++)
        for (const char *list = i ? o->no_fuse : o->fuse; next_name(&list, &name);)
            if (!is_fusion(name))
                return error_set(err, WF_ERROR_USAGE, "--%sfuse: there is no fusion '%.*s' (see --list)",
                                 i ? "no-" : "", VIEW_ARG(name));
    for (const char *list = o->print_ir_after; next_name(&list, &name);)
        if (!is_known(name) && !view_is(name, "all") && !view_is(name, "frontend"))
            return error_set(err, WF_ERROR_USAGE, "--print-ir-after: there is no pass '%.*s' (see --list)",
                             VIEW_ARG(name));
    return WF_OK;
}

// ---- running

static wf_status finish_pass(pipeline *p, const char *name)
{
    MlirOperation module = mlirModuleGetOperation(p->module);
    wf_error reason = {0};
    compiler_context_watch(p->c, &reason);
    bool valid = mlirOperationVerify(module);
    compiler_context_watch(p->c, NULL);
    if (!valid)
        return error_set(p->err, WF_ERROR_COMPILE, "%s: after pass %s: %s", p->options->name, name, reason.message);
    if (list_has(p->options->print_ir_after, name) || list_has(p->options->print_ir_after, "all")) {
        buffer_printf(p->notes, "// ---- after %s\n", name);
        print_operation(module, p->notes);
        buffer_append_char(p->notes, '\n');
    }
    return WF_OK;
}

static wf_status run_rule(pipeline *p, const rule *r)
{
    rule_run(r, mlirModuleGetOperation(p->module), p->options->name, p->options->explain ? p->notes : NULL);
    return finish_pass(p, r->name);
}

static wf_status run_pass(pipeline *p, const pass *which)
{
    const opt_options *o = p->options;
    bool off = which->group == PASS_FUSE &&
               ((o->fuse && !list_has(o->fuse, which->name)) || list_has(o->no_fuse, which->name));
    if (off) return WF_OK;
    MlirOperation op = mlirBlockGetFirstOperation(mlirModuleGetBody(p->module));
    for (; op.ptr; op = mlirOperationGetNextInBlock(op))
        if (op_is(op, "func.func")) which->run(op, &(pass_report){0});
    return finish_pass(p, which->name);
}

// Equal values become one value, so that rules and passes see that they are equal.
static wf_status merge_equal(pipeline *p)
{
    return compiler_run_passes(p->c, p->module, "builtin.module(cse)", p->err);
}

static wf_status run_raise(pipeline *p)
{
    TRY(merge_equal(p));
    for (const rule *r = RULES; r->name; r++) TRY(run_rule(p, r));
    TRY(merge_equal(p)); // what rules made twice, such as the tables of several wf.rope
    return finish_pass(p, "raise");
}

static wf_status run_group(pipeline *p, pass_group group, const char *name)
{
    for (const pass *which = PASSES; which->name; which++)
        if (which->group == group) TRY(run_pass(p, which));
    return finish_pass(p, name);
}

static wf_status run_named(pipeline *p, view name)
{
    if (view_is(name, "raise")) return run_raise(p);
    if (view_is(name, "fuse")) return run_group(p, PASS_FUSE, "fuse");
    if (view_is(name, "lower")) return run_group(p, PASS_LOWER, "lower");
    const pass *which = pass_find(name.data, name.len);
    if (which) return run_pass(p, which);
    TRY(merge_equal(p));
    return run_rule(p, rule_find(name.data, name.len));
}

static wf_status run_pipeline(pipeline *p)
{
    TRY(finish_pass(p, "frontend"));
    if (p->options->passes) {
        view name;
        for (const char *list = p->options->passes; next_name(&list, &name);) TRY(run_named(p, name));
        return WF_OK;
    }
    TRY(run_raise(p));
    for (const pass *which = PASSES; which->name; which++) TRY(run_pass(p, which));
    return WF_OK;
}

// ---- the entry

static void append_text(MlirStringRef s, void *out) { buffer_append(out, s.data, s.length); }

static void write_module(const pipeline *p, buffer *out)
{
    MlirOperation module = mlirModuleGetOperation(p->module);
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
    TRY(check_names(options, err));
    TRY(compiler_context_create(&c, err));
    pipeline p = {.c = &c, .options = options, .notes = notes, .err = err};
    wf_status status = graph_file_read(&c, text, bytes, options->name, &p.module, err);
    if (status == WF_OK) {
        status = run_pipeline(&p);
        if (status == WF_OK) write_module(&p, out);
        mlirModuleDestroy(p.module);
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
        if (p->group == PASS_FUSE) buffer_printf(out, "  %-22s %s\n", p->name, p->help);
    buffer_printf(out, "\nlower: wf ops to the forms that kernels take\n");
    for (const pass *p = PASSES; p->name; p++)
        if (p->group == PASS_LOWER) buffer_printf(out, "  %-22s %s\n", p->name, p->help);
    buffer_printf(out, "\nkernels: what plans call, each specialised to its sizes and the CPU (src/compiler/kernel)\n");
    for (const kernel_info *k = KERNELS; k->name; k++)
        buffer_printf(out, "  %-16s %-12s %s\n", k->name, k->file, k->help);
    return out->failed ? error_memory(err, out->len) : WF_OK;
}
