// In:  linalg.generic { out + f(a..) * g(b..) }, a matrix product with what computes its factors fused into the body
// Out: linalg.generic { f(a..) }, linalg.generic { g(b..) } over the loops that each varies along, and their plain
//      product
//
// What upstream's elementwise fusion joins is taken apart again, so that the rules after this one meet one form.
#include "compiler/mlir/text.h"
#include "compiler/raise/normal/layout.h"
#include "compiler/raise/raise.h"
#include "compiler/raise/rules/split.h"

#include <mlir-c/AffineExpr.h>
#include <mlir-c/AffineMap.h>

enum { MAX_OPERANDS = 16, MAX_SCALARS = 64 };

// A factor of the product: a scalar of the body, what it is computed from and the loops that it varies along.
typedef struct factor {
    MlirValue v;
    unsigned loops, operands; // bits
    MlirOperation ops[MAX_SCALARS];
    int n_ops;               // operands before users
    MlirValue known, tensor; // a scalar that need not be computed, since a tensor over all loops holds it; null: none
} factor;

// Walks back from a scalar to the body's arguments.
static bool collect(MlirOperation op, MlirValue v, factor *f)
{
    if (f->known.ptr && mlirValueEqual(v, f->known)) {
        f->loops |= (1u << mlirAffineMapGetNumDims(indexing_map(op, 0))) - 1;
        return true;
    }
    if (mlirValueIsABlockArgument(v)) {
        MlirBlock owner = mlirBlockArgumentGetOwner(v);
        intptr_t i = mlirBlockArgumentGetArgNumber(v), inputs = mlirOperationGetNumOperands(op) - 1;
        if (!mlirOperationEqual(mlirBlockGetParentOperation(owner), op)) return true; // from outside
        if (i >= inputs || i >= MAX_OPERANDS) return false;
        MlirAffineMap map = indexing_map(op, i);
        for (intptr_t j = 0; j < mlirAffineMapGetNumResults(map); j++) {
            MlirAffineExpr e = mlirAffineMapGetResult(map, j);
            if (mlirAffineExprIsADim(e))
                f->loops |= 1u << mlirAffineDimExprGetPosition(e);
            else if (!mlirAffineExprIsAConstant(e))
                return false;
        }
        f->operands |= 1u << i;
        return true;
    }
    MlirOperation scalar = mlirOpResultGetOwner(v);
    if (!mlirOperationEqual(mlirOperationGetParentOperation(scalar), op)) return true;
    for (int i = 0; i < f->n_ops; i++)
        if (mlirOperationEqual(f->ops[i], scalar)) return true;
    bool index = op_is(scalar, "linalg.index"), known = index || op_is(scalar, "tensor.extract") ||
                                                        op_name_starts_with(scalar, "arith.") ||
                                                        op_name_starts_with(scalar, "math.");
    if (index) f->loops |= 1u << op_int(scalar, "dim", 0);
    if (!known || mlirOperationGetNumResults(scalar) != 1) return false;
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(scalar); i++)
        if (!collect(op, mlirOperationGetOperand(scalar, i), f)) return false;
    if (f->n_ops == MAX_SCALARS) return false;
    f->ops[f->n_ops++] = scalar;
    return true;
}

// What stands in `op` for loop d: the dimension of an operand that runs along it. The size, -1 and *tensor and *axis
// when it is not known before run time; false when no operand has it.
static bool loop_size(MlirOperation op, int d, int64_t *size, MlirValue *tensor, int *axis)
{
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); i++) {
        MlirAffineMap map = indexing_map(op, i);
        for (intptr_t j = 0; j < mlirAffineMapGetNumResults(map); j++) {
            MlirAffineExpr e = mlirAffineMapGetResult(map, j);
            if (!mlirAffineExprIsADim(e) || mlirAffineDimExprGetPosition(e) != d) continue;
            *tensor = mlirOperationGetOperand(op, i);
            *axis = (int)j;
            *size = dim_of(*tensor, *axis);
            if (*size >= 0) return true;
        }
    }
    return tensor->ptr != NULL;
}

static MlirBlock make_body(op_builder *b, int n, const MlirValue *operands)
{
    MlirType types[MAX_OPERANDS + 2];
    MlirLocation locations[MAX_OPERANDS + 2];
    for (int i = 0; i < n; i++) {
        MlirType t = mlirValueGetType(operands[i]);
        types[i] = mlirTypeIsARankedTensor(t) ? mlirShapedTypeGetElementType(t) : t;
        locations[i] = b->loc;
    }
    return mlirBlockCreate(n, types, locations);
}

// The loops of the factor in the order in which it will be stored: those of the result first, then what is reduced.
static int order_loops(MlirOperation op, const factor *f, int loops[MAX_AXES])
{
    MlirAffineMap out = indexing_map(op, mlirOperationGetNumOperands(op) - 1);
    unsigned left = f->loops;
    int n = 0;
    for (intptr_t i = 0; i < mlirAffineMapGetNumResults(out); i++) {
        int d = (int)mlirAffineDimExprGetPosition(mlirAffineMapGetResult(out, i));
        if (left >> d & 1) loops[n++] = d;
        left &= ~(1u << d);
    }
    for (int d = 0; d < MAX_AXES; d++)
        if (left >> d & 1) loops[n++] = d;
    return n;
}

// The factor as a tensor; *map says where the product's loops find it. Null value: no operand tells a size.
static MlirValue write_factor(op_builder *b, MlirOperation op, const factor *f, MlirAffineMap *map)
{
    int loops[MAX_AXES], n_loops = order_loops(op, f, loops), n_dynamic = 0, n = 0;
    for (int i = 0; i < MAX_OPERANDS && !f->n_ops; i++)
        if (f->operands >> i & 1) {
            *map = indexing_map(op, i);
            return mlirOperationGetOperand(op, i);
        }
    intptr_t all_loops = mlirAffineMapGetNumDims(indexing_map(op, 0));
    int64_t shape[MAX_AXES];
    MlirAffineExpr places[MAX_AXES], own[MAX_AXES], renamed[MAX_AXES];
    MlirValue dynamic[MAX_AXES], operands[MAX_OPERANDS + 2];
    MlirAttribute maps[MAX_OPERANDS + 2];
    int place_of[MAX_AXES] = {0};
    for (int i = 0; i < MAX_AXES; i++) renamed[i] = mlirAffineConstantExprGet(b->ctx, 0);
    for (int i = 0; i < n_loops; i++) {
        MlirValue tensor = {0};
        int axis = 0;
        if (!loop_size(op, loops[i], &shape[i], &tensor, &axis)) return (MlirValue){0};
        if (shape[i] < 0) dynamic[n_dynamic++] = build_dim(b, tensor, axis);
        places[i] = mlirAffineDimExprGet(b->ctx, loops[i]);
        own[i] = renamed[loops[i]] = mlirAffineDimExprGet(b->ctx, i);
        place_of[loops[i]] = i;
    }
    int place[MAX_OPERANDS];
    for (int i = 0; i < MAX_OPERANDS; i++) {
        if (!(f->operands >> i & 1)) continue;
        MlirAffineMap from = indexing_map(op, i);
        MlirAffineExpr results[MAX_AXES];
        intptr_t rank = mlirAffineMapGetNumResults(from);
        for (intptr_t j = 0; j < rank; j++) {
            MlirAffineExpr e = mlirAffineMapGetResult(from, j);
            results[j] = mlirAffineExprIsADim(e) ? renamed[mlirAffineDimExprGetPosition(e)] : e;
        }
        place[i] = n;
        operands[n] = mlirOperationGetOperand(op, i);
        maps[n++] = mlirAffineMapAttrGet(mlirAffineMapGet(b->ctx, n_loops, 0, rank, results));
    }
    int known = n;
    if (f->known.ptr) {
        operands[n] = f->tensor;
        maps[n++] = mlirAffineMapAttrGet(mlirAffineMapGet(b->ctx, n_loops, 0, n_loops, own));
    }
    MlirType type = tensor_of(n_loops, shape, mlirValueGetType(f->v));
    operands[n] = build_value(b, "tensor.empty", type, n_dynamic, dynamic, 0, NULL);
    maps[n++] = mlirAffineMapAttrGet(mlirAffineMapGet(b->ctx, n_loops, 0, n_loops, own));
    MlirBlock body = make_body(b, n, operands);
    MlirValue copies[MAX_SCALARS], yielded = f->v;
    for (int k = 0; k < f->n_ops; k++) {
        MlirOperation copy = mlirOperationClone(f->ops[k]);
        if (op_is(copy, "linalg.index")) {
            MlirAttribute dim = mlirIntegerAttrGet(mlirIntegerTypeGet(b->ctx, 64), place_of[op_int(copy, "dim", 0)]);
            mlirOperationSetAttributeByName(copy, mlir_text("dim"), dim);
        }
        for (intptr_t i = 0; i < mlirOperationGetNumOperands(copy); i++) {
            MlirValue v = mlirOperationGetOperand(f->ops[k], i);
            if (mlirValueIsABlockArgument(v) &&
                mlirOperationEqual(mlirBlockGetParentOperation(mlirBlockArgumentGetOwner(v)), op))
                mlirOperationSetOperand(copy, i, mlirBlockGetArgument(body, place[mlirBlockArgumentGetArgNumber(v)]));
            if (f->known.ptr && mlirValueEqual(v, f->known))
                mlirOperationSetOperand(copy, i, mlirBlockGetArgument(body, known));
            for (int j = 0; j < k; j++)
                if (mlirValueEqual(v, mlirOperationGetResult(f->ops[j], 0)))
                    mlirOperationSetOperand(copy, i, copies[j]);
        }
        mlirBlockAppendOwnedOperation(body, copy);
        copies[k] = mlirOperationGetResult(copy, 0);
        yielded = copies[k];
    }
    op_builder inside = op_builder_at_end(body, b->loc);
    build_op(&inside, "linalg.yield", 0, NULL, 1, &yielded, 0, NULL);
    bool reduces[MAX_AXES] = {false};
    *map = mlirAffineMapGet(b->ctx, all_loops, 0, n_loops, places);
    return build_generic(b, n, operands, maps, n_loops, reduces, body);
}

bool scalar_as_tensor(const ref *from, ref *tensor)
{
    MlirOperation scalar = defining_op(from->v);
    MlirOperation op = scalar.ptr ? mlirOperationGetParentOperation(scalar) : (MlirOperation){0};
    if (!op.ptr || !is_structured(op, NULL) || mlirOperationGetNumResults(op) != 1) return false;
    intptr_t n_loops = mlirAffineMapGetNumDims(indexing_map(op, 0));
    MlirAffineMap map = indexing_map(op, mlirOperationGetNumOperands(op) - 1);
    factor f = {.v = from->v};
    if (n_loops > MAX_AXES || n_loops != from->n || !mlirAffineMapIsIdentity(map) || !collect(op, from->v, &f) ||
        !f.loops)
        return false;
    op_builder b = op_builder_before(op);
    *tensor = (ref){.v = write_factor(&b, op, &f, &map)};
    if (!tensor->v.ptr) return false;
    tensor->n = rank_of(tensor->v);
    for (int i = 0; i < tensor->n; i++) {
        int d = (int)mlirAffineDimExprGetPosition(mlirAffineMapGetResult(map, i));
        tensor->axis[i] = dim_of(tensor->v, i) == 1 ? AXIS_ZERO : from->axis[d];
    }
    return true;
}

// The op reads `input`, along all of its loops, instead of computing the scalar.
static void add_input(MlirOperation op, MlirValue input, MlirValue scalar)
{
    MlirBlock body;
    if (!is_structured(op, &body)) return;
    MlirContext ctx = mlirOperationGetContext(op);
    MlirValue operands[MAX_OPERANDS + 2];
    MlirAttribute maps[MAX_OPERANDS + 2];
    intptr_t n = mlirOperationGetNumOperands(op), n_inputs = n - mlirOperationGetNumResults(op);
    for (intptr_t i = 0; i <= n; i++) {
        intptr_t from = i > n_inputs ? i - 1 : i;
        operands[i] = i == n_inputs ? input : mlirOperationGetOperand(op, from);
        // all along the loops, as the op's one result is
        maps[i] = mlirAffineMapAttrGet(indexing_map(op, i == n_inputs ? n - 1 : from));
    }
    int32_t segments[] = {(int32_t)n_inputs + 1, (int32_t)(n - n_inputs)};
    mlirOperationSetOperands(op, n + 1, operands);
    mlirOperationSetAttributeByName(op, mlir_text("indexing_maps"), mlirArrayAttrGet(ctx, n + 1, maps));
    mlirOperationSetAttributeByName(op, mlir_text("operandSegmentSizes"), mlirDenseI32ArrayGet(ctx, 2, segments));
    replace_value(scalar,
                  mlirBlockInsertArgument(body, n_inputs, mlirValueGetType(scalar), mlirOperationGetLocation(op)));
}

MlirValue take_result(const ref *root)
{
    MlirValue none = {0}, v = tensor_of_value(root->v);
    ref taken;
    if (v.ptr) return v;
    MlirOperation scalar = defining_op(root->v);
    MlirOperation op = scalar.ptr ? mlirOperationGetParentOperation(scalar) : (MlirOperation){0};
    if (!op_is(op, "linalg.generic") || mlirOperationGetNumOperands(op) > MAX_OPERANDS) return none;
    if (!scalar_as_tensor(root, &taken) || taken.n != root->n) return none;
    add_input(op, taken.v, root->v);
    return taken.v;
}

MlirValue take_operand(reader *r, const ref *root, const ref *from)
{
    MlirValue none = {0}, v = operand_at_root(r, root, from), tensor = root_tensor(root);
    ref taken;
    if (v.ptr) return v;
    node n = read_unwidened(r, from);
    if (!scalar_as_tensor(&n.self, &taken) || taken.n != rank_of(tensor)) return none;
    for (int i = 0; i < taken.n; i++)
        if (dim_of(taken.v, i) != dim_of(tensor, i) || (taken.axis[i] != i && dim_of(tensor, i) != 1)) return none;
    return taken.v;
}

bool replace_scalar(MlirValue scalar, MlirValue tensor)
{
    MlirBlock body;
    MlirOperation op = mlirOperationGetParentOperation(mlirOpResultGetOwner(scalar));
    if (!op.ptr || !is_structured(op, &body) || mlirOperationGetNumResults(op) != 1) return false;
    MlirAffineMap map = indexing_map(op, mlirOperationGetNumOperands(op) - 1);
    factor f = {.v = mlirOperationGetOperand(mlirBlockGetTerminator(body), 0), .known = scalar, .tensor = tensor};
    if (mlirAffineMapGetNumDims(map) > MAX_AXES || !mlirAffineMapIsIdentity(map) || !collect(op, f.v, &f) || !f.n_ops)
        return false;
    op_builder b = op_builder_before(op);
    MlirValue old = mlirOperationGetResult(op, 0), new = write_factor(&b, op, &f, &map);
    if (!new.ptr || !mlirTypeEqual(mlirValueGetType(new), mlirValueGetType(old))) return false;
    replace_value(old, new);
    return true;
}

// out + left * right at the end of a body, behind casts of a factor to wider floats.
static bool read_product(MlirOperation op, MlirBlock body, factor f[2])
{
    MlirValue out = mlirBlockGetArgument(body, mlirBlockGetNumArguments(body) - 1);
    MlirOperation sum = defining_op(mlirOperationGetOperand(mlirBlockGetTerminator(body), 0));
    if (!op_is(sum, "arith.addf")) return false;
    int at = mlirValueEqual(mlirOperationGetOperand(sum, 0), out) ? 0 : 1;
    if (!mlirValueEqual(mlirOperationGetOperand(sum, at), out)) return false;
    MlirOperation product = defining_op(mlirOperationGetOperand(sum, 1 - at));
    if (!op_is(product, "arith.mulf")) return false;
    for (int i = 0; i < 2; i++) {
        f[i] = (factor){.v = mlirOperationGetOperand(product, i)};
        while (op_is(defining_op(f[i].v), "arith.extf")) f[i].v = mlirOperationGetOperand(defining_op(f[i].v), 0);
        if (!collect(op, f[i].v, &f[i]) || !f[i].operands) return false;
    }
    return true;
}

MlirValue build_product(op_builder *b, const MlirValue operands[3], const MlirAttribute maps[3], int n_loops,
                        const bool *reduces)
{
    MlirBlock plain = make_body(b, 3, operands);
    op_builder inside = op_builder_at_end(plain, b->loc);
    MlirType type = element_type_of(operands[2]);
    MlirValue x[2], argument = mlirBlockGetArgument(plain, 2);
    for (int i = 0; i < 2; i++) {
        x[i] = mlirBlockGetArgument(plain, i);
        if (!mlirTypeEqual(mlirValueGetType(x[i]), type))
            x[i] = build_value(&inside, "arith.extf", type, 1, &x[i], 0, NULL);
    }
    MlirValue sum[] = {argument, build_value(&inside, "arith.mulf", type, 2, x, 0, NULL)};
    MlirValue total = build_value(&inside, "arith.addf", type, 2, sum, 0, NULL);
    build_op(&inside, "linalg.yield", 0, NULL, 1, &total, 0, NULL);
    return build_generic(b, 3, operands, maps, n_loops, reduces, plain);
}

bool raise_split(matcher *m, MlirOperation op)
{
    (void)m;
    MlirBlock body;
    factor f[2];
    if (!is_structured(op, &body) || mlirOperationGetNumResults(op) != 1) return false;
    intptr_t n = mlirOperationGetNumOperands(op), loops = mlirAffineMapGetNumDims(indexing_map(op, 0));
    if (loops > MAX_AXES || !read_product(op, body, f)) return false;
    if (!f[0].n_ops && !f[1].n_ops) return false; // plain already
    MlirAffineMap out = indexing_map(op, n - 1);
    unsigned kept = 0, all = (1u << loops) - 1;
    for (intptr_t i = 0; i < mlirAffineMapGetNumResults(out); i++) {
        if (!mlirAffineExprIsADim(mlirAffineMapGetResult(out, i))) return false;
        kept |= 1u << mlirAffineDimExprGetPosition(mlirAffineMapGetResult(out, i));
    }
    // a matrix product: both factors run along all that is reduced, each along something that the other does not
    unsigned reduced = all & ~kept;
    if (!reduced || (f[0].loops & f[1].loops & reduced) != reduced || !(f[0].loops & ~f[1].loops) ||
        !(f[1].loops & ~f[0].loops) || (f[0].loops | f[1].loops) != all)
        return false;
    op_builder b = op_builder_before(op);
    MlirValue operands[3];
    MlirAttribute maps[3];
    for (int i = 0; i < 2; i++) {
        MlirAffineMap map;
        operands[i] = write_factor(&b, op, &f[i], &map);
        if (!operands[i].ptr) return false;
        maps[i] = mlirAffineMapAttrGet(map);
    }
    operands[2] = mlirOperationGetOperand(op, n - 1);
    maps[2] = mlirAffineMapAttrGet(out);
    bool reduces[MAX_AXES];
    for (int d = 0; d < loops; d++) reduces[d] = reduced >> d & 1;
    replace_value(mlirOperationGetResult(op, 0), build_product(&b, operands, maps, (int)loops, reduces));
    return true;
}

MlirValue build_affine(op_builder *b, MlirValue x, const ref *scale, const ref *shift)
{
    const ref *terms[] = {scale, shift};
    MlirValue operands[4] = {x};
    MlirAttribute maps[4];
    MlirAffineExpr axes[MAX_AXES];
    MlirType element = element_type_of(x), types[] = {element, element, element, element};
    MlirLocation places[] = {b->loc, b->loc, b->loc, b->loc};
    int rank = rank_of(x), n = 1;
    MlirAttribute whole = mlirAffineMapAttrGet(mlirAffineMapMultiDimIdentityGet(b->ctx, rank));
    maps[0] = whole;
    for (int k = 0; k < 2; k++) {
        if (!terms[k]->v.ptr) continue;
        for (int j = 0; j < terms[k]->n; j++)
            axes[j] = terms[k]->axis[j] == AXIS_ZERO ? mlirAffineConstantExprGet(b->ctx, 0)
                                                     : mlirAffineDimExprGet(b->ctx, terms[k]->axis[j]);
        operands[n] = terms[k]->v;
        maps[n++] = mlirAffineMapAttrGet(mlirAffineMapGet(b->ctx, rank, 0, terms[k]->n, axes));
    }
    operands[n] = build_empty_like(b, x);
    maps[n++] = whole;
    MlirBlock body = mlirBlockCreate(n, types, places);
    op_builder in = op_builder_at_end(body, b->loc);
    MlirValue y = mlirBlockGetArgument(body, 0);
    for (int k = 0, at = 1; k < 2; k++) {
        if (!terms[k]->v.ptr) continue;
        MlirValue pair[] = {y, mlirBlockGetArgument(body, at++)};
        y = build_value(&in, k ? "arith.addf" : "arith.mulf", element, 2, pair, 0, NULL);
    }
    build_op(&in, "linalg.yield", 0, NULL, 1, &y, 0, NULL);
    return build_generic(b, n, operands, maps, rank, NULL, body);
}
