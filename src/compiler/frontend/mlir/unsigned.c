#include "compiler/frontend/mlir/unsigned.h"

#include <stdio.h>

#include "compiler/mlir/build.h"
#include "compiler/mlir/text.h"

enum { MAX_RANK = 16 };

typedef struct signs {
    wf_error *err;
    wf_status status;
    bool found;
} signs;

static MlirType element_of(MlirType t) { return mlirTypeIsAShaped(t) ? mlirShapedTypeGetElementType(t) : t; }

static bool has_sign(MlirType t)
{
    MlirType e = element_of(t);
    return mlirTypeIsAInteger(e) && !mlirIntegerTypeIsSignless(e);
}

static bool is_unsigned(MlirValue v)
{
    MlirType e = element_of(mlirValueGetType(v));
    return mlirTypeIsAInteger(e) && mlirIntegerTypeIsUnsigned(e);
}

static unsigned width_of(MlirType t)
{
    MlirType e = element_of(t);
    return mlirTypeIsAInteger(e) ? mlirIntegerTypeGetWidth(e) : 0;
}

static MlirType with_element(MlirType t, MlirType element)
{
    if (!mlirTypeIsARankedTensor(t) || mlirShapedTypeGetRank(t) > MAX_RANK) return mlirTypeIsAShaped(t) ? t : element;
    return tensor_like(t, element);
}

static MlirType signless(MlirType t) { return with_element(t, mlirIntegerTypeGet(mlirTypeGetContext(t), width_of(t))); }

static void settle_value(MlirValue v)
{
    MlirType t = mlirValueGetType(v);
    if (has_sign(t)) mlirValueSetType(v, signless(t));
}

// ---- casts

static MlirValue cast(op_builder *b, const char *name, MlirType to, MlirValue x)
{
    return build_value(b, name, to, 1, &x, 0, NULL);
}

// Rounded to the nearest integer and held within the unsigned range, as tosa.cast does for signed ones.
static MlirValue cast_float(op_builder *b, MlirValue x, MlirType to)
{
    MlirType wide = with_element(mlirValueGetType(x), mlirIntegerTypeGet(b->ctx, 32));
    char limit[64];
    snprintf(limit, sizeof limit, "%u : i32", (1U << width_of(to)) - 1);
    MlirValue y = cast(b, "tosa.cast", wide, x);
    const MlirNamedAttribute attributes[] = {
        {mlirIdentifierGet(b->ctx, mlir_text("min_val")), mlirAttributeParseGet(b->ctx, mlir_text("0 : i32"))},
        {mlirIdentifierGet(b->ctx, mlir_text("max_val")), mlirAttributeParseGet(b->ctx, mlir_text(limit))},
    };
    y = build_value(b, "tosa.clamp", wide, 1, &y, 2, attributes);
    return cast(b, "arith.trunci", to, y);
}

// tosa.cast, whose operand or result is unsigned; null: of widths that are not known here.
static MlirValue rewrite_cast(MlirOperation op)
{
    op_builder b = op_builder_before(op);
    MlirValue x = mlirOperationGetOperand(op, 0), y = mlirOperationGetResult(op, 0);
    bool of_unsigned = is_unsigned(x);
    MlirType from = mlirValueGetType(x), to = mlirValueGetType(y);
    unsigned before = width_of(from), after = width_of(to);
    if (has_sign(to)) to = signless(to);
    if (!after) return of_unsigned ? cast(&b, "arith.uitofp", to, x) : (MlirValue){0};
    if (!before) return after <= 16 ? cast_float(&b, x, to) : (MlirValue){0};
    if (after == 1) return (MlirValue){0};
    if (before == after) return x;
    if (after < before) return cast(&b, "arith.trunci", to, x);
    return cast(&b, of_unsigned || before == 1 ? "arith.extui" : "arith.extsi", to, x);
}

// ---- op by op

// Ops whose results have the same bits whatever the sign.
static bool ignores_sign(MlirOperation op)
{
    static const char *const NAMES[] = {
        "tosa.const",       "tosa.identity",    "tosa.reshape",     "tosa.transpose", "tosa.slice",
        "tosa.concat",      "tosa.tile",        "tosa.reverse",     "tosa.gather",    "tosa.scatter",
        "tosa.select",      "tosa.equal",       "tosa.add",         "tosa.sub",       "tosa.bitwise_and",
        "tosa.bitwise_or",  "tosa.bitwise_xor", "tosa.bitwise_not", "arith.constant", "func.return",
        "linalg.transpose", "linalg.broadcast", "linalg.fill",      "linalg.yield",
    };
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        if (op_is(op, NAMES[i])) return true;
    return op_name_starts_with(op, "tensor.");
}

static bool uses_signs(MlirOperation op)
{
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); i++)
        if (has_sign(mlirValueGetType(mlirOperationGetOperand(op, i)))) return true;
    for (intptr_t i = 0; i < mlirOperationGetNumResults(op); i++)
        if (has_sign(mlirValueGetType(mlirOperationGetResult(op, i)))) return true;
    return false;
}

static void settle_constant(MlirOperation op)
{
    const char *name = op_is(op, "tosa.const") ? "values" : "value";
    MlirAttribute a = op_attribute(op, name);
    if (!a.ptr || !mlirAttributeIsADenseElements(a) || !has_sign(mlirAttributeGetType(a))) return;
    size_t n = mlirDenseElementsAttrIsSplat(a) ? 1 : (size_t)mlirElementsAttrGetNumElements(a);
    MlirAttribute same = mlirDenseElementsAttrRawBufferGet(signless(mlirAttributeGetType(a)),
                                                           n * ((width_of(mlirAttributeGetType(a)) + 7) / 8),
                                                           mlirDenseElementsAttrGetRawData(a));
    mlirOperationSetAttributeByName(op, mlir_text(name), same);
}

// Casts are rewritten while types still tell the sign.
static void rewrite(MlirOperation op, void *context)
{
    signs *s = context;
    if (s->status != WF_OK || !uses_signs(op) || mlirOperationGetNumRegions(op)) return;
    s->found = true;
    MlirValue y = {0};
    if (op_is(op, "builtin.unrealized_conversion_cast") && mlirOperationGetNumOperands(op) == 1 &&
        mlirOperationGetNumResults(op) == 1 &&
        width_of(mlirValueGetType(mlirOperationGetOperand(op, 0))) ==
            width_of(mlirValueGetType(mlirOperationGetResult(op, 0))))
        y = mlirOperationGetOperand(op, 0);
    else if (op_is(op, "tosa.cast"))
        y = rewrite_cast(op);
    else if (ignores_sign(op))
        return;
    if (!y.ptr) {
        s->status = refuse_op(op, "on integers that have a sign by type cannot be compiled", s->err);
        return;
    }
    replace_value(mlirOperationGetResult(op, 0), y);
    mlirOperationDestroy(op);
}

static void settle(MlirOperation op, void *context)
{
    (void)context;
    for (intptr_t i = 0; i < mlirOperationGetNumResults(op); i++) settle_value(mlirOperationGetResult(op, i));
    for (intptr_t r = 0; r < mlirOperationGetNumRegions(op); r++) {
        MlirBlock block = mlirRegionGetFirstBlock(mlirOperationGetRegion(op, r));
        for (intptr_t i = 0; block.ptr && i < mlirBlockGetNumArguments(block); i++)
            settle_value(mlirBlockGetArgument(block, i));
    }
    settle_constant(op);
}

wf_status unsigned_to_signless(MlirOperation function, wf_error *err)
{
    signs s = {.err = err};
    MlirBlock entry = function_body(function);
    for (intptr_t i = 0; i < mlirBlockGetNumArguments(entry); i++)
        s.found = s.found || has_sign(mlirValueGetType(mlirBlockGetArgument(entry, i)));
    for_each_op(function, rewrite, &s);
    if (s.status != WF_OK || !s.found || mlirBlockGetNextInRegion(entry).ptr) return s.status;
    for (intptr_t i = 0; i < mlirBlockGetNumArguments(entry); i++) settle_value(mlirBlockGetArgument(entry, i));
    for_each_op(function, settle, NULL);
    update_function_type(function);
    return WF_OK;
}
