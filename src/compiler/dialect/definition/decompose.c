#include "compiler/dialect/definition/decompose.h"

#include "compiler/dialect/definition/define.h"
#include "compiler/dialect/wf.h"

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

static bool has_fixed_numbers(MlirOperation op, const char *name)
{
    MlirAttribute numbers = op_attribute(op, name);
    bool fixed = numbers.ptr != NULL;
    for (intptr_t i = 0; fixed && i < mlirDenseArrayGetNumElements(numbers); i++)
        fixed = mlirDenseI64ArrayGetElement(numbers, i) != INT64_MIN;
    return fixed;
}

// In a loop or a branch single elements and slices are written in place (nest/routine.h); so is a slice whose place alone is
// computed (frontend/mlir/regions.h).
static bool is_in_place(MlirOperation op)
{
    if (op_is(op, "tensor.insert_slice") && op_is(mlirOperationGetParentOperation(op), "func.func") &&
        !has_open_size(op) && has_fixed_numbers(op, "static_sizes") && has_fixed_numbers(op, "static_strides"))
        return true;
    return op_name_starts_with(mlirOperationGetParentOperation(op), "scf.") &&
           (op_is(op, "tensor.insert") || op_is(op, "tensor.insert_slice") || op_is(op, "tensor.extract_slice"));
}

static void decompose(MlirOperation op, void *context)
{
    run *r = context;
    weight_op weight;
    bool ours = op_name_starts_with(op, "wf.") && !weight_read(op, &weight); // those are read as they are
    define_op *define = find_definition(op);
    if (r->status != WF_OK || is_in_place(op) || (!ours && !define) || (r->keep && r->keep(op))) return;
    MlirModule library;
    r->status = compiler_context_definitions(r->c, &library, r->err);
    if (r->status != WF_OK) return;
    MlirValue y = define && mlirOperationGetNumResults(op) == 1 ? define(op, library) : (MlirValue){0};
    if (y.ptr) y = reshape_result(op, y);
    if (!y.ptr && ours) // others run as they are, or are refused later
        r->status = refuse_op(op,
                              has_open_size(op) ? "of this form has no kernel for sizes that are not known"
                                                : "of this form cannot be compiled",
                              r->err);
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
