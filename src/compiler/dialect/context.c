#include "compiler/dialect/context.h"

#include <llvm-c/Target.h>
#include <mlir-c/Dialect/Arith.h>
#include <mlir-c/Dialect/ControlFlow.h>
#include <mlir-c/Dialect/Func.h>
#include <mlir-c/Dialect/IRDL.h>
#include <mlir-c/Dialect/LLVM.h>
#include <mlir-c/Dialect/SCF.h>
#include <mlir-c/Dialect/Tensor.h>
#include <mlir-c/Dialect/UB.h>
#include <mlir-c/Dialect/Vector.h>
#include <mlir-c/Pass.h>
#include <mlir-c/RegisterEverything.h>
#include <pthread.h>

#include "compiler/dialect/wf.h"
#include "compiler/dialect/wf_mlir.h"

static MlirLogicalResult keep_diagnostic(MlirDiagnostic diagnostic, void *user)
{
    compiler_context *c = user;
    if (mlirDiagnosticGetSeverity(diagnostic) != MlirDiagnosticError) return mlirLogicalResultSuccess();
    if (!c->has_error && c->first) {
        buffer text = {0};
        MlirLocation location = mlirDiagnosticGetLocation(diagnostic);
        if (!mlirLocationEqual(location, mlirLocationUnknownGet(c->mlir))) {
            print_location(location, &text);
            buffer_printf(&text, ": ");
        }
        mlirDiagnosticPrint(diagnostic, append_text, &text);
        error_set(c->first, WF_ERROR_COMPILE, "%s", text.data ? text.data : "unknown compiler error");
        buffer_free(&text);
    }
    c->has_error = true;
    return mlirLogicalResultSuccess();
}

// Registration is process-wide in MLIR and LLVM: once, and before any thread parses a pipeline.
static void register_all(void)
{
    mlirRegisterAllPasses();
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
}

wf_status compiler_context_create(compiler_context *c, wf_error *err)
{
    *c = (compiler_context){0};
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, register_all);
    MlirDialectHandle dialects[] = {
        mlirGetDialectHandle__func__(), mlirGetDialectHandle__arith__(), mlirGetDialectHandle__scf__(),
        mlirGetDialectHandle__cf__(),   mlirGetDialectHandle__llvm__(),  mlirGetDialectHandle__vector__(),
        mlirGetDialectHandle__ub__(),   mlirGetDialectHandle__irdl__(),  mlirGetDialectHandle__tensor__(),
    };
    MlirDialectRegistry registry = mlirDialectRegistryCreate();
    for (size_t i = 0; i < sizeof dialects / sizeof *dialects; i++)
        mlirDialectHandleInsertDialect(dialects[i], registry);
    c->mlir = mlirContextCreateWithRegistry(registry, false);
    mlirDialectRegistryDestroy(registry);
    mlirContextLoadAllAvailableDialects(c->mlir);
    mlirRegisterAllLLVMTranslations(c->mlir);
    c->handler = mlirContextAttachDiagnosticHandler(c->mlir, keep_diagnostic, c, NULL);
    compiler_context_watch(c, err);
    wf_status status = wf_dialect_load(c->mlir, err);
    if (status != WF_OK) compiler_context_destroy(c);
    return status;
}

void compiler_context_destroy(compiler_context *c)
{
    if (mlirContextIsNull(c->mlir)) return;
    if (c->definitions.ptr) mlirModuleDestroy(c->definitions);
    mlirContextDetachDiagnosticHandler(c->mlir, c->handler);
    mlirContextDestroy(c->mlir);
    c->mlir = (MlirContext){0};
}

void compiler_context_watch(compiler_context *c, wf_error *err)
{
    c->first = err;
    c->has_error = false;
}

wf_status compiler_context_end_watch(compiler_context *c, bool good, const char *reason, wf_error *err)
{
    bool seen = c->has_error;
    compiler_context_watch(c, NULL);
    if (good) return WF_OK;
    return seen ? WF_ERROR_COMPILE : error_set(err, WF_ERROR_COMPILE, "%s", reason);
}

wf_status compiler_context_definitions(compiler_context *c, MlirModule *definitions, wf_error *err)
{
    wf_error reason = {0};
    if (!c->definitions.ptr) {
        compiler_context_watch(c, &reason);
        c->definitions = mlirModuleCreateParse(c->mlir, mlirStringRefCreate(wf_mlir, wf_mlir_bytes));
        compiler_context_watch(c, NULL);
    }
    *definitions = c->definitions;
    return c->definitions.ptr ? WF_OK : error_set(err, WF_ERROR_COMPILE, "wf.mlir: %s", reason.message);
}

wf_status compiler_run_passes(compiler_context *c, MlirModule module, const char *pipeline, wf_error *err)
{
    compiler_context_watch(c, err);
    MlirPassManager manager = mlirPassManagerCreate(c->mlir);
    buffer message = {0};
    wf_status status = WF_OK;
    if (mlirLogicalResultIsFailure(mlirParsePassPipeline(mlirPassManagerGetAsOpPassManager(manager),
                                                         mlir_text(pipeline), append_text, &message)))
        status = error_set(err, WF_ERROR_COMPILE, "pass pipeline: %s", message.data ? message.data : "not understood");
    else if (mlirLogicalResultIsFailure(mlirPassManagerRunOnOp(manager, mlirModuleGetOperation(module))))
        status = c->has_error ? WF_ERROR_COMPILE : error_set(err, WF_ERROR_COMPILE, "a pass of %s failed", pipeline);
    buffer_free(&message);
    mlirPassManagerDestroy(manager);
    compiler_context_watch(c, NULL);
    return status;
}
