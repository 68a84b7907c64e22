// In:  x * cos + rotate_half(x) * sin, rotate_half(x) = concat(-x[.., d/2:], x[.., :d/2]), x [batch, heads, sequence,
// d] or
//      [batch, sequence, heads, d]; the two halves of cos, and of sin, are the same
// Out: wf.rope rows of x, cos [sequence, d/2], sin {n_heads}
//
// https://arxiv.org/abs/2104.09864
#include "compiler/raise/constant.h"
#include "compiler/raise/layout.h"
#include "compiler/raise/raise.h"

// Where a slice begins along the last axis, when it takes all of the others; -1: it is no such slice.
static int64_t slice_start(MlirOperation op)
{
    int64_t start[MAX_AXES];
    int rank;
    if (op_is(op, "tosa.slice")) {
        rank = rank_of(mlirOperationGetOperand(op, 0));
        if (rank < 1 || rank > MAX_AXES || read_integers(mlirOperationGetOperand(op, 1), start, MAX_AXES) != rank)
            return -1;
    } else if (op_is(op, "tensor.extract_slice")) {
        MlirAttribute offsets = op_attribute(op, "static_offsets"), strides = op_attribute(op, "static_strides");
        rank = rank_of(mlirOperationGetOperand(op, 0));
        if (rank < 1 || rank > MAX_AXES || !offsets.ptr || !strides.ptr ||
            mlirDenseArrayGetNumElements(offsets) != rank || mlirDenseArrayGetNumElements(strides) != rank)
            return -1;
        for (int i = 0; i < rank; i++) {
            start[i] = mlirDenseI64ArrayGetElement(offsets, i);
            if (mlirDenseI64ArrayGetElement(strides, i) != 1) return -1;
        }
    } else {
        return -1;
    }
    MlirValue in = mlirOperationGetOperand(op, 0), out = mlirOperationGetResult(op, 0);
    if (rank_of(out) != rank) return -1;
    for (int i = 0; i < rank - 1; i++)
        if (start[i] != 0 || dim_of(in, i) != dim_of(out, i)) return -1;
    return start[rank - 1];
}

static int64_t concat_axis(MlirOperation op)
{
    if (mlirOperationGetNumResults(op) != 1 || mlirOperationGetNumOperands(op) != 2) return -1;
    if (op_is(op, "tosa.concat")) return op_int(op, "axis", -1);
    return op_is(op, "tensor.concat") ? op_int(op, "dim", -1) : -1;
}

// The x of concat(-x[.., d/2:], x[.., :d/2]); null value when the op is another.
static MlirValue read_rotation(matcher *m, MlirOperation op)
{
    MlirValue none = {0};
    ref first, second;
    if (!op.ptr || concat_axis(op) < 0) return none;
    int rank = rank_of(mlirOperationGetResult(op, 0));
    if (concat_axis(op) != rank - 1) return none;
    if (!root_ref(mlirOperationGetOperand(op, 0), &first) || !root_ref(mlirOperationGetOperand(op, 1), &second))
        return none;
    node negated = read_unwidened(&m->r, &first), low = read_node(&m->r, &second);
    ref x_high;
    if (!read_negated(&m->r, &negated, &x_high)) return none;
    node high = read_node(&m->r, &x_high);
    if (!high.op.ptr || !low.op.ptr) return none;
    int64_t high_start = slice_start(high.op), low_start = slice_start(low.op);
    if (high_start < 0 || low_start != 0) return none;
    MlirValue x = mlirOperationGetOperand(high.op, 0);
    if (!mlirValueEqual(x, mlirOperationGetOperand(low.op, 0))) return none;
    int64_t d = dim_of(x, rank - 1), half = dim_of(mlirOperationGetResult(low.op, 0), rank - 1);
    return d >= 2 && half * 2 == d && high_start == half ? x : none;
}

// x * cos and rotate_half(x) * sin among two products, in any order.
typedef struct rotation {
    ref x, cos, sin;
} rotation;

static bool read_rotated_sum(matcher *m, const ref *root, const node *sum, rotation *out)
{
    for (int side = 0; side < 2; side++) {
        node turned = read_unwidened(&m->r, &sum->in[side]), plain = read_unwidened(&m->r, &sum->in[1 - side]);
        if (turned.kind != N_MUL || plain.kind != N_MUL) return false;
        for (int i = 0; i < 2; i++) {
            MlirValue at = operand_at_root(&m->r, root, &turned.in[i]);
            MlirValue source = at.ptr ? read_rotation(m, defining_op(at)) : (MlirValue){0};
            ref x;
            if (!source.ptr || !root_ref(source, &x)) continue;
            for (int k = 0; k < 2; k++)
                if (same_value(&m->r, &x, &plain.in[k])) {
                    *out = (rotation){plain.in[k], plain.in[1 - k], turned.in[1 - i]};
                    return true;
                }
            return near_miss(m, "the rotated value is another than the one scaled by cos");
        }
    }
    return false;
}

// Whether both halves of a table along the root's last axis are the same.
static bool halves_agree(matcher *m, const ref *table, int last, int depth)
{
    node n = read_uncast(&m->r, table);
    constant c;
    if (depth > 8) return false;
    if (n.kind == N_COS || n.kind == N_SIN) return halves_agree(m, &n.in[0], last, depth + 1);
    if (n.kind == N_MUL)
        for (int i = 0; i < 2; i++)
            if (read_constant(&m->r, &n.in[i], &c)) return halves_agree(m, &n.in[1 - i], last, depth + 1);
    if (!n.op.ptr || n.kind != N_LEAF) return false;
    int64_t axis = concat_axis(n.op);
    if (axis >= 0 && axis < n.self.n && n.self.axis[axis] == last &&
        mlirValueEqual(mlirOperationGetOperand(n.op, 0), mlirOperationGetOperand(n.op, 1)))
        return true;
    // a constant: look
    evaluator e = evaluator_start();
    const const_tensor *t = n.self.n > 0 && n.self.axis[n.self.n - 1] == last ? evaluate(&e, n.self.v) : NULL;
    bool agree = t && t->count > 0 && t->shape[t->rank - 1] % 2 == 0;
    for (int64_t i = 0; agree && i < t->count; i++) {
        int64_t d = t->shape[t->rank - 1], half = d / 2;
        if (i % d < half) agree = t->data[i] == t->data[i + half];
    }
    evaluator_free(&e);
    return agree;
}

// A table varies along batch (perhaps), sequence and the features, in this order. *sequence: bits of the axes 1 and 2
// that it varies along.
static bool read_table(matcher *m, const ref *from, int64_t d, node *table, unsigned *sequence)
{
    *table = read_unwidened(&m->r, from);
    const ref *t = &table->tensor;
    int before = -1;
    if (!t->v.ptr) return false;
    for (int j = 0; j < t->n; j++) {
        if (t->axis[j] == AXIS_ZERO) continue;
        if (t->axis[j] <= before || t->axis[j] > 3) return false;
        before = t->axis[j];
        if (before == 1 || before == 2) *sequence |= 1u << before;
    }
    return before == 3 && dim_of(t->v, t->n - 1) == d;
}

bool raise_rope(matcher *m, MlirOperation op)
{
    ref root;
    rotation r;
    if (mlirOperationGetNumResults(op) != 1 || is_structured(op, NULL) ||
        !root_ref(mlirOperationGetResult(op, 0), &root))
        return false;
    node sum = read_node(&m->r, &root);
    if (sum.kind != N_ADD || !mlirOperationEqual(sum.op, op) || !read_rotated_sum(m, &root, &sum, &r)) return false;
    MlirValue x = operand_at_root(&m->r, &root, &r.x), result = tensor_of_value(root.v);
    if (!x.ptr || !result.ptr) return near_miss(m, "x is not a tensor of the result's shape");
    if (rank_of(x) != 4) return near_miss(m, "x has %d axes, not batch, heads, sequence and features", rank_of(x));
    node cos, sin;
    unsigned sequence = 0;
    int64_t d = dim_of(x, 3);
    if (!read_table(m, &r.cos, d, &cos, &sequence) || !read_table(m, &r.sin, d, &sin, &sequence))
        return near_miss(m, "cos and sin do not lie along sequence and features");
    if (sequence == 6) return near_miss(m, "cos or sin vary from head to head");
    bool sequence_first = sequence ? sequence == 2 : dim_of(x, 1) == 1 && dim_of(x, 2) != 1;
    int64_t heads = dim_of(x, sequence_first ? 2 : 1);
    if (heads < 0) return near_miss(m, "the number of heads is not known");
    if (!halves_agree(m, &r.cos, 3, 0) || !halves_agree(m, &r.sin, 3, 0))
        return near_miss(m, "the two halves of cos or sin are not known to be the same");

    op_builder b = op_builder_before(defining_op(result));
    MlirValue rows = rows_of_heads(&b, x, sequence_first);
    MlirValue operands[] = {rows, build_squeeze(&b, build_first_half(&b, cos.tensor.v, d / 2), 2),
                            build_squeeze(&b, build_first_half(&b, sin.tensor.v, d / 2), 2)};
    MlirNamedAttribute attributes[] = {named_int(&b, "n_heads", heads), named_bool(&b, "interleaved", false)};
    int64_t shape[MAX_AXES];
    for (int i = 0; i < rank_of(rows); i++) shape[i] = dim_of(rows, i);
    MlirType type = tensor_of(rank_of(rows), shape, element_type_of(result));
    MlirValue y = build_value(&b, "wf.rope", type, 3, operands, 2, attributes);
    replace_value(result, heads_of_rows(&b, y, mlirValueGetType(result), sequence_first));
    fold_layout(mlirOperationGetParentOperation(defining_op(result)));
    return true;
}
