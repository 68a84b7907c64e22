#include "compiler/codegen/object.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/Core.h>
#include <llvm-c/Error.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <mlir-c/Target/LLVMIR.h>
#include <stdio.h>
#include <string.h>

#include "runtime/threads.h"

// Kernels are written with explicit vectors, unrolling and scheduling in mind, so MLIR and LLVM only clean up: O3 takes
// ten times as long and gains nothing.
static const char MLIR_PIPELINE[] = "builtin.module(canonicalize,cse,convert-scf-to-cf,convert-vector-to-llvm,"
                                    "convert-arith-to-llvm,convert-cf-to-llvm,convert-func-to-llvm,"
                                    "reconcile-unrealized-casts)";
static const char LLVM_PIPELINE[] =
    "function(sroa,early-cse,loop(loop-rotate),loop-mssa(licm),instcombine<no-verify-fixpoint>,simplifycfg)";

static wf_status create_target(const cpu_features *cpu, LLVMTargetMachineRef *machine, char **name, char **features,
                               wf_error *err)
{
    bool native = !strcmp(cpu->name, "native");
    *name = native ? LLVMGetHostCPUName() : LLVMCreateMessage(cpu->name);
    *features = native ? LLVMGetHostCPUFeatures() : LLVMCreateMessage("");
    char *triple = LLVMGetDefaultTargetTriple(), *message = NULL;
    LLVMTargetRef target;
    wf_status status = WF_OK;
    if (LLVMGetTargetFromTriple(triple, &target, &message)) {
        status = error_set(err, WF_ERROR_COMPILE, "LLVM: %s", message);
        LLVMDisposeMessage(message);
    } else {
        *machine = LLVMCreateTargetMachine(target, triple, *name, *features, LLVMCodeGenLevelDefault, LLVMRelocPIC,
                                           LLVMCodeModelDefault);
    }
    LLVMDisposeMessage(triple);
    return status;
}

static void set_function_attributes(LLVMModuleRef module, const char *cpu, const char *features, bool wide)
{
    LLVMContextRef context = LLVMGetModuleContext(module);
    const char *pairs[][2] = {
        {"target-cpu", cpu}, {"target-features", features}, {"prefer-vector-width", wide ? "512" : "256"}};
    for (LLVMValueRef f = LLVMGetFirstFunction(module); f; f = LLVMGetNextFunction(f)) {
        if (LLVMIsDeclaration(f)) continue;
        for (int i = 0; i < 3; i++)
            LLVMAddAttributeAtIndex(f, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                                    LLVMCreateStringAttribute(context, pairs[i][0], (unsigned)strlen(pairs[i][0]),
                                                              pairs[i][1], (unsigned)strlen(pairs[i][1])));
        unsigned nounwind = LLVMGetEnumAttributeKindForName("nounwind", 8);
        LLVMAddAttributeAtIndex(f, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                                LLVMCreateEnumAttribute(context, nounwind, 0));
    }
}

static wf_status emit(LLVMTargetMachineRef machine, LLVMModuleRef module, LLVMCodeGenFileType kind, buffer *out,
                      wf_error *err)
{
    LLVMMemoryBufferRef memory;
    char *message = NULL;
    if (LLVMTargetMachineEmitToMemoryBuffer(machine, module, kind, &message, &memory)) {
        error_set(err, WF_ERROR_COMPILE, "LLVM: %s", message);
        LLVMDisposeMessage(message);
        return WF_ERROR_COMPILE;
    }
    buffer_append(out, LLVMGetBufferStart(memory), LLVMGetBufferSize(memory));
    LLVMDisposeMemoryBuffer(memory);
    return out->failed ? error_memory(err, out->len) : WF_OK;
}

// A kernel calls nothing; a declaration that survived would be a library call (fmod, memset, __truncsfbf2).
static wf_status check_no_calls(LLVMModuleRef module, wf_error *err)
{
    for (LLVMValueRef f = LLVMGetFirstFunction(module); f; f = LLVMGetNextFunction(f)) {
        size_t len;
        const char *name = LLVMGetValueName2(f, &len);
        if (LLVMIsDeclaration(f) && LLVMGetFirstUse(f) && strncmp(name, "llvm.", 5))
            return error_set(err, WF_ERROR_COMPILE, "kernels call %s, which is not part of them", name);
    }
    return WF_OK;
}

static wf_status optimize_and_emit(LLVMModuleRef module, LLVMTargetMachineRef machine, buffer *object, buffer *assembly,
                                   wf_error *err)
{
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    LLVMErrorRef failure = LLVMRunPasses(module, LLVM_PIPELINE, machine, options);
    LLVMDisposePassBuilderOptions(options);
    if (failure) {
        char *message = LLVMGetErrorMessage(failure);
        error_set(err, WF_ERROR_COMPILE, "LLVM: %s", message);
        LLVMDisposeErrorMessage(message);
        return WF_ERROR_COMPILE;
    }
    TRY(check_no_calls(module, err));
    if (assembly) {
        LLVMModuleRef copy = LLVMCloneModule(module); // emission changes the module
        wf_status status = emit(machine, copy, LLVMAssemblyFile, assembly, err);
        LLVMDisposeModule(copy);
        if (status != WF_OK) return status;
    }
    return emit(machine, module, LLVMObjectFile, object, err);
}

// ---- from MLIR to LLVM IR, and on

// A module of LLVM IR in a context of its own, so that any thread can work on it.
typedef struct translation {
    LLVMContextRef context;
    LLVMModuleRef module;
} translation;

static void translation_free(translation *t)
{
    if (t->module) LLVMDisposeModule(t->module);
    if (t->context) LLVMContextDispose(t->context);
    *t = (translation){0};
}

static wf_status translate(compiler_context *c, MlirModule module, translation *t, wf_error *err)
{
    t->context = LLVMContextCreate();
    compiler_context_watch(c, err);
    t->module = mlirTranslateModuleToLLVMIR(mlirModuleGetOperation(module), t->context);
    compiler_context_watch(c, NULL);
    if (t->module) return WF_OK;
    return c->has_error ? WF_ERROR_COMPILE : error_set(err, WF_ERROR_COMPILE, "translation to LLVM IR failed");
}

static wf_status finish(translation *t, const cpu_features *cpu, buffer *object, buffer *assembly, wf_error *err)
{
    LLVMTargetMachineRef machine = NULL;
    char *name = NULL, *features = NULL;
    wf_status status = create_target(cpu, &machine, &name, &features, err);
    if (status == WF_OK) {
        char *triple = LLVMGetTargetMachineTriple(machine);
        LLVMSetTarget(t->module, triple);
        LLVMDisposeMessage(triple);
        LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(machine);
        LLVMSetModuleDataLayout(t->module, layout);
        LLVMDisposeTargetData(layout);
        set_function_attributes(t->module, name, features, cpu->avx512);
        status = optimize_and_emit(t->module, machine, object, assembly, err);
    }
    if (machine) LLVMDisposeTargetMachine(machine);
    if (name) LLVMDisposeMessage(name);
    if (features) LLVMDisposeMessage(features);
    return status;
}

wf_status object_emit(compiler_context *c, MlirModule module, const cpu_features *cpu, buffer *object, buffer *assembly,
                      wf_error *err)
{
    translation t = {0};
    TRY(compiler_run_passes(c, module, MLIR_PIPELINE, err));
    wf_status status = translate(c, module, &t, err);
    if (status == WF_OK) status = finish(&t, cpu, object, assembly, err);
    translation_free(&t);
    return status;
}

// ---- several objects

typedef struct parts {
    thread_pool *pool;
    const cpu_features *cpu;
    translation translations[OBJECT_PARTS];
    buffer *objects;
    wf_status status[OBJECT_PARTS];
    wf_error errors[OBJECT_PARTS];
} parts;

static MlirWalkResult count_op(MlirOperation op, void *n)
{
    (void)op;
    ++*(size_t *)n;
    return MlirWalkResultAdvance;
}

// Deals the functions of a module out, each to the part that has the fewest ops so far.
static void split_module(MlirModule module, MlirModule to[OBJECT_PARTS])
{
    size_t sizes[OBJECT_PARTS] = {0};
    MlirLocation location = mlirOperationGetLocation(mlirModuleGetOperation(module));
    MlirOperation next;
    for (int i = 0; i < OBJECT_PARTS; i++) to[i] = mlirModuleCreateEmpty(location);
    for (MlirOperation op = mlirBlockGetFirstOperation(mlirModuleGetBody(module)); op.ptr; op = next) {
        next = mlirOperationGetNextInBlock(op);
        int least = 0;
        for (int i = 1; i < OBJECT_PARTS; i++)
            if (sizes[i] < sizes[least]) least = i;
        mlirOperationWalk(op, count_op, &sizes[least], MlirWalkPreOrder);
        mlirOperationRemoveFromParent(op);
        mlirBlockAppendOwnedOperation(mlirModuleGetBody(to[least]), op);
    }
}

static void finish_parts(void *context, int thread)
{
    parts *p = context;
    for (;;) {
        tile_range taken = work_take(p->pool, 0, thread, OBJECT_PARTS, 1);
        if (taken.begin == taken.end) return;
        int64_t i = taken.begin;
        if (p->translations[i].module)
            p->status[i] = finish(&p->translations[i], p->cpu, &p->objects[i], NULL, &p->errors[i]);
        work_finish(p->pool, 0, 1, OBJECT_PARTS);
    }
}

wf_status objects_emit(compiler_context *c, MlirModule module, const cpu_features *cpu, int n_threads,
                       buffer objects[OBJECT_PARTS], wf_error *err)
{
    parts p = {.cpu = cpu, .objects = objects};
    MlirModule modules[OBJECT_PARTS];
    TRY(compiler_run_passes(c, module, MLIR_PIPELINE, err));
    split_module(module, modules);
    wf_status status = WF_OK;
    for (int i = 0; i < OBJECT_PARTS; i++) {
        bool empty = !mlirBlockGetFirstOperation(mlirModuleGetBody(modules[i])).ptr;
        if (status == WF_OK && !empty) status = translate(c, modules[i], &p.translations[i], err);
        mlirModuleDestroy(modules[i]);
    }
    if (status == WF_OK) status = thread_pool_create(n_threads < OBJECT_PARTS ? n_threads : OBJECT_PARTS, &p.pool, err);
    if (status == WF_OK) {
        bool begun = work_begin(p.pool, 1);
        if (begun) thread_pool_run(p.pool, finish_parts, &p);
        thread_pool_free(p.pool);
        if (!begun) status = error_memory(err, 0);
    }
    for (int i = 0; i < OBJECT_PARTS; i++) {
        translation_free(&p.translations[i]);
        if (status == WF_OK && p.status[i] != WF_OK) status = error_set(err, p.status[i], "%s", p.errors[i].message);
    }
    return status;
}
