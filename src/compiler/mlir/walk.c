// Walks over ops, and the end of those that nobody uses.
#include <stdlib.h>

#include "compiler/mlir/op.h"

typedef struct op_list {
    MlirOperation *ops;
    size_t n, capacity;
} op_list;

static MlirWalkResult collect(MlirOperation op, void *user)
{
    op_list *list = user;
    if (list->n == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 256;
        MlirOperation *ops = realloc(list->ops, capacity * sizeof *ops);
        if (!ops) return MlirWalkResultInterrupt;
        list->ops = ops;
        list->capacity = capacity;
    }
    list->ops[list->n++] = op;
    return MlirWalkResultAdvance;
}

void for_each_op(MlirOperation root, void (*visit)(MlirOperation op, void *context), void *context)
{
    op_list list = {0};
    mlirOperationWalk(root, collect, &list, MlirWalkPreOrder);
    for (size_t i = 0; i < list.n; i++)
        if (!mlirOperationEqual(list.ops[i], root)) visit(list.ops[i], context);
    free(list.ops);
}

static bool is_pure(MlirOperation op);

// Of an scf.if or scf.for: all that its regions do is yield what pure ops compute.
static bool has_pure_regions(MlirOperation op)
{
    for (intptr_t r = 0; r < mlirOperationGetNumRegions(op); r++) {
        MlirBlock block = mlirRegionGetFirstBlock(mlirOperationGetRegion(op, r));
        if (mlirBlockIsNull(block)) continue;
        MlirOperation inner = mlirBlockGetFirstOperation(block);
        for (; inner.ptr; inner = mlirOperationGetNextInBlock(inner))
            if (!op_is(inner, "scf.yield") && !is_pure(inner)) return false;
    }
    return true;
}

static bool is_pure(MlirOperation op)
{
    static const char *const dialects[] = {"wf.", "arith.", "tensor.", "math.", "tosa."};
    for (size_t i = 0; i < sizeof dialects / sizeof *dialects; i++)
        if (op_name_starts_with(op, dialects[i])) return true;
    if (op_is(op, "scf.if") || op_is(op, "scf.for")) return has_pure_regions(op);
    // linalg on tensors has no effects; linalg.yield has no results and stays
    return op_name_starts_with(op, "linalg.") && mlirOperationGetNumResults(op) > 0;
}

static bool is_idle_assert(MlirOperation op)
{
    if (!op_is(op, "cf.assert")) return false;
    MlirOperation condition = defining_op(mlirOperationGetOperand(op, 0));
    if (!op_is(condition, "arith.constant")) return false;
    MlirAttribute value = op_attribute(condition, "value");
    return value.ptr && mlirAttributeIsABool(value) && mlirBoolAttrGetValue(value);
}

// Ops inside the region of a structured op live and die with it.
static MlirWalkResult collect_outer(MlirOperation op, void *user)
{
    MlirWalkResult result = collect(op, user);
    bool structured = op_name_starts_with(op, "linalg.") || op_name_starts_with(op, "tensor.");
    return structured && result == MlirWalkResultAdvance ? MlirWalkResultSkip : result;
}

void erase_dead(MlirOperation root)
{
    // Backwards: by the time an op is looked at, all its dead users are gone.
    op_list list = {0};
    mlirOperationWalk(root, collect_outer, &list, MlirWalkPreOrder);
    for (size_t i = list.n; i-- > 0;) {
        MlirOperation op = list.ops[i];
        if (is_idle_assert(op)) {
            mlirOperationDestroy(op);
            continue;
        }
        if (!is_pure(op) || mlirOperationGetNumResults(op) == 0) continue;
        bool dead = true;
        for (intptr_t r = 0; r < mlirOperationGetNumResults(op); r++)
            dead = dead && has_no_use(mlirOperationGetResult(op, r));
        if (dead) mlirOperationDestroy(op);
    }
    free(list.ops);
}
