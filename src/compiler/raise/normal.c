#include "compiler/raise/normal.h"
#include "compiler/raise/steps.h"

#include <math.h>
#include <string.h>

#include <mlir-c/AffineExpr.h>
#include <mlir-c/AffineMap.h>
#include <mlir-c/Dialect/Linalg.h>

#include "base/half.h"

typedef struct primitive {
    const char *op;
    node_kind kind;
    int n_in;
} primitive;

static const primitive PRIMITIVES[] = {
    {"tosa.add", N_ADD, 2},          {"arith.addf", N_ADD, 2},        {"tosa.sub", N_SUB, 2},
    {"arith.subf", N_SUB, 2},        {"tosa.mul", N_MUL, 2},          {"arith.mulf", N_MUL, 2},
    {"arith.divf", N_DIV, 2},        {"tosa.pow", N_POW, 2},          {"math.powf", N_POW, 2},
    {"math.fpowi", N_POW, 2},        {"tosa.maximum", N_MAX, 2},      {"arith.maximumf", N_MAX, 2},
    {"arith.maxnumf", N_MAX, 2},     {"tosa.minimum", N_MIN, 2},      {"arith.minimumf", N_MIN, 2},
    {"arith.minnumf", N_MIN, 2},     {"arith.andi", N_AND, 2},        {"tosa.logical_and", N_AND, 2},
    {"tosa.bitwise_and", N_AND, 2},  {"arith.ori", N_OR, 2},          {"tosa.logical_or", N_OR, 2},
    {"tosa.negate", N_NEG, 1},       {"arith.negf", N_NEG, 1},        {"tosa.abs", N_ABS, 1},
    {"math.absf", N_ABS, 1},         {"math.sqrt", N_SQRT, 1},        {"tosa.rsqrt", N_RSQRT, 1},
    {"math.rsqrt", N_RSQRT, 1},      {"tosa.reciprocal", N_RECIP, 1}, {"tosa.exp", N_EXP, 1},
    {"math.exp", N_EXP, 1},          {"tosa.sigmoid", N_SIGMOID, 1},  {"tosa.sin", N_SIN, 1},
    {"math.sin", N_SIN, 1},          {"tosa.cos", N_COS, 1},          {"math.cos", N_COS, 1},
    {"tosa.tanh", N_TANH, 1},        {"math.tanh", N_TANH, 1},        {"tosa.logical_not", N_NOT, 1},
    {"tosa.cast", N_CAST, 1},        {"arith.extf", N_CAST, 1},       {"arith.truncf", N_CAST, 1},
    {"arith.sitofp", N_CAST, 1},     {"arith.uitofp", N_CAST, 1},     {"arith.fptosi", N_CAST, 1},
    {"arith.extsi", N_CAST, 1},      {"arith.extui", N_CAST, 1},      {"arith.trunci", N_CAST, 1},
    {"arith.index_cast", N_CAST, 1}, {"tosa.select", N_SELECT, 3},    {"arith.select", N_SELECT, 3},
    {"tosa.equal", N_EQ, 2},         {"tosa.greater", N_GT, 2},       {"tosa.greater_equal", N_GE, 2},
    {"arith.subi", N_SUB, 2},        {"arith.addi", N_ADD, 2},        {"arith.muli", N_MUL, 2},
};

// Values of the predicate attributes of arith (ArithBase.td).
node_kind step_compare_kind(MlirOperation op)
{
    int64_t p = op_int(op, "predicate", -1);
    if (op_is(op, "arith.cmpf")) {
        switch (p) {
        case 1:
        case 8: return N_EQ; // oeq, ueq
        case 2:
        case 9: return N_GT; // ogt, ugt
        case 3:
        case 10: return N_GE;
        case 4:
        case 11: return N_LT;
        case 5:
        case 12: return N_LE;
        default: return N_LEAF;
        }
    }
    switch (p) { // of the unsigned ones none: indices are compared as signed
    case 0: return N_EQ;
    case 2: return N_LT;
    case 3: return N_LE;
    case 4: return N_GT;
    case 5: return N_GE;
    default: return N_LEAF;
    }
}

int float_bits_of(MlirType t)
{
    if (mlirTypeIsABF16(t)) return 8;
    if (mlirTypeIsAF16(t)) return 11;
    if (mlirTypeIsAF32(t)) return 24;
    if (mlirTypeIsAF64(t)) return 53;
    return 0;
}

// ---- structured ops

bool is_structured(MlirOperation op, MlirBlock *body)
{
    if (!op.ptr || !op_name_starts_with(op, "linalg.") || mlirOperationGetNumRegions(op) != 1) return false;
    intptr_t n_results = mlirOperationGetNumResults(op), n_operands = mlirOperationGetNumOperands(op);
    if (n_results < 1 || n_operands < n_results) return false;
    MlirBlock block = mlirRegionGetFirstBlock(mlirOperationGetRegion(op, 0));
    if (mlirBlockIsNull(block) || !op_is(mlirBlockGetTerminator(block), "linalg.yield")) return false;
    MlirAttribute maps = mlirLinalgGetIndexingMapsAttribute(op);
    if (mlirAttributeIsNull(maps) || !mlirAttributeIsAArray(maps) || mlirArrayAttrGetNumElements(maps) != n_operands)
        return false;
    if (body) *body = block;
    return true;
}

MlirAffineMap indexing_map(MlirOperation op, intptr_t operand)
{
    return mlirAffineMapAttrGetValue(mlirArrayAttrGetElement(mlirLinalgGetIndexingMapsAttribute(op), operand));
}

// The structured op in whose body a block lies directly; null op when there is none.
static MlirOperation body_owner(MlirBlock block)
{
    MlirOperation parent = mlirBlockGetParentOperation(block);
    return parent.ptr && is_structured(parent, NULL) ? parent : (MlirOperation){0};
}

bool step_is_tensor(MlirValue v) { return mlirTypeIsARankedTensor(mlirValueGetType(v)); }

// A dimension of size 1 has one index, unless a reduction runs over it.
void step_set_axis(ref *r, int i, signed char axis)
{
    bool one = step_is_tensor(r->v) && dim_of(r->v, i) == 1;
    r->axis[i] = one && axis < AXIS_BOUND ? AXIS_ZERO : axis;
}

bool step_start_ref(ref *r, MlirValue v)
{
    *r = (ref){.v = v};
    if (!step_is_tensor(v)) return true;
    r->n = rank_of(v);
    return r->n <= MAX_AXES;
}

// The tensor behind a block argument of a structured op, indexed as the body sees it.
bool step_enter_argument(const ref *from, MlirOperation op, ref *to)
{
    intptr_t i = mlirBlockArgumentGetArgNumber(from->v);
    if (i >= mlirOperationGetNumOperands(op) - mlirOperationGetNumResults(op)) return false; // an output's old value
    if (!step_start_ref(to, mlirOperationGetOperand(op, i))) return false;
    if (!step_is_tensor(to->v)) return true;
    MlirAffineMap map = indexing_map(op, i);
    if (mlirAffineMapGetNumResults(map) != to->n || mlirAffineMapGetNumDims(map) > from->n) return false;
    for (int j = 0; j < to->n; j++) {
        MlirAffineExpr e = mlirAffineMapGetResult(map, j);
        if (mlirAffineExprIsADim(e))
            step_set_axis(to, j, from->axis[mlirAffineDimExprGetPosition(e)]);
        else if (mlirAffineExprIsAConstant(e) && dim_of(to->v, j) == 1)
            to->axis[j] = AXIS_ZERO;
        else
            return false;
    }
    return true;
}

// The value that a structured op yields for `from`, indexed by its loops; *reduced says which loops no axis of the
// result drives: they are reductions.
bool step_enter_body(const ref *from, MlirOperation op, MlirBlock body, ref *to, bool reduced[MAX_AXES])
{
    intptr_t result = mlirOpResultGetResultNumber(from->v);
    intptr_t n_results = mlirOperationGetNumResults(op), n_inputs = mlirOperationGetNumOperands(op) - n_results;
    MlirAffineMap map = indexing_map(op, n_inputs + result);
    intptr_t loops = mlirAffineMapGetNumDims(map);
    if (loops > MAX_AXES || mlirAffineMapGetNumResults(map) != from->n) return false;
    MlirOperation yield = mlirBlockGetTerminator(body);
    if (mlirOperationGetNumOperands(yield) != n_results) return false;
    *to = (ref){.v = mlirOperationGetOperand(yield, result), .n = (int)loops};
    for (int d = 0; d < loops; d++) reduced[d] = true;
    for (int j = 0; j < from->n; j++) {
        MlirAffineExpr e = mlirAffineMapGetResult(map, j);
        if (mlirAffineExprIsADim(e)) {
            intptr_t d = mlirAffineDimExprGetPosition(e);
            to->axis[d] = from->axis[j];
            reduced[d] = false;
        } else if (!mlirAffineExprIsAConstant(e)) {
            return false;
        }
    }
    return true;
}

// ---- reshapes and transpositions

MlirValue reshape_input(MlirValue v)
{
    static const char *const names[] = {"tosa.reshape", "tensor.expand_shape", "tensor.collapse_shape",
                                        "tensor.reshape"};
    MlirOperation op = defining_op(v);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (op_is(op, names[i]) && step_is_tensor(mlirOperationGetOperand(op, 0)))
            return mlirOperationGetOperand(op, 0);
    return (MlirValue){0};
}

MlirValue transpose_input(MlirValue v, int perm[MAX_AXES])
{
    MlirOperation op = defining_op(v);
    MlirBlock body;
    if (!op.ptr || !step_is_tensor(v) || rank_of(v) > MAX_AXES) return (MlirValue){0};
    int rank = rank_of(v);
    if (op_is(op, "tosa.transpose")) {
        MlirAttribute perms = op_attribute(op, "perms");
        MlirValue input = mlirOperationGetOperand(op, 0);
        if (!perms.ptr || !mlirAttributeIsADenseI32Array(perms) || mlirDenseArrayGetNumElements(perms) != rank ||
            !step_is_tensor(input) || rank_of(input) != rank)
            return (MlirValue){0};
        for (int i = 0; i < rank; i++) {
            perm[i] = mlirDenseI32ArrayGetElement(perms, i);
            if (perm[i] < 0 || perm[i] >= rank) return (MlirValue){0};
        }
        return input;
    }
    // linalg.transpose, or a generic op that only moves one tensor
    if (!is_structured(op, &body) || mlirOperationGetNumOperands(op) != 2 || mlirOperationGetNumResults(op) != 1)
        return (MlirValue){0};
    MlirValue yielded = mlirOperationGetOperand(mlirBlockGetTerminator(body), 0);
    if (!mlirValueEqual(yielded, mlirBlockGetArgument(body, 0))) return (MlirValue){0};
    MlirAffineMap in = indexing_map(op, 0), out = indexing_map(op, 1);
    MlirValue input = mlirOperationGetOperand(op, 0);
    if (!mlirAffineMapIsPermutation(in) || !mlirAffineMapIsPermutation(out) || !step_is_tensor(input))
        return (MlirValue){0};
    for (int i = 0; i < rank; i++)
        for (int j = 0; j < rank; j++)
            if (mlirAffineExprEqual(mlirAffineMapGetResult(out, i), mlirAffineMapGetResult(in, j))) perm[i] = j;
    return input;
}

// Axes of a reshape's input, when the reshape only adds and drops dimensions of size 1.
bool step_enter_reshape(const ref *from, MlirValue input, ref *to)
{
    if (!step_start_ref(to, input)) return false;
    int dynamic = 0, j = 0;
    for (int i = 0; i < to->n; i++) {
        int64_t size = dim_of(input, i);
        dynamic += size < 0;
        if (size == 1) {
            to->axis[i] = AXIS_ZERO;
            continue;
        }
        while (j < from->n && dim_of(from->v, j) == 1) j++;
        if (j == from->n || dim_of(from->v, j) != size) return false;
        to->axis[i] = from->axis[j++];
    }
    while (j < from->n && dim_of(from->v, j) == 1) j++;
    // with two unknown sizes a general reshape may exchange them; expand and collapse keep the order
    bool ordered = op_name_starts_with(defining_op(from->v), "tensor.expand") ||
                   op_name_starts_with(defining_op(from->v), "tensor.collapse");
    return j == from->n && (dynamic < 2 || ordered);
}

int read_integers(MlirValue v, int64_t out[], int max)
{
    MlirOperation op = defining_op(v);
    MlirAttribute a = {0};
    if (op_is(op, "tosa.const_shape") || op_is(op, "tosa.const"))
        a = op_attribute(op, "values");
    else if (op_is(op, "arith.constant"))
        a = op_attribute(op, "value");
    if (!a.ptr || !mlirAttributeIsADenseElements(a)) return -1;
    MlirType element = mlirShapedTypeGetElementType(mlirAttributeGetType(a));
    int64_t n = mlirElementsAttrGetNumElements(a);
    if (n > max) return -1;
    bool index = mlirTypeIsAIndex(element);
    int width = mlirTypeIsAInteger(element) ? (int)mlirIntegerTypeGetWidth(element) : 0;
    for (int64_t i = 0; i < n; i++) {
        if (index)
            out[i] = (int64_t)mlirDenseElementsAttrGetIndexValue(a, i);
        else if (width == 64)
            out[i] = mlirDenseElementsAttrGetInt64Value(a, i);
        else if (width == 32)
            out[i] = mlirDenseElementsAttrGetInt32Value(a, i);
        else
            return -1;
    }
    return (int)n;
}

// ---- reading

static bool splat_value(MlirAttribute a, double *value)
{
    if (!a.ptr) return false;
    if (mlirAttributeIsADenseElements(a)) {
        if (!mlirDenseElementsAttrIsSplat(a)) return false;
        a = mlirDenseElementsAttrGetSplatValue(a);
    }
    if (mlirAttributeIsAFloat(a))
        *value = mlirFloatAttrGetValueDouble(a);
    else if (mlirAttributeIsAInteger(a)) {
        MlirType t = mlirAttributeGetType(a);
        if (mlirTypeIsAInteger(t) && mlirIntegerTypeGetWidth(t) > 64) return false;
        *value = (double)mlirIntegerAttrGetValueInt(a);
        if (mlirTypeIsAInteger(t) && mlirIntegerTypeGetWidth(t) == 1) *value = *value != 0;
    } else
        return false;
    return true;
}

// Operands that are as `self` is, but for dimensions of size 1 that TOSA broadcasts.
static bool read_operands(node *n, int n_in)
{
    if (mlirOperationGetNumOperands(n->op) < n_in) return false;
    for (int i = 0; i < n_in; i++) {
        ref *in = &n->in[i];
        if (!step_start_ref(in, mlirOperationGetOperand(n->op, i))) return false;
        if (!step_is_tensor(in->v)) { // a scalar: of the same body, or from outside, where axes mean nothing
            in->n = n->self.n;
            memcpy(in->axis, n->self.axis, sizeof in->axis);
            continue;
        }
        if (!step_is_tensor(n->self.v) || in->n != n->self.n) return false;
        for (int j = 0; j < in->n; j++) {
            bool broadcast = dim_of(in->v, j) == 1 && dim_of(n->self.v, j) != 1;
            step_set_axis(in, j, broadcast ? AXIS_ZERO : n->self.axis[j]);
        }
    }
    n->n_in = n_in;
    return true;
}

static node make_leaf(node n)
{
    n.kind = N_LEAF;
    n.n_in = 0;
    return n;
}

bool step_index_value(MlirValue v, int64_t *value)
{
    double number;
    MlirOperation op = defining_op(v);
    if (!op_is(op, "arith.constant") || !splat_value(op_attribute(op, "value"), &number)) return false;
    *value = (int64_t)number;
    return true;
}

static node read_size(node n)
{
    int64_t index;
    if (!step_index_value(mlirOperationGetOperand(n.op, 1), &index) || index < 0 || index >= MAX_AXES)
        return make_leaf(n);
    n.kind = N_SIZE;
    n.dim = (int)index;
    n.n_in = 1;
    return step_start_ref(&n.in[0], mlirOperationGetOperand(n.op, 0)) ? n : make_leaf(n);
}

// An op whose operands have the shape of its result, or a scalar op.
static node read_elementwise(node n)
{
    for (size_t i = 0; i < sizeof PRIMITIVES / sizeof *PRIMITIVES; i++)
        if (op_is(n.op, PRIMITIVES[i].op)) {
            n.kind = PRIMITIVES[i].kind;
            return read_operands(&n, PRIMITIVES[i].n_in) ? n : make_leaf(n);
        }
    if (op_is(n.op, "arith.cmpf") || op_is(n.op, "arith.cmpi")) {
        n.kind = step_compare_kind(n.op);
        return n.kind != N_LEAF && read_operands(&n, 2) ? n : make_leaf(n);
    }
    if (op_is(n.op, "arith.constant") || op_is(n.op, "tosa.const")) {
        bool splat = splat_value(op_attribute(n.op, op_is(n.op, "tosa.const") ? "values" : "value"), &n.value);
        n.kind = splat ? N_CONST : N_LEAF;
        return n;
    }
    if (op_is(n.op, "tosa.clamp")) {
        MlirAttribute low = op_attribute(n.op, "min_val"), high = op_attribute(n.op, "max_val");
        n.kind = N_CLAMP;
        bool open = low.ptr && high.ptr && mlirAttributeIsAFloat(low) && mlirAttributeIsAFloat(high) &&
                    mlirFloatAttrGetValueDouble(high) >= 65504; // what no f16 exceeds
        if (!open || !read_operands(&n, 1)) return make_leaf(n);
        if (mlirFloatAttrGetValueDouble(high) < 3.3e38 && float_bits_of(element_type_of(n.self.v)) != 11)
            return make_leaf(n);
        n.value = mlirFloatAttrGetValueDouble(low);
        return n;
    }
    if (op_is(n.op, "tensor.dim")) return read_size(n);
    if (op_is(n.op, "linalg.index")) {
        int64_t d = op_int(n.op, "dim", -1);
        if (d < 0 || d >= n.self.n) return make_leaf(n);
        n.kind = N_INDEX;
        n.self.axis[0] = n.self.axis[d];
        n.self.n = 1;
        return n;
    }
    return make_leaf(n);
}

static bool is_init(reader *r, MlirValue init, double lo, double hi)
{
    ref from;
    constant c;
    return step_start_ref(&from, init) && read_constant(r, &from, &c) && c.value >= lo && c.value <= hi;
}

// A structured op with loops that its result does not show: combiner(value, out), from a neutral start.
static node read_reduction(reader *r, node n, const ref *yielded, const bool reduced[MAX_AXES], MlirBlock body)
{
    MlirOperation combiner = defining_op(yielded->v);
    intptr_t result = mlirOpResultGetResultNumber(n.self.v);
    intptr_t first_out = mlirOperationGetNumOperands(n.op) - mlirOperationGetNumResults(n.op);
    if (!combiner.ptr || mlirOperationGetNumOperands(combiner) != 2 ||
        mlirBlockGetNumArguments(body) <= first_out + result)
        return make_leaf(n);
    MlirValue out = mlirBlockGetArgument(body, first_out + result),
              init = mlirOperationGetOperand(n.op, first_out + result);
    MlirValue a = mlirOperationGetOperand(combiner, 0), b = mlirOperationGetOperand(combiner, 1);
    if (mlirValueEqual(a, out) == mlirValueEqual(b, out)) return make_leaf(n);
    if (op_is(combiner, "arith.addf") && is_init(r, init, 0, 0))
        n.kind = N_SUM;
    else if ((op_is(combiner, "arith.maximumf") || op_is(combiner, "arith.maxnumf")) &&
             is_init(r, init, -INFINITY, -3e38))
        n.kind = N_REDUCE_MAX;
    else if (op_is(combiner, "arith.andi") && is_init(r, init, 1, 1))
        n.kind = N_REDUCE_AND;
    else
        return make_leaf(n);
    n.n_in = 1;
    n.in[0] = *yielded;
    n.in[0].v = mlirValueEqual(a, out) ? b : a;
    n.bound = r->n_bound;
    for (int d = 0; d < yielded->n; d++)
        if (reduced[d]) n.in[0].axis[d] = (signed char)(AXIS_BOUND + r->n_bound++);
    n.n_bound = r->n_bound - n.bound;
    return r->n_bound < MAX_BOUND ? n : make_leaf(n);
}

static node read_tosa_reduction(reader *r, node n)
{
    n.kind = op_is(n.op, "tosa.reduce_sum") ? N_SUM : op_is(n.op, "tosa.reduce_max") ? N_REDUCE_MAX : N_REDUCE_AND;
    int64_t axis = op_int(n.op, "axis", -1);
    if (!read_operands(&n, 1) || axis < 0 || axis >= n.self.n || r->n_bound + 1 >= MAX_BOUND) return make_leaf(n);
    n.bound = r->n_bound++;
    n.n_bound = 1;
    n.in[0].axis[axis] = (signed char)(AXIS_BOUND + n.bound);
    return n;
}

// Ops that only move elements, as far as axes can say it: true with the input as the body sees it.
static bool enter_movement(reader *r, const ref *from, MlirOperation op, ref *to)
{
    int perm[MAX_AXES];
    MlirValue input = reshape_input(from->v);
    if (input.ptr) return step_enter_reshape(from, input, to);
    input = transpose_input(from->v, perm);
    if (input.ptr) {
        if (!step_start_ref(to, input)) return false;
        for (int i = 0; i < from->n; i++) step_set_axis(to, perm[i], from->axis[i]);
        return true;
    }
    input = step_unless_broadcast(r, from, op);
    if (input.ptr) {
        if (!step_start_ref(to, input) || to->n != from->n) return false;
        for (int i = 0; i < to->n; i++) step_set_axis(to, i, from->axis[i]);
        return true;
    }
    bool tile = op_is(op, "tosa.tile"), splat = op_is(op, "tensor.splat");
    if (!tile && !splat && !op_is(op, "tensor.cast") && !op_is(op, "tosa.identity")) return false;
    if (!step_start_ref(to, mlirOperationGetOperand(op, 0))) return false;
    if (splat) return mlirOperationGetNumOperands(op) == 1;
    if (!step_is_tensor(to->v) || to->n != from->n) return false;
    for (int i = 0; i < to->n; i++) {
        int64_t size = dim_of(to->v, i);
        if (tile && size != 1 && (size < 0 || size != dim_of(from->v, i))) return false; // repeats a dimension
        step_set_axis(to, i, from->axis[i]);
    }
    return true;
}

node read_node(reader *r, const ref *from)
{
    enum { MAX_STEPS = 256 };
    node n = {.kind = N_LEAF, .self = *from};
    for (int step = 0; step < MAX_STEPS; step++) {
        ref next;
        MlirBlock body;
        bool reduced[MAX_AXES];
        if (step_is_tensor(n.self.v)) n.tensor = n.self;
        if (!n.first.v.ptr) n.first = n.tensor;
        if (mlirValueIsABlockArgument(n.self.v)) {
            MlirOperation owner = body_owner(mlirBlockArgumentGetOwner(n.self.v));
            if (!owner.ptr || !step_enter_argument(&n.self, owner, &next)) return make_leaf(n);
            n.self = next;
            continue;
        }
        n.op = mlirOpResultGetOwner(n.self.v);
        if (step_enter_extract(&n.self, n.op, &next)) {
            n.self = next;
            continue;
        }
        if (!step_is_tensor(n.self.v)) return read_elementwise(n);
        if (op_is(n.op, "tosa.reduce_sum") || op_is(n.op, "tosa.reduce_max") || op_is(n.op, "tosa.reduce_all"))
            return read_tosa_reduction(r, n);
        if (enter_movement(r, &n.self, n.op, &next)) {
            n.self = next;
            continue;
        }
        if (!is_structured(n.op, &body)) return read_elementwise(n);
        if (!step_enter_body(&n.self, n.op, body, &next, reduced)) return make_leaf(n);
        for (int d = 0; d < next.n; d++)
            if (reduced[d]) return read_reduction(r, n, &next, reduced, body);
        n.self = next;
    }
    return make_leaf(n);
}

static node read_through_casts(reader *r, const ref *from, bool narrowing)
{
    enum { MAX_CASTS = 16 };
    node n = read_node(r, from);
    for (int step = 0; n.kind == N_CAST && step < MAX_CASTS; step++) {
        int out = float_bits_of(element_type_of(n.self.v)), in = float_bits_of(element_type_of(n.in[0].v));
        bool same_range = out >= in && !(out == 11 && in == 8); // f16 does not hold every bf16
        if (!in || !out || (!narrowing && !same_range)) break;
        ref tensor = n.tensor, first = n.first;
        n = read_node(r, &n.in[0]);
        if (!n.tensor.v.ptr) n.tensor = tensor;
        if (first.v.ptr) n.first = first;
    }
    return n;
}

node read_unwidened(reader *r, const ref *from) { return read_through_casts(r, from, false); }
node read_uncast(reader *r, const ref *from) { return read_through_casts(r, from, true); }

static double round_to(double value, int bits)
{
    if (bits == 24) return (double)(float)value;
    if (bits == 11) return (double)half_to_float(half_from_float((float)value));
    if (bits == 8) return (double)bfloat_to_float(bfloat_from_float((float)value));
    return value;
}

bool read_constant(reader *r, const ref *from, constant *c)
{
    enum { MAX_CASTS = 16 };
    int casts[MAX_CASTS], n_casts = 0;
    node n = read_node(r, from);
    for (; n.kind == N_CAST; n = read_node(r, &n.in[0])) {
        int bits = float_bits_of(element_type_of(n.self.v));
        if (!bits || n_casts == MAX_CASTS) return false;
        casts[n_casts++] = bits;
    }
    if (n.kind != N_CONST) return false;
    int bits = float_bits_of(element_type_of(n.self.v));
    *c = (constant){n.value, bits ? bits : 53};
    while (n_casts > 0) { // innermost first
        bits = casts[--n_casts];
        c->value = round_to(c->value, bits);
        if (bits < c->bits) c->bits = bits;
    }
    return true;
}

bool read_negated(reader *r, const node *n, ref *x)
{
    constant c;
    if (n->kind == N_NEG) {
        *x = n->in[0];
        return true;
    }
    if (n->kind == N_SUB && read_constant(r, &n->in[0], &c) && c.value == 0) {
        *x = n->in[1];
        return true;
    }
    for (int i = 0; i < 2 && n->kind == N_MUL; i++)
        if (read_constant(r, &n->in[i], &c) && c.value == -1) {
            *x = n->in[1 - i];
            return true;
        }
    return false;
}

bool read_lower_bound(reader *r, const node *n, ref *x, double *bound)
{
    constant c;
    if (n->kind == N_CLAMP) {
        *x = n->in[0];
        *bound = n->value;
        return true;
    }
    if (n->kind == N_MAX) {
        int i = read_constant(r, &n->in[1], &c) ? 1 : read_constant(r, &n->in[0], &c) ? 0 : -1;
        if (i < 0) return false;
        *x = n->in[1 - i];
        *bound = c.value;
        return true;
    }
    if (n->kind != N_SELECT) return false;
    // x < c ? c : x, or x > c ? x : c
    node test = read_node(r, &n->in[0]);
    bool less = test.kind == N_LT || test.kind == N_LE, greater = test.kind == N_GT || test.kind == N_GE;
    constant limit;
    if ((!less && !greater) || !read_constant(r, &test.in[1], &limit) || !read_constant(r, &n->in[less ? 1 : 2], &c) ||
        c.value != limit.value)
        return false;
    *x = n->in[less ? 2 : 1];
    *bound = c.value;
    return same_value(r, x, &test.in[0]);
}

bool same_ref(const ref *a, const ref *b)
{
    if (!mlirValueEqual(a->v, b->v)) return false;
    if (!step_is_tensor(a->v) && defining_op(a->v).ptr && !body_owner(mlirOperationGetBlock(defining_op(a->v))).ptr)
        return true;
    return a->n == b->n && !memcmp(a->axis, b->axis, (size_t)a->n);
}

bool same_value(reader *r, const ref *a, const ref *b)
{
    node x = read_unwidened(r, a), y = read_unwidened(r, b);
    return same_ref(&x.self, &y.self);
}

// ---- roots

bool root_ref(MlirValue v, ref *r)
{
    if (step_is_tensor(v)) {
        if (!step_start_ref(r, v)) return false;
        for (int i = 0; i < r->n; i++) step_set_axis(r, i, (signed char)i);
        return true;
    }
    MlirOperation op = defining_op(v);
    MlirOperation owner = op.ptr ? body_owner(mlirOperationGetBlock(op)) : (MlirOperation){0};
    if (!owner.ptr || mlirOperationGetNumResults(owner) != 1) return false;
    MlirAffineMap out = indexing_map(owner, mlirOperationGetNumOperands(owner) - 1);
    if (!mlirAffineMapIsIdentity(out) || mlirAffineMapGetNumDims(out) > MAX_AXES) return false;
    MlirValue tensor = mlirOperationGetResult(owner, 0);
    *r = (ref){.v = v, .n = rank_of(tensor)};
    for (int i = 0; i < r->n; i++) r->axis[i] = dim_of(tensor, i) == 1 ? AXIS_ZERO : (signed char)i;
    return true;
}

MlirValue root_tensor(const ref *root)
{
    if (step_is_tensor(root->v)) return root->v;
    return mlirOperationGetResult(mlirBlockGetParentOperation(mlirOperationGetBlock(defining_op(root->v))), 0);
}

// Whether a ref is a tensor with the root's own axes.
static bool is_identity(const ref *root, const ref *r)
{
    MlirValue tensor = root_tensor(root);
    if (!r->v.ptr || !step_is_tensor(r->v) || r->n != rank_of(tensor)) return false;
    for (int i = 0; i < r->n; i++)
        if (dim_of(r->v, i) != dim_of(tensor, i) || (r->axis[i] != i && dim_of(tensor, i) != 1)) return false;
    return true;
}

MlirValue operand_at_root(reader *r, const ref *root, const ref *from)
{
    node n = read_unwidened(r, from);
    if (is_identity(root, &n.tensor)) return n.tensor.v;
    return is_identity(root, &n.first) ? n.first.v : (MlirValue){0};
}

// ---- users

MlirOperation primitive_user(MlirValue *v)
{
    for (int step = 0; step < 8 && has_one_use(*v); step++) {
        MlirOpOperand use = mlirValueGetFirstUse(*v);
        MlirOperation user = mlirOpOperandGetOwner(use);
        intptr_t i = mlirOpOperandGetOperandNumber(use);
        MlirBlock body;
        if (op_is(user, "linalg.yield")) {
            MlirOperation owner = mlirOperationGetParentOperation(user);
            ref root;
            if (!is_structured(owner, NULL) || mlirOperationGetNumResults(owner) != 1 || !root_ref(*v, &root)) break;
            *v = mlirOperationGetResult(owner, 0);
        } else if (is_structured(user, &body)) {
            intptr_t inputs = mlirOperationGetNumOperands(user) - mlirOperationGetNumResults(user);
            if (i >= inputs || mlirOperationGetNumResults(user) != 1 || mlirBlockGetNumArguments(body) <= i ||
                !mlirAffineMapIsIdentity(indexing_map(user, i)) || !mlirAffineMapIsIdentity(indexing_map(user, inputs)))
                break;
            *v = mlirBlockGetArgument(body, i);
        } else {
            return user;
        }
    }
    return (MlirOperation){0};
}

MlirValue tensor_of_value(MlirValue v)
{
    if (step_is_tensor(v)) return v;
    if (!has_one_use(v)) return (MlirValue){0};
    MlirOperation user = mlirOpOperandGetOwner(mlirValueGetFirstUse(v));
    ref root;
    return op_is(user, "linalg.yield") && root_ref(v, &root) ? root_tensor(&root) : (MlirValue){0};
}
