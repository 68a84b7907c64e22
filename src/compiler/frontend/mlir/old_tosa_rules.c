#include <mlir-c/BuiltinAttributes.h>
#include <mlir-c/BuiltinTypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "compiler/frontend/mlir/old_tosa_parts.h"
#include "compiler/mlir/text.h"

enum { MAX_RANK = 8 };

// ---- attributes

static MlirAttribute find_attribute(const upgrade *u, const char *name)
{
    for (int i = 0; i < u->n_attributes; i++) {
        MlirStringRef s = mlirIdentifierStr(u->attributes[i].name);
        if (s.length == strlen(name) && !memcmp(s.data, name, s.length)) return u->attributes[i].attribute;
    }
    return (MlirAttribute){0};
}

static MlirAttribute take_attribute(upgrade *u, const char *name)
{
    MlirAttribute found = find_attribute(u, name);
    for (int i = 0; i < u->n_attributes && found.ptr; i++)
        if (mlirAttributeEqual(u->attributes[i].attribute, found) &&
            mlirStringRefEqual(mlirIdentifierStr(u->attributes[i].name), mlir_text(name))) {
            u->attributes[i] = u->attributes[--u->n_attributes];
            u->is_old = true;
            break;
        }
    return found;
}

static void set_attribute(upgrade *u, const char *name, MlirAttribute a)
{
    if (u->n_attributes == UPGRADE_MAX_ATTRIBUTES) {
        u->problem = "has too many attributes";
        return;
    }
    u->attributes[u->n_attributes++] = mlirNamedAttributeGet(mlirIdentifierGet(u->b.ctx, mlir_text(name)), a);
    u->is_old = true;
}

static void rename_attribute(upgrade *u, const char *from, const char *to)
{
    MlirAttribute a = take_attribute(u, from);
    if (a.ptr) set_attribute(u, to, a);
}

// The numbers of an array<i64: ..>, an array<i32: ..>, a list of integers, or a dense constant of i32 or i64.
// Their count, or -1.
static int read_numbers(MlirAttribute a, int64_t out[2 * MAX_RANK])
{
    intptr_t n = -1;
    if (a.ptr && (mlirAttributeIsADenseI64Array(a) || mlirAttributeIsADenseI32Array(a)))
        n = mlirDenseArrayGetNumElements(a);
    else if (a.ptr && mlirAttributeIsAArray(a))
        n = mlirArrayAttrGetNumElements(a);
    else if (a.ptr && mlirAttributeIsADenseIntElements(a))
        n = mlirElementsAttrGetNumElements(a);
    if (n < 0 || n > 2 * MAX_RANK) return -1;
    for (intptr_t i = 0; i < n; i++) {
        if (mlirAttributeIsADenseI64Array(a)) {
            out[i] = mlirDenseI64ArrayGetElement(a, i);
        } else if (mlirAttributeIsADenseI32Array(a)) {
            out[i] = mlirDenseI32ArrayGetElement(a, i);
        } else if (mlirAttributeIsAArray(a)) {
            MlirAttribute item = mlirArrayAttrGetElement(a, i);
            if (!mlirAttributeIsAInteger(item)) return -1;
            out[i] = mlirIntegerAttrGetValueInt(item);
        } else {
            MlirType e = mlirShapedTypeGetElementType(mlirAttributeGetType(a));
            bool wide = mlirTypeIsAIndex(e) || (mlirTypeIsAInteger(e) && mlirIntegerTypeGetWidth(e) == 64);
            if (!wide && !(mlirTypeIsAInteger(e) && mlirIntegerTypeGetWidth(e) == 32)) return -1;
            out[i] = wide ? mlirDenseElementsAttrGetInt64Value(a, i) : mlirDenseElementsAttrGetInt32Value(a, i);
        }
    }
    return (int)n;
}

// "zero" of quantization_info = #tosa.x_quant<.., zero = -3>, which the C API cannot read: from its text.
static int64_t read_zero_point(MlirAttribute info, const char *zero)
{
    if (!info.ptr) return 0;
    buffer text = {0};
    mlirAttributePrint(info, append_text, &text);
    const char *at = strstr(buffer_view(&text).data, zero), *equals = at ? strchr(at, '=') : NULL;
    int64_t n = equals ? strtoll(equals + 1, NULL, 10) : 0;
    buffer_free(&text);
    return n;
}

// ---- constants

static MlirValue build_const(upgrade *u, MlirType t, MlirAttribute values)
{
    MlirNamedAttribute a = mlirNamedAttributeGet(mlirIdentifierGet(u->b.ctx, mlir_text("values")), values);
    return build_value(&u->b, "tosa.const", t, 0, NULL, 1, &a);
}

static void add_operand(upgrade *u, MlirValue v)
{
    if (u->n_operands < UPGRADE_MAX_OPERANDS)
        u->operands[u->n_operands++] = v;
    else
        u->problem = "has too many operands";
    u->is_old = true;
}

static MlirValue build_shape(upgrade *u, int n, const int64_t *numbers)
{
    MlirType index = mlirIndexTypeGet(u->b.ctx);
    int64_t size = n;
    MlirType t = mlirRankedTensorTypeGet(1, &size, index, mlirAttributeGetNull());
    MlirNamedAttribute a = mlirNamedAttributeGet(mlirIdentifierGet(u->b.ctx, mlir_text("values")),
                                                 mlirDenseElementsAttrInt64Get(t, n, numbers));
    char text[32];
    snprintf(text, sizeof text, "!tosa.shape<%d>", n);
    return build_value(&u->b, "tosa.const_shape", mlirTypeParseGet(u->b.ctx, mlir_text(text)), 0, NULL, 1, &a);
}

// Null for a !tosa.shape.
static MlirType element(MlirValue v)
{
    MlirType t = mlirValueGetType(v);
    return mlirTypeIsAShaped(t) ? mlirShapedTypeGetElementType(t) : (MlirType){0};
}

// tensor<1xe> of one integer, as a number of that type.
static void add_zero_point(upgrade *u, MlirType e, int64_t n)
{
    int64_t one = 1;
    if (mlirTypeIsNull(e) || (!mlirTypeIsAFloat(e) && !mlirTypeIsAInteger(e))) {
        u->problem = "has elements of a type that is not read";
        return;
    }
    MlirType t = mlirRankedTensorTypeGet(1, &one, e, mlirAttributeGetNull());
    MlirAttribute value =
        mlirTypeIsAFloat(e) ? mlirFloatAttrDoubleGet(u->b.ctx, e, (double)n) : mlirIntegerAttrGet(e, n);
    add_operand(u, build_const(u, t, mlirDenseElementsAttrSplatGet(t, value)));
}

static void attribute_to_shape(upgrade *u, const char *name)
{
    int64_t numbers[2 * MAX_RANK];
    int n = read_numbers(take_attribute(u, name), numbers);
    if (n < 0)
        u->problem = "has sizes of a form that is not read";
    else
        add_operand(u, build_shape(u, n, numbers));
}

// What a constant operand holds: of tosa.const in the old form or today's, or arith.constant.
static MlirAttribute constant_of(MlirValue v)
{
    MlirOperation op = defining_op(v);
    if (!op.ptr) return (MlirAttribute){0};
    static const char *const NAMES[] = {"values", "value"};
    for (int i = 0; i < 2; i++) {
        MlirAttribute a = op_attribute(op, NAMES[i]);
        if (a.ptr) return a;
    }
    return (MlirAttribute){0};
}

// ---- ops

static MlirValue result_of(const upgrade *u) { return mlirOperationGetResult(u->op, 0); }

static void upgrade_const(upgrade *u) { rename_attribute(u, "value", "values"); }

static void upgrade_reshape(upgrade *u)
{
    int64_t dims[2 * MAX_RANK];
    if (!find_attribute(u, "new_shape").ptr) return;
    int n = read_numbers(take_attribute(u, "new_shape"), dims), rank = rank_of(result_of(u));
    if (n < 0 || n != rank) {
        u->problem = "has a new_shape of a form that is not read";
        return;
    }
    for (int d = 0; d < n; d++)
        if (dims[d] < 0) dims[d] = dim_of(result_of(u), d); // -1: what is left
    add_operand(u, build_shape(u, n, dims));
}

// The shift of integers; floats had it as well.
static void upgrade_mul(upgrade *u)
{
    if (u->n_operands != 2) return;
    MlirAttribute shift = take_attribute(u, "shift");
    int64_t n = shift.ptr && mlirAttributeIsAInteger(shift) ? mlirIntegerAttrGetValueInt(shift) : 0;
    add_zero_point(u, mlirIntegerTypeGet(u->b.ctx, 8), n);
}

static void upgrade_transpose(upgrade *u)
{
    int64_t axes[2 * MAX_RANK];
    int32_t perms[MAX_RANK];
    if (u->n_operands != 2) return;
    int n = read_numbers(constant_of(u->operands[1]), axes);
    if (n < 0 || n > MAX_RANK) {
        u->problem = "has perms that are no constant";
        return;
    }
    for (int i = 0; i < n; i++) perms[i] = (int32_t)axes[i];
    u->n_operands = 1;
    set_attribute(u, "perms", mlirDenseI32ArrayGet(u->b.ctx, n, perms));
}

static void upgrade_slice(upgrade *u)
{
    if (u->n_operands != 1) return;
    attribute_to_shape(u, "start");
    attribute_to_shape(u, "size");
}

static void upgrade_tile(upgrade *u)
{
    if (u->n_operands == 1) attribute_to_shape(u, "multiples");
}

static bool is_shape(MlirValue v)
{
    MlirType t = mlirValueGetType(v);
    return !mlirTypeIsAShaped(t);
}

static void upgrade_pad(upgrade *u)
{
    int64_t amounts[2 * MAX_RANK];
    MlirAttribute info = take_attribute(u, "quantization_info"), zero = take_attribute(u, "input_zp");
    if (u->n_operands < 2) return;
    if (!is_shape(u->operands[1])) {
        int n = read_numbers(constant_of(u->operands[1]), amounts);
        if (n < 0) {
            u->problem = "has padding that is no constant";
            return;
        }
        u->operands[1] = build_shape(u, n, amounts);
        u->is_old = true;
    }
    if (u->n_operands == 2) {
        int64_t n = zero.ptr && mlirAttributeIsAInteger(zero) ? mlirIntegerAttrGetValueInt(zero) : 0;
        add_zero_point(u, element(u->operands[0]), info.ptr ? read_zero_point(info, "input_zp") : n);
    } else if (rank_of(u->operands[2]) == 0) {
        int64_t one = 1;
        MlirValue reshaped[] = {u->operands[2], build_shape(u, 1, &one)};
        MlirType t = mlirRankedTensorTypeGet(1, &one, element(u->operands[2]), mlirAttributeGetNull());
        u->operands[2] = build_value(&u->b, "tosa.reshape", t, 2, reshaped, 0, NULL);
        u->is_old = true;
    }
}

static void upgrade_clamp(upgrade *u)
{
    if (!find_attribute(u, "min_fp").ptr && !find_attribute(u, "min_int").ptr) return;
    static const char *const FROM[2][2] = {{"min_int", "max_int"}, {"min_fp", "max_fp"}};
    static const char *const TO[] = {"min_val", "max_val"};
    MlirType e = element(result_of(u));
    bool is_float = mlirTypeIsAFloat(e);
    MlirAttribute bounds[2];
    for (int i = 0; i < 2; i++) {
        bounds[i] = take_attribute(u, FROM[is_float][i]);
        take_attribute(u, FROM[!is_float][i]);
    }
    for (int i = 0; i < 2; i++) {
        if (bounds[i].ptr && is_float && mlirAttributeIsAFloat(bounds[i]))
            set_attribute(u, TO[i], mlirFloatAttrDoubleGet(u->b.ctx, e, mlirFloatAttrGetValueDouble(bounds[i])));
        else if (bounds[i].ptr && !is_float && mlirAttributeIsAInteger(bounds[i]))
            set_attribute(u, TO[i], mlirIntegerAttrGet(e, mlirIntegerAttrGetValueInt(bounds[i])));
        else
            u->problem = "has bounds of a form that is not read";
    }
}

// Zero points of the first `n` operands (names[i]; they were attributes of their own for a while) as operands.
static void add_zero_points(upgrade *u, int n, const MlirType *types, const char *const *names)
{
    MlirAttribute info = take_attribute(u, "quantization_info");
    for (int i = 0; i < n; i++) {
        MlirAttribute own = take_attribute(u, names[i]);
        int64_t zero = own.ptr && mlirAttributeIsAInteger(own) ? mlirIntegerAttrGetValueInt(own) : 0;
        add_zero_point(u, types[i], info.ptr ? read_zero_point(info, names[i]) : zero);
    }
}

static void upgrade_negate(upgrade *u)
{
    static const char *const NAMES[] = {"input_zp", "output_zp"};
    if (u->n_operands != 1) return;
    MlirAttribute early = take_attribute(u, "input1_zp");
    if (early.ptr) set_attribute(u, "input_zp", early);
    add_zero_points(u, 2, (MlirType[]){element(u->operands[0]), element(result_of(u))}, NAMES);
}

static void upgrade_matmul(upgrade *u)
{
    static const char *const NAMES[] = {"a_zp", "b_zp"};
    if (u->n_operands != 2) return;
    add_zero_points(u, 2, (MlirType[]){element(u->operands[0]), element(u->operands[1])}, NAMES);
}

static void add_accumulator(upgrade *u)
{
    if (find_attribute(u, "acc_type").ptr) return;
    MlirType e = element(result_of(u));
    MlirType wide = mlirTypeIsAFloat(e) ? mlirF32TypeGet(u->b.ctx) : mlirIntegerTypeGet(u->b.ctx, 32);
    set_attribute(u, "acc_type", mlirTypeAttrGet(wide));
}

static void upgrade_convolution(upgrade *u)
{
    static const char *const NAMES[] = {"input_zp", "weight_zp"};
    if (u->n_operands != 3) return;
    add_zero_points(u, 2, (MlirType[]){element(u->operands[0]), element(u->operands[1])}, NAMES);
    add_accumulator(u);
}

static void upgrade_avg_pool(upgrade *u)
{
    static const char *const NAMES[] = {"input_zp", "output_zp"};
    if (u->n_operands != 1) return;
    add_zero_points(u, 2, (MlirType[]){element(u->operands[0]), element(result_of(u))}, NAMES);
    add_accumulator(u);
}

static void upgrade_resize(upgrade *u)
{
    if (u->n_operands != 1) return;
    attribute_to_shape(u, "scale");
    attribute_to_shape(u, "offset");
    attribute_to_shape(u, "border");
}

// The axis was an i64 for long.
static void upgrade_axis(upgrade *u)
{
    MlirAttribute axis = find_attribute(u, "axis");
    MlirType i32 = mlirIntegerTypeGet(u->b.ctx, 32);
    if (!axis.ptr || !mlirAttributeIsAInteger(axis) || mlirTypeEqual(mlirAttributeGetType(axis), i32)) return;
    take_attribute(u, "axis");
    set_attribute(u, "axis", mlirIntegerAttrGet(i32, mlirIntegerAttrGetValueInt(axis)));
}

static void upgrade_division(upgrade *u)
{
    u->name = "tosa.intdiv";
    u->is_old = true;
}

static void upgrade_rescale(upgrade *u)
{
    if (u->n_operands == 1) u->problem = "has its multiplier and shift as attributes";
}

// x [n, in] * w [out, in] + b [out]: a product of [1, n, in] and [1, in, out].
static void upgrade_fully_connected(upgrade *u)
{
    MlirValue x = u->operands[0], w = u->operands[1], y = result_of(u);
    if (u->n_operands != 3 || rank_of(x) != 2 || rank_of(w) != 2 || rank_of(y) != 2 ||
        find_attribute(u, "quantization_info").ptr) {
        u->problem = "has a form that is not read";
        return;
    }
    int64_t n = dim_of(x, 0), in = dim_of(x, 1), out = dim_of(w, 0);
    MlirType e = element(x), acc = element(y);
    const int32_t swap[] = {1, 0};
    MlirNamedAttribute perms =
        mlirNamedAttributeGet(mlirIdentifierGet(u->b.ctx, mlir_text("perms")), mlirDenseI32ArrayGet(u->b.ctx, 2, swap));
    MlirValue turned = build_value(&u->b, "tosa.transpose", tensor2(in, out, element(w)), 1, &w, 1, &perms);
    const int64_t x3[] = {1, n, in}, w3[] = {1, in, out}, y3[] = {1, n, out}, y2[] = {n, out}, b2[] = {1, out};
    MlirValue left[] = {x, build_shape(u, 3, x3)}, right[] = {turned, build_shape(u, 3, w3)};
    upgrade zeros = *u;
    zeros.n_operands = 0;
    zeros.operands[zeros.n_operands++] = build_value(&u->b, "tosa.reshape", tensor_of(3, x3, e), 2, left, 0, NULL);
    zeros.operands[zeros.n_operands++] =
        build_value(&u->b, "tosa.reshape", tensor_of(3, w3, element(w)), 2, right, 0, NULL);
    add_zero_point(&zeros, e, 0);
    add_zero_point(&zeros, element(w), 0);
    MlirValue product = build_value(&u->b, "tosa.matmul", tensor_of(3, y3, acc), 4, zeros.operands, 0, NULL);
    MlirValue flat[] = {product, build_shape(u, 2, y2)}, bias[] = {u->operands[2], build_shape(u, 2, b2)};
    u->operands[0] = build_value(&u->b, "tosa.reshape", tensor2(n, out, acc), 2, flat, 0, NULL);
    u->operands[1] = build_value(&u->b, "tosa.reshape", tensor2(1, out, element(u->operands[2])), 2, bias, 0, NULL);
    u->n_operands = 2;
    u->name = "tosa.add";
    u->is_old = true;
}

// Operands of a lower rank had ones put in front.
static void upgrade_elementwise(upgrade *u)
{
    int rank = rank_of(result_of(u));
    for (int i = 0; i < u->n_operands; i++) {
        MlirValue x = u->operands[i];
        int64_t dims[MAX_RANK];
        if (is_shape(x) || !mlirShapedTypeHasRank(mlirValueGetType(x)) || rank_of(x) >= rank || rank > MAX_RANK)
            continue;
        int missing = rank - rank_of(x);
        for (int d = 0; d < rank; d++) {
            dims[d] = d < missing ? 1 : dim_of(x, d - missing);
            if (dims[d] < 0) return; // the verifier says what is wrong
        }
        MlirValue reshaped[] = {x, build_shape(u, rank, dims)};
        u->operands[i] = build_value(&u->b, "tosa.reshape", tensor_of(rank, dims, element(x)), 2, reshaped, 0, NULL);
        u->is_old = true;
    }
}

static void upgrade_mul_of_ranks(upgrade *u)
{
    int n = u->n_operands;
    if (n > 2) u->n_operands = 2; // the shift has a rank of its own
    upgrade_elementwise(u);
    u->n_operands = n;
    upgrade_mul(u);
}

static void upgrade_division_of_ranks(upgrade *u)
{
    upgrade_elementwise(u);
    upgrade_division(u);
}

static const struct {
    const char *name; // without "tosa."
    void (*run)(upgrade *u);
} RULES[] = {
    {"const", upgrade_const},
    {"const_shape", upgrade_const},
    {"reshape", upgrade_reshape},
    {"mul", upgrade_mul_of_ranks},
    {"transpose", upgrade_transpose},
    {"slice", upgrade_slice},
    {"tile", upgrade_tile},
    {"pad", upgrade_pad},
    {"clamp", upgrade_clamp},
    {"negate", upgrade_negate},
    {"matmul", upgrade_matmul},
    {"conv2d", upgrade_convolution},
    {"conv3d", upgrade_convolution},
    {"depthwise_conv2d", upgrade_convolution},
    {"transpose_conv2d", upgrade_convolution},
    {"avg_pool2d", upgrade_avg_pool},
    {"resize", upgrade_resize},
    {"rescale", upgrade_rescale},
    {"fully_connected", upgrade_fully_connected},
    {"div", upgrade_division_of_ranks},
    {"int_div", upgrade_division_of_ranks},
    {"argmax", upgrade_axis},
    {"concat", upgrade_axis},
    {"reverse", upgrade_axis},
    {"reduce_all", upgrade_axis},
    {"reduce_any", upgrade_axis},
    {"reduce_max", upgrade_axis},
    {"reduce_min", upgrade_axis},
    {"reduce_prod", upgrade_axis},
    {"reduce_product", upgrade_axis},
    {"reduce_sum", upgrade_axis},
    {"add", upgrade_elementwise},
    {"sub", upgrade_elementwise},
    {"maximum", upgrade_elementwise},
    {"minimum", upgrade_elementwise},
    {"pow", upgrade_elementwise},
    {"select", upgrade_elementwise},
    {"equal", upgrade_elementwise},
    {"greater", upgrade_elementwise},
    {"greater_equal", upgrade_elementwise},
    {"logical_and", upgrade_elementwise},
    {"logical_or", upgrade_elementwise},
    {"logical_xor", upgrade_elementwise},
    {"bitwise_and", upgrade_elementwise},
    {"bitwise_or", upgrade_elementwise},
    {"bitwise_xor", upgrade_elementwise},
};

void upgrade_apply(upgrade *u)
{
    if (!mlirOperationGetNumResults(u->op)) return;
    for (size_t i = 0; i < sizeof RULES / sizeof *RULES; i++) {
        if (strcmp(RULES[i].name, u->name + sizeof "tosa." - 1)) continue;
        RULES[i].run(u);
        return;
    }
}
