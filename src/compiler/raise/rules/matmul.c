// In:  linalg ops that multiply and add, over loops in any order: matvec, vecmat, einsums, products over several axes
//      as reshapes leave them when they are fused, convolutions with a kernel of 1 x 1
// Out: the product of matrices [batch.., m, k] with [batch.., n, k] or [batch.., k, n], between transpositions and
//      reshapes of what goes in and comes out
//
// Loops are told apart by where they run: in both factors and the result (batch), in one factor and the result (m, n),
// in the factors alone (k).
#include "compiler/mlir/text.h"
#include "compiler/raise/normal/layout.h"
#include "compiler/raise/rules/contraction.h"
#include "compiler/raise/rules/split.h"

#include <mlir-c/AffineExpr.h>
#include <mlir-c/AffineMap.h>

enum { NO_LOOP = -1, NOT_PLAIN = -2 };

typedef enum loop_kind { LOOP_BATCH, LOOP_M, LOOP_N, LOOP_K, LOOP_KINDS } loop_kind;

// A factor or the result: which loop runs along each of its axes; NO_LOOP: size 1.
typedef struct view_axes {
    MlirValue v;
    int rank, loop[MAX_AXES];
    unsigned loops;
} view_axes;

typedef struct product {
    int n_loops;
    int64_t size[MAX_AXES];
    view_axes lhs, rhs, out;
    int group[LOOP_KINDS][MAX_AXES], n[LOOP_KINDS]; // loops of each kind, in the order of the result, or of rhs
} product;

// The one loop that an index is; one of a single step counts as 0, as kernels of 1 x 1 have them.
static int plain_loop(MlirAffineExpr e, unsigned single, int depth)
{
    if (depth > 16) return NOT_PLAIN;
    if (mlirAffineExprIsADim(e)) {
        int d = (int)mlirAffineDimExprGetPosition(e);
        return single >> d & 1 ? NO_LOOP : d;
    }
    if (mlirAffineExprIsAConstant(e)) return mlirAffineConstantExprGetValue(e) == 0 ? NO_LOOP : NOT_PLAIN;
    bool sum = mlirAffineExprIsAAdd(e);
    if (!sum && !mlirAffineExprIsAMul(e)) return NOT_PLAIN;
    MlirAffineExpr right = mlirAffineBinaryOpExprGetRHS(e);
    int a = plain_loop(mlirAffineBinaryOpExprGetLHS(e), single, depth + 1);
    if (!sum) { // by a constant, which is on the right
        bool one = mlirAffineExprIsAConstant(right) && mlirAffineConstantExprGetValue(right) == 1;
        return a == NO_LOOP || one ? a : NOT_PLAIN;
    }
    int b = plain_loop(right, single, depth + 1);
    return a == NO_LOOP ? b : b == NO_LOOP ? a : NOT_PLAIN;
}

// Sizes of the loops, as the operands tell them; -1: not known before run time. *single: loops of one step that are in
// the way, in a sum of loops or in one operand alone.
static void read_sizes(MlirOperation op, product *p, unsigned *single)
{
    unsigned in_sum = 0, uses[3] = {0};
    for (int d = 0; d < p->n_loops; d++) p->size[d] = -1;
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); i++) {
        MlirAffineMap map = indexing_map(op, i);
        for (int j = 0; j < mlirAffineMapGetNumResults(map); j++) {
            MlirAffineExpr e = mlirAffineMapGetResult(map, j);
            int64_t size = dim_of(mlirOperationGetOperand(op, i), j);
            if (mlirAffineExprIsADim(e) && size >= 0) p->size[mlirAffineDimExprGetPosition(e)] = size;
            for (int d = 0; d < p->n_loops; d++) {
                if (!mlirAffineExprIsFunctionOfDim(e, d)) continue;
                uses[i] |= 1u << d;
                in_sum |= mlirAffineExprIsADim(e) ? 0 : 1u << d;
            }
        }
    }
    for (int d = 0; d < p->n_loops; d++) {
        int n = (int)(uses[0] >> d & 1) + (int)(uses[1] >> d & 1) + (int)(uses[2] >> d & 1);
        if (p->size[d] == 1 && (n == 1 || in_sum >> d & 1)) *single |= 1u << d;
    }
}

static bool read_axes(MlirOperation op, int operand, unsigned single, view_axes *a)
{
    MlirAffineMap map = indexing_map(op, operand);
    *a = (view_axes){.v = mlirOperationGetOperand(op, operand), .rank = (int)mlirAffineMapGetNumResults(map)};
    if (a->rank > MAX_AXES || rank_of(a->v) != a->rank) return false;
    for (int i = 0; i < a->rank; i++) {
        int d = a->loop[i] = plain_loop(mlirAffineMapGetResult(map, i), single, 0);
        if (d == NOT_PLAIN || (d == NO_LOOP && dim_of(a->v, i) != 1) || (d >= 0 && a->loops >> d & 1)) return false;
        if (d >= 0) a->loops |= 1u << d;
    }
    return true;
}

static void collect_loops(product *p, loop_kind kind, const view_axes *order, unsigned of)
{
    for (int i = 0; i < order->rank; i++)
        if (order->loop[i] >= 0 && of >> order->loop[i] & 1) p->group[kind][p->n[kind]++] = order->loop[i];
}

static bool is_constant_op(MlirValue v)
{
    weight_op weight;
    return weight_read(defining_op(v), &weight) || op_is(defining_op(v), "tosa.const") ||
           op_is(defining_op(v), "arith.constant");
}

// Loops of more than one step all have a kind; merged ones have sizes that are known.
static bool sort_loops(product *p)
{
    // weights are rhs: the matrix beside a vector, a constant
    unsigned m = p->lhs.loops & ~p->rhs.loops, n = p->rhs.loops & ~p->lhs.loops;
    if ((!n && m) || (m && is_constant_op(p->lhs.v) && !is_constant_op(p->rhs.v))) {
        view_axes other = p->lhs;
        p->lhs = p->rhs;
        p->rhs = other;
        n = m;
        m = p->lhs.loops & ~p->rhs.loops;
    }
    unsigned both = p->lhs.loops & p->rhs.loops, out = p->out.loops;
    if (!(both & ~out) || !n || (m & ~out) || (n & ~out) || (out & ~(p->lhs.loops | p->rhs.loops))) return false;
    collect_loops(p, LOOP_BATCH, &p->out, both & out);
    collect_loops(p, LOOP_M, &p->out, m);
    collect_loops(p, LOOP_N, &p->rhs, n);
    collect_loops(p, LOOP_K, &p->rhs, both & ~out);
    for (int kind = LOOP_M; kind < LOOP_KINDS; kind++) {
        int64_t merged = 1;
        for (int i = 0; i < p->n[kind] && p->n[kind] > 1; i++) {
            int64_t size = p->size[p->group[kind][i]];
            if (size < 1 || __builtin_mul_overflow(merged, size, &merged)) return false;
        }
    }
    return true;
}

// ---- writing

// v with its axes in the order of `loops`, those of size 1 first.
static MlirValue order_axes(op_builder *b, const view_axes *a, int n, const int *loops)
{
    int perm[MAX_AXES], k = 0;
    bool moves = false;
    for (int i = 0; i < a->rank; i++)
        if (a->loop[i] == NO_LOOP) perm[k++] = i;
    for (int j = 0; j < n; j++)
        for (int i = 0; i < a->rank; i++)
            if (a->loop[i] == loops[j]) perm[k++] = i;
    for (int i = 0; i < a->rank; i++) moves = moves || perm[i] != i;
    return moves ? build_transpose(b, a->v, perm) : a->v;
}

// Splits an axis of size 1 off before axis `at`, or, at the end, behind the last.
static MlirValue add_one(op_builder *b, MlirValue v, int at)
{
    int64_t shape[MAX_AXES + 1];
    int rank = rank_of(v), k = 0;
    for (int i = 0; i < rank; i++) {
        if (i == at) shape[k++] = 1;
        shape[k++] = dim_of(v, i);
    }
    if (at == rank) shape[k++] = 1;
    return build_expand(b, v, at == rank ? rank - 1 : at, 2, tensor_of(k, shape, element_type_of(v)));
}

// A factor as matrices: [batch.., first, second], kinds of loops.
static MlirValue write_matrices(op_builder *b, const product *p, const view_axes *a, loop_kind first, loop_kind second)
{
    int loops[3 * MAX_AXES], n = 0, n_batch = p->n[LOOP_BATCH];
    const loop_kind kinds[] = {LOOP_BATCH, first, second};
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < p->n[kinds[k]]; i++) loops[n++] = p->group[kinds[k]][i];
    MlirValue v = order_axes(b, a, n, loops);
    for (int ones = a->rank - n; ones > 0; ones--) v = build_collapse(b, v, 0, 2);
    for (int k = 1; k < 3; k++) {
        int at = n_batch + k - 1, merged = p->n[kinds[k]];
        if (merged > 1) v = build_collapse(b, v, at, merged);
        if (merged == 0) v = add_one(b, v, at);
    }
    return v;
}

// The product [batch.., m, n] as the result has its axes.
static MlirValue write_result(op_builder *b, const product *p, MlirValue v)
{
    int loops[MAX_AXES], n = 0, perm[MAX_AXES];
    int64_t shape[MAX_AXES];
    for (int i = 0; i < p->n[LOOP_BATCH]; i++) loops[n++] = p->group[LOOP_BATCH][i];
    for (loop_kind kind = LOOP_M; kind <= LOOP_N; kind++) {
        int at = n, merged = p->n[kind];
        if (merged > 1) {
            int rank = rank_of(v), k = 0;
            for (int i = 0; i < rank; i++)
                for (int j = 0; j < (i == at ? merged : 1); j++)
                    shape[k++] = i == at ? p->size[p->group[kind][j]] : dim_of(v, i);
            v = build_expand(b, v, at, merged, tensor_of(k, shape, element_type_of(v)));
        } else if (merged == 0) {
            v = build_collapse(b, v, at == 0 ? 0 : at - 1, 2); // with n behind it there always is an axis
        }
        for (int i = 0; i < merged; i++) loops[n++] = p->group[kind][i];
    }
    // then axes of size 1 come back
    bool moves = false;
    int k = 0;
    for (int i = 0; i < p->out.rank; i++)
        for (int j = 0; j < n; j++)
            if (p->out.loop[i] == loops[j]) perm[k++] = j;
    for (int i = 0; i < k; i++) moves = moves || perm[i] != i;
    if (moves) v = build_transpose(b, v, perm);
    for (int i = 0; i < p->out.rank; i++)
        if (p->out.loop[i] == NO_LOOP) v = add_one(b, v, i);
    return v;
}

static MlirValue write_zero(op_builder *b, MlirType type, const MlirValue *sizes, int n_sizes)
{
    MlirType element = mlirShapedTypeGetElementType(type);
    MlirAttribute number = mlirFloatAttrDoubleGet(b->ctx, element, 0);
    MlirNamedAttribute value = {mlirIdentifierGet(b->ctx, mlir_text("value")),
                                n_sizes ? number : mlirDenseElementsAttrSplatGet(type, number)};
    MlirValue operands[1 + MAX_AXES] = {build_value(b, "arith.constant", n_sizes ? element : type, 0, NULL, 1, &value)};
    if (!n_sizes) return operands[0];
    for (int i = 0; i < n_sizes; i++) operands[1 + i] = sizes[i];
    return build_value(b, "tensor.splat", type, 1 + n_sizes, operands, 0, NULL);
}

static MlirAttribute map_of(MlirContext ctx, int n_loops, int n_batch, int first, int second)
{
    MlirAffineExpr e[MAX_AXES];
    for (int i = 0; i < n_batch; i++) e[i] = mlirAffineDimExprGet(ctx, i);
    e[n_batch] = mlirAffineDimExprGet(ctx, first);
    e[n_batch + 1] = mlirAffineDimExprGet(ctx, second);
    return mlirAffineMapAttrGet(mlirAffineMapGet(ctx, n_loops, 0, n_batch + 2, e));
}

static MlirValue write_product(op_builder *b, const product *p)
{
    int n_batch = p->n[LOOP_BATCH], m = n_batch, n = m + 1, k = m + 2, n_sizes = 0;
    // weights stay in their order
    bool k_first = false;
    for (int i = 0; i < p->rhs.rank; i++)
        if (p->rhs.loop[i] == p->group[LOOP_K][0])
            k_first = true;
        else if (p->rhs.loop[i] == p->group[LOOP_N][0])
            break;
    MlirValue lhs = write_matrices(b, p, &p->lhs, LOOP_M, LOOP_K);
    MlirValue rhs = write_matrices(b, p, &p->rhs, k_first ? LOOP_K : LOOP_N, k_first ? LOOP_N : LOOP_K);
    int64_t shape[MAX_AXES];
    MlirValue sizes[MAX_AXES];
    for (int i = 0; i < n_batch + 2; i++) {
        MlirValue of = i <= n_batch ? lhs : rhs;
        int axis = i <= n_batch ? i : n_batch + (k_first ? 1 : 0);
        shape[i] = dim_of(of, axis);
        if (shape[i] < 0) sizes[n_sizes++] = build_dim(b, of, axis);
    }
    MlirType type = tensor_of(n_batch + 2, shape, element_type_of(p->out.v));
    const MlirValue operands[] = {lhs, rhs, write_zero(b, type, sizes, n_sizes)};
    const MlirAttribute maps[] = {map_of(b->ctx, k + 1, n_batch, m, k),
                                  k_first ? map_of(b->ctx, k + 1, n_batch, k, n) : map_of(b->ctx, k + 1, n_batch, n, k),
                                  map_of(b->ctx, k + 1, n_batch, m, n)};
    bool reduces[MAX_AXES] = {false};
    reduces[k] = true;
    return write_result(b, p, build_product(b, operands, maps, k + 1, reduces));
}

bool raise_matmul(matcher *m, MlirOperation op)
{
    MlirBlock body;
    contraction plain;
    product p = {0};
    unsigned single = 0;
    if (!is_structured(op, &body) || mlirOperationGetNumOperands(op) != 3 || mlirOperationGetNumResults(op) != 1 ||
        !is_multiply_add(body) || read_contraction(m, op, &plain))
        return false;
    p.n_loops = (int)mlirAffineMapGetNumDims(indexing_map(op, 0));
    if (p.n_loops > MAX_AXES - 4) return false;
    read_sizes(op, &p, &single);
    if (!read_axes(op, 0, single, &p.lhs) || !read_axes(op, 1, single, &p.rhs) || !read_axes(op, 2, single, &p.out) ||
        !sort_loops(&p))
        return false;
    ref init;
    constant zero;
    bool from_zero = root_ref(p.out.v, &init) && read_constant(&m->r, &init, &zero) && zero.value == 0;
    op_builder b = op_builder_before(op);
    MlirValue terms[] = {p.out.v, write_product(&b, &p)};
    if (!from_zero) terms[1] = build_value(&b, "arith.addf", mlirValueGetType(terms[1]), 2, terms, 0, NULL);
    replace_value(mlirOperationGetResult(op, 0), terms[1]);
    return true;
}
