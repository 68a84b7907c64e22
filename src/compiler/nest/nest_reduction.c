#include "compiler/nest/nest_reduction.h"

#include "compiler/mlir/op.h"
#include "compiler/nest/body.h"

static const combiner COMBINERS[] = {
    {"arith.addf", IDENTITY_ZERO},        {"arith.mulf", IDENTITY_ONE},       {"arith.maximumf", IDENTITY_LOWEST},
    {"arith.minimumf", IDENTITY_HIGHEST}, {"arith.maxnumf", IDENTITY_LOWEST}, {"arith.minnumf", IDENTITY_HIGHEST},
    {"arith.addi", IDENTITY_ZERO},        {"arith.muli", IDENTITY_ONE},       {"arith.maxsi", IDENTITY_LOWEST},
    {"arith.minsi", IDENTITY_HIGHEST},    {"arith.maxui", IDENTITY_ZERO},     {"arith.minui", IDENTITY_ONES},
    {"arith.andi", IDENTITY_ONES},        {"arith.ori", IDENTITY_ZERO},       {"arith.xori", IDENTITY_ZERO},
};

bool nest_read_reduction(const nest *n, int o, reduction_of *r)
{
    if (!n->body.ptr) return false;
    MlirValue out = mlirBlockGetArgument(n->body, n->n_in + o);
    r->op = defining_op(mlirOperationGetOperand(mlirBlockGetTerminator(n->body), o));
    if (!r->op.ptr || !has_one_use(out) || mlirOperationGetNumOperands(r->op) != 2) return false;
    if (!has_one_use(mlirOperationGetResult(r->op, 0))) return false;
    MlirValue left = mlirOperationGetOperand(r->op, 0), right = mlirOperationGetOperand(r->op, 1);
    if (mlirValueEqual(left, out) == mlirValueEqual(right, out)) return false;
    r->term = mlirValueEqual(left, out) ? right : left;
    for (size_t i = 0; i < sizeof COMBINERS / sizeof *COMBINERS; i++) {
        r->combiner = &COMBINERS[i];
        if (op_is(r->op, COMBINERS[i].name)) return true;
    }
    return false;
}

MlirType nest_reduced_type(builder *b, MlirType element)
{
    return mlirTypeEqual(element, b->f16) || mlirTypeEqual(element, b->bf16) ? b->f32 : body_type(b, element);
}

value nest_identity(builder *b, identity start, MlirType t)
{
    MlirType element = element_of(t);
    if (mlirTypeIsAFloat(element)) {
        static const double VALUES[] = {[IDENTITY_ZERO] = 0,
                                        [IDENTITY_ONE] = 1,
                                        [IDENTITY_LOWEST] = -__builtin_inf(),
                                        [IDENTITY_HIGHEST] = __builtin_inf()};
        return const_f(b, t, VALUES[start]);
    }
    unsigned bits = mlirIntegerTypeGetWidth(element);
    int64_t lowest = bits >= 64 ? INT64_MIN : -(INT64_C(1) << (bits - 1));
    const int64_t values[] = {[IDENTITY_ZERO] = 0,
                              [IDENTITY_ONE] = 1,
                              [IDENTITY_LOWEST] = lowest,
                              [IDENTITY_HIGHEST] = -(lowest + 1),
                              [IDENTITY_ONES] = -1};
    return const_int(b, t, values[start]);
}

bool nest_has_reductions(const nest *n)
{
    for (int l = 0; l < n->n_loops; l++)
        if (n->reduction[l]) return true;
    return false;
}
