#include "compiler/codegen/object.h"

#include <llvm-c/Core.h>
#include <llvm-c/Error.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <mlir-c/BuiltinAttributes.h>
#include <mlir-c/Target/LLVMIR.h>
#include <stdio.h>
#include <string.h>

#include "base/threads.h"

// Kernels are written with explicit vectors, unrolling and scheduling in mind, so MLIR and LLVM only clean up: O3 takes
// ten times as long and gains nothing.
static const char MLIR_PIPELINE[] = "builtin.module(canonicalize,cse,convert-scf-to-cf,convert-vector-to-llvm,"
                                    "convert-arith-to-llvm,convert-cf-to-llvm,convert-func-to-llvm,"
                                    "reconcile-unrealized-casts)";
static const char EXPAND_MATH[] = "builtin.module(func.func(arith-expand,convert-math-to-llvm))";
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
    return compiler_context_end_watch(c, t->module != NULL, "translation to LLVM IR failed", err);
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

typedef struct part {
    buffer bytecode; // kernels; empty: none
    buffer object;
    wf_status status;
    wf_error err;
} part;

typedef struct parts {
    thread_pool *pool;
    const cpu_features *cpu;
    part part[OBJECT_PARTS];
} parts;

static MlirWalkResult count_op(MlirOperation op, void *n)
{
    (void)op;
    ++*(size_t *)n;
    return MlirWalkResultAdvance;
}

// Moves the functions that `wanted` (NULL: all) names to another module.
static void move_functions(MlirModule from, bool (*wanted)(MlirOperation op), MlirModule *to, int n)
{
    size_t sizes[OBJECT_PARTS] = {0};
    MlirOperation next;
    for (MlirOperation op = mlirBlockGetFirstOperation(mlirModuleGetBody(from)); op.ptr; op = next) {
        next = mlirOperationGetNextInBlock(op);
        if (wanted && !wanted(op)) continue;
        int least = 0;
        for (int i = 1; i < n; i++)
            if (sizes[i] < sizes[least]) least = i;
        mlirOperationWalk(op, count_op, &sizes[least], MlirWalkPreOrder);
        mlirOperationRemoveFromParent(op);
        mlirBlockAppendOwnedOperation(mlirModuleGetBody(to[least]), op);
    }
}

static bool is_nest(MlirOperation op)
{
    MlirAttribute name = mlirOperationGetAttributeByName(op, mlir_text("sym_name"));
    MlirStringRef text = name.ptr ? mlirStringAttrGetValue(name) : (MlirStringRef){0};
    return text.length > 5 && !memcmp(text.data, "nest_", 5);
}

// Loop nests may hold any op of math; the kernels of models hold none, and are best left as they were written.
static wf_status expand_nests(compiler_context *c, MlirModule module, wf_error *err)
{
    MlirModule nests = mlirModuleCreateEmpty(mlirOperationGetLocation(mlirModuleGetOperation(module)));
    move_functions(module, is_nest, &nests, 1);
    bool any = mlirBlockGetFirstOperation(mlirModuleGetBody(nests)).ptr;
    wf_status status = any ? compiler_run_passes(c, nests, EXPAND_MATH, err) : WF_OK;
    move_functions(nests, NULL, &module, 1);
    mlirModuleDestroy(nests);
    return status;
}

// Each function goes to the part that has the fewest ops so far.
static void deal_out(MlirModule module, parts *p)
{
    MlirModule modules[OBJECT_PARTS];
    MlirLocation location = mlirOperationGetLocation(mlirModuleGetOperation(module));
    for (int i = 0; i < OBJECT_PARTS; i++) modules[i] = mlirModuleCreateEmpty(location);
    move_functions(module, NULL, modules, OBJECT_PARTS);
    for (int i = 0; i < OBJECT_PARTS; i++) {
        MlirOperation op = mlirModuleGetOperation(modules[i]);
        bool empty = !mlirBlockGetFirstOperation(mlirModuleGetBody(modules[i])).ptr;
        if (!empty) mlirOperationWriteBytecode(op, append_text, &p->part[i].bytecode);
        mlirModuleDestroy(modules[i]);
    }
}

// In a context of the thread's own: an MLIR or LLVM context is for one thread, and nearly all of compile time goes by
// between a kernel's ops and its machine code. A context costs 3 ms.
static wf_status compile_part(part *p, const cpu_features *cpu, wf_error *err)
{
    compiler_context c;
    if (p->bytecode.failed) return error_memory(err, p->bytecode.len);
    TRY(compiler_context_create(&c, err));
    compiler_context_watch(&c, err);
    MlirModule module = mlirModuleCreateParse(c.mlir, mlirStringRefCreate(p->bytecode.data, p->bytecode.len));
    wf_status status = compiler_context_end_watch(&c, module.ptr != NULL, "invalid kernels", err);
    if (status == WF_OK) status = object_emit(&c, module, cpu, &p->object, NULL, err);
    if (module.ptr) mlirModuleDestroy(module);
    compiler_context_destroy(&c);
    return status;
}

static void compile_parts(void *context, int thread)
{
    parts *p = context;
    for (;;) {
        tile_range taken = work_take(p->pool, 0, thread, OBJECT_PARTS, 1);
        if (taken.begin == taken.end) return;
        part *mine = &p->part[taken.begin];
        if (mine->bytecode.len) mine->status = compile_part(mine, p->cpu, &mine->err);
        work_finish(p->pool, 0, 1, OBJECT_PARTS);
    }
}

static wf_status run_parts(parts *p, int n_threads, wf_error *err)
{
    TRY(thread_pool_create(n_threads < OBJECT_PARTS ? n_threads : OBJECT_PARTS, &p->pool, err));
    bool begun = work_begin(p->pool, 1);
    if (begun) thread_pool_run(p->pool, compile_parts, p);
    thread_pool_free(p->pool);
    if (!begun) return error_memory(err, 0);
    for (int i = 0; i < OBJECT_PARTS; i++)
        if (p->part[i].status != WF_OK) return error_set(err, p->part[i].status, "%s", p->part[i].err.message);
    return WF_OK;
}

static wf_status verify(compiler_context *c, MlirModule module, wf_error *err)
{
    compiler_context_watch(c, err);
    bool good = mlirOperationVerify(mlirModuleGetOperation(module));
    return compiler_context_end_watch(c, good, "invalid kernels", err);
}

wf_status program_emit(compiler_context *c, const program *program_of, MlirModule kernels, const cpu_features *cpu,
                       int n_threads, view constants, buffer *image, wf_error *err)
{
    parts p = {.cpu = cpu};
    view objects[OBJECT_PARTS];
    size_t n_objects = 0;
    TRY(verify(c, kernels, err));
    TRY(expand_nests(c, kernels, err));
    deal_out(kernels, &p);
    wf_status status = run_parts(&p, n_threads, err);
    for (int i = 0; i < OBJECT_PARTS; i++)
        if (p.part[i].object.len) objects[n_objects++] = buffer_view(&p.part[i].object);
    if (status == WF_OK) executable_write(program_of, objects, n_objects, constants, image);
    if (status == WF_OK && image->failed) status = error_memory(err, image->len);
    for (int i = 0; i < OBJECT_PARTS; i++) {
        buffer_free(&p.part[i].bytecode);
        buffer_free(&p.part[i].object);
    }
    return status;
}
