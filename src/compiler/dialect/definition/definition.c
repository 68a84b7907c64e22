#include "compiler/dialect/definition/definition.h"

#include <mlir-c/AffineExpr.h>
#include <mlir-c/AffineMap.h>
#include <string.h>

#include "compiler/dialect/schema.h"

enum { MAX_TYPES = 16, MAX_OPERANDS = 16, MAX_LOOPS = 8 };

definition definition_of(MlirOperation op, MlirModule library, const char *name, MlirType x, MlirType y)
{
    op_builder b = op_builder_before(op);
    MlirType wide = mlirTypeIsAF64(x) ? mlirF64TypeGet(b.ctx) : mlirF32TypeGet(b.ctx);
    return (definition){.b = b, .library = library, .name = name, .y = y, .wide = wide};
}

// ---- arguments

void definition_value(definition *d, MlirValue v)
{
    if (d->n_arguments < DEFINITION_MAX_ARGUMENTS)
        d->arguments[d->n_arguments++] = v;
    else
        d->failed = true;
}

void definition_operand(definition *d, MlirValue v, int rank, const int64_t *dims)
{
    MlirValue seen = v.ptr ? reshape(&d->b, v, rank, dims, (MlirValue){0}) : v;
    d->failed = d->failed || (v.ptr && !seen.ptr);
    definition_value(d, seen);
}

static MlirValue build_constant(op_builder *b, MlirAttribute value)
{
    MlirNamedAttribute attribute = mlirNamedAttributeGet(mlirIdentifierGet(b->ctx, mlir_text("value")), value);
    return build_value(b, "arith.constant", mlirAttributeGetType(value), 0, NULL, 1, &attribute);
}

static MlirValue build_index(op_builder *b, int64_t n)
{
    return build_constant(b, mlirIntegerAttrGet(mlirIndexTypeGet(b->ctx), n));
}

void definition_float(definition *d, double x)
{
    definition_value(d, build_constant(&d->b, mlirFloatAttrDoubleGet(d->b.ctx, d->wide, x)));
}

void definition_index(definition *d, int64_t n) { definition_value(d, build_index(&d->b, n)); }

void definition_bool(definition *d, bool yes)
{
    definition_value(d, build_constant(&d->b, mlirBoolAttrGet(d->b.ctx, yes)));
}

// ---- functions, and calls of them

void definition_call(definition *d, const char *name, const char *is)
{
    if (d->n_calls == DEFINITION_MAX_CALLS) {
        d->failed = true;
        return;
    }
    d->calls[d->n_calls].name = name;
    d->calls[d->n_calls++].is = is;
}

typedef struct inlining {
    definition *d;
    bool found;
} inlining;

static void inline_call(MlirOperation op, void *context)
{
    inlining *in = context;
    if (!op_is(op, "func.call")) return;
    MlirStringRef name = mlirFlatSymbolRefAttrGetValue(op_attribute(op, "callee"));
    for (int i = 0; i < in->d->n_calls; i++)
        if (mlir_text_is(name, in->d->calls[i].name)) name = mlir_text(in->d->calls[i].is);
    MlirOperation callee = find_function(in->d->library, name);
    if (!callee.ptr || !function_body(callee).ptr) {
        in->d->failed = true;
        return;
    }
    MlirOperation copy = mlirOperationClone(callee);
    MlirBlock body = function_body(copy);
    inline_block(body, mlirBlockGetTerminator(body), op);
    mlirOperationDestroy(copy);
    in->found = true; // there may be calls in what came
}

// ---- types

typedef struct substitution {
    definition *d;
    int n;
    MlirType from[MAX_TYPES], to[MAX_TYPES];
} substitution;

static MlirType element_of(MlirType t) { return mlirTypeIsAShaped(t) ? mlirShapedTypeGetElementType(t) : t; }

static void add_type(substitution *s, MlirType from, MlirType to)
{
    from = element_of(from);
    s->d->failed = s->d->failed || !(mlirTypeIsAFloat(to) || mlirTypeIsAInteger(to) || mlirTypeIsAIndex(to));
    for (int i = 0; i < s->n; i++)
        if (mlirTypeEqual(s->from[i], from)) return;
    if (s->n == MAX_TYPES) return;
    s->from[s->n] = from;
    s->to[s->n++] = to;
}

static MlirType substitute(const substitution *s, MlirType t)
{
    MlirType element = element_of(t);
    for (int i = 0; i < s->n; i++) {
        if (!mlirTypeEqual(s->from[i], element)) continue;
        return mlirTypeEqual(t, element) ? s->to[i] : tensor_like(t, s->to[i]);
    }
    return t;
}

static void read_types(substitution *s, MlirOperation function)
{
    definition *d = s->d;
    MlirBlock body = function_body(function);
    MlirAttribute rounded = op_attribute(function, "wf.rounded");
    add_type(s, mlirF64TypeGet(d->b.ctx), d->wide);
    for (int i = 0; i < d->n_arguments; i++)
        add_type(s, mlirValueGetType(mlirBlockGetArgument(body, i)),
                 d->arguments[i].ptr ? element_of(mlirValueGetType(d->arguments[i])) : d->wide);
    add_type(s, mlirValueGetType(mlirOperationGetOperand(mlirBlockGetTerminator(body), 0)), d->y);
    if (rounded.ptr) add_type(s, mlirTypeAttrGetValue(rounded), d->rounded.ptr ? d->rounded : d->wide);
}

// ---- ops, after those that they use

static bool is_static(MlirValue v, int axis) { return dim_of(v, axis) >= 0; }

static bool read_index(MlirValue v, int64_t *n)
{
    MlirOperation op = defining_op(v);
    if (!op_is(op, "arith.constant")) return false;
    *n = op_int(op, "value", -1);
    return true;
}

static MlirValue fit_dim(definition *d, MlirOperation op, op_builder *b)
{
    (void)d;
    MlirValue x = mlirOperationGetOperand(op, 0);
    int64_t axis;
    bool known = read_index(mlirOperationGetOperand(op, 1), &axis) && is_static(x, (int)axis);
    return known ? build_index(b, dim_of(x, (int)axis)) : (MlirValue){0};
}

static MlirValue fit_empty(definition *d, MlirOperation op, op_builder *b)
{
    (void)d;
    MlirValue y = mlirOperationGetResult(op, 0), open[DEFINITION_MAX_RANK];
    int64_t dims[DEFINITION_MAX_RANK];
    int n = 0;
    for (int i = 0; i < rank_of(y); i++) { // each size is an operand
        MlirValue size = mlirOperationGetOperand(op, i);
        if (read_index(size, &dims[i])) continue;
        dims[i] = -1;
        open[n++] = size;
    }
    return build_value(b, "tensor.empty", tensor_of(rank_of(y), dims, element_type_of(y)), n, open, 0, NULL);
}

// Axes that are joined, of sizes that are known.
static MlirValue fit_collapse(definition *d, MlirOperation op, op_builder *b)
{
    MlirValue x = mlirOperationGetOperand(op, 0), y = {0};
    MlirAttribute groups = op_attribute(op, "reassociation");
    int64_t dims[DEFINITION_MAX_RANK];
    int rank = (int)mlirArrayAttrGetNumElements(groups);
    for (int g = 0; g < rank; g++) {
        MlirAttribute group = mlirArrayAttrGetElement(groups, g);
        int first = (int)mlirIntegerAttrGetValueInt(mlirArrayAttrGetElement(group, 0));
        dims[g] = count_elements_of(x, first, first + (int)mlirArrayAttrGetNumElements(group));
        d->failed = d->failed || dims[g] < 0;
    }
    if (!d->failed) y = reshape(b, x, rank, dims, y);
    d->failed = !y.ptr;
    return y;
}

// An axis that is cut, each size an operand that is known.
static MlirValue fit_expand(definition *d, MlirOperation op, op_builder *b)
{
    MlirValue x = mlirOperationGetOperand(op, 0), y = {0};
    int64_t dims[DEFINITION_MAX_RANK];
    int rank = rank_of(mlirOperationGetResult(op, 0));
    for (int i = 0; i < rank; i++) d->failed = !read_index(mlirOperationGetOperand(op, i + 1), &dims[i]) || d->failed;
    if (!d->failed) y = reshape(b, x, rank, dims, y);
    d->failed = !y.ptr;
    return y;
}

// What a transposition moves is read where it lies: so loops can follow the order in memory.
static MlirAttribute read_untransposed(MlirContext ctx, MlirAttribute map_attribute, MlirValue *v)
{
    MlirOperation from = defining_op(*v);
    MlirAffineMap map = mlirAffineMapAttrGetValue(map_attribute);
    MlirAffineExpr at[DEFINITION_MAX_RANK];
    intptr_t rank = mlirAffineMapGetNumResults(map);
    if (!op_is(from, "linalg.transpose")) return map_attribute;
    MlirAttribute permutation = op_attribute(from, "permutation");
    for (intptr_t d = 0; d < rank; d++)
        at[mlirDenseI64ArrayGetElement(permutation, d)] = mlirAffineMapGetResult(map, d);
    *v = mlirOperationGetOperand(from, 0);
    return mlirAffineMapAttrGet(mlirAffineMapGet(ctx, mlirAffineMapGetNumDims(map), 0, rank, at));
}

// Operands that are repeated along a loop are read at 0 there.
static MlirAttribute fit_map(MlirContext ctx, MlirAttribute map_attribute, MlirValue v, const int64_t *extents)
{
    MlirAffineMap map = mlirAffineMapAttrGetValue(map_attribute);
    intptr_t n = mlirAffineMapGetNumResults(map);
    MlirAffineExpr at[DEFINITION_MAX_RANK];
    for (intptr_t i = 0; i < n; i++) {
        at[i] = mlirAffineMapGetResult(map, i);
        if (dim_of(v, (int)i) == 1 && mlirAffineExprIsADim(at[i]) && extents[mlirAffineDimExprGetPosition(at[i])] != 1)
            at[i] = mlirAffineConstantExprGet(ctx, 0);
    }
    return mlirAffineMapAttrGet(mlirAffineMapGet(ctx, mlirAffineMapGetNumDims(map), 0, n, at));
}

static void read_extents(MlirOperation op, MlirAttribute maps, int64_t extents[MAX_LOOPS])
{
    for (int l = 0; l < MAX_LOOPS; l++) extents[l] = 1;
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); i++) {
        MlirAffineMap map = mlirAffineMapAttrGetValue(mlirArrayAttrGetElement(maps, i));
        MlirValue v = mlirOperationGetOperand(op, i);
        for (intptr_t k = 0; k < mlirAffineMapGetNumResults(map) && rank_of(v) >= 0; k++) {
            MlirAffineExpr e = mlirAffineMapGetResult(map, k);
            if (mlirAffineExprIsADim(e) && dim_of(v, (int)k) != 1)
                extents[mlirAffineDimExprGetPosition(e)] = dim_of(v, (int)k);
        }
    }
}

// Without the operands that are left out: each is a number by now. Returns which operand is written.
static intptr_t fit_generic(definition *d, MlirOperation op)
{
    MlirAttribute maps = op_attribute(op, "indexing_maps"), kept_maps[MAX_OPERANDS];
    MlirBlock body = function_body(op);
    MlirValue kept[MAX_OPERANDS];
    int64_t extents[MAX_LOOPS];
    intptr_t n = mlirOperationGetNumOperands(op);
    int n_kept = 0;
    if (n > MAX_OPERANDS ||
        mlirAffineMapGetNumDims(mlirAffineMapAttrGetValue(mlirArrayAttrGetElement(maps, 0))) > MAX_LOOPS) {
        d->failed = true;
        return n - 1;
    }
    read_extents(op, maps, extents);
    for (intptr_t i = 0; i < n; i++) {
        MlirValue v = mlirOperationGetOperand(op, i);
        if (mlirTypeIsAShaped(mlirValueGetType(v))) {
            kept_maps[n_kept] = fit_map(d->b.ctx, mlirArrayAttrGetElement(maps, i), v, extents);
            if (i + 1 < n) kept_maps[n_kept] = read_untransposed(d->b.ctx, kept_maps[n_kept], &v);
            kept[n_kept++] = v;
        } else {
            replace_value(mlirBlockGetArgument(body, n_kept), v);
            mlirBlockEraseArgument(body, (unsigned)n_kept);
        }
    }
    mlirOperationSetOperands(op, n_kept, kept);
    mlirOperationSetAttributeByName(op, mlir_text("indexing_maps"), mlirArrayAttrGet(d->b.ctx, n_kept, kept_maps));
    mlirOperationSetAttributeByName(op, mlir_text("operandSegmentSizes"),
                                    mlirDenseI32ArrayGet(d->b.ctx, 2, (int32_t[]){n_kept - 1, 1}));
    return n_kept - 1;
}

static unsigned width_of(MlirType t)
{
    return mlirTypeIsAFloat(t) ? mlirFloatTypeGetWidth(t) : mlirTypeIsAInteger(t) ? mlirIntegerTypeGetWidth(t) : 0;
}

static MlirValue fit_cast(definition *d, MlirOperation op, op_builder *b)
{
    (void)d;
    MlirValue x = mlirOperationGetOperand(op, 0);
    MlirType from = mlirValueGetType(x), to = mlirValueGetType(mlirOperationGetResult(op, 0));
    bool extends = width_of(from) < width_of(to), is_float = mlirTypeIsAFloat(to);
    const char *name = is_float ? extends ? "arith.extf" : "arith.truncf" : extends ? "arith.extsi" : "arith.trunci";
    return mlirTypeEqual(from, to) ? x : build_value(b, name, to, 1, &x, 0, NULL);
}

static void fit_constant(const definition *d, MlirOperation op)
{
    MlirType t = mlirValueGetType(mlirOperationGetResult(op, 0));
    if (!mlirTypeIsAFloat(t)) return;
    MlirAttribute value = mlirFloatAttrDoubleGet(d->b.ctx, t, op_float(op, "value", 0));
    mlirOperationSetAttributeByName(op, mlir_text("value"), value);
}

// Ops that others take the place of.
static void fit_replaced(definition *d, MlirOperation op)
{
    static const struct {
        const char *name;
        MlirValue (*fit)(definition *d, MlirOperation op, op_builder *b); // null: the op stays
    } RULES[] = {
        {"arith.extf", fit_cast},
        {"arith.truncf", fit_cast},
        {"arith.extsi", fit_cast},
        {"tensor.dim", fit_dim},
        {"tensor.collapse_shape", fit_collapse},
        {"tensor.empty", fit_empty},
        {"tensor.expand_shape", fit_expand},
    };
    for (size_t i = 0; i < sizeof RULES / sizeof *RULES; i++) {
        if (!op_is(op, RULES[i].name)) continue;
        op_builder b = op_builder_before(op);
        MlirValue y = RULES[i].fit(d, op, &b);
        if (!y.ptr) return;
        replace_value(mlirOperationGetResult(op, 0), y);
        mlirOperationDestroy(op);
        return;
    }
}

static void fit(MlirOperation op, void *context)
{
    const substitution *s = context;
    mlirOperationSetLocation(op, s->d->b.loc);
    for (intptr_t i = 0; i < mlirOperationGetNumResults(op); i++) {
        MlirValue y = mlirOperationGetResult(op, i);
        mlirValueSetType(y, substitute(s, mlirValueGetType(y)));
    }
    for (intptr_t i = 0; i < mlirOperationGetNumRegions(op); i++) {
        MlirBlock block = mlirRegionGetFirstBlock(mlirOperationGetRegion(op, i));
        for (intptr_t k = 0; block.ptr && k < mlirBlockGetNumArguments(block); k++) {
            MlirValue v = mlirBlockGetArgument(block, k);
            mlirValueSetType(v, substitute(s, mlirValueGetType(v)));
        }
    }
    intptr_t last = mlirOperationGetNumOperands(op) - 1;
    if (op_is(op, "linalg.generic")) last = fit_generic(s->d, op);
    if (op_is(op, "linalg.generic") || op_is(op, "linalg.fill"))
        mlirValueSetType(mlirOperationGetResult(op, 0), mlirValueGetType(mlirOperationGetOperand(op, last)));
    else if (op_is(op, "arith.constant"))
        fit_constant(s->d, op);
    else
        fit_replaced(s->d, op);
}

// ---- the whole

// The number that stands for an argument that is left out.
static MlirValue build_absent(definition *d, MlirOperation function, int i)
{
    MlirAttribute all = op_attribute(function, "arg_attrs"), one = {0};
    if (all.ptr) one = mlirDictionaryAttrGetElementByName(mlirArrayAttrGetElement(all, i), mlir_text("wf.absent"));
    if (!one.ptr) {
        d->failed = true;
        return (MlirValue){0};
    }
    double x = mlirFloatAttrGetValueDouble(one);
    return build_constant(&d->b, mlirFloatAttrDoubleGet(d->b.ctx, d->wide, x));
}

MlirValue definition_build(definition *d)
{
    MlirOperation template = find_function(d->library, mlir_text(d->name));
    substitution s = {.d = d};
    if (d->failed || !template.ptr || mlirBlockGetNumArguments(function_body(template)) != d->n_arguments)
        return (MlirValue){0};
    MlirOperation function = mlirOperationClone(template);
    MlirBlock body = function_body(function);
    inlining in = {d, true};
    while (in.found && !d->failed) {
        in.found = false;
        for_each_op(function, inline_call, &in);
    }
    read_types(&s, function);
    for (int i = 0; i < d->n_arguments && !d->failed; i++) {
        if (!d->arguments[i].ptr) d->arguments[i] = build_absent(d, function, i);
        if (d->arguments[i].ptr) replace_value(mlirBlockGetArgument(body, i), d->arguments[i]);
    }
    if (!d->failed) for_each_op(function, fit, &s);
    MlirValue y = {0};
    if (!d->failed) {
        MlirOperation end = mlirBlockGetTerminator(body);
        move_ops(body, end, d->b.block, d->b.before);
        y = mlirOperationGetOperand(end, 0);
    }
    mlirOperationDestroy(function);
    return y;
}
