#include "compiler/runner.h"

#include <string.h>

static bool has_pass(const runner *r, const pass *which)
{
    return (!r->fuse || list_has_pass(r->fuse, which)) && !list_has_pass(r->no_fuse, which);
}

bool runner_has(const runner *r, const char *name)
{
    return (!r->fuse || list_has(r->fuse, name)) && !list_has(r->no_fuse, name);
}

void runner_print(const runner *r, const char *name, MlirOperation op)
{
    if (!list_has(r->print_ir_after, name) && !list_has(r->print_ir_after, "all")) return;
    buffer_printf(r->notes, "// ---- after %s\n", name);
    print_operation(op, r->notes);
    buffer_append_char(r->notes, '\n');
}

wf_status runner_finish_step(const runner *r, const char *name, wf_error *err)
{
    MlirOperation module = mlirModuleGetOperation(r->module);
    wf_error reason = {0};
    compiler_context_watch(r->c, &reason);
    bool valid = mlirOperationVerify(module);
    compiler_context_watch(r->c, NULL);
    if (!valid || wf_verify(module, &reason) != WF_OK) {
        // text from memory has the name "-" in places
        const char *at = r->file && !strncmp(reason.message, "-:", 2) ? reason.message + 1 : NULL;
        return error_set(err, WF_ERROR_COMPILE, "%s%s%s, after pass %s", r->file ? r->file : "",
                         at || !r->file ? "" : ": ", at ? at : reason.message, name);
    }
    runner_print(r, name, module);
    return WF_OK;
}

wf_status runner_run_rule(const runner *r, const rule *which, wf_error *err)
{
    rule_run(which, mlirModuleGetOperation(r->module), r->file, r->explain ? r->notes : NULL);
    return runner_finish_step(r, which->name, err);
}

// What a fusion that is off would find: it runs on a copy.
static void count_places(const runner *r, const pass *which, pass_report *report)
{
    pass_report on = {0};
    MlirOperation op = mlirBlockGetFirstOperation(mlirModuleGetBody(r->module));
    for (; op.ptr; op = mlirOperationGetNextInBlock(op)) {
        if (!op_is(op, "func.func")) continue;
        MlirOperation copy = mlirOperationClone(op);
        which->run(copy, r->back_end, &on);
        mlirOperationDestroy(copy);
    }
    *report = (pass_report){.found = on.found, .n_reasons = 1, .reasons = {{"switched off", on.found}}};
}

wf_status runner_run_pass(const runner *r, const pass *which, pass_report *report, wf_error *err)
{
    pass_report dropped;
    if (!report) report = &dropped;
    *report = (pass_report){0};
    if (which->group == PASS_FUSE && !has_pass(r, which)) {
        count_places(r, which, report);
        return WF_OK;
    }
    MlirOperation op = mlirBlockGetFirstOperation(mlirModuleGetBody(r->module));
    for (; op.ptr; op = mlirOperationGetNextInBlock(op))
        if (op_is(op, "func.func")) which->run(op, r->back_end, report);
    return runner_finish_step(r, which->name, err);
}

static wf_status merge_equal(const runner *r, wf_error *err)
{
    return compiler_run_passes(r->c, r->module, "builtin.module(cse)", err);
}

wf_status runner_settle(const runner *r, wf_error *err)
{
    TRY(compiler_run_passes(r->c, r->module, "builtin.module(canonicalize,cse)", err));
    raise_drop_identities(mlirModuleGetOperation(r->module));
    return merge_equal(r, err);
}

wf_status runner_raise(const runner *r, wf_error *err)
{
    TRY(runner_settle(r, err));
    for (const rule *which = RULES; which->name; which++)
        if (!list_has(r->no_fuse, which->name)) TRY(runner_run_rule(r, which, err));
    TRY(merge_equal(r, err)); // what rules made twice, such as the tables of several wf.rope
    return runner_finish_step(r, "raise", err);
}

// What a fusion did, with the reasons for what it left: "30 weights of different types".
static wf_status keep_report(arena *memory, const char *name, const pass_report *report, program_fusion *fusion,
                             wf_error *err)
{
    buffer why = {0};
    for (int i = 0; i < report->n_reasons; i++) {
        if (i) buffer_printf(&why, "; ");
        if (report->reasons[i].count) buffer_printf(&why, "%d ", report->reasons[i].count);
        buffer_printf(&why, "%s", report->reasons[i].text);
    }
    *fusion = (program_fusion){.name = arena_strdup(memory, view_of(name)),
                               .why = arena_strdup(memory, buffer_view(&why)),
                               .found = (uint32_t)report->found,
                               .fused = (uint32_t)report->fused};
    buffer_free(&why);
    return fusion->name && fusion->why ? WF_OK : error_memory(err, 0);
}

wf_status runner_run_passes(const runner *r, arena *memory, const program_fusion **fusions, uint32_t *n, wf_error *err)
{
    size_t n_passes = 0;
    while (PASSES[n_passes].name) n_passes++;
    program_fusion *list = arena_alloc(memory, n_passes, sizeof *list);
    if (!list) return error_memory(err, n_passes * sizeof *list);
    *fusions = list;
    *n = 0;
    for (const pass *which = PASSES; which->name; which++) {
        pass_report report;
        TRY(runner_run_pass(r, which, &report, err));
        if (which->group != PASS_FUSE) continue;
        TRY(keep_report(memory, which->name, &report, &list[*n], err));
        ++*n;
    }
    return WF_OK;
}

wf_status runner_check_names(const char *list, const char *option, const char *kind, bool (*is_known)(view name),
                             wf_error *err)
{
    for (view name; next_name(&list, &name);)
        if (!is_known(name))
            return error_set(err, WF_ERROR_USAGE, "--%s: there is no %s '%.*s'", option, kind, VIEW_ARG(name));
    return WF_OK;
}

bool pass_is_fusion(view name)
{
    const pass *p = pass_find(name.data, name.len);
    return p && p->group == PASS_FUSE;
}
