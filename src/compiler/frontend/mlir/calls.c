// Upstream's inliner needs extensions that register with all dialects only.
#include "compiler/frontend/mlir/calls.h"

#include <string.h>

#include "base/buffer.h"
#include "compiler/mlir/build.h"
#include "compiler/mlir/text.h"

static wf_status refuse_call(MlirOperation call, const char *reason, wf_error *err)
{
    buffer where = {0};
    MlirStringRef name = mlirFlatSymbolRefAttrGetValue(op_attribute(call, "callee"));
    print_location(mlirOperationGetLocation(call), &where);
    error_set(err, WF_ERROR_UNSUPPORTED, "%s: a call of @%.*s, %s", buffer_view(&where).data,
              (int)(name.length > 80 ? 80 : name.length), name.data, reason);
    buffer_free(&where);
    return WF_ERROR_UNSUPPORTED;
}

// ---- helpers without a body

static bool is_print(MlirStringRef name)
{
    static const char *const PREFIXES[] = {"printMemref", "print_memref_", "_mlir_ciface_print"};
    static const char *const NAMES[] = {"print_newline", "printNewline", "print_flops", "printFlops"};
    for (size_t i = 0; i < sizeof PREFIXES / sizeof *PREFIXES; i++)
        if (name.length >= strlen(PREFIXES[i]) && !memcmp(name.data, PREFIXES[i], strlen(PREFIXES[i]))) return true;
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        if (mlirStringRefEqual(name, mlir_text(NAMES[i]))) return true;
    return false;
}

static bool is_clock(MlirStringRef name, MlirOperation call)
{
    return (mlirStringRefEqual(name, mlir_text("rtclock")) ||
            mlirStringRefEqual(name, mlir_text("_mlir_ciface_rtclock"))) &&
           mlirOperationGetNumOperands(call) == 0 && mlirOperationGetNumResults(call) == 1 &&
           mlirTypeIsAF64(mlirValueGetType(mlirOperationGetResult(call, 0)));
}

// A helper of tests: what prints goes, and the clock stands still. False: none of them.
static bool provide_helper(MlirOperation call, MlirStringRef name)
{
    if (is_clock(name, call)) {
        op_builder b = op_builder_before(call);
        MlirType t = mlirF64TypeGet(b.ctx);
        MlirNamedAttribute zero =
            mlirNamedAttributeGet(mlirIdentifierGet(b.ctx, mlir_text("value")), mlirFloatAttrDoubleGet(b.ctx, t, 0));
        replace_value(mlirOperationGetResult(call, 0), build_value(&b, "arith.constant", t, 0, NULL, 1, &zero));
    } else if (!is_print(name) || mlirOperationGetNumResults(call)) {
        return false;
    }
    mlirOperationDestroy(call);
    return true;
}

// ---- inlining

// Puts a copy of the callee's ops in place of the call.
static void inline_call(MlirOperation call, MlirOperation callee)
{
    MlirOperation copy = mlirOperationClone(callee);
    MlirBlock body = function_body(copy);
    inline_block(body, mlirBlockGetTerminator(body), call);
    mlirOperationDestroy(copy);
}

typedef struct inlining {
    MlirModule module;
    MlirOperation entry;
    int n_calls, n_round; // in all, and in this walk
    wf_error *err;
    wf_status status;
} inlining;

static void visit(MlirOperation op, void *context)
{
    enum { MAX_CALLS = 10000 }; // recursion ends here
    inlining *in = context;
    if (in->status != WF_OK) return;
    if (op_is(op, "vector.print")) mlirOperationDestroy(op);
    if (!op_is(op, "func.call")) return;
    MlirStringRef name = mlirFlatSymbolRefAttrGetValue(op_attribute(op, "callee"));
    MlirOperation callee = find_function(in->module, name);
    if (callee.ptr && !function_body(callee).ptr && provide_helper(op, name)) return;
    in->n_round++;
    if (!callee.ptr)
        in->status = refuse_call(op, "which is not in the file", in->err);
    else if (!function_body(callee).ptr)
        in->status = refuse_call(op, "which is declared in the file, but has no body there", in->err);
    else if (mlirBlockGetNextInRegion(function_body(callee)).ptr)
        in->status = refuse_call(op, "which has branches", in->err);
    else if (++in->n_calls > MAX_CALLS || mlirOperationEqual(callee, in->entry))
        in->status = refuse_call(op, "which is recursive", in->err);
    else
        inline_call(op, callee);
}

wf_status calls_inline(MlirModule module, MlirOperation entry, wf_error *err)
{
    inlining in = {.module = module, .entry = entry, .n_round = 1, .err = err};
    while (in.status == WF_OK && in.n_round) { // what came in may call too
        in.n_round = 0;
        for_each_op(entry, visit, &in);
    }
    MlirOperation next;
    for (MlirOperation op = mlirBlockGetFirstOperation(mlirModuleGetBody(module)); op.ptr && in.status == WF_OK;
         op = next) {
        next = mlirOperationGetNextInBlock(op);
        if (op_is(op, "func.func") && !mlirOperationEqual(op, entry)) mlirOperationDestroy(op);
    }
    return in.status;
}
