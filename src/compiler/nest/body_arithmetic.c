// arith and math on floats and integers, vector or scalar.
#include <stdio.h>
#include <string.h>

#include "compiler/kernel/math.h"
#include "compiler/mlir/op.h"
#include "compiler/mlir/text.h"
#include "compiler/nest/body.h"
#include "runtime/math_table.h"

// Calls a function of the table, lane by lane, in double precision.
static value call_function(body *e, int index, int n, const value *arguments)
{
    builder *b = e->b;
    value function = load(b, e->buffers[e->n->math_buffer], (value){0}, index * 8, b->ptr), result = {0};
    type shape = mlirValueGetType(arguments[0]);
    int32_t segments[] = {n + 1, 0};
    MlirNamedAttribute attributes[] = {
        mlirNamedAttributeGet(mlirIdentifierGet(b->ctx, mlir_text("operandSegmentSizes")),
                              mlirDenseI32ArrayGet(b->ctx, 2, segments)),
        mlirNamedAttributeGet(mlirIdentifierGet(b->ctx, mlir_text("op_bundle_sizes")),
                              mlirDenseI32ArrayGet(b->ctx, 0, NULL)),
    };
    for (int lane = 0; lane < e->lanes; lane++) {
        value operands[3] = {function};
        for (int i = 0; i < n; i++) {
            value x = e->lanes > 1 ? extract(b, arguments[i], lane) : arguments[i];
            operands[i + 1] = mlirTypeEqual(mlirValueGetType(x), b->f64) ? x : ext_f(b, x, b->f64);
        }
        value y = op1(b, "llvm.call", b->f64, n + 1, operands, 2, attributes);
        if (!mlirTypeEqual(element_of(shape), b->f64)) y = trunc_f(b, y, b->f32);
        result = e->lanes == 1 ? y : lane ? insert(b, y, result, lane) : splat(b, y, e->lanes);
    }
    return result;
}

// x^k for a whole k.
static value whole_power(builder *b, value x, int64_t k)
{
    type t = mlirValueGetType(x);
    value y = {0};
    for (uint64_t left = (uint64_t)(k < 0 ? -k : k); left; left >>= 1) {
        if (left & 1) y = y.ptr ? mul_f(b, y, x) : x;
        if (left > 1) x = mul_f(b, x, x);
    }
    if (!y.ptr) return const_f(b, t, 1);
    return k < 0 ? div_f(b, const_f(b, t, 1), y) : y;
}

// The number that a scalar outside or inside the body always is, also as an element of a constant tensor that is one
// number all over.
static bool constant_of(const body *e, MlirValue v, double *number)
{
    MlirOperation op = defining_op(v);
    MlirAttribute a = op_is(op, "arith.constant") ? op_attribute(op, "value") : (MlirAttribute){0};
    if (mlirValueIsABlockArgument(v) && e->n->body.ptr && mlirBlockEqual(mlirBlockArgumentGetOwner(v), e->n->body)) {
        intptr_t i = mlirBlockArgumentGetArgNumber(v);
        const access *in = i < e->n->n_in ? &e->n->in[i] : NULL;
        if (in && in->kind == ACCESS_SCALAR && in->scalar.ptr) return constant_of(e, in->scalar, number);
        if (in && in->kind == ACCESS_SCALAR) a = in->constant;
    }
    if (op_is(op, "arith.truncf") || op_is(op, "arith.extf") || op_is(op, "arith.sitofp"))
        return constant_of(e, mlirOperationGetOperand(op, 0), number);
    if (a.ptr && mlirAttributeIsAFloat(a)) {
        *number = mlirFloatAttrGetValueDouble(a);
        return true;
    }
    if (!a.ptr || !mlirAttributeIsAInteger(a)) return false;
    *number = (double)mlirIntegerAttrGetValueInt(a);
    return true;
}

// x^k for a k that is whole or half of an odd number: products, and a root. Up to x^4 they are rounded to 2 ulp; longer
// ones of f32, and those that may leave the range on their way, are made in f64.
static value constant_power(builder *b, value x, double k)
{
    type t = mlirValueGetType(x), wide = with_element(b, t, b->f64);
    bool whole = k == (double)(int64_t)k, f32 = mlirTypeEqual(element_of(t), b->f32);
    if (whole && k >= -1 && k <= 4) return whole_power(b, x, (int64_t)k);
    if (k == 0.5) return sqrt_f(b, x);
    if (k == -0.5) return div_f(b, const_f(b, t, 1), sqrt_f(b, x));
    if (f32) x = ext_f(b, x, wide);
    value y = {0};
    if (whole) {
        y = whole_power(b, x, (int64_t)k);
    } else {
        double size = k < 0 ? -k : k;
        y = mul_f(b, whole_power(b, x, (int64_t)size), sqrt_f(b, x));
        if (k < 0) y = div_f(b, const_f(b, mlirValueGetType(x), 1), y);
    }
    return f32 ? trunc_f(b, y, t) : y;
}

static bool has_constant_power(double k, bool f32)
{
    double most = f32 ? 64 : 4;
    return k >= -most && k <= most && 2 * k == (double)(int64_t)(2 * k);
}

static bool is_f32(const body *e, value x) { return mlirTypeEqual(element_of(mlirValueGetType(x)), e->b->f32); }

static value run_power(body *e, MlirOperation op, const value *x)
{
    builder *b = e->b;
    double k;
    bool f32 = is_f32(e, x[0]);
    if (constant_of(e, mlirOperationGetOperand(op, 1), &k) && has_constant_power(k, f32))
        return constant_power(b, x[0], k);
    value arguments[] = {x[0], x[1]};
    if (op_is(op, "math.fpowi")) arguments[1] = int_to_f(b, x[1], mlirValueGetType(x[0]));
    return f32 ? math_by_name(b, "pow", arguments) : call_function(e, math_find("pow"), 2, arguments);
}

// Vectors where all lanes are near enough, else lane by lane.
static value run_angle(body *e, const char *name, value x)
{
    builder *b = e->b;
    type t = mlirValueGetType(x);
    value far = cmp_f(b, CMP_GE, abs_f(b, x), const_f(b, t, MATH_MAX_ANGLE));
    if (e->lanes > 1) {
        MlirType bits = mlirIntegerTypeGet(b->ctx, (unsigned)e->lanes);
        far = cmp_i(b, CMP_NE, bitcast(b, far, bits), const_int(b, bits, 0));
    }
    branch br;
    if_begin(b, &br, far, 1, &t);
    value y = call_function(e, math_find(name), 1, &x);
    if_else(b, &br, &y);
    y = math_by_name(b, name, &x);
    if_end(b, &br, &y);
    return br.results[0];
}

// Half away from zero.
static value round_away(builder *b, value x)
{
    type t = mlirValueGetType(x);
    value whole = op1(b, "math.trunc", t, 1, &x, 0, NULL);
    value sides[] = {const_f(b, t, 1), x};
    value next = add_f(b, whole, op1(b, "math.copysign", t, 2, sides, 0, NULL));
    value half = cmp_f(b, CMP_GE, abs_f(b, sub_f(b, x, whole)), const_f(b, t, 0.5));
    return select_(b, half, next, whole);
}

static value clone(body *e, MlirOperation op, MlirType result, intptr_t n, const value *operands)
{
    MlirNamedAttribute attributes[8];
    intptr_t n_attributes = mlirOperationGetNumAttributes(op);
    if (n_attributes > 8) return body_refuse(e, op, ": too many attributes");
    for (intptr_t i = 0; i < n_attributes; i++) attributes[i] = mlirOperationGetAttribute(op, i);
    char name[64];
    MlirStringRef from = mlirIdentifierStr(mlirOperationGetName(op));
    snprintf(name, sizeof name, "%.*s", (int)from.length, from.data);
    return op1(e->b, name, result, (int)n, operands, (int)n_attributes, attributes);
}

// Integer division traps on a divisor of zero and on the one quotient that does not fit: neither has a defined result,
// so any will do, but the program goes on.
value body_guard_divisor(body *e, MlirOperation op, const value *x)
{
    builder *b = e->b;
    type t = mlirValueGetType(x[1]);
    value one = const_int(b, t, 1), bad = cmp_i(b, CMP_EQ, x[1], const_int(b, t, 0));
    if (!op_is(op, "arith.divui") && !op_is(op, "arith.remui") && !op_is(op, "arith.ceildivui")) {
        unsigned bits = mlirIntegerTypeGetWidth(element_of(t));
        value least = const_int(b, t, bits >= 64 ? INT64_MIN : -(INT64_C(1) << (bits - 1)));
        bad = or_(b, bad, and_(b, cmp_i(b, CMP_EQ, x[1], const_int(b, t, -1)), cmp_i(b, CMP_EQ, x[0], least)));
    }
    return select_(b, bad, one, x[1]);
}

static bool is_division(MlirOperation op)
{
    static const char *const NAMES[] = {"arith.divsi",     "arith.divui",     "arith.remsi",     "arith.remui",
                                        "arith.ceildivsi", "arith.ceildivui", "arith.floordivsi"};
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        if (op_is(op, NAMES[i])) return true;
    return false;
}

static bool is_plain_math(MlirOperation op)
{
    static const char *const NAMES[] = {"math.sqrt", "math.rsqrt", "math.absf",      "math.absi", "math.floor",
                                        "math.ceil", "math.trunc", "math.roundeven", "math.fma",  "math.copysign",
                                        "math.ctlz", "math.cttz",  "math.ctpop"};
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        if (op_is(op, NAMES[i])) return true;
    return false;
}

static value run_math(body *e, MlirOperation op, MlirType result, intptr_t n, const value *x)
{
    builder *b = e->b;
    if (is_plain_math(op)) return clone(e, op, result, n, x);
    if (op_is(op, "math.powf") || op_is(op, "math.fpowi")) return run_power(e, op, x);
    bool f32 = is_f32(e, x[0]);
    if (f32 && op_is(op, "math.exp")) return math_exp(b, x[0]);
    if (f32 && op_is(op, "math.tanh")) return math_tanh(b, x[0]);
    if (f32 && op_is(op, "math.erf")) return math_erf(b, x[0]);
    if (op_is(op, "math.round")) return round_away(b, x[0]);
    char name[32];
    MlirStringRef full = mlirIdentifierStr(mlirOperationGetName(op));
    snprintf(name, sizeof name, "%.*s", (int)full.length - 5, full.data + 5);
    if (f32 && math_is_of_angle(name)) return run_angle(e, name, x[0]);
    if (f32 && math_has(name)) return math_by_name(b, name, x);
    int index = math_find(name);
    if (index < 0 || math_arguments(index) != n) return body_refuse(e, op, " cannot be compiled");
    return call_function(e, index, (int)n, x);
}

static value run_narrowing(body *e, MlirOperation op, MlirType to, value x)
{
    builder *b = e->b;
    MlirType f32 = vec(b, e->lanes, b->f32);
    if (op_is(op, "arith.truncf")) { // by way of f32
        if (mlirTypeEqual(element_of(mlirValueGetType(x)), b->f64)) x = trunc_f(b, x, f32);
    } else {
        x = clone(e, op, f32, 1, &x);
    }
    return from_f32(b, x, element_of(to));
}

// LLVM selects among 16-bit floats by way of f32 and a function of its library; among their bits it needs neither.
static value run_select(body *e, MlirOperation op, MlirType result, const value *x)
{
    builder *b = e->b;
    if (!body_is_half(b, result)) return clone(e, op, result, 3, x);
    MlirType bits = with_element(b, result, b->i16);
    return bitcast(b, select_(b, x[0], bitcast(b, x[1], bits), bitcast(b, x[2], bits)), result);
}

// Ops of arith and math on floats and integers. 16-bit floats are computed in f32 and rounded after each op, which for
// one addition, multiplication, division or root gives the correctly rounded result.
value body_arithmetic(body *e, MlirOperation op)
{
    builder *b = e->b;
    intptr_t n = mlirOperationGetNumOperands(op);
    if (n > 3 || mlirOperationGetNumResults(op) != 1 || mlirOperationGetNumRegions(op))
        return body_refuse(e, op, " cannot be compiled");
    value x[3];
    for (intptr_t i = 0; i < n; i++) x[i] = body_get(e, mlirOperationGetOperand(op, i));
    if (e->status != WF_OK) return (value){0};
    MlirType element = mlirValueGetType(mlirOperationGetResult(op, 0));
    if (!mlirTypeIsAFloat(element) && !mlirTypeIsAInteger(element) && !mlirTypeIsAIndex(element))
        return body_refuse(e, op, " cannot be compiled");
    MlirType result = body_lanes_of(e, element);
    if (op_is(op, "arith.select")) return run_select(e, op, result, x);
    if (op_is(op, "arith.bitcast")) return clone(e, op, result, n, x);
    for (intptr_t i = 0; i < n; i++)
        if (mlirTypeIsAFloat(element_of(mlirValueGetType(x[i])))) {
            if (body_is_half(b, mlirValueGetType(x[i]))) x[i] = to_f32(b, x[i]);
        }
    if (op_is(op, "arith.extf") && mlirTypeEqual(mlirValueGetType(x[0]), result)) return x[0];
    bool half = body_is_half(b, result);
    if (half && (op_is(op, "arith.truncf") || op_is(op, "arith.sitofp") || op_is(op, "arith.uitofp")))
        return run_narrowing(e, op, result, x[0]);
    MlirType wide = half ? vec(b, e->lanes, b->f32) : result;
    if (is_division(op)) x[1] = body_guard_divisor(e, op, x);
    value y;
    if (op_is(op, "arith.remf"))
        y = call_function(e, math_find("fmod"), 2, x);
    else if (op_name_starts_with(op, "math."))
        y = run_math(e, op, wide, n, x);
    else
        y = clone(e, op, wide, n, x);
    return half && e->status == WF_OK ? from_f32(b, y, element_of(result)) : y;
}
