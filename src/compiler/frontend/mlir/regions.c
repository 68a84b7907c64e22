#include "compiler/frontend/mlir/regions.h"

#include <mlir-c/AffineMap.h>

#include "compiler/frontend/mlir/tm_tensor.h"
#include "compiler/mlir/build.h"
#include "compiler/mlir/text.h"

enum { MAX_RANK = 8, MAX_RESULTS = 32 };

static MlirBlock body_of(MlirOperation op, intptr_t region)
{
    MlirRegion r = mlirOperationGetRegion(op, region);
    MlirBlock block = mlirRegionIsNull(r) ? (MlirBlock){0} : mlirRegionGetFirstBlock(r);
    return block.ptr && mlirBlockGetNextInRegion(block).ptr ? (MlirBlock){0} : block;
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
    move_ops(body, mlirBlockGetTerminator(body), inner, (MlirOperation){0});
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

// Assertions tell which way was taken; loops may not end on the other.
static MlirWalkResult find_effect(MlirOperation op, void *found)
{
    if (op_is(op, "cf.assert") || op_is(op, "scf.for") || op_is(op, "scf.while")) *(bool *)found = true;
    return MlirWalkResultAdvance;
}

// Computes both ways, then selects. Those in loops stay: what is written there is written in place.
static bool rewrite_if(MlirOperation op)
{
    intptr_t n = mlirOperationGetNumResults(op);
    MlirBlock ways[] = {body_of(op, 0), body_of(op, 1)};
    MlirValue from[2][MAX_RESULTS], condition = mlirOperationGetOperand(op, 0);
    bool has_effect = false;
    mlirOperationWalk(op, find_effect, &has_effect, MlirWalkPreOrder);
    if (!ways[0].ptr || !ways[1].ptr || n > MAX_RESULTS || has_effect) return false;
    for (int way = 0; way < 2; way++) {
        for (intptr_t i = 0; i < n; i++) from[way][i] = mlirOperationGetOperand(mlirBlockGetTerminator(ways[way]), i);
        move_ops(ways[way], mlirBlockGetTerminator(ways[way]), mlirOperationGetBlock(op), op);
    }
    op_builder b = op_builder_before(op);
    for (intptr_t i = 0; i < n; i++) {
        MlirValue y = mlirOperationGetResult(op, i), operands[] = {condition, from[0][i], from[1][i]};
        replace_value(y, build_value(&b, "arith.select", mlirValueGetType(y), 3, operands, 0, NULL));
    }
    mlirOperationDestroy(op);
    return true;
}

// ---- loops

// Ops in the body of a loop, up to `most` + 1 of them; whole: some work on tensors as a whole.
typedef struct body_count {
    int64_t n;
    bool whole;
} body_count;

static MlirWalkResult count_op(MlirOperation op, void *context)
{
    body_count *count = context;
    count->n++;
    bool single = op_is(op, "tensor.extract") || op_is(op, "tensor.insert") || op_name_starts_with(op, "scf.");
    for (intptr_t i = 0; i < mlirOperationGetNumResults(op) && !single; i++)
        count->whole = count->whole || mlirTypeIsAShaped(mlirValueGetType(mlirOperationGetResult(op, i)));
    return MlirWalkResultAdvance;
}

static bool constant_index(MlirValue v, int64_t *n)
{
    MlirOperation op = defining_op(v);
    MlirAttribute a = op_is(op, "arith.constant") ? op_attribute(op, "value") : (MlirAttribute){0};
    if (!a.ptr || !mlirAttributeIsAInteger(a)) return false;
    *n = mlirIntegerAttrGetValueInt(a);
    return true;
}

// A loop of few rounds over whole tensors is written out: so its ops are fused, and run on the kernels that they have
// outside. Others run as one kernel (nest/routine.h).
static bool unroll_for(MlirOperation op)
{
    enum { MAX_OPS = 2000, MAX_ROUNDS = 64 };
    int64_t lo, hi, step;
    body_count count = {0};
    if (!constant_index(mlirOperationGetOperand(op, 0), &lo) || !constant_index(mlirOperationGetOperand(op, 1), &hi) ||
        !constant_index(mlirOperationGetOperand(op, 2), &step) || step < 1)
        return false;
    mlirOperationWalk(op, count_op, &count, MlirWalkPreOrder);
    int64_t rounds = hi > lo ? (hi - lo - 1) / step + 1 : 0, n = mlirOperationGetNumResults(op);
    if (!count.whole || n > MAX_RESULTS || rounds > MAX_ROUNDS || rounds * count.n > MAX_OPS) return false;
    MlirValue carried[MAX_RESULTS];
    for (intptr_t i = 0; i < n; i++) carried[i] = mlirOperationGetOperand(op, i + 3);
    op_builder b = op_builder_before(op);
    for (int64_t round = 0; round < rounds; round++) {
        MlirOperation copy = mlirOperationClone(op);
        MlirBlock body = body_of(copy, 0);
        MlirValue index = mlirBlockGetArgument(body, 0);
        MlirNamedAttribute value =
            mlirNamedAttributeGet(mlirIdentifierGet(b.ctx, mlir_text("value")),
                                  mlirIntegerAttrGet(mlirValueGetType(index), lo + round * step));
        replace_value(index, build_value(&b, "arith.constant", mlirValueGetType(index), 0, NULL, 1, &value));
        for (intptr_t i = 0; i < n; i++) replace_value(mlirBlockGetArgument(body, i + 1), carried[i]);
        for (intptr_t i = 0; i < n; i++) carried[i] = mlirOperationGetOperand(mlirBlockGetTerminator(body), i);
        move_ops(body, mlirBlockGetTerminator(body), mlirOperationGetBlock(op), op);
        mlirOperationDestroy(copy);
    }
    for (intptr_t i = 0; i < n; i++) replace_value(mlirOperationGetResult(op, i), carried[i]);
    mlirOperationDestroy(op);
    return true;
}

static void box_results(MlirOperation op, void *context)
{
    (void)context;
    if (!op_name_starts_with(op, "scf.") || !op_is(mlirOperationGetParentOperation(op), "func.func")) return;
    for (intptr_t i = 0; i < mlirOperationGetNumResults(op); i++) {
        MlirValue y = mlirOperationGetResult(op, i);
        if (mlirTypeIsAShaped(mlirValueGetType(y)) || has_no_use(y)) continue;
        op_builder b = op_builder_before(mlirOperationGetNextInBlock(op));
        MlirValue box =
            build_value(&b, "tensor.from_elements", tensor_of(0, NULL, mlirValueGetType(y)), 1, &y, 0, NULL);
        MlirValue read = build_value(&b, "tensor.extract", mlirValueGetType(y), 1, &box, 0, NULL);
        mlirValueReplaceAllUsesExcept(y, read, 1, (MlirOperation[]){defining_op(box)});
    }
}

// ---- slices at computed places

static bool has_computed_offset(MlirOperation op)
{
    MlirAttribute offsets = op_attribute(op, "static_offsets");
    bool computed = false;
    int64_t first, n = op_segment(op, 2, &first);
    for (int64_t i = 0; i < n; i++) {
        int64_t number;
        computed = computed || !constant_index(mlirOperationGetOperand(op, first + i), &number);
    }
    return offsets.ptr && computed;
}

static void wrap_slice(MlirOperation op, void *context)
{
    (void)context;
    if (!op_is(op, "tensor.insert_slice") || !op_is(mlirOperationGetParentOperation(op), "func.func") ||
        !has_computed_offset(op))
        return;
    op_builder b = op_builder_before(op);
    MlirType index = mlirIndexTypeGet(b.ctx), carried = mlirValueGetType(mlirOperationGetResult(op, 0));
    MlirValue operands[4];
    for (int i = 0; i < 3; i++) {
        MlirNamedAttribute value =
            mlirNamedAttributeGet(mlirIdentifierGet(b.ctx, mlir_text("value")), mlirIntegerAttrGet(index, i > 0));
        operands[i] = build_value(&b, "arith.constant", index, 0, NULL, 1, &value);
    }
    operands[3] = mlirOperationGetOperand(op, 1);
    MlirType types[] = {index, carried};
    MlirLocation places[] = {b.loc, b.loc};
    MlirBlock body = mlirBlockCreate(2, types, places);
    MlirOperation inner = mlirOperationClone(op);
    mlirOperationSetOperand(inner, 1, mlirBlockGetArgument(body, 1));
    mlirBlockAppendOwnedOperation(body, inner);
    op_builder inside = op_builder_at_end(body, b.loc);
    MlirValue result = mlirOperationGetResult(inner, 0);
    build_op(&inside, "scf.yield", 0, NULL, 1, &result, 0, NULL);
    MlirRegion region = mlirRegionCreate();
    mlirRegionAppendOwnedBlock(region, body);
    MlirOperationState state = mlirOperationStateGet(mlir_text("scf.for"), b.loc);
    mlirOperationStateAddOperands(&state, 4, operands);
    mlirOperationStateAddResults(&state, 1, &carried);
    mlirOperationStateAddOwnedRegions(&state, 1, &region);
    MlirOperation loop = mlirOperationCreate(&state);
    mlirBlockInsertOwnedOperationBefore(b.block, op, loop);
    replace_value(mlirOperationGetResult(op, 0), mlirOperationGetResult(loop, 0));
    mlirOperationDestroy(op);
}

void regions_wrap_slices(MlirOperation function) { for_each_op(function, wrap_slice, NULL); }

void regions_box_scalars(MlirOperation function) { for_each_op(function, box_results, NULL); }

// ---- all

static void rewrite(MlirOperation op, void *context)
{
    (void)context;
    if (op_is(op, "tensor.generate")) rewrite_generate(op);
    if (op_is(op, "tensor.pad")) rewrite_pad(op);
}

// Of the function's own ops; what comes out of one may be one again.
static void rewrite_branches(MlirOperation function)
{
    MlirBlock entry = body_of(function, 0);
    MlirOperation op = mlirBlockGetFirstOperation(entry), next;
    for (; op.ptr; op = next) {
        next = mlirOperationGetNextInBlock(op);
        bool done = (op_is(op, "scf.if") && rewrite_if(op)) || (op_is(op, "scf.for") && unroll_for(op));
        if (done) next = mlirBlockGetFirstOperation(entry);
    }
}

static void find_branch(MlirOperation op, void *found)
{
    if (op_is(op, "tosa.cond_if")) *(bool *)found = true;
}

wf_status regions_flatten(compiler_context *c, MlirModule module, MlirOperation function, wf_error *err)
{
    bool has_tosa = false;
    TRY(tm_tensor_to_loops(c, function, err));
    for_each_op(function, find_branch, &has_tosa);
    if (has_tosa) TRY(compiler_run_passes(c, module, "builtin.module(func.func(tosa-to-scf))", err));
    rewrite_branches(function);
    for_each_op(function, rewrite, NULL);
    return WF_OK;
}
