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

wf_status object_emit(compiler_context *c, MlirModule module, const cpu_features *cpu, buffer *object, buffer *assembly,
                      wf_error *err)
{
    TRY(compiler_run_passes(c, module, MLIR_PIPELINE, err));
    LLVMTargetMachineRef machine = NULL;
    char *name = NULL, *features = NULL;
    wf_status status = create_target(cpu, &machine, &name, &features, err);
    LLVMContextRef context = LLVMContextCreate();
    LLVMModuleRef llvm = NULL;
    if (status != WF_OK) goto done;
    compiler_context_watch(c, err);
    llvm = mlirTranslateModuleToLLVMIR(mlirModuleGetOperation(module), context);
    if (!llvm) {
        status = c->has_error ? WF_ERROR_COMPILE : error_set(err, WF_ERROR_COMPILE, "translation to LLVM IR failed");
        goto done;
    }
    char *triple = LLVMGetTargetMachineTriple(machine);
    LLVMSetTarget(llvm, triple);
    LLVMDisposeMessage(triple);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(machine);
    LLVMSetModuleDataLayout(llvm, layout);
    LLVMDisposeTargetData(layout);
    set_function_attributes(llvm, name, features, cpu->avx512);
    status = optimize_and_emit(llvm, machine, object, assembly, err);
done:
    compiler_context_watch(c, NULL);
    if (llvm) LLVMDisposeModule(llvm);
    LLVMContextDispose(context);
    if (machine) LLVMDisposeTargetMachine(machine);
    if (name) LLVMDisposeMessage(name);
    if (features) LLVMDisposeMessage(features);
    return status;
}
