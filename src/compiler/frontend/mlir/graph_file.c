#include "compiler/frontend/mlir/graph_file.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <mlir-c/Dialect/Affine.h>
#include <mlir-c/Dialect/Bufferization.h>
#include <mlir-c/Dialect/Complex.h>
#include <mlir-c/Dialect/Index.h>
#include <mlir-c/Dialect/Linalg.h>
#include <mlir-c/Dialect/MLProgram.h>
#include <mlir-c/Dialect/Math.h>
#include <mlir-c/Dialect/MemRef.h>
#include <mlir-c/Dialect/Quant.h>
#include <mlir-c/Dialect/Shape.h>
#include <mlir-c/Dialect/Tosa.h>

#include "compiler/dialect/wf.h"
#include "compiler/frontend/mlir/foreign.h"
#include "compiler/frontend/mlir/old_tosa.h"
#include "compiler/frontend/mlir/text_guard.h"
#include "compiler/frontend/mlir/tm_tensor.h"
#include "compiler/frontend/mlir/wrong_folds.h"
#include "compiler/mlir/constant.h"

// What compiler_context_create leaves out, since no checkpoint needs it.
static void load_graph_dialects(MlirContext ctx)
{
    MlirDialectHandle dialects[] = {
        mlirGetDialectHandle__tosa__(),    mlirGetDialectHandle__linalg__(),        mlirGetDialectHandle__math__(),
        mlirGetDialectHandle__memref__(),  mlirGetDialectHandle__bufferization__(), mlirGetDialectHandle__affine__(),
        mlirGetDialectHandle__index__(),   mlirGetDialectHandle__shape__(),         mlirGetDialectHandle__quant__(),
        mlirGetDialectHandle__complex__(), mlirGetDialectHandle__ml_program__(),
    };
    for (size_t i = 0; i < sizeof dialects / sizeof *dialects; i++) mlirDialectHandleLoadDialect(dialects[i], ctx);
}

// ---- reading

static bool is_bytecode(view text) { return view_starts_with(text, VIEW_LITERAL("ML\xefR")); }

static MlirModule parse(compiler_context *c, view text, wf_error *reason)
{
    compiler_context_watch(c, reason);
    MlirModule module = mlirModuleCreateParse(c->mlir, mlirStringRefCreate(text.data, text.len)); // verifies too
    compiler_context_watch(c, NULL);
    return module;
}

static void drop_text(MlirStringRef text, void *user)
{
    (void)text;
    (void)user;
}

// Reads bytecode and descends into all that it holds, on a part of the stack that the same will have later.
static bool try_bytecode(compiler_context *c, view file)
{
    struct rlimit stack;
    if (!getrlimit(RLIMIT_STACK, &stack)) {
        stack.rlim_cur = stack.rlim_cur == RLIM_INFINITY ? 2 << 20 : stack.rlim_cur / 4;
        setrlimit(RLIMIT_STACK, &stack);
    }
    MlirModule module = parse(c, file, NULL);
    if (mlirModuleIsNull(module)) return false;
    MlirOpPrintingFlags flags = mlirOpPrintingFlagsCreate();
    mlirOpPrintingFlagsElideLargeElementsAttrs(flags, 0);
    mlirOpPrintingFlagsElideLargeResourceString(flags, 0);
    mlirOperationPrintWithFlags(mlirModuleGetOperation(module), flags, drop_text, NULL);
    return true;
}

// MLIR's bytecode reader trusts what it reads: some damaged files crash it, others abort in LLVM, and how deep a file
// nests only shows when it is read. So a child process reads first, whose death is an answer. It shares no lock with
// its parent but those of the C library, which fork() leaves usable, since the context is this call's own.
static wf_status check_bytecode(compiler_context *c, view file, const char *name, wf_error *err)
{
    pid_t child = fork();
    if (child < 0) return error_set(err, WF_ERROR_IO, "%s: cannot start a process: %s", name, strerror(errno));
    if (child == 0) _exit(try_bytecode(c, file) ? 0 : 1);
    int state;
    while (waitpid(child, &state, 0) < 0)
        if (errno != EINTR) return error_set(err, WF_ERROR_IO, "%s: lost a process: %s", name, strerror(errno));
    if (WIFSIGNALED(state))
        return error_set(err, WF_ERROR_FORMAT, "%s: the bytecode is damaged or nested too deeply", name);
    return WF_OK; // a file that does not parse gives its reason when it is read again
}

// ---- text of older versions

// Text that today's parser refuses, with TOSA ops in it: as that of an older LLVM. A null module: it is none.
static wf_status read_old_tosa(compiler_context *c, view text, const char *name, MlirModule *module, wf_error *err)
{
    buffer renamed = {0};
    wf_error reason = {0};
    int n_old = 0;
    old_tosa_rename(text, &renamed);
    mlirContextSetAllowUnregisteredDialects(c->mlir, true);
    *module = renamed.failed ? (MlirModule){0} : parse(c, buffer_view(&renamed), &reason);
    mlirContextSetAllowUnregisteredDialects(c->mlir, false);
    buffer_free(&renamed);
    if (mlirModuleIsNull(*module)) return WF_OK;
    wf_status status = old_tosa_upgrade(*module, &n_old, &reason);
    if (status == WF_OK) {
        compiler_context_watch(c, &reason);
        if (!mlirOperationVerify(mlirModuleGetOperation(*module))) status = WF_ERROR_FORMAT;
        compiler_context_watch(c, NULL);
    }
    if (status == WF_OK && n_old) return WF_OK;
    mlirModuleDestroy(*module);
    *module = (MlirModule){0};
    return n_old ? foreign_explain(text, name, reason.message, err) : WF_OK;
}

// The context goes on to take ops that it does not know: admit.c refuses all but those of tm_tensor.
static MlirModule read_tm_tensor(compiler_context *c, view text, wf_error *reason)
{
    buffer renamed = {0};
    tm_tensor_rename(text, &renamed);
    mlirContextSetAllowUnregisteredDialects(c->mlir, true);
    MlirModule module = renamed.failed ? (MlirModule){0} : parse(c, buffer_view(&renamed), reason);
    buffer_free(&renamed);
    return module;
}

wf_status graph_file_read(compiler_context *c, const char *text, size_t bytes, const char *name, MlirModule *module,
                          wf_error *err)
{
    view all = {text, bytes};
    wf_error reason = {0};
    load_graph_dialects(c->mlir);
    TRY(foreign_check(all, name, err));
    TRY(is_bytecode(all) ? check_bytecode(c, all, name, err) : text_guard_check(all, name, err));
    bool has_tm_tensor = !is_bytecode(all) && tm_tensor_is_in(all);
    *module = has_tm_tensor ? read_tm_tensor(c, all, &reason) : parse(c, all, &reason);
    if (mlirModuleIsNull(*module) && !has_tm_tensor && !is_bytecode(all)) TRY(read_old_tosa(c, all, name, module, err));
    if (mlirModuleIsNull(*module)) return foreign_explain(all, name, reason.message, err);
    MlirOperation root = mlirModuleGetOperation(*module);
    wrong_folds_avoid(root);
    wf_status status = wf_verify(root, &reason);
    if (status == WF_OK) status = constant_settle_resources(root, &reason);
    if (status == WF_OK) return WF_OK;
    mlirModuleDestroy(*module);
    *module = (MlirModule){0};
    return foreign_explain(all, name, reason.message, err);
}
