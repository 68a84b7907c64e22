// A function of a graph file, compiled for the shapes of its arguments; top to bottom:
//
//   read, choose the entry, inline what it calls      graph_file_read
//   bind the shapes                                   bind.h
//   raise to wf ops                                   raise/
//   write out wf ops without a kernel                 decompose.h
//   TOSA to linalg, fuse elementwise ops              upstream
//   kernels and calls                                 schedule.h
//   object                                            codegen/object.h
#include <mlir-c/Pass.h>
#include <mlir-c/RegisterEverything.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/codegen/context.h"
#include "compiler/codegen/object.h"
#include "compiler/dialect/wf.h"
#include "compiler/export.h"
#include "compiler/frontend/graph_file.h"
#include "compiler/graph/bind.h"
#include "compiler/graph/decompose.h"
#include "compiler/graph/schedule.h"
#include "compiler/raise/raise.h"
#include "runtime/compiler.h"

static const char TO_LINALG[] =
    "builtin.module(func.func(tosa-optional-decompositions,canonicalize,tosa-to-linalg-named,canonicalize,"
    "tosa-to-linalg,tosa-to-arith{include-apply-rescale=true},tosa-to-tensor,convert-elementwise-to-linalg,"
    "canonicalize,cse))";
static const char FUSE[] = "builtin.module(func.func(linalg-fuse-elementwise-ops,canonicalize,cse))";
static const char TO_LOOPS[] = "builtin.module(func.func(linalg-generalize-named-ops,canonicalize,cse))";
// Of the kernels, before object_emit: it knows no math.
static const char EXPAND_MATH[] = "builtin.module(func.func(arith-expand,convert-math-to-llvm))";

// Registration is process-wide in MLIR and must happen once.
static void register_all_passes_once(void)
{
    static bool done;
    if (!done) mlirRegisterAllPasses();
    done = true;
}

// ---- the entry

static MlirStringRef name_of(MlirOperation function) { return op_string(function, "sym_name"); }

static bool is_named(MlirOperation function, const char *name)
{
    MlirStringRef s = name_of(function);
    return s.length == strlen(name) && !memcmp(s.data, name, s.length);
}

static bool has_body(MlirOperation function)
{
    return mlirOperationGetNumRegions(function) == 1 &&
           mlirRegionGetFirstBlock(mlirOperationGetRegion(function, 0)).ptr != NULL;
}

// The function of that name; without one the only public function, or "main" or "forward".
static wf_status find_entry(MlirModule module, const function_options *o, MlirOperation *entry, wf_error *err)
{
    MlirOperation only = {0}, usual = {0};
    int n_public = 0;
    for (MlirOperation op = mlirBlockGetFirstOperation(mlirModuleGetBody(module)); op.ptr;
         op = mlirOperationGetNextInBlock(op)) {
        if (!op_is(op, "func.func") || !has_body(op)) continue;
        if (o->entry && is_named(op, o->entry)) {
            *entry = op;
            return WF_OK;
        }
        MlirStringRef visibility = op_string(op, "sym_visibility");
        if (visibility.length == 7 && !memcmp(visibility.data, "private", 7)) continue;
        only = op;
        n_public++;
        if (is_named(op, "main") || (is_named(op, "forward") && !usual.ptr)) usual = op;
    }
    if (o->entry) return error_set(err, WF_ERROR_USAGE, "%s: there is no function '%s'", o->name, o->entry);
    *entry = n_public == 1 ? only : usual;
    if (entry->ptr) return WF_OK;
    return error_set(err, WF_ERROR_USAGE,
                     n_public ? "%s: there are %d functions: choose one by --entry" : "%s: there is no function (%d)",
                     o->name, n_public);
}

static wf_status refuse_call(MlirOperation call, const char *reason, wf_error *err)
{
    buffer where = {0};
    print_location(mlirOperationGetLocation(call), &where);
    error_set(err, WF_ERROR_UNSUPPORTED, "%s: a call of %s", buffer_view(&where).data, reason);
    buffer_free(&where);
    return WF_ERROR_UNSUPPORTED;
}

static MlirOperation find_function(MlirModule module, MlirStringRef name)
{
    MlirOperation op = mlirBlockGetFirstOperation(mlirModuleGetBody(module));
    while (op.ptr && !(op_is(op, "func.func") && has_body(op) && mlirStringRefEqual(name_of(op), name)))
        op = mlirOperationGetNextInBlock(op);
    return op;
}

// Puts a copy of the callee's ops in place of the call.
static void inline_call(MlirOperation call, MlirOperation callee)
{
    MlirOperation copy = mlirOperationClone(callee), next;
    MlirBlock body = mlirRegionGetFirstBlock(mlirOperationGetRegion(copy, 0)), to = mlirOperationGetBlock(call);
    MlirOperation end = mlirBlockGetTerminator(body);
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(call); i++)
        replace_value(mlirBlockGetArgument(body, i), mlirOperationGetOperand(call, i));
    for (MlirOperation op = mlirBlockGetFirstOperation(body); !mlirOperationEqual(op, end); op = next) {
        next = mlirOperationGetNextInBlock(op);
        mlirOperationRemoveFromParent(op);
        mlirBlockInsertOwnedOperationBefore(to, call, op);
    }
    for (intptr_t i = 0; i < mlirOperationGetNumResults(call); i++)
        replace_value(mlirOperationGetResult(call, i), mlirOperationGetOperand(end, i));
    mlirOperationDestroy(call);
    mlirOperationDestroy(copy);
}

// Inlines what the entry calls, and drops all other functions. Upstream's inliner needs extensions that register with
// all dialects only.
static wf_status isolate_entry(MlirModule module, MlirOperation entry, wf_error *err)
{
    enum { MAX_CALLS = 10000 }; // recursion ends here
    MlirBlock body = mlirRegionGetFirstBlock(mlirOperationGetRegion(entry, 0));
    MlirOperation next;
    int n_calls = 0;
    for (MlirOperation op = mlirBlockGetFirstOperation(body); op.ptr; op = next) {
        next = mlirOperationGetNextInBlock(op);
        if (!op_is(op, "func.call")) continue;
        MlirAttribute name = op_attribute(op, "callee");
        MlirOperation callee = find_function(module, mlirFlatSymbolRefAttrGetValue(name));
        if (!callee.ptr) return refuse_call(op, "a function that is not in the file", err);
        if (mlirBlockGetNextInRegion(mlirRegionGetFirstBlock(mlirOperationGetRegion(callee, 0))).ptr)
            return refuse_call(op, "a function with branches", err);
        if (++n_calls > MAX_CALLS || mlirOperationEqual(callee, entry))
            return refuse_call(op, "a recursive function", err);
        inline_call(op, callee);
        next = mlirBlockGetFirstOperation(body); // what came in may call too
    }
    for (MlirOperation op = mlirBlockGetFirstOperation(mlirModuleGetBody(module)); op.ptr; op = next) {
        next = mlirOperationGetNextInBlock(op);
        if (op_is(op, "func.func") && !mlirOperationEqual(op, entry)) mlirOperationDestroy(op);
    }
    return WF_OK;
}

// ---- steps

static bool list_has(const char *list, const char *name)
{
    size_t len = strlen(name);
    for (const char *p = list; p && *p; p += strcspn(p, ","), p += *p == ',')
        if (strcspn(p, ",") == len && !memcmp(p, name, len)) return true;
    return false;
}

static const char *const OWN_FUSIONS[] = {"elementwise", "chain", "kernels"};
enum { N_OWN_FUSIONS = sizeof OWN_FUSIONS / sizeof *OWN_FUSIONS };

static wf_status check_list(const char *list, const char *option, wf_error *err)
{
    for (const char *p = list; p && *p; p += strcspn(p, ","), p += *p == ',') {
        size_t len = strcspn(p, ",");
        bool known = rule_find(p, len) != NULL;
        for (int i = 0; i < N_OWN_FUSIONS; i++)
            known = known || (strlen(OWN_FUSIONS[i]) == len && !memcmp(OWN_FUSIONS[i], p, len));
        if (!known)
            return error_set(err, WF_ERROR_USAGE,
                             "--%s: there is no fusion '%.*s' (a raising rule, elementwise, chain, kernels)", option,
                             (int)len, p);
    }
    return WF_OK;
}

static bool is_on(const function_options *o, const char *name)
{
    return (!o->fuse || list_has(o->fuse, name)) && !list_has(o->no_fuse, name);
}

static void print_after(const function_options *o, const char *name, MlirModule module, buffer *notes)
{
    if (!list_has(o->print_ir_after, name) && !list_has(o->print_ir_after, "all")) return;
    buffer_printf(notes, "// ---- after %s\n", name);
    print_operation(mlirModuleGetOperation(module), notes);
    buffer_printf(notes, "\n");
}

static void raise(MlirOperation function, const function_options *o)
{
    for (const rule *r = RULES; r->name; r++)
        if (is_on(o, r->name)) rule_run(r, function, o->name, NULL);
}

static wf_status lower(compiler_context *c, MlirModule module, MlirOperation function, const function_options *o,
                       buffer *notes, wf_error *err)
{
    TRY(bind_propagate(c, module, function, err));
    print_after(o, "bind", module, notes);
    if (!o->no_raise) {
        raise(function, o);
        print_after(o, "raise", module, notes);
    }
    TRY(decompose_function(c, function, is_on(o, "kernels") ? schedule_has_kernel : NULL, err));
    TRY(compiler_run_passes(c, module, TO_LINALG, err));
    TRY(bind_propagate(c, module, function, err));
    print_after(o, "linalg", module, notes);
    if (is_on(o, "elementwise")) TRY(compiler_run_passes(c, module, FUSE, err));
    TRY(compiler_run_passes(c, module, TO_LOOPS, err));
    wf_erase_dead(function);
    TRY(bind_propagate(c, module, function, err));
    print_after(o, "lower", module, notes);
    return WF_OK;
}

static wf_status emit(compiler_context *c, MlirOperation function, const function_options *o, graph_program *out,
                      buffer *notes, wf_error *err)
{
    builder kernels;
    builder_init(&kernels, c->mlir, &o->cpu);
    buffer object = {0};
    wf_status status = schedule_function(function, &kernels, is_on(o, "chain"), out, err);
    print_after(o, "kernels", kernels.module, notes);
    if (status == WF_OK) status = compiler_run_passes(c, kernels.module, EXPAND_MATH, err);
    if (status == WF_OK && out->n_calls) status = object_emit(c, kernels.module, &o->cpu, &object, NULL, err);
    mlirModuleDestroy(kernels.module);
    out->object = object.data;
    out->object_bytes = object.len;
    return status;
}

// Locations in text from memory have the file name "-".
static void name_place(const char *name, wf_error *err)
{
    if (!err || strncmp(err->message, "-:", 2)) return;
    wf_error inner = *err;
    error_set(err, inner.status, "%s%s", name, inner.message + 1);
}

static const char *with_name(graph_program *p, const char *text, const char *name)
{
    const char *at = strstr(text, "-:");
    if (!at || (at != text && at[-1] != ' ')) return text;
    buffer b = {0};
    buffer_printf(&b, "%.*s%s%s", (int)(at - text), text, name, at + 1);
    const char *copy = arena_strdup(&p->memory, buffer_view(&b));
    buffer_free(&b);
    return copy ? copy : text;
}

static void name_places(graph_program *p, const char *name)
{
    for (uint32_t i = 0; i < p->n_calls; i++) {
        graph_call *call = (graph_call *)(uintptr_t)&p->calls[i]; // ours until it is handed out
        call->label = with_name(p, call->label, name);
    }
    const char **checks = (const char **)(uintptr_t)p->checks;
    for (uint32_t i = 0; i < p->n_checks; i++) checks[i] = with_name(p, checks[i], name);
}

WF_EXPORT compile_function_fn welford_compile_function;

wf_status welford_compile_function(const char *text, size_t bytes, const function_options *o, uint32_t n_arguments,
                                   const graph_shape *arguments, const char *const *argument_names, graph_program *out,
                                   buffer *notes, wf_error *err)
{
    *out = (graph_program){0};
    TRY(check_list(o->fuse, "fuse", err));
    TRY(check_list(o->no_fuse, "no-fuse", err));
    compiler_context c;
    TRY(compiler_context_create(&c, err));
    register_all_passes_once();
    MlirModule module = {0};
    MlirOperation function;
    wf_status status = graph_file_read(&c, text, bytes, o->name, &module, err);
    if (status == WF_OK) status = find_entry(module, o, &function, err);
    if (status == WF_OK) status = isolate_entry(module, function, err);
    if (status == WF_OK) status = bind_arguments(function, n_arguments, arguments, argument_names, err);
    if (status == WF_OK) status = lower(&c, module, function, o, notes, err);
    if (status == WF_OK) status = emit(&c, function, o, out, notes, err);
    if (module.ptr) mlirModuleDestroy(module);
    compiler_context_destroy(&c);
    if (status == WF_OK)
        name_places(out, o->name);
    else {
        name_place(o->name, err);
        graph_program_free(out);
    }
    return status;
}
