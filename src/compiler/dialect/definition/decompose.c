#include "compiler/dialect/definition/decompose.h"

#include "compiler/dialect/definition/define.h"

// The value with the dimensions of the op's result, whose open sizes are those of its first operand.
static MlirValue reshape_result(MlirOperation op, MlirValue y)
{
    int64_t dims[DEFINITION_MAX_RANK];
    MlirValue result = mlirOperationGetResult(op, 0);
    op_builder b = op_builder_before(op);
    int rank = rank_of(result);
    if (rank > DEFINITION_MAX_RANK) return (MlirValue){0};
    for (int d = 0; d < rank; d++) dims[d] = dim_of(result, d);
    return reshape(&b, y, rank, dims, mlirOperationGetOperand(op, 0));
}

typedef struct run {
    compiler_context *c;
    bool (*keep)(MlirOperation op);
    wf_error *err;
    wf_status status;
} run;

static bool has_open_size(MlirOperation op)
{
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op) + mlirOperationGetNumResults(op); i++) {
        intptr_t n = mlirOperationGetNumOperands(op);
        MlirValue v = i < n ? mlirOperationGetOperand(op, i) : mlirOperationGetResult(op, i - n);
        MlirType t = mlirValueGetType(v);
        if (mlirTypeIsAShaped(t) && !mlirShapedTypeHasStaticShape(t)) return true;
    }
    return false;
}

static void refuse(run *r, MlirOperation op)
{
    buffer where = {0};
    MlirStringRef name = mlirIdentifierStr(mlirOperationGetName(op));
    print_location(mlirOperationGetLocation(op), &where);
    r->status =
        error_set(r->err, WF_ERROR_UNSUPPORTED, "%s: %.*s of this form %s", buffer_view(&where).data, (int)name.length,
                  name.data, has_open_size(op) ? "has no kernel for sizes that are not known" : "cannot be compiled");
    buffer_free(&where);
}

static void decompose(MlirOperation op, void *context)
{
    run *r = context;
    bool ours = op_name_starts_with(op, "wf.");
    define_op *define = find_definition(op);
    if (r->status != WF_OK || (!ours && !define) || (r->keep && r->keep(op))) return;
    MlirModule library;
    r->status = compiler_context_definitions(r->c, &library, r->err);
    if (r->status != WF_OK) return;
    MlirValue y = define && mlirOperationGetNumResults(op) == 1 ? define(op, library) : (MlirValue){0};
    if (y.ptr) y = reshape_result(op, y);
    if (!y.ptr && ours) refuse(r, op); // others run as they are, or are refused later
    if (!y.ptr) return;
    replace_value(mlirOperationGetResult(op, 0), y);
    mlirOperationDestroy(op);
}

wf_status decompose_function(compiler_context *c, MlirOperation function, bool (*keep)(MlirOperation op), wf_error *err)
{
    run r = {c, keep, err, WF_OK};
    for_each_op(function, decompose, &r);
    return r.status;
}
