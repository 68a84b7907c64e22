// Norms (kernel/norm.h): one call, one tile a row.
#include "compiler/dialect/wf.h"
#include "compiler/graph/constant.h"
#include "compiler/graph/schedule_parts.h"
#include "compiler/kernel/norm.h"

static bool norm_type(MlirType t, tensor_type *out)
{
    graph_type g;
    if (!constant_type(t, &g) || (g != GRAPH_F32 && g != GRAPH_F16 && g != GRAPH_BF16)) return false;
    *out = g == GRAPH_F32 ? TENSOR_F32 : g == GRAPH_F16 ? TENSOR_F16 : TENSOR_BF16;
    return true;
}

typedef struct norm_op {
    norm_kernel kernel;
    MlirValue x, y, weights[2], residual, h; // residual, h: of residual_norm
    int n_weights;
} norm_op;

static bool same_shape(MlirValue a, MlirValue b)
{
    if (rank_of(a) != rank_of(b)) return false;
    for (int d = 0; d < rank_of(a); d++)
        if (dim_of(a, d) < 0 || dim_of(a, d) != dim_of(b, d)) return false;
    return true;
}

// gamma or beta.
static bool read_weight(norm_op *n, MlirValue v)
{
    tensor_type t;
    int64_t count = 1;
    if (!norm_type(element_type_of(v), &t) || (n->n_weights && t != n->kernel.weight)) return false;
    for (int d = 0; d < rank_of(v); d++) count *= dim_of(v, d);
    n->kernel.weight = t;
    n->weights[n->n_weights++] = v;
    return count == n->kernel.cols;
}

static bool read_rounding(MlirOperation op, norm_kernel *k)
{
    MlirAttribute rounded = op_attribute(op, "rounded");
    tensor_type to;
    if (!rounded.ptr) return true;
    if (!norm_type(mlirTypeAttrGetValue(rounded), &to) || (to != TENSOR_F32 && to != k->x)) return false;
    k->round_before_gamma = to != TENSOR_F32;
    return true;
}

static bool read_residual(MlirOperation op, norm_op *n)
{
    n->residual = mlirOperationGetOperand(op, 1);
    n->h = mlirOperationGetResult(op, 0);
    n->kernel.residual = true;
    return same_shape(n->x, n->residual) && same_shape(n->x, n->h) &&
           mlirTypeEqual(element_type_of(n->x), element_type_of(n->residual)) &&
           mlirTypeEqual(element_type_of(n->x), element_type_of(n->h));
}

// False when there is no kernel for this norm.
static bool read_norm(MlirOperation op, norm_op *n)
{
    bool layer = op_is(op, "wf.layer_norm"), residual = op_is(op, "wf.residual_norm");
    if (!layer && !residual && !op_is(op, "wf.rms_norm")) return false;
    *n = (norm_op){.x = mlirOperationGetOperand(op, 0), .y = mlirOperationGetResult(op, residual ? 1 : 0)};
    norm_kernel *k = &n->kernel;
    int rank = rank_of(n->x), axes = (int)op_int(op, "axes", 1), first = residual ? 2 : 1;
    *k = (norm_kernel){.cols = 1, .eps = op_float(op, "eps", 0), .plus_one = op_bool(op, "plus_one")};
    if (axes < 1 || axes > rank || op_int(op, "n_heads", 0) || !same_shape(n->x, n->y) ||
        !norm_type(element_type_of(n->x), &k->x) || !norm_type(element_type_of(n->y), &k->y))
        return false;
    for (int d = rank - axes; d < rank; d++)
        if (dim_of(n->x, d) < 1 || __builtin_mul_overflow(k->cols, dim_of(n->x, d), &k->cols)) return false;
    if (k->cols > 1 << 24 || !read_rounding(op, k)) return false;
    bool segments = op_attribute(op, "operandSegmentSizes").ptr != NULL;
    for (int i = 0; i < (layer ? 2 : 1); i++) {
        int64_t at = first + i;
        bool present = segments ? op_segment(op, first + i, &at) > 0 : mlirOperationGetNumOperands(op) > first + i;
        if (!present) continue;
        if (!read_weight(n, mlirOperationGetOperand(op, (intptr_t)at))) return false;
        (i ? (k->beta = true) : (k->gamma = true));
    }
    return !residual || read_residual(op, n);
}

bool norm_has_kernel(MlirOperation op)
{
    norm_op n;
    return read_norm(op, &n);
}

// Whether a tile of the call may follow the same tile of the call before without waiting for the others: it reads what
// that tile wrote, row by row (the first n_rows of the n inputs), and weights that no call of the chain writes.
static void try_chain(schedule *s, call *c, const tensor x[], int n_rows, int n, int64_t cols)
{
    int index = (int)(c - s->calls);
    c->chain = index;
    const call *before = index > 0 ? &s->calls[index - 1] : NULL;
    if (!s->chain || !before || before->n_tiles != c->n_tiles || c->n_tiles <= 1) return;
    for (int i = 0; i < n; i++) {
        const root *r = &s->roots[x[i].root];
        bool fresh = root_writer_before(r, index) >= before->chain;
        if (fresh && (i >= n_rows || r->step != cols)) return;
    }
    c->chained = true;
    c->chain = before->chain;
}

wf_status schedule_norm(schedule *s)
{
    norm_op n;
    tensor in[4], y, h;
    char name[96];
    int roots[6], n_in = 0, n_roots = 0;
    bool written[6] = {false, true}, layer = op_is(s->op, "wf.layer_norm");
    if (!read_norm(s->op, &n)) return schedule_refuse(s, "cannot be compiled");
    // in the order in which try_chain looks at them: rows first
    TRY(schedule_to_root(s, n.x, &in[n_in++]));
    if (n.residual.ptr) TRY(schedule_to_root(s, n.residual, &in[n_in++]));
    int n_rows = n_in;
    for (int i = 0; i < n.n_weights; i++) TRY(schedule_to_root(s, n.weights[i], &in[n_in++]));
    TRY(schedule_new_tensor(s, mlirValueGetType(n.y), &y));
    roots[n_roots++] = in[0].root;
    roots[n_roots++] = y.root;
    for (int i = 0; i < n.n_weights; i++) roots[n_roots++] = in[n_rows + i].root;
    if (n.residual.ptr) {
        TRY(schedule_new_tensor(s, mlirValueGetType(n.h), &h));
        roots[n_roots++] = in[1].root;
        written[n_roots] = true;
        roots[n_roots++] = h.root;
    }
    (layer ? layer_norm_name : rms_norm_name)(&n.kernel, name);
    call *c = schedule_kernel_call(s, name, n_roots, roots, written);
    if (!c) return error_memory(s->err, sizeof name);
    int64_t cols = n.kernel.cols;
    c->n_tiles = tensor_count(&in[0]) / cols;
    c->grain = 16384 / cols > 1 ? 16384 / cols : 1;
    try_chain(s, c, in, n_rows, n_in, cols);
    s->roots[y.root].step = cols;
    if (!schedule_knows_kernel(s)) (layer ? layer_norm_build : rms_norm_build)(s->b, &n.kernel, c->kernel);
    TRY(schedule_add_tensor(s, n.y, &y));
    if (!n.residual.ptr) return WF_OK;
    s->roots[h.root].step = cols;
    return schedule_add_tensor(s, n.h, &h);
}
