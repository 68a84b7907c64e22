#include "compiler/frontend/mlir/regions.h"

#include <mlir-c/AffineMap.h>

#include "compiler/mlir/build.h"

enum { MAX_RANK = 8, MAX_RESULTS = 32 };

static MlirBlock body_of(MlirOperation op, intptr_t region)
{
    MlirRegion r = mlirOperationGetRegion(op, region);
    MlirBlock block = mlirRegionIsNull(r) ? (MlirBlock){0} : mlirRegionGetFirstBlock(r);
    return block.ptr && mlirBlockGetNextInRegion(block).ptr ? (MlirBlock){0} : block;
}

// Moves all ops but the terminator.
static void move_ops(MlirBlock from, MlirBlock to, MlirOperation before)
{
    MlirOperation end = mlirBlockGetTerminator(from), next;
    for (MlirOperation op = mlirBlockGetFirstOperation(from); !mlirOperationEqual(op, end); op = next) {
        next = mlirOperationGetNextInBlock(op);
        mlirOperationRemoveFromParent(op);
        if (before.ptr)
            mlirBlockInsertOwnedOperationBefore(to, before, op);
        else
            mlirBlockAppendOwnedOperation(to, op);
    }
}

// ---- tensor.generate, tensor.pad

// A generic without inputs that yields what the only region of `op` does, whose arguments become linalg.index. Takes
// the region's ops. Null where that cannot be.
static MlirValue build_from_places(op_builder *b, MlirOperation op)
{
    MlirType type = mlirValueGetType(mlirOperationGetResult(op, 0)), element = mlirShapedTypeGetElementType(type);
    MlirBlock body = body_of(op, 0);
    int rank = (int)mlirShapedTypeGetRank(type);
    if (!body.ptr || rank > MAX_RANK || !mlirShapedTypeHasStaticShape(type)) return (MlirValue){0};
    MlirValue empty = build_value(b, "tensor.empty", type, 0, NULL, 0, NULL);

    MlirBlock inner = mlirBlockCreate(1, &element, &b->loc);
    op_builder in = op_builder_at_end(inner, b->loc);
    MlirType index = mlirIndexTypeGet(b->ctx);
    for (int d = 0; d < rank; d++) {
        MlirNamedAttribute dim = named_int(&in, "dim", d);
        replace_value(mlirBlockGetArgument(body, d), build_value(&in, "linalg.index", index, 0, NULL, 1, &dim));
    }
    MlirValue yielded = mlirOperationGetOperand(mlirBlockGetTerminator(body), 0);
    move_ops(body, inner, (MlirOperation){0});
    build_op(&in, "linalg.yield", 0, NULL, 1, &yielded, 0, NULL);

    MlirAttribute map = mlirAffineMapAttrGet(mlirAffineMapMultiDimIdentityGet(b->ctx, rank));
    return build_generic(b, 1, &empty, &map, rank, NULL, inner);
}

static void rewrite_generate(MlirOperation op)
{
    op_builder b = op_builder_before(op);
    MlirValue made = build_from_places(&b, op);
    if (!made.ptr) return;
    replace_value(mlirOperationGetResult(op, 0), made);
    mlirOperationDestroy(op);
}

// Padding that depends on its place is generated, and what is padded is put into it.
static void rewrite_pad(MlirOperation op)
{
    MlirValue x = mlirOperationGetOperand(op, 0), y = mlirOperationGetResult(op, 0);
    MlirAttribute low = op_attribute(op, "static_low");
    MlirBlock body = body_of(op, 0);
    int64_t sizes[MAX_RANK], strides[MAX_RANK];
    int rank = rank_of(x);
    if (!body.ptr || rank > MAX_RANK || mlirOperationGetNumOperands(op) != 1) return;
    MlirOperation from = defining_op(mlirOperationGetOperand(mlirBlockGetTerminator(body), 0));
    if (!from.ptr || !mlirOperationEqual(mlirOperationGetParentOperation(from), op) || op_is(from, "arith.constant"))
        return;
    for (int d = 0; d < rank; d++) {
        int64_t before = mlirDenseI64ArrayGetElement(low, d);
        sizes[d] = dim_of(x, d);
        strides[d] = 1;
        if (before < 0 || sizes[d] < 0 || before + sizes[d] > dim_of(y, d)) return;
    }
    op_builder b = op_builder_before(op);
    MlirValue operands[] = {x, build_from_places(&b, op)};
    if (!operands[1].ptr) return;
    MlirNamedAttribute attributes[] = {
        {mlirIdentifierGet(b.ctx, mlir_text("static_offsets")), low},
        {mlirIdentifierGet(b.ctx, mlir_text("static_sizes")), mlirDenseI64ArrayGet(b.ctx, rank, sizes)},
        {mlirIdentifierGet(b.ctx, mlir_text("static_strides")), mlirDenseI64ArrayGet(b.ctx, rank, strides)},
        named_segments(&b, 5, (const int32_t[]){1, 1, 0, 0, 0}),
    };
    replace_value(y, build_value(&b, "tensor.insert_slice", mlirValueGetType(y), 2, operands, 4, attributes));
    mlirOperationDestroy(op);
}

// ---- scf.if

static MlirWalkResult find_effect(MlirOperation op, void *found)
{
    if (op_is(op, "cf.assert")) *(bool *)found = true;
    return MlirWalkResultAdvance;
}

// Computes both ways, then selects. Only an assertion would tell the difference.
static void rewrite_if(MlirOperation op)
{
    intptr_t n = mlirOperationGetNumResults(op);
    MlirBlock ways[] = {body_of(op, 0), body_of(op, 1)};
    MlirValue from[2][MAX_RESULTS], condition = mlirOperationGetOperand(op, 0);
    bool has_effect = false;
    mlirOperationWalk(op, find_effect, &has_effect, MlirWalkPreOrder);
    if (!ways[0].ptr || !ways[1].ptr || n > MAX_RESULTS || has_effect) return;
    for (int way = 0; way < 2; way++) {
        for (intptr_t i = 0; i < n; i++) from[way][i] = mlirOperationGetOperand(mlirBlockGetTerminator(ways[way]), i);
        move_ops(ways[way], mlirOperationGetBlock(op), op);
    }
    op_builder b = op_builder_before(op);
    for (intptr_t i = 0; i < n; i++) {
        MlirValue y = mlirOperationGetResult(op, i), operands[] = {condition, from[0][i], from[1][i]};
        replace_value(y, build_value(&b, "arith.select", mlirValueGetType(y), 3, operands, 0, NULL));
    }
    mlirOperationDestroy(op);
}

// ---- all

static void rewrite(MlirOperation op, void *context)
{
    (void)context;
    if (op_is(op, "tensor.generate")) rewrite_generate(op);
    if (op_is(op, "tensor.pad")) rewrite_pad(op);
}

static void rewrite_branch(MlirOperation op, void *context)
{
    (void)context;
    if (op_is(op, "scf.if")) rewrite_if(op);
}

static void find_branch(MlirOperation op, void *found)
{
    if (op_is(op, "tosa.cond_if")) *(bool *)found = true;
}

wf_status regions_flatten(compiler_context *c, MlirModule module, MlirOperation function, wf_error *err)
{
    bool has_tosa = false;
    for_each_op(function, find_branch, &has_tosa);
    if (has_tosa) TRY(compiler_run_passes(c, module, "builtin.module(func.func(tosa-to-scf))", err));
    for_each_op(function, rewrite_branch, NULL); // outer ones first: what they held is visited after them
    for_each_op(function, rewrite, NULL);
    return WF_OK;
}
