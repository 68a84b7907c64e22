#include "compiler/graph/body.h"

#include <mlir-c/AffineExpr.h>
#include <mlir-c/AffineMap.h>
#include <stdio.h>
#include <string.h>

#include "compiler/codegen/context.h"
#include "compiler/dialect/wf.h"
#include "compiler/graph/functions.h"
#include "compiler/kernel/math.h"
#include "runtime/graph.h"

MlirType body_type(builder *b, MlirType element) { return mlirTypeIsAIndex(element) ? b->i64 : element; }

static MlirType lanes_of(body *e, MlirType element) { return vec(e->b, e->lanes, body_type(e->b, element)); }

static bool is_half(builder *b, MlirType t)
{
    return mlirTypeEqual(element_of(t), b->f16) || mlirTypeEqual(element_of(t), b->bf16);
}

static bool is_bool(builder *b, MlirType t) { return mlirTypeEqual(element_of(t), b->i1); }

static value refuse(body *e, MlirOperation op, const char *reason)
{
    if (e->status != WF_OK) return (value){0};
    buffer place = {0};
    print_location(mlirOperationGetLocation(op), &place);
    MlirStringRef name = mlirIdentifierStr(mlirOperationGetName(op));
    e->status = error_set(e->err, WF_ERROR_UNSUPPORTED, "%s: %.*s%s", buffer_view(&place).data, (int)name.length,
                          name.data, reason);
    buffer_free(&place);
    return (value){0};
}

// ---- values

void body_set(body *e, MlirValue from, value to)
{
    if (e->n_values == BODY_MAX_VALUES) {
        if (e->status == WF_OK)
            e->status = error_set(e->err, WF_ERROR_UNSUPPORTED, "an op with more than %d scalar ops in its body",
                                  BODY_MAX_VALUES);
        return;
    }
    e->from[e->n_values] = from;
    e->to[e->n_values++] = to;
}

static bool find(body *e, MlirValue from, value *to)
{
    for (int i = e->n_values; i-- > 0;) {
        if (!mlirValueEqual(e->from[i], from)) continue;
        *to = e->to[i];
        return true;
    }
    return false;
}

static value run_op(body *e, MlirOperation op);

value body_get(body *e, MlirValue from)
{
    value to;
    if (e->status != WF_OK) return (value){0};
    if (find(e, from, &to)) return to;
    MlirOperation op = defining_op(from);
    if (!op.ptr || mlirOperationGetNumResults(op) != 1) {
        e->status = error_set(e->err, WF_ERROR_UNSUPPORTED, "a scalar that is computed outside its op");
        return (value){0};
    }
    to = run_op(e, op);
    if (e->status == WF_OK) body_set(e, from, to);
    return to;
}

static value splat_constant(body *e, MlirAttribute a)
{
    MlirType t = mlirAttributeGetType(a);
    if (mlirTypeIsAIndex(t)) return const_int(e->b, lanes_of(e, t), mlirIntegerAttrGetValueInt(a));
    MlirType shaped = lanes_of(e, t);
    if (e->lanes > 1) a = mlirDenseElementsAttrSplatGet(shaped, a);
    MlirNamedAttribute named = mlirNamedAttributeGet(mlirIdentifierGet(e->b->ctx, mlir_text("value")), a);
    return op1(e->b, "arith.constant", shaped, 0, NULL, 1, &named);
}

// ---- memory

// Element bytes in memory.
static int64_t element_bytes(builder *b, MlirType element)
{
    element = body_type(b, element);
    if (is_bool(b, element)) return 1;
    return mlirTypeIsAFloat(element) ? (int64_t)mlirFloatTypeGetWidth(element) / 8
                                     : (int64_t)mlirIntegerTypeGetWidth(element) / 8;
}

// n consecutive elements, at an element offset (null: 0) and a constant one.
static value load_elements(builder *b, value p, value offset, int64_t constant, MlirType element, int n)
{
    element = body_type(b, element);
    int64_t bytes = element_bytes(b, element);
    value at_bytes = offset.ptr ? mul_i(b, offset, bytes) : offset;
    if (!is_bool(b, element)) return load(b, p, at_bytes, constant * bytes, vec(b, n, element));
    type bytes_type = vec(b, n, b->i8);
    value x = load(b, p, at_bytes, constant, bytes_type);
    return cmp_i(b, CMP_NE, x, const_int(b, bytes_type, 0));
}

// offset + sum of coef * iv as (dynamic, constant). The constant is kept small enough for an address.
static value element_offset(body *e, const access *a, int64_t *constant)
{
    builder *b = e->b;
    value sum = {0};
    for (int l = 0; l < e->n->n_loops; l++) {
        if (!a->coef[l] || !e->iv[l].ptr) continue;
        value term = mul_i(b, e->iv[l], a->coef[l]);
        sum = sum.ptr ? add(b, sum, term) : term;
    }
    *constant = a->offset;
    if (*constant > (1 << 24) || *constant < -(1 << 24)) {
        value big = const_i(b, *constant);
        sum = sum.ptr ? add(b, sum, big) : big;
        *constant = 0;
    }
    return sum;
}

value body_load(body *e, const access *a)
{
    builder *b = e->b;
    if (e->status != WF_OK) return (value){0};
    if (a->kind == ACCESS_SCALAR) return a->scalar.ptr ? body_get(e, a->scalar) : splat_constant(e, a->constant);
    int64_t constant, step = e->vector_loop >= 0 ? a->coef[e->vector_loop] : 0;
    value p = e->buffers[a->buffer], offset = element_offset(e, a, &constant);
    if (e->lanes == 1 || step == 1) return load_elements(b, p, offset, constant, a->element, e->lanes);
    if (step == 0) return splat(b, load_elements(b, p, offset, constant, a->element, 1), e->lanes);
    value x = {0};
    if (!offset.ptr) offset = const_i(b, 0);
    for (int i = 0; i < e->lanes; i++) {
        value one = load_elements(b, p, add_i(b, offset, i * step), constant, a->element, 1);
        x = i ? insert(b, one, x, i) : splat(b, one, e->lanes);
    }
    return x;
}

void body_store(body *e, const access *a, value x)
{
    builder *b = e->b;
    if (e->status != WF_OK) return;
    if (is_bool(b, a->element)) x = ext_u(b, x, with_element(b, mlirValueGetType(x), b->i8));
    int64_t constant, bytes = element_bytes(b, a->element), step = e->vector_loop >= 0 ? a->coef[e->vector_loop] : 0;
    value p = e->buffers[a->buffer], offset = element_offset(e, a, &constant);
    if (e->lanes == 1 || step == 1) {
        store(b, x, p, offset.ptr ? mul_i(b, offset, bytes) : offset, constant * bytes);
        return;
    }
    if (!offset.ptr) offset = const_i(b, 0);
    for (int i = 0; i < e->lanes; i++)
        store(b, extract(b, x, i), p, mul_i(b, add_i(b, offset, i * step), bytes), constant * bytes);
}

// ---- checks

// Where any lane of `failed` is true.
static void set_fault(body *e, value failed, const char *message, MlirOperation op)
{
    int check = e->n->add_check(e->n->check_context, message, mlirOperationGetLocation(op));
    if (check < 0) {
        if (e->status == WF_OK) e->status = error_memory(e->err, 64);
        return;
    }
    builder *b = e->b;
    if (e->lanes > 1) {
        MlirType bits = mlirIntegerTypeGet(b->ctx, (unsigned)e->lanes);
        failed = cmp_i(b, CMP_NE, bitcast(b, failed, bits), const_int(b, bits, 0));
    }
    branch br;
    if_begin(b, &br, failed, 0, NULL);
    store(b, const_i(b, check + 1), e->buffers[e->n->fault_buffer], (value){0}, 0);
    if_end(b, &br, NULL);
}

static value run_assert(body *e, MlirOperation op)
{
    builder *b = e->b;
    value holds = body_get(e, mlirOperationGetOperand(op, 0));
    MlirStringRef text = op_string(op, "msg");
    char message[256];
    snprintf(message, sizeof message, "assertion fails: %.*s", (int)text.length, text.data);
    if (e->status == WF_OK) set_fault(e, xor_(b, holds, const_int(b, mlirValueGetType(holds), -1)), message, op);
    return (value){0};
}

// Whether every value of the index lies in [0, size) whatever the data.
static bool index_is_safe(body *e, MlirValue index, int64_t size)
{
    MlirOperation op = defining_op(index);
    if (op_is(op, "linalg.index")) return e->n->extent[op_int(op, "dim", 0)] <= size;
    if (op_is(op, "arith.constant")) return op_int(op, "value", -1) >= 0 && op_int(op, "value", -1) < size;
    return false;
}

static value run_extract(body *e, MlirOperation op)
{
    builder *b = e->b;
    MlirValue source = mlirOperationGetOperand(op, 0);
    const gather *g = NULL;
    for (int i = 0; i < e->n->n_gathers; i++)
        if (mlirValueEqual(e->n->gathers[i].source, source)) g = &e->n->gathers[i];
    if (!g) return refuse(e, op, ": of a tensor that is not known here");
    value offset = const_int(b, lanes_of(e, b->i64), 0), bad = {0};
    for (int d = 0; d < g->rank; d++) {
        MlirValue from = mlirOperationGetOperand(op, d + 1);
        value index = body_get(e, from);
        if (e->status != WF_OK) return index;
        if (!index_is_safe(e, from, g->dims[d])) {
            type t = mlirValueGetType(index);
            value low = const_int(b, t, 0), high = const_int(b, t, g->dims[d] > 0 ? g->dims[d] - 1 : 0);
            value kept = max_s(b, min_s(b, index, high), low), differs = cmp_i(b, CMP_NE, kept, index);
            bad = bad.ptr ? or_(b, bad, differs) : differs;
            index = kept;
        }
        offset = add(b, offset, mul_i(b, index, g->strides[d]));
    }
    value x = {0};
    if (bad.ptr) set_fault(e, bad, "an index is out of range", op);
    for (int i = 0; i < e->lanes; i++) {
        value at = add_i(b, e->lanes > 1 ? extract(b, offset, i) : offset, g->offset);
        value one = load_elements(b, e->buffers[g->buffer], at, 0, g->element, 1);
        x = e->lanes == 1 ? one : i ? insert(b, one, x, i) : splat(b, one, e->lanes);
    }
    return x;
}

// ---- indices

static value run_index(body *e, MlirOperation op)
{
    builder *b = e->b;
    int64_t l = op_int(op, "dim", 0);
    value iv = e->iv[l].ptr ? e->iv[l] : const_i(b, 0);
    if (e->lanes == 1) return iv;
    value x = splat(b, iv, e->lanes);
    return l == e->vector_loop ? add(b, x, iota(b, e->lanes, b->i64)) : x;
}

static value run_affine(body *e, MlirOperation op, MlirAffineExpr x, intptr_t n_dims)
{
    builder *b = e->b;
    type t = lanes_of(e, b->i64);
    if (mlirAffineExprIsAConstant(x)) return const_int(b, t, mlirAffineConstantExprGetValue(x));
    if (mlirAffineExprIsADim(x)) return body_get(e, mlirOperationGetOperand(op, mlirAffineDimExprGetPosition(x)));
    if (mlirAffineExprIsASymbol(x))
        return body_get(e, mlirOperationGetOperand(op, n_dims + mlirAffineSymbolExprGetPosition(x)));
    value left = run_affine(e, op, mlirAffineBinaryOpExprGetLHS(x), n_dims);
    value right = run_affine(e, op, mlirAffineBinaryOpExprGetRHS(x), n_dims);
    if (e->status != WF_OK) return left;
    if (mlirAffineExprIsAAdd(x)) return add(b, left, right);
    if (mlirAffineExprIsAMul(x)) return mul(b, left, right);
    value operands[] = {left, right};
    if (mlirAffineExprIsAFloorDiv(x)) return op1(b, "arith.floordivsi", t, 2, operands, 0, NULL);
    if (mlirAffineExprIsACeilDiv(x)) return op1(b, "arith.ceildivsi", t, 2, operands, 0, NULL);
    // x mod y = x - floor(x / y) * y
    return sub(b, left, mul(b, op1(b, "arith.floordivsi", t, 2, operands, 0, NULL), right));
}

static value run_index_cast(body *e, MlirOperation op, bool is_signed)
{
    builder *b = e->b;
    value x = body_get(e, mlirOperationGetOperand(op, 0));
    if (e->status != WF_OK) return x;
    type from = mlirValueGetType(x), to = lanes_of(e, mlirValueGetType(mlirOperationGetResult(op, 0)));
    unsigned from_bits = mlirIntegerTypeGetWidth(element_of(from)), to_bits = mlirIntegerTypeGetWidth(element_of(to));
    if (from_bits == to_bits) return x;
    if (from_bits > to_bits) return trunc_i(b, x, to);
    return is_signed ? ext_s(b, x, to) : ext_u(b, x, to);
}

// ---- arithmetic

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

// x^k for a small whole k.
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

// The number that a scalar outside or inside the body always is.
static bool constant_of(MlirValue v, double *number)
{
    MlirAttribute a =
        op_is(defining_op(v), "arith.constant") ? op_attribute(defining_op(v), "value") : (MlirAttribute){0};
    if (a.ptr && mlirAttributeIsAFloat(a)) {
        *number = mlirFloatAttrGetValueDouble(a);
        return true;
    }
    if (!a.ptr || !mlirAttributeIsAInteger(a)) return false;
    *number = (double)mlirIntegerAttrGetValueInt(a);
    return true;
}

static value run_power(body *e, MlirOperation op, const value *x)
{
    builder *b = e->b;
    double k;
    type t = mlirValueGetType(x[0]);
    if (constant_of(mlirOperationGetOperand(op, 1), &k)) {
        if (k >= -8 && k <= 8 && k == (double)(int)k) return whole_power(b, x[0], (int64_t)k);
        if (k == 0.5) return sqrt_f(b, x[0]);
        if (k == -0.5) return div_f(b, const_f(b, t, 1), sqrt_f(b, x[0]));
    }
    value arguments[] = {x[0], x[1]};
    if (op_is(op, "math.fpowi")) arguments[1] = int_to_f(b, x[1], t);
    return call_function(e, graph_math_find("pow"), 2, arguments);
}

static value clone(body *e, MlirOperation op, MlirType result, intptr_t n, const value *operands)
{
    MlirNamedAttribute attributes[8];
    intptr_t n_attributes = mlirOperationGetNumAttributes(op);
    if (n_attributes > 8) return refuse(e, op, ": too many attributes");
    for (intptr_t i = 0; i < n_attributes; i++) attributes[i] = mlirOperationGetAttribute(op, i);
    char name[64];
    MlirStringRef from = mlirIdentifierStr(mlirOperationGetName(op));
    snprintf(name, sizeof name, "%.*s", (int)from.length, from.data);
    return op1(e->b, name, result, (int)n, operands, (int)n_attributes, attributes);
}

// Integer division traps on a divisor of zero and on the one quotient that does not fit: neither has a defined result,
// so any will do, but the program goes on.
static value guard_divisor(body *e, MlirOperation op, const value *x)
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
    bool f32 = mlirTypeEqual(element_of(mlirValueGetType(x[0])), b->f32);
    if (f32 && op_is(op, "math.exp")) return math_exp(b, x[0]);
    if (f32 && op_is(op, "math.tanh")) return math_tanh(b, x[0]);
    if (f32 && op_is(op, "math.erf")) return function_erf(b, x[0]);
    if (f32 && op_is(op, "math.log")) return function_log(b, x[0]);
    char name[32];
    MlirStringRef full = mlirIdentifierStr(mlirOperationGetName(op));
    snprintf(name, sizeof name, "%.*s", (int)full.length - 5, full.data + 5);
    int index = graph_math_find(name);
    if (index < 0 || graph_math_arguments(index) != n) return refuse(e, op, " cannot be compiled");
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

// Ops of arith and math on floats and integers. 16-bit floats are computed in f32 and rounded after each op, which for
// one addition, multiplication, division or root gives the correctly rounded result.
static value run_arithmetic(body *e, MlirOperation op)
{
    builder *b = e->b;
    intptr_t n = mlirOperationGetNumOperands(op);
    if (n > 3 || mlirOperationGetNumResults(op) != 1 || mlirOperationGetNumRegions(op))
        return refuse(e, op, " cannot be compiled");
    value x[3];
    for (intptr_t i = 0; i < n; i++) x[i] = body_get(e, mlirOperationGetOperand(op, i));
    if (e->status != WF_OK) return (value){0};
    MlirType element = mlirValueGetType(mlirOperationGetResult(op, 0));
    if (!mlirTypeIsAFloat(element) && !mlirTypeIsAInteger(element) && !mlirTypeIsAIndex(element))
        return refuse(e, op, " cannot be compiled");
    MlirType result = lanes_of(e, element);
    if (op_is(op, "arith.select") || op_is(op, "arith.bitcast")) return clone(e, op, result, n, x);
    for (intptr_t i = 0; i < n; i++)
        if (mlirTypeIsAFloat(element_of(mlirValueGetType(x[i])))) {
            if (is_half(b, mlirValueGetType(x[i]))) x[i] = to_f32(b, x[i]);
        }
    if (op_is(op, "arith.extf") && mlirTypeEqual(mlirValueGetType(x[0]), result)) return x[0];
    bool half = is_half(b, result);
    if (half && (op_is(op, "arith.truncf") || op_is(op, "arith.sitofp") || op_is(op, "arith.uitofp")))
        return run_narrowing(e, op, result, x[0]);
    MlirType wide = half ? vec(b, e->lanes, b->f32) : result;
    if (is_division(op)) x[1] = guard_divisor(e, op, x);
    value y;
    if (op_is(op, "arith.remf"))
        y = call_function(e, graph_math_find("fmod"), 2, x);
    else if (op_name_starts_with(op, "math."))
        y = run_math(e, op, wide, n, x);
    else
        y = clone(e, op, wide, n, x);
    return half && e->status == WF_OK ? from_f32(b, y, element_of(result)) : y;
}

// ---- bodies

static value run_op(body *e, MlirOperation op)
{
    if (op_is(op, "arith.constant")) {
        MlirAttribute a = op_attribute(op, "value");
        if (mlirAttributeIsAFloat(a) || mlirAttributeIsAInteger(a)) return splat_constant(e, a);
        return refuse(e, op, " cannot be compiled");
    }
    if (op_is(op, "linalg.index")) return run_index(e, op);
    if (op_is(op, "tensor.extract")) return run_extract(e, op);
    if (op_is(op, "cf.assert")) return run_assert(e, op);
    if (op_is(op, "arith.index_cast")) return run_index_cast(e, op, true);
    if (op_is(op, "arith.index_castui")) return run_index_cast(e, op, false);
    if (op_is(op, "affine.apply")) {
        MlirAffineMap map = mlirAffineMapAttrGetValue(op_attribute(op, "map"));
        return run_affine(e, op, mlirAffineMapGetResult(map, 0), mlirAffineMapGetNumDims(map));
    }
    if (op_name_starts_with(op, "arith.") || op_name_starts_with(op, "math.")) return run_arithmetic(e, op);
    return refuse(e, op, " cannot be compiled");
}

void body_run(body *e, MlirBlock block)
{
    MlirOperation terminator = mlirBlockGetTerminator(block);
    for (MlirOperation op = mlirBlockGetFirstOperation(block); op.ptr && e->status == WF_OK;
         op = mlirOperationGetNextInBlock(op)) {
        if (mlirOperationEqual(op, terminator)) return;
        value y = run_op(e, op);
        if (e->status == WF_OK && mlirOperationGetNumResults(op) == 1) body_set(e, mlirOperationGetResult(op, 0), y);
    }
}

value body_combine(builder *b, const char *name, value x, value y)
{
    value operands[] = {x, y};
    return op1(b, name, mlirValueGetType(x), 2, operands, 0, NULL);
}
