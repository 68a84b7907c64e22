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

// The kernel for a norm; false when there is none.
static bool read_norm(MlirOperation op, norm_kernel *k, MlirValue operands[3], int *n)
{
    bool layer = op_is(op, "wf.layer_norm");
    if (!layer && !op_is(op, "wf.rms_norm")) return false;
    MlirValue x = mlirOperationGetOperand(op, 0), y = mlirOperationGetResult(op, 0);
    int rank = rank_of(x), axes = (int)op_int(op, "axes", 1);
    *k = (norm_kernel){.cols = 1, .eps = op_float(op, "eps", 0), .plus_one = op_bool(op, "plus_one")};
    if (axes < 1 || axes > rank || !norm_type(element_type_of(x), &k->x) || !norm_type(element_type_of(y), &k->y))
        return false;
    for (int d = rank - axes; d < rank; d++)
        if (dim_of(x, d) < 1 || __builtin_mul_overflow(k->cols, dim_of(x, d), &k->cols)) return false;
    if (k->cols > 1 << 24) return false;
    MlirAttribute rounded = op_attribute(op, "rounded");
    if (rounded.ptr) {
        MlirType t = mlirTypeAttrGetValue(rounded);
        tensor_type to;
        if (!norm_type(t, &to) || (to != TENSOR_F32 && to != k->x)) return false;
        k->round_before_gamma = to != TENSOR_F32;
    }
    operands[0] = x;
    *n = 1;
    bool segments = op_attribute(op, "operandSegmentSizes").ptr != NULL;
    for (int i = 1; i <= (layer ? 2 : 1); i++) {
        int64_t at = i, present = segments ? op_segment(op, i, &at) : mlirOperationGetNumOperands(op) > i;
        if (!present) continue;
        tensor_type weight;
        MlirValue v = mlirOperationGetOperand(op, (intptr_t)at);
        if (!norm_type(element_type_of(v), &weight) || (*n > 1 && weight != k->weight)) return false;
        int64_t count = 1;
        for (int d = 0; d < rank_of(v); d++) count *= dim_of(v, d);
        if (count != k->cols) return false;
        k->weight = weight;
        (i == 1 ? (k->gamma = true) : (k->beta = true));
        operands[(*n)++] = v;
    }
    return true;
}

bool norm_has_kernel(MlirOperation op)
{
    norm_kernel k;
    MlirValue operands[3];
    int n;
    return read_norm(op, &k, operands, &n);
}

// Whether a tile of the call may follow the same tile of the call before without waiting for the others: it reads what
// that tile wrote, row by row, and weights that no call of the chain writes.
static void try_chain(schedule *s, call *c, const tensor x[], int n, int64_t cols)
{
    int index = (int)(c - s->calls);
    c->chain = index;
    const call *before = index > 0 ? &s->calls[index - 1] : NULL;
    if (!s->chain || !before || before->n_tiles != c->n_tiles || c->n_tiles <= 1) return;
    for (int i = 0; i < n; i++) {
        const root *r = &s->roots[x[i].root];
        bool fresh = root_writer_before(r, index) >= before->chain;
        if (fresh && (i > 0 || r->step != cols)) return;
    }
    c->chained = true;
    c->chain = before->chain;
}

wf_status schedule_norm(schedule *s)
{
    norm_kernel k;
    MlirValue operands[3];
    int n;
    tensor x[3], y;
    char name[96];
    bool layer = op_is(s->op, "wf.layer_norm");
    if (!read_norm(s->op, &k, operands, &n)) return schedule_refuse(s, "cannot be compiled");
    for (int i = 0; i < n; i++) TRY(schedule_to_root(s, operands[i], &x[i]));
    TRY(schedule_new_tensor(s, mlirValueGetType(mlirOperationGetResult(s->op, 0)), &y));
    (layer ? layer_norm_name : rms_norm_name)(&k, name);
    const int roots[] = {x[0].root, y.root, n > 1 ? x[1].root : -1, n > 2 ? x[2].root : -1};
    const bool written[] = {false, true, false, false};
    call *c = schedule_kernel_call(s, name, n + 1, roots, written);
    if (!c) return error_memory(s->err, sizeof name);
    c->n_tiles = tensor_count(&x[0]) / k.cols;
    c->grain = 16384 / k.cols > 1 ? 16384 / k.cols : 1;
    try_chain(s, c, x, n, k.cols);
    s->roots[y.root].step = k.cols;
    if (!schedule_knows_kernel(s)) (layer ? layer_norm_build : rms_norm_build)(s->b, &k, c->kernel);
    return schedule_add_tensor(s, mlirOperationGetResult(s->op, 0), &y);
}
