// In:  silu(gate) * up, silu(gate) = gate * sigmoid(gate) = gate / (1 + exp(-gate)), in any order
// Out: wf.swiglu gate, up {rounded}: silu(gate) is rounded to that type before the product, where it is
//
// https://arxiv.org/abs/2002.05202
#include "compiler/raise/raise.h"

static bool is_one(matcher *m, const ref *r)
{
    constant c;
    return read_constant(&m->r, r, &c) && c.value == 1;
}

// 1 + exp(-x)
static bool read_one_plus_exp(matcher *m, const ref *from, ref *x)
{
    node sum = read_uncast(&m->r, from);
    if (sum.kind != N_ADD) return false;
    int one = is_one(m, &sum.in[0]) ? 0 : is_one(m, &sum.in[1]) ? 1 : -1;
    if (one < 0) return false;
    node exponential = read_uncast(&m->r, &sum.in[1 - one]);
    if (exponential.kind != N_EXP) return false;
    node negated = read_uncast(&m->r, &exponential.in[0]);
    return read_negated(&m->r, &negated, x);
}

static bool read_sigmoid(matcher *m, const ref *from, ref *x)
{
    node n = read_uncast(&m->r, from);
    if (n.kind == N_SIGMOID) {
        *x = n.in[0];
        return true;
    }
    if (n.kind == N_RECIP) return read_one_plus_exp(m, &n.in[0], x);
    return n.kind == N_DIV && is_one(m, &n.in[0]) && read_one_plus_exp(m, &n.in[1], x);
}

static bool read_silu(matcher *m, const ref *from, ref *gate)
{
    node n = read_uncast(&m->r, from);
    ref x;
    if (n.kind == N_DIV && read_one_plus_exp(m, &n.in[1], &x) && same_value(&m->r, &x, &n.in[0])) {
        *gate = n.in[0];
        return true;
    }
    for (int i = 0; i < 2 && n.kind == N_MUL; i++)
        if (read_sigmoid(m, &n.in[i], &x) && same_value(&m->r, &x, &n.in[1 - i])) {
            *gate = n.in[1 - i];
            return true;
        }
    return false;
}

// (sigmoid(gate) * up) * gate
static bool read_split(matcher *m, const ref *product, const ref *gate, ref *up)
{
    node n = read_unwidened(&m->r, product);
    ref x;
    for (int i = 0; i < 2 && n.kind == N_MUL; i++)
        if (read_sigmoid(m, &n.in[i], &x) && same_value(&m->r, &x, gate)) {
            *up = n.in[1 - i];
            return true;
        }
    return false;
}

bool raise_swiglu(matcher *m, MlirOperation op)
{
    ref root, gate, up;
    if (mlirOperationGetNumResults(op) != 1 || is_structured(op, NULL) ||
        !root_ref(mlirOperationGetResult(op, 0), &root))
        return false;
    node n = read_node(&m->r, &root);
    if (n.kind != N_MUL || !mlirOperationEqual(n.op, op)) return false;
    MlirType rounded = {0};
    bool found = false;
    for (int i = 0; i < 2 && !found; i++) {
        if (read_silu(m, &n.in[i], &gate)) {
            up = n.in[1 - i];
            MlirType type = element_type_of(n.in[i].v);
            if (float_bits_of(type) < 24) rounded = type;
            found = true;
        } else if (read_split(m, &n.in[i], &n.in[1 - i], &up)) {
            gate = n.in[1 - i];
            found = true;
        }
    }
    if (!found) return false;
    MlirValue operands[] = {operand_at_root(&m->r, &root, &gate), operand_at_root(&m->r, &root, &up)};
    MlirValue result = tensor_of_value(root.v);
    if (!operands[0].ptr) return near_miss(m, "gate is not a tensor of the result's shape");
    if (!operands[1].ptr) return near_miss(m, "up is not a tensor of the result's shape");
    if (!result.ptr) return near_miss(m, "the result is no tensor");
    op_builder b = op_builder_before(defining_op(result));
    MlirNamedAttribute attribute = named_type(&b, "rounded", rounded.ptr ? rounded : element_type_of(result));
    MlirType type = mlirValueGetType(result);
    mark_pattern(m, result, 2, operands);
    replace_value(result, build_value(&b, "wf.swiglu", type, 2, operands, rounded.ptr ? 1 : 0, &attribute));
    return true;
}
