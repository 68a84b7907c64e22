#include "compiler/raise/normal/constant_parts.h"

#include <math.h>
#include <string.h>

#include <mlir-c/AffineExpr.h>
#include <mlir-c/AffineMap.h>

#include "base/half.h"
#include "compiler/mlir/constant.h"

enum { MOST_ELEMENTS = 1 << 22, MAX_DEPTH = 400 };

struct evaluated {
    MlirValue v;
    const_tensor *value; // NULL: it cannot be computed
    struct evaluated *next;
};

evaluator evaluator_start(void) { return (evaluator){.most = MOST_ELEMENTS, .budget = 4 * MOST_ELEMENTS}; }
void evaluator_free(evaluator *e) { arena_free(&e->memory); }

static const_tensor *make_tensor(evaluator *e, MlirType type)
{
    if (!mlirTypeIsARankedTensor(type) || !mlirShapedTypeHasStaticShape(type)) return NULL;
    int64_t rank = mlirShapedTypeGetRank(type), count = 1;
    if (rank > MAX_AXES) return NULL;
    const_tensor *t = arena_alloc(&e->memory, 1, sizeof *t);
    if (!t) return NULL;
    t->rank = (int)rank;
    for (int i = 0; i < t->rank; i++) {
        t->shape[i] = mlirShapedTypeGetDimSize(type, i);
        if (t->shape[i] > e->most) return NULL;
        count *= t->shape[i];
        if (count > e->most) return NULL;
    }
    e->budget -= count;
    if (e->budget < 0) return NULL;
    t->count = count;
    t->data = arena_alloc(&e->memory, (size_t)count, sizeof *t->data);
    return t->data ? t : NULL;
}

void constant_unravel(const const_tensor *t, int64_t i, int64_t index[MAX_AXES])
{
    for (int a = t->rank - 1; a >= 0; a--) {
        index[a] = i % t->shape[a];
        i /= t->shape[a];
    }
}

bool constant_fetch(const const_tensor *t, const int64_t *index, double *value)
{
    int64_t at = 0;
    for (int a = 0; a < t->rank; a++) {
        int64_t i = t->shape[a] == 1 ? 0 : index[a];
        if (i < 0 || i >= t->shape[a]) return false;
        at = at * t->shape[a] + i;
    }
    if (t->count == 0) return false;
    *value = t->data[at];
    return true;
}

// ---- scalars

static double truth(bool b) { return b ? 1 : 0; }

static bool apply(node_kind kind, const double *x, MlirType result, double *y)
{
    switch (kind) {
    case N_ADD: *y = x[0] + x[1]; return true;
    case N_SUB: *y = x[0] - x[1]; return true;
    case N_MUL: *y = x[0] * x[1]; return true;
    case N_DIV: *y = x[0] / x[1]; return true;
    case N_MAX: *y = fmax(x[0], x[1]); return true;
    case N_MIN: *y = fmin(x[0], x[1]); return true;
    case N_AND:
        *y = truth(x[0] != 0 && x[1] != 0);
        return mlirTypeIsAInteger(result) && mlirIntegerTypeGetWidth(result) == 1;
    case N_OR:
        *y = truth(x[0] != 0 || x[1] != 0);
        return mlirTypeIsAInteger(result) && mlirIntegerTypeGetWidth(result) == 1;
    case N_NOT: *y = truth(x[0] == 0); return true;
    case N_NEG: *y = -x[0]; return true;
    case N_ABS: *y = fabs(x[0]); return true;
    case N_SIN: *y = sin(x[0]); return true;
    case N_COS: *y = cos(x[0]); return true;
    case N_EXP: *y = exp(x[0]); return true;
    case N_SELECT: *y = x[0] != 0 ? x[1] : x[2]; return true;
    case N_NE: *y = truth(x[0] != x[1]); return mlirTypeIsAInteger(result) && mlirIntegerTypeGetWidth(result) == 1;
    case N_EQ: *y = truth(x[0] == x[1]); return true;
    case N_GT: *y = truth(x[0] > x[1]); return true;
    case N_GE: *y = truth(x[0] >= x[1]); return true;
    case N_LT: *y = truth(x[0] < x[1]); return true;
    case N_LE: *y = truth(x[0] <= x[1]); return true;
    case N_CAST:
        *y = x[0];
        if (mlirTypeIsAInteger(result) && mlirIntegerTypeGetWidth(result) == 1)
            *y = truth(x[0] != 0);
        else if (!float_bits_of(result))
            *y = trunc(x[0]);
        return float_bits_of(result) || fabs(x[0]) < 2147483648.0; // no wrapping
    default: return false;
    }
}

// Whether an integer type holds the result: arithmetic that wraps is not computed here.
static bool fits(MlirType t, double y)
{
    unsigned width = mlirTypeIsAInteger(t) ? mlirIntegerTypeGetWidth(t) : 64;
    return width == 1 || width > 53 || (y >= -ldexp(1, (int)width - 1) && y < ldexp(1, (int)width - 1));
}

// An op of its operands' values.
static bool apply_op(MlirOperation op, node_kind kind, double *x, MlirType result, double *y)
{
    if (op_is(op, "arith.uitofp") || op_is(op, "arith.extui")) { // of a number whose first bit is no sign
        MlirType from = element_type_of(mlirOperationGetOperand(op, 0));
        if (mlirTypeIsAInteger(from) && x[0] < 0) x[0] += ldexp(1, (int)mlirIntegerTypeGetWidth(from));
    }
    return apply(kind, x, result, y) && fits(result, *y);
}

// ---- constants in the graph

static bool element_at(MlirAttribute a, MlirType type, int64_t i, double *value)
{
    if (mlirTypeIsAF32(type))
        *value = (double)mlirDenseElementsAttrGetFloatValue(a, i);
    else if (mlirTypeIsAF64(type))
        *value = mlirDenseElementsAttrGetDoubleValue(a, i);
    else if (mlirTypeIsAIndex(type))
        *value = (double)mlirDenseElementsAttrGetIndexValue(a, i);
    else if (!mlirTypeIsAInteger(type))
        return false;
    else
        switch (mlirIntegerTypeGetWidth(type)) {
        case 1: *value = mlirDenseElementsAttrGetBoolValue(a, i); break;
        case 8: *value = mlirDenseElementsAttrGetInt8Value(a, i); break;
        case 32: *value = mlirDenseElementsAttrGetInt32Value(a, i); break;
        case 64: *value = (double)mlirDenseElementsAttrGetInt64Value(a, i); break;
        default: return false;
        }
    return true;
}

static bool element_of_bytes(MlirType type, const char *at, double *value)
{
    int bits = float_bits_of(type);
    int width = mlirTypeIsAIndex(type) ? 64 : mlirTypeIsAInteger(type) ? (int)mlirIntegerTypeGetWidth(type) : 0;
    uint16_t half;
    if (bits == 53) {
        memcpy(value, at, 8);
    } else if (bits == 24) {
        float single;
        memcpy(&single, at, 4);
        *value = (double)single;
    } else if (bits) {
        memcpy(&half, at, 2);
        *value = (double)(bits == 11 ? half_to_float(half) : bfloat_to_float(half));
    } else if (width == 64) {
        int64_t integer;
        memcpy(&integer, at, 8);
        *value = (double)integer;
    } else if (width == 32) {
        int32_t integer;
        memcpy(&integer, at, 4);
        *value = integer;
    } else if (width == 16) {
        int16_t integer;
        memcpy(&integer, at, 2);
        *value = integer;
    } else if (width > 1 && width <= 8) { // a byte each, whose other bits are anything
        unsigned char high = (unsigned char)((unsigned char)*at << (8 - width));
        *value = (signed char)high >> (8 - width);
    } else
        return false;
    return true;
}

// By their bytes: what lies in a resource, floats narrower than f32, integers of another width than MLIR gives.
static bool fill_bytes(MlirAttribute a, MlirType type, const_tensor *t)
{
    buffer bytes = {0};
    wf_error error;
    bool filled = constant_append(a, &bytes, &error) == WF_OK;
    view data = buffer_view(&bytes);
    size_t size = t->count ? data.len / (size_t)t->count : 0;
    for (int64_t i = 0; filled && i < t->count; i++)
        filled = element_of_bytes(type, data.data + size * (size_t)i, &t->data[i]);
    buffer_free(&bytes);
    return filled;
}

static bool fill_constant(MlirOperation op, const_tensor *t)
{
    MlirAttribute a = op_attribute(op, op_is(op, "tosa.const") ? "values" : "value");
    if (!a.ptr || !mlirTypeIsAShaped(mlirAttributeGetType(a))) return false;
    MlirType type = mlirShapedTypeGetElementType(mlirAttributeGetType(a));
    int bits = float_bits_of(type);
    int width = mlirTypeIsAInteger(type) ? (int)mlirIntegerTypeGetWidth(type) : 0;
    bool by_bytes = (bits && bits < 24) || (width > 1 && width < 8) || width == 16;
    if (mlirAttributeIsADenseResourceElements(a) || by_bytes) return fill_bytes(a, type, t);
    if (!mlirAttributeIsADenseElements(a)) return false;
    bool splat = mlirDenseElementsAttrIsSplat(a);
    if (mlirElementsAttrGetNumElements(a) != t->count) return false;
    for (int64_t i = 0; i < t->count; i++) {
        if (i && splat)
            t->data[i] = t->data[0];
        else if (!element_at(a, type, splat ? 0 : i, &t->data[i]))
            return false;
    }
    return true;
}

// ---- structured ops: every result element by the body

typedef struct body_point {
    evaluator *e;
    MlirOperation op;
    const int64_t *loops;
    const double *out; // the result so far, of a reduction
    int depth;
} body_point;

static bool eval_scalar(body_point *p, MlirValue v, double *value);

// The element of a tensor at computed indices.
static bool eval_extract(body_point *p, MlirOperation op, double *value)
{
    const const_tensor *t = evaluate(p->e, mlirOperationGetOperand(op, 0));
    int64_t index[MAX_AXES];
    if (!t || mlirOperationGetNumOperands(op) != t->rank + 1) return false;
    for (int a = 0; a < t->rank; a++) {
        double at;
        if (!eval_scalar(p, mlirOperationGetOperand(op, a + 1), &at) || !(at >= 0) || !(at < (double)t->shape[a]))
            return false;
        index[a] = (int64_t)at;
    }
    return constant_fetch(t, index, value);
}

static bool eval_scalar(body_point *p, MlirValue v, double *value)
{
    if (++p->depth > 64) return false;
    if (mlirValueIsABlockArgument(v)) {
        intptr_t i = mlirBlockArgumentGetArgNumber(v);
        if (!mlirOperationEqual(mlirBlockGetParentOperation(mlirBlockArgumentGetOwner(v)), p->op)) return false;
        if (i >= mlirOperationGetNumOperands(p->op) - mlirOperationGetNumResults(p->op)) {
            if (p->out) *value = *p->out;
            return p->out != NULL;
        }
        MlirValue operand = mlirOperationGetOperand(p->op, i);
        if (!mlirTypeIsARankedTensor(mlirValueGetType(operand))) return eval_scalar(p, operand, value);
        const const_tensor *t = evaluate(p->e, operand);
        MlirAffineMap map = indexing_map(p->op, i);
        if (!t || mlirAffineMapGetNumResults(map) != t->rank) return false;
        int64_t index[MAX_AXES];
        for (int a = 0; a < t->rank; a++) {
            MlirAffineExpr x = mlirAffineMapGetResult(map, a);
            if (mlirAffineExprIsADim(x))
                index[a] = p->loops[mlirAffineDimExprGetPosition(x)];
            else if (mlirAffineExprIsAConstant(x))
                index[a] = mlirAffineConstantExprGetValue(x);
            else
                return false;
        }
        return constant_fetch(t, index, value);
    }
    MlirOperation op = mlirOpResultGetOwner(v);
    if (op_is(op, "linalg.index")) {
        int64_t d = op_int(op, "dim", -1);
        if (d < 0 || d >= MAX_AXES) return false;
        *value = (double)p->loops[d];
        return true;
    }
    if (op_is(op, "tensor.extract")) return eval_extract(p, op, value);
    ref from = {.v = v};
    reader r = {0};
    node n = read_node(&r, &from);
    if (n.kind == N_CONST) {
        *value = n.value;
        return true;
    }
    double x[3];
    if (n.n_in < 1 || !mlirOperationEqual(n.op, op)) return false;
    for (int i = 0; i < n.n_in; i++)
        if (!eval_scalar(p, mlirOperationGetOperand(op, i), &x[i])) return false;
    return apply_op(op, n.kind, x, mlirValueGetType(v), value);
}

// Where in its tensor an op's tensor.extract takes the element for each of the loops, as an offset.
static bool fill_places(evaluator *e, MlirOperation op, MlirOperation extract, const_tensor *t)
{
    MlirValue from = mlirOperationGetOperand(extract, 0);
    for (int64_t i = 0; i < t->count; i++) {
        int64_t loops[MAX_AXES] = {0};
        body_point p = {e, op, loops, NULL, 0};
        constant_unravel(t, i, loops);
        t->data[i] = 0;
        for (int a = 0; a < rank_of(from); a++) {
            double at;
            p.depth = 0;
            if (!eval_scalar(&p, mlirOperationGetOperand(extract, a + 1), &at) || !(at >= 0) ||
                !(at < (double)dim_of(from, a)))
                return false;
            t->data[i] = t->data[i] * (double)dim_of(from, a) + at;
        }
    }
    return true;
}

const const_tensor *evaluate_places(evaluator *e, MlirOperation op)
{
    MlirBlock body;
    if (!is_structured(op, &body) || mlirOperationGetNumResults(op) != 1) return NULL;
    MlirOperation extract = defining_op(mlirOperationGetOperand(mlirBlockGetTerminator(body), 0));
    if (!op_is(extract, "tensor.extract") || !mlirBlockEqual(mlirOperationGetBlock(extract), body) ||
        !mlirAffineMapIsIdentity(indexing_map(op, mlirOperationGetNumOperands(op) - 1)))
        return NULL;
    const_tensor *t = make_tensor(e, mlirValueGetType(mlirOperationGetResult(op, 0)));
    return t && fill_places(e, op, extract, t) ? t : NULL;
}

// A structured op of one input with loops that its result does not show.
static bool fill_reduced(evaluator *e, MlirOperation op, MlirBlock body, const_tensor *t)
{
    if (mlirOperationGetNumResults(op) != 1 || mlirOperationGetNumOperands(op) < 2) return false;
    const const_tensor *in = evaluate(e, mlirOperationGetOperand(op, 0));
    const const_tensor *init = evaluate(e, mlirOperationGetOperand(op, mlirOperationGetNumOperands(op) - 1));
    MlirAffineMap out = indexing_map(op, mlirOperationGetNumOperands(op) - 1);
    if (!in || !init || init->count != t->count || !mlirAffineMapIsIdentity(indexing_map(op, 0))) return false;
    memcpy(t->data, init->data, (size_t)t->count * sizeof *t->data);
    for (int64_t i = 0; i < in->count; i++) {
        int64_t loops[MAX_AXES] = {0}, at = 0;
        constant_unravel(in, i, loops);
        for (int a = 0; a < t->rank; a++) {
            MlirAffineExpr x = mlirAffineMapGetResult(out, a);
            if (!mlirAffineExprIsADim(x)) return false;
            at = at * t->shape[a] + loops[mlirAffineDimExprGetPosition(x)];
        }
        body_point p = {e, op, loops, &t->data[at], 0};
        double next;
        if (at >= t->count || !eval_scalar(&p, mlirOperationGetOperand(mlirBlockGetTerminator(body), 0), &next))
            return false;
        t->data[at] = next;
    }
    return true;
}

static bool fill_structured(evaluator *e, MlirValue v, MlirOperation op, MlirBlock body, const_tensor *t)
{
    intptr_t result = mlirOpResultGetResultNumber(v), n_results = mlirOperationGetNumResults(op);
    MlirAffineMap out = indexing_map(op, mlirOperationGetNumOperands(op) - n_results + result);
    if (mlirAffineMapGetNumDims(out) > MAX_AXES) return false;
    if (!mlirAffineMapIsIdentity(out)) return fill_reduced(e, op, body, t);
    MlirValue yielded = mlirOperationGetOperand(mlirBlockGetTerminator(body), result);
    for (int64_t i = 0; i < t->count; i++) {
        int64_t loops[MAX_AXES] = {0};
        constant_unravel(t, i, loops);
        body_point p = {e, op, loops, NULL, 0};
        if (!eval_scalar(&p, yielded, &t->data[i])) return false;
    }
    return true;
}

// ---- TOSA

static bool fill_elementwise(evaluator *e, const node *n, MlirType element, const_tensor *t)
{
    const const_tensor *in[3];
    for (int k = 0; k < n->n_in; k++) {
        in[k] = evaluate(e, mlirOperationGetOperand(n->op, k));
        if (!in[k] || in[k]->rank != t->rank) return false;
    }
    for (int64_t i = 0; i < t->count; i++) {
        int64_t index[MAX_AXES];
        double x[3];
        constant_unravel(t, i, index);
        for (int k = 0; k < n->n_in; k++)
            if (!constant_fetch(in[k], index, &x[k])) return false;
        if (!apply_op(n->op, n->kind, x, element, &t->data[i])) return false;
    }
    return true;
}

static bool fill_reduction(evaluator *e, MlirOperation op, const_tensor *t)
{
    const const_tensor *in = evaluate(e, mlirOperationGetOperand(op, 0));
    int64_t axis = op_int(op, "axis", -1);
    bool sum = op_is(op, "tosa.reduce_sum");
    if (!in || in->rank != t->rank || axis < 0 || axis >= t->rank) return false;
    for (int64_t i = 0; i < t->count; i++) {
        int64_t index[MAX_AXES];
        constant_unravel(t, i, index);
        double value = sum ? 0 : 1, x;
        for (index[axis] = 0; index[axis] < in->shape[axis]; index[axis]++) {
            if (!constant_fetch(in, index, &x)) return false;
            value = sum ? value + x : truth(value != 0 && x != 0);
        }
        t->data[i] = value;
    }
    return true;
}

// ---- the entry

static bool fill(evaluator *e, MlirValue v, MlirOperation op, const_tensor *t)
{
    int perm[MAX_AXES];
    MlirBlock body;
    if (op_is(op, "tosa.const") || op_is(op, "arith.constant")) return fill_constant(op, t);
    MlirValue input = reshape_input(v);
    if (input.ptr || op_is(op, "tosa.identity") || op_is(op, "tensor.cast")) {
        const const_tensor *in = evaluate(e, mlirOperationGetOperand(op, 0));
        if (!in || in->count != t->count) return false;
        memcpy(t->data, in->data, (size_t)t->count * sizeof *t->data);
        return true;
    }
    input = transpose_input(v, perm);
    if (input.ptr) {
        const const_tensor *in = evaluate(e, input);
        return in && constant_fill_transposed(in, perm, t);
    }
    if (op_is(op, "tosa.slice") || op_is(op, "tosa.pad") || op_is(op, "tosa.tile")) {
        const const_tensor *in = evaluate(e, mlirOperationGetOperand(op, 0));
        return in && in->count > 0 && constant_fill_moved(e, op, in, t);
    }
    if (op_is(op, "tensor.extract_slice")) {
        const const_tensor *in = evaluate(e, mlirOperationGetOperand(op, 0));
        return in && constant_fill_window(op, NULL, in, t);
    }
    if (op_is(op, "tensor.insert_slice")) return constant_fill_insertion(e, op, t);
    if (op_is(op, "tensor.pad")) return constant_fill_padded(e, op, t);
    if (op_is(op, "tensor.empty")) return true; // any number will do: that it is 0 is as good as another
    if (op_is(op, "tosa.concat")) return constant_fill_concat(e, op, t);
    if (op_is(op, "tosa.gather")) return constant_fill_gather(e, op, t);
    if (op_is(op, "tosa.reduce_sum") || op_is(op, "tosa.reduce_all")) return fill_reduction(e, op, t);
    if (is_structured(op, &body)) return fill_structured(e, v, op, body, t);
    ref from;
    reader r = {0};
    if (!root_ref(v, &from)) return false;
    node n = read_node(&r, &from);
    if (!mlirOperationEqual(n.op, op) || n.n_in < 1) return false;
    return fill_elementwise(e, &n, element_type_of(v), t);
}

const const_tensor *evaluate(evaluator *e, MlirValue v)
{
    for (struct evaluated *known = e->first; known; known = known->next)
        if (mlirValueEqual(known->v, v)) return known->value;
    if (e->depth >= MAX_DEPTH || !mlirValueIsAOpResult(v)) return NULL;
    struct evaluated *entry = arena_alloc(&e->memory, 1, sizeof *entry);
    if (!entry) return NULL;
    e->depth++;
    const_tensor *t = make_tensor(e, mlirValueGetType(v));
    bool good = t && fill(e, v, mlirOpResultGetOwner(v), t);
    e->depth--;
    *entry = (struct evaluated){v, good ? t : NULL, e->first};
    e->first = entry;
    return entry->value;
}
