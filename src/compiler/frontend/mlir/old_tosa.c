#include "compiler/frontend/mlir/old_tosa.h"

#include <stdio.h>

#include "base/buffer.h"
#include "compiler/frontend/mlir/old_tosa_parts.h"
#include "compiler/mlir/text.h"

enum { PREFIX_BYTES = sizeof "old_" - 1 };

typedef struct run {
    int n_old;
    wf_error *err;
    wf_status status;
} run;

static void read_op(upgrade *u, MlirOperation op, const char *name)
{
    *u = (upgrade){.b = op_builder_before(op), .op = op, .name = name};
    intptr_t n_operands = mlirOperationGetNumOperands(op), n_attributes = mlirOperationGetNumAttributes(op);
    if (n_operands > UPGRADE_MAX_OPERANDS || n_attributes > UPGRADE_MAX_ATTRIBUTES) u->problem = "is too large";
    for (intptr_t i = 0; i < n_operands && !u->problem; i++)
        u->operands[u->n_operands++] = mlirOperationGetOperand(op, i);
    for (intptr_t i = 0; i < n_attributes && !u->problem; i++)
        u->attributes[u->n_attributes++] = mlirOperationGetAttribute(op, i);
}

static void rebuild(upgrade *u)
{
    MlirType results[UPGRADE_MAX_OPERANDS];
    intptr_t n = mlirOperationGetNumResults(u->op);
    for (intptr_t i = 0; i < n; i++) results[i] = mlirValueGetType(mlirOperationGetResult(u->op, i));
    MlirOperation made =
        build_op(&u->b, u->name, (int)n, results, u->n_operands, u->operands, u->n_attributes, u->attributes);
    for (intptr_t i = 0; i < n; i++) replace_value(mlirOperationGetResult(u->op, i), mlirOperationGetResult(made, i));
    mlirOperationDestroy(u->op);
}

static void visit(MlirOperation op, void *context)
{
    run *r = context;
    if (r->status != WF_OK || !op_name_starts_with(op, "old_tosa.")) return;
    MlirStringRef old = mlirIdentifierStr(mlirOperationGetName(op));
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)old.length - PREFIX_BYTES, old.data + PREFIX_BYTES);
    upgrade u;
    read_op(&u, op, name);
    if (mlirOperationGetNumResults(op) > UPGRADE_MAX_OPERANDS) u.problem = "is too large";
    if (!u.problem) upgrade_apply(&u);
    if (!u.problem) {
        MlirContext ctx = mlirOperationGetContext(op);
        if (mlirContextIsRegisteredOperation(ctx, mlir_text(u.name))) {
            r->n_old += u.is_old;
            rebuild(&u);
            return;
        }
        u.problem = "is no op that is known here";
    } else {
        r->n_old++;
    }
    buffer where = {0};
    print_location(mlirOperationGetLocation(op), &where);
    r->status = error_set(r->err, WF_ERROR_UNSUPPORTED, "%s: %s of LLVM 20 or older %s", buffer_view(&where).data, name,
                          u.problem);
    buffer_free(&where);
}

wf_status old_tosa_upgrade(MlirModule module, int *n_old, wf_error *err)
{
    run r = {0, err, WF_OK};
    for_each_op(mlirModuleGetOperation(module), visit, &r);
    *n_old = r.n_old;
    return r.status;
}
