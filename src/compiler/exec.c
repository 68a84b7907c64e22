// A function of a graph file, compiled for the shapes of its arguments; top to bottom:
//
//   read, choose the entry, inline what it calls      graph_file_read
//   scalar arguments and buffers to tensors           scalars.h, buffers.h
//   integers with a sign, complex numbers             unsigned.h, complex_pairs.h
//   which arguments are weights                       arguments.h
//   bind the shapes, flatten branches                 bind.h, regions.h
//   raise to wf ops                                   raise/
//   refer to weights: constants, arguments            fuse/refer.h
//   fuse                                              fuse/
//   take apart what no kernel takes                   decompose.h; unfuse.h: ops that came fused in the file
//   TOSA to linalg, fuse elementwise ops              upstream
//   kernels and calls                                 lower/lower.h
//   machine code                                      codegen/object.h
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cores.h"
#include "compiler/codegen/object.h"
#include "compiler/dialect/context.h"
#include "compiler/dialect/definition/decompose.h"
#include "compiler/export.h"
#include "compiler/frontend/mlir/admit.h"
#include "compiler/frontend/mlir/arguments.h"
#include "compiler/frontend/mlir/bind.h"
#include "compiler/frontend/mlir/buffers.h"
#include "compiler/frontend/mlir/calls.h"
#include "compiler/frontend/mlir/complex_pairs.h"
#include "compiler/frontend/mlir/graph_file.h"
#include "compiler/frontend/mlir/regions.h"
#include "compiler/frontend/mlir/scalars.h"
#include "compiler/frontend/mlir/unsigned.h"
#include "compiler/frontend/mlir/wrong_folds.h"
#include "compiler/fuse/refer.h"
#include "compiler/fuse/unfuse.h"
#include "compiler/lower/lower.h"
#include "compiler/mlir/text.h"
#include "compiler/nest/cuts.h"
#include "compiler/runner.h"
#include "runtime/compiler.h"

static const char TO_LINALG[] =
    "builtin.module(func.func(tosa-optional-decompositions,canonicalize,tosa-to-linalg-named,canonicalize,"
    "tosa-to-linalg,tosa-to-arith{include-apply-rescale=true},tosa-to-tensor,convert-elementwise-to-linalg,cse))";
static const char FUSE[] = "builtin.module(func.func(linalg-fuse-elementwise-ops,canonicalize,cse))";
static const char TO_LOOPS[] = "builtin.module(func.func(linalg-generalize-named-ops,canonicalize,cse))";

// ---- the entry

static MlirStringRef name_of(MlirOperation function) { return op_string(function, "sym_name"); }

static bool is_named(MlirOperation function, const char *name) { return mlir_text_is(name_of(function), name); }

static const char *why_no_function(MlirModule module)
{
    bool declared = false;
    for (MlirOperation op = mlirBlockGetFirstOperation(mlirModuleGetBody(module)); op.ptr;
         op = mlirOperationGetNextInBlock(op)) {
        if (op_is(op, "builtin.module")) return "there is no function but in an inner module";
        if (op_is(op, "llvm.func")) return "there is no func.func: its functions are llvm.func, lowered already";
        declared = declared || op_is(op, "func.func");
    }
    return declared ? "there is no public function with a body" : "there is no function (func.func) in it";
}

// The function of that name; without one the only public function, or "main" or "forward".
static wf_status find_entry(MlirModule module, const function_options *o, MlirOperation *entry, wf_error *err)
{
    MlirOperation only = {0}, usual = {0};
    int n_public = 0;
    for (MlirOperation op = mlirBlockGetFirstOperation(mlirModuleGetBody(module)); op.ptr;
         op = mlirOperationGetNextInBlock(op)) {
        if (!op_is(op, "func.func") || !function_body(op).ptr) continue;
        if (o->entry && is_named(op, o->entry)) {
            *entry = op;
            return WF_OK;
        }
        MlirStringRef visibility = op_string(op, "sym_visibility");
        if (mlir_text_is(visibility, "private")) continue;
        only = op;
        n_public++;
        if (is_named(op, "main") || (is_named(op, "forward") && !usual.ptr)) usual = op;
    }
    if (o->entry) return error_set(err, WF_ERROR_USAGE, "%s: there is no function '%s'", o->name, o->entry);
    *entry = n_public == 1 ? only : usual;
    if (entry->ptr) return WF_OK;
    if (n_public)
        return error_set(err, WF_ERROR_USAGE, "%s: there are %d functions: choose one by --entry", o->name, n_public);
    return error_set(err, WF_ERROR_USAGE, "%s: %s", o->name, why_no_function(module));
}

// ---- steps

// What only graph files have to switch: elementwise ops into one loop, calls chained tile by tile, kernels for wf ops.
static bool is_own_fusion(view name)
{
    return view_is(name, "elementwise") || view_is(name, "chain") || view_is(name, "kernels");
}

static bool is_fusion(view name) { return pass_is_fusion(name) || is_own_fusion(name); }
static bool is_switch(view name) { return is_fusion(name) || rule_find(name.data, name.len); }

static bool is_step(view name)
{
    static const char *const STEPS[] = {"bind", "raise", "refer", "linalg", "lower", "kernels", "all"};
    for (size_t i = 0; i < sizeof STEPS / sizeof *STEPS; i++)
        if (view_is(name, STEPS[i])) return true;
    return pass_find(name.data, name.len) || rule_find(name.data, name.len);
}

static wf_status check_options(const function_options *o, wf_error *err)
{
    TRY(runner_check_names(o->fuse, "fuse", "fusion", is_fusion, err));
    TRY(runner_check_names(o->no_fuse, "no-fuse", "fusion", is_switch, err));
    return runner_check_names(o->print_ir_after, "print-ir-after", "step", is_step, err);
}

static const char *why_no_kernel(MlirOperation op) { return lower_why_not(op, GRAPH_ON_ARRAYS); }

static const char *why_switched_off(MlirOperation op)
{
    (void)op;
    return "kernels are switched off";
}

static bool has_kernel(MlirOperation op) { return !why_no_kernel(op); }

static wf_status fuse_elementwise(const runner *r, MlirOperation function, wf_error *err)
{
    cuts c;
    TRY(cuts_make(function, &c, err));
    TRY(compiler_run_passes(r->c, r->module, FUSE, err));
    return cuts_end(&c, err);
}

// What is compiled, beside the module.
typedef struct setting {
    const function_options *o;
    const weight_type *packed_as;
    checkpoint *weights;
    graph_argument *arguments; // [n_all]: of the function, weights among them
    uint32_t n_all;
} setting;

static wf_status lower(const runner *r, MlirOperation function, const setting *s, program *out, wf_error *err)
{
    const refer_options references = {
        .arguments = s->arguments, .weights = s->weights, .packed_as = s->packed_as, .back_end = r->back_end};
    TRY(bind_propagate(r->c, r->module, function, err));
    // before its loops are written out
    if (!s->o->no_raise && !list_has(r->no_fuse, "store_rows"))
        TRY(runner_run_rule(r, rule_find("store_rows", 10), err));
    TRY(regions_flatten(r->c, r->module, function, err));
    TRY(runner_finish_step(r, "bind", err));
    TRY(refer_arguments(function, &references, err));
    if (!s->o->no_raise) TRY(runner_raise(r, err));
    TRY(refer_weights(function, &references, err));
    TRY(runner_finish_step(r, "refer", err));
    if (!s->o->no_raise) TRY(runner_run_passes(r, &out->memory, &out->fusions, &out->n_fusions, err));
    bool (*keep)(MlirOperation op) = runner_has(r, "kernels") ? has_kernel : NULL;
    unfuse_function(function, keep); // what came fused in the file
    TRY(decompose_function(r->c, function, keep, err));
    TRY(compiler_run_passes(r->c, r->module, TO_LINALG, err));
    wrong_folds_avoid(function);
    TRY(bind_propagate(r->c, r->module, function, err));
    TRY(runner_finish_step(r, "linalg", err));
    if (runner_has(r, "elementwise")) TRY(fuse_elementwise(r, function, err));
    TRY(compiler_run_passes(r->c, r->module, TO_LOOPS, err));
    erase_dead(function);
    TRY(bind_propagate(r->c, r->module, function, err));
    regions_wrap_slices(function);
    regions_box_scalars(function);
    return runner_finish_step(r, "lower", err);
}

// Locations in text from memory have the file name "-".
static void name_place(const char *name, wf_error *err)
{
    if (!err || strncmp(err->message, "-:", 2)) return;
    wf_error inner = *err;
    error_set(err, inner.status, "%s%s", name, inner.message + 1);
}

static const char *with_name(program *p, const char *text, const char *name)
{
    const char *at = strstr(text, "-:");
    if (!at || (at != text && at[-1] != ' ')) return text;
    buffer b = {0};
    buffer_printf(&b, "%.*s%s%s", (int)(at - text), text, name, at + 1);
    const char *copy = arena_strdup(&p->memory, buffer_view(&b));
    buffer_free(&b);
    return copy ? copy : text;
}

static void name_places(program *p, const char *name)
{
    for (uint32_t i = 0; i < p->n_calls; i++) {
        program_call *call = (program_call *)(uintptr_t)&p->calls[i]; // ours until it is written
        call->label = with_name(p, call->label, name);
    }
    const char **checks = (const char **)(uintptr_t)p->checks;
    for (uint32_t i = 0; i < p->n_checks; i++) checks[i] = with_name(p, checks[i], name);
}

typedef enum size_mode { SIZES_FIXED, SIZES_ANY, SIZES_DECLARED } size_mode; // declared: the signature alone

static wf_status emit(const runner *r, MlirOperation function, const setting *s, size_mode mode, program *p,
                      buffer *image, wf_error *err)
{
    const cpu_features *cpu = &s->o->cpu;
    builder kernels;
    buffer constants = {0};
    const lower_options options = {.chain = runner_has(r, "chain"),
                                   .any_size = mode != SIZES_FIXED,
                                   .signature = mode == SIZES_DECLARED,
                                   .arguments = s->arguments,
                                   .weights = s->weights,
                                   .packed_as = s->packed_as};
    builder_init(&kernels, r->c->mlir, cpu);
    wf_status status = lower_function(function, &options, &kernels, p, &constants, err);
    runner_print(r, "kernels", mlirModuleGetOperation(kernels.module));
    if (status == WF_OK) name_places(p, r->file);
    if (status == WF_OK)
        status = program_emit(r->c, p, kernels.module, cpu, cores_usable(), buffer_view(&constants), image, err);
    mlirModuleDestroy(kernels.module);
    buffer_free(&constants);
    return status;
}

// Sizes that the file leaves open stay open, where all ops allow it: one program for all sizes. What keeps it from that
// goes to `reason`; image and notes are as before then.
static bool compile_for_any_size(const runner *r, const setting *s, buffer *image, buffer *reason)
{
    runner own = *r;
    program p = {0};
    wf_error err = {0};
    size_t image_bytes = image->len, notes_bytes = r->notes->len;
    own.module = mlirModuleFromOperation(mlirOperationClone(mlirModuleGetOperation(r->module)));
    MlirOperation function = mlirBlockGetFirstOperation(mlirModuleGetBody(own.module));
    while (function.ptr && !op_is(function, "func.func")) function = mlirOperationGetNextInBlock(function);
    wf_status status = lower(&own, function, s, &p, &err);
    if (status == WF_OK) status = emit(&own, function, s, SIZES_ANY, &p, image, &err);
    mlirModuleDestroy(own.module);
    program_free(&p);
    if (status == WF_OK) return true;
    name_place(r->file, &err);
    buffer_printf(reason, "%s", err.message);
    image->len = image_bytes;
    r->notes->len = notes_bytes;
    return false;
}

static wf_status compile_for_sizes(const runner *r, MlirOperation function, const setting *s, const array_shape *shapes,
                                   const char *const *names, const buffer *reason, buffer *image, wf_error *err)
{
    program p = {0};
    p.fixed = arena_strdup(&p.memory, buffer_view(reason));
    wf_status status =
        p.fixed ? bind_arguments(function, s->n_all, shapes, names, err) : error_memory(err, reason->len);
    if (status == WF_OK) status = lower(r, function, s, &p, err);
    if (status == WF_OK) status = emit(r, function, s, SIZES_FIXED, &p, image, err);
    program_free(&p);
    return status;
}

static wf_status write_signature(const runner *r, MlirOperation function, const setting *s, const buffer *reason,
                                 buffer *image, wf_error *err)
{
    program p = {0};
    p.fixed = arena_strdup(&p.memory, buffer_view(reason));
    wf_status status = p.fixed ? emit(r, function, s, SIZES_DECLARED, &p, image, err) : error_memory(err, 0);
    program_free(&p);
    return status;
}

static bool has_open_shape(const array_shape *shapes, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t d = 0; d < shapes[i].n_dims; d++)
            if (shapes[i].dims[d] < 0) return true;
    return false;
}

// Shapes of all arguments: of those that calls bring as they are given, of weights as they are.
typedef struct argument_list {
    array_shape *shapes; // [n_all], owned
    const char **names;  // [n_all], owned: for messages
} argument_list;

static void free_list(argument_list *list)
{
    free(list->shapes);
    free(list->names);
}

static wf_status list_arguments(MlirOperation function, const setting *s, uint32_t n, const array_shape *shapes,
                                const char *const *names, argument_list *list, wf_error *err)
{
    uint32_t next = 0, of_call = 0;
    list->shapes = calloc((size_t)s->n_all + 1, sizeof *list->shapes);
    list->names = calloc((size_t)s->n_all + 1, sizeof *list->names);
    if (!list->shapes || !list->names) return error_memory(err, s->n_all * sizeof *list->shapes);
    for (uint32_t i = 0; i < s->n_all; i++) {
        bool given = s->arguments[i].kind == ARGUMENT_OF_CALL;
        of_call += given;
        if (!given) list->shapes[i] = bind_shape(function, i);
        if (!given && s->o->counts_weights) next++;
        if (!given || next >= n) continue;
        list->shapes[i] = shapes[next];
        list->names[i] = names ? names[next] : NULL;
        next++;
    }
    for (; s->o->as_declared && next < n; next++)
        if (shapes[next].n_dims)
            return error_set(err, WF_ERROR_USAGE, "--shape %u: the function takes %u argument%s", next, s->n_all,
                             s->n_all == 1 ? "" : "s");
    if (s->o->as_declared || n == of_call) return WF_OK;
    return error_set(err, WF_ERROR_USAGE, "the function takes %u argument%s, %u %s given", of_call,
                     of_call == 1 ? "" : "s", n, n == 1 ? "is" : "are");
}

// Ahead of time: sizes that neither the file nor `given` fixes stay open where all ops allow it.
static wf_status compile_as_declared(const runner *r, MlirOperation function, const setting *s,
                                     const array_shape *given, buffer *image, buffer *reason, wf_error *err)
{
    array_shape *all = calloc((size_t)s->n_all + 1, sizeof *all);
    bool open = bind_has_open_sizes(function);
    if (!all) return error_memory(err, s->n_all * sizeof *all);
    wf_status status = bind_declared(function, given, s->n_all, all, err);
    for (uint32_t i = 0; i < s->n_all; i++) // given: for these sizes
        open = open && !(given[i].n_dims && s->arguments[i].kind == ARGUMENT_OF_CALL);
    if (status == WF_OK && !(open && compile_for_any_size(r, s, image, reason))) {
        if (s->o->or_signature && has_open_shape(all, s->n_all)) {
            status = write_signature(r, function, s, reason, image, err);
            free(all);
            return status;
        }
        status = bind_check_fixed(s->n_all, all, reason, err);
        if (status == WF_OK) status = compile_for_sizes(r, function, s, all, NULL, reason, image, err);
    }
    free(all);
    return status;
}

static wf_status compile_for_arrays(const runner *r, MlirOperation function, const setting *s,
                                    const argument_list *list, buffer *image, buffer *reason, wf_error *err)
{
    TRY(bind_check_arguments(function, s->n_all, list->shapes, list->names, err));
    if (bind_has_open_sizes(function) && compile_for_any_size(r, s, image, reason)) return WF_OK;
    return compile_for_sizes(r, function, s, list->shapes, list->names, reason, image, err);
}

static wf_status compile(const runner *r, MlirOperation function, const setting *s, uint32_t n,
                         const array_shape *shapes, const char *const *names, buffer *image, wf_error *err)
{
    argument_list list = {0};
    buffer reason = {0};
    wf_status status = list_arguments(function, s, n, shapes, names, &list, err);
    if (status == WF_OK && s->o->as_declared)
        status = compile_as_declared(r, function, s, list.shapes, image, &reason, err);
    else if (status == WF_OK)
        status = compile_for_arrays(r, function, s, &list, image, &reason, err);
    free_list(&list);
    buffer_free(&reason);
    return status;
}

WF_EXPORT compile_function_fn welford_compile_function;

wf_status welford_compile_function(const char *text, size_t bytes, const function_options *o, uint32_t n_arguments,
                                   const array_shape *arguments, const char *const *argument_names, checkpoint *weights,
                                   buffer *image, buffer *notes, wf_error *err)
{
    TRY(check_options(o, err));
    setting s = {.o = o, .weights = weights};
    compiler_context c;
    TRY(weight_type_parse(o->packed_as, &s.packed_as, err));
    TRY(compiler_context_create(&c, err));
    runner r = {.c = &c,
                .file = o->name,
                .fuse = o->fuse,
                .no_fuse = o->no_fuse,
                .print_ir_after = o->print_ir_after,
                .notes = notes};
    r.back_end = runner_has(&r, "kernels") ? why_no_kernel : why_switched_off;
    arena memory = {0};
    MlirOperation function;
    wf_status status = graph_file_read(&c, text, bytes, o->name, &r.module, err);
    if (status == WF_OK) status = find_entry(r.module, o, &function, err);
    if (status == WF_OK) status = calls_inline(r.module, function, err);
    if (status == WF_OK) scalars_to_tensors(function);
    if (status == WF_OK) status = buffers_to_tensors(&c, r.module, function, err);
    if (status == WF_OK) status = unsigned_to_signless(function, err);
    if (status == WF_OK) status = complex_to_pairs(&c, r.module, function, err);
    if (status == WF_OK) status = admit_function(function, err);
    if (status == WF_OK) status = arguments_read(function, o, &memory, &s.arguments, &s.n_all, err);
    if (status == WF_OK) status = compile(&r, function, &s, n_arguments, arguments, argument_names, image, err);
    arena_free(&memory);
    if (r.module.ptr) mlirModuleDestroy(r.module);
    compiler_context_destroy(&c);
    if (status != WF_OK) name_place(o->name, err);
    return status;
}
