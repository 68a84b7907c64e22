#include "compiler/raise/normal/normal.h"
#include "compiler/raise/normal/steps.h"

#include <math.h>
#include <string.h>

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
    {"math.exp", N_EXP, 1},          {"tosa.log", N_LOG, 1},          {"math.log", N_LOG, 1},
    {"tosa.sigmoid", N_SIGMOID, 1},  {"tosa.sin", N_SIN, 1},          {"math.sin", N_SIN, 1},
    {"tosa.cos", N_COS, 1},          {"math.cos", N_COS, 1},          {"tosa.tanh", N_TANH, 1},
    {"math.tanh", N_TANH, 1},        {"tosa.erf", N_ERF, 1},          {"math.erf", N_ERF, 1},
    {"tosa.logical_not", N_NOT, 1},  {"tosa.cast", N_CAST, 1},        {"arith.extf", N_CAST, 1},
    {"arith.truncf", N_CAST, 1},     {"arith.sitofp", N_CAST, 1},     {"arith.uitofp", N_CAST, 1},
    {"arith.fptosi", N_CAST, 1},     {"arith.extsi", N_CAST, 1},      {"arith.extui", N_CAST, 1},
    {"arith.trunci", N_CAST, 1},     {"arith.index_cast", N_CAST, 1}, {"tosa.select", N_SELECT, 3},
    {"arith.select", N_SELECT, 3},   {"tosa.equal", N_EQ, 2},         {"tosa.greater", N_GT, 2},
    {"tosa.greater_equal", N_GE, 2}, {"arith.subi", N_SUB, 2},        {"arith.addi", N_ADD, 2},
    {"arith.muli", N_MUL, 2},        {"arith.xori", N_NE, 2}, // of booleans
    {"tosa.logical_xor", N_NE, 2},
};

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
        bool splat = step_splat_value(op_attribute(n.op, op_is(n.op, "tosa.const") ? "values" : "value"), &n.value);
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

static bool is_single_loop(MlirOperation op, int d)
{
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); i++) {
        MlirAffineMap map = indexing_map(op, i);
        for (intptr_t j = 0; j < mlirAffineMapGetNumResults(map); j++) {
            MlirAffineExpr e = mlirAffineMapGetResult(map, j);
            if (mlirAffineExprIsADim(e) && mlirAffineDimExprGetPosition(e) == d)
                return dim_of(mlirOperationGetOperand(op, i), (int)j) == 1;
        }
    }
    return false;
}

// Whether a scalar of the body is computed from what an output has so far: then it is no term of a sum.
static bool reads_output(MlirValue v, MlirBlock body, intptr_t first_out, int depth)
{
    enum { MAX_DEPTH = 16 };
    if (mlirValueIsABlockArgument(v))
        return mlirBlockEqual(mlirBlockArgumentGetOwner(v), body) && mlirBlockArgumentGetArgNumber(v) >= first_out;
    MlirOperation op = mlirOpResultGetOwner(v);
    if (!mlirBlockEqual(mlirOperationGetBlock(op), body)) return false;
    if (depth == MAX_DEPTH) return true;
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); i++)
        if (reads_output(mlirOperationGetOperand(op, i), body, first_out, depth + 1)) return true;
    return false;
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
    bool from_first = mlirValueEqual(a, out);
    if (from_first == mlirValueEqual(b, out) || reads_output(from_first ? b : a, body, first_out, 0))
        return make_leaf(n);
    if (op_is(combiner, "arith.addf") && is_init(r, init, 0, 0))
        n.kind = N_SUM;
    else if ((op_is(combiner, "arith.maximumf") || op_is(combiner, "arith.maxnumf")) &&
             is_init(r, init, -INFINITY, -3e38))
        n.kind = N_REDUCE_MAX;
    else if (op_is(combiner, "arith.andi") && is_init(r, init, 1, 1))
        n.kind = N_REDUCE_AND;
    else if (op_is(combiner, "arith.ori") && is_init(r, init, 0, 0))
        n.kind = N_REDUCE_OR;
    else
        return make_leaf(n);
    n.n_in = 1;
    n.in[0] = *yielded;
    n.in[0].v = from_first ? b : a;
    n.bound = r->n_bound;
    for (int d = 0; d < yielded->n; d++) {
        if (!reduced[d]) continue;
        if (is_single_loop(n.op, d)) n.single |= 1u << (r->n_bound - n.bound);
        n.in[0].axis[d] = (signed char)(AXIS_BOUND + r->n_bound++);
    }
    n.n_bound = r->n_bound - n.bound;
    return r->n_bound < MAX_BOUND ? n : make_leaf(n);
}

static node_kind tosa_reduction_kind(MlirOperation op)
{
    return op_is(op, "tosa.reduce_sum")   ? N_SUM
           : op_is(op, "tosa.reduce_max") ? N_REDUCE_MAX
           : op_is(op, "tosa.reduce_all") ? N_REDUCE_AND
           : op_is(op, "tosa.reduce_any") ? N_REDUCE_OR
                                          : N_LEAF;
}

static node read_tosa_reduction(reader *r, node n)
{
    n.kind = tosa_reduction_kind(n.op);
    int64_t axis = op_int(n.op, "axis", -1);
    if (!read_operands(&n, 1) || axis < 0 || axis >= n.self.n || r->n_bound + 1 >= MAX_BOUND) return make_leaf(n);
    n.bound = r->n_bound++;
    n.n_bound = 1;
    n.single = dim_of(n.in[0].v, (int)axis) == 1;
    n.in[0].axis[axis] = (signed char)(AXIS_BOUND + n.bound);
    return n;
}

// A product of matrices: each element is the sum of a row times a column.
static node read_tosa_product(reader *r, node n)
{
    n.kind = N_DOT;
    n.n_in = 2;
    n.n_bound = 1;
    if (n.self.n != 3 || mlirOperationGetNumOperands(n.op) < 2 || r->n_bound + 1 >= MAX_BOUND) return make_leaf(n);
    n.bound = r->n_bound++;
    for (int i = 0; i < 2; i++) {
        if (!step_start_ref(&n.in[i], mlirOperationGetOperand(n.op, i)) || n.in[i].n != 3) return make_leaf(n);
        step_set_axis(&n.in[i], 0, n.self.axis[0]);
        step_set_axis(&n.in[i], 1 + i, n.self.axis[1 + i]);
        n.in[i].axis[2 - i] = (signed char)(AXIS_BOUND + n.bound);
    }
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
    bool regrouped = false; // an op cannot take what lies behind as its operand
    for (int step = 0; step < MAX_STEPS; step++) {
        ref next;
        MlirBlock body;
        bool reduced[MAX_AXES];
        if (step_is_tensor(n.self.v) && !regrouped) n.tensor = n.self;
        if (!n.first.v.ptr) n.first = n.tensor;
        if (mlirValueIsABlockArgument(n.self.v)) {
            MlirOperation owner = step_body_owner(mlirBlockArgumentGetOwner(n.self.v));
            n.op = (MlirOperation){0};
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
        if (tosa_reduction_kind(n.op) != N_LEAF) return read_tosa_reduction(r, n);
        if (enter_movement(r, &n.self, n.op, &next)) {
            n.self = next;
            continue;
        }
        if (r->deep && step_regroup(r, &n.self, &next)) {
            regrouped = true;
            n.self = next;
            continue;
        }
        if (r->deep && op_is(n.op, "tosa.matmul")) return read_tosa_product(r, n);
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
