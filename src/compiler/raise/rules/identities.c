// Before any rule: x + 0, x - 0, x * 1 and x / 1 become x, as dropout that is off and masks of nothing leave them, or a
// tosa.tile of x where the constant is larger, as some frontends write an expansion. Of all numbers -0 alone becomes
// another by that, 0; XLA and upstream's folder of tosa.add see it so too.
#include "compiler/raise/raise.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "compiler/mlir/text.h"

// The operand that the op leaves as it is, the other being its neutral element; -1: none.
static int kept_operand(reader *r, const node *n)
{
    bool sum = n->kind == N_ADD || n->kind == N_SUB, product = n->kind == N_MUL || n->kind == N_DIV;
    constant c;
    if (!sum && !product) return -1;
    // integers: tosa.mul may shift its product, and divisions are of other kinds
    if (product && !float_bits_of(element_type_of(n->self.v))) return -1;
    for (int i = 1; i >= (n->kind == N_SUB || n->kind == N_DIV ? 1 : 0); i--) {
        if (read_constant(r, &n->in[i], &c) && c.value == (product ? 1 : 0)) return 1 - i;
    }
    return -1;
}

// x repeated to the type of y along axes where it has size 1; null value: it is not known how often.
static MlirValue build_repeat(op_builder *b, MlirValue x, MlirValue y)
{
    char type[32], values[24 * MAX_AXES + 64] = "dense<[";
    int rank = rank_of(y);
    size_t n = strlen(values);
    if (rank_of(x) != rank || rank < 1 || rank > MAX_AXES || !mlirTypeEqual(element_type_of(x), element_type_of(y)))
        return (MlirValue){0};
    for (int i = 0; i < rank; i++) {
        bool same = dim_of(x, i) == dim_of(y, i);
        if (!same && (dim_of(x, i) != 1 || dim_of(y, i) < 1)) return (MlirValue){0};
        n += (size_t)snprintf(values + n, sizeof values - n, "%s%" PRId64, i ? ", " : "", same ? 1 : dim_of(y, i));
    }
    snprintf(values + n, sizeof values - n, "]> : tensor<%dxindex>", rank);
    snprintf(type, sizeof type, "!tosa.shape<%d>", rank);
    MlirNamedAttribute times = mlirNamedAttributeGet(mlirIdentifierGet(b->ctx, mlir_text("values")),
                                                     mlirAttributeParseGet(b->ctx, mlir_text(values)));
    MlirType shape = mlirTypeParseGet(b->ctx, mlir_text(type));
    MlirValue operands[] = {x, build_value(b, "tosa.const_shape", shape, 0, NULL, 1, &times)};
    return build_value(b, "tosa.tile", mlirValueGetType(y), 2, operands, 0, NULL);
}

static void drop_identity(MlirOperation op, void *context)
{
    (void)context;
    reader r = {0};
    ref root;
    if (mlirOperationGetNumResults(op) != 1 || mlirOperationGetNumOperands(op) < 2 ||
        !root_ref(mlirOperationGetResult(op, 0), &root))
        return;
    node n = read_node(&r, &root);
    if (!mlirOperationEqual(n.op, op)) return;
    int kept = kept_operand(&r, &n);
    if (kept < 0) return;
    MlirValue y = mlirOperationGetResult(op, 0), x = mlirOperationGetOperand(op, kept);
    if (!mlirTypeEqual(mlirValueGetType(x), mlirValueGetType(y))) {
        op_builder b = op_builder_before(op);
        if (!op_name_starts_with(op, "tosa.")) return;
        x = build_repeat(&b, x, y);
    }
    if (x.ptr) replace_value(y, x);
}

void raise_drop_identities(MlirOperation function) { for_each_op(function, drop_identity, NULL); }
