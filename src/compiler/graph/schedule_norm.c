// Norms have kernels of their own (kernel/norm.h): one call, one tile a row.
#include <string.h>

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

bool schedule_has_kernel(MlirOperation op)
{
    norm_kernel k;
    MlirValue operands[3];
    int n;
    return read_norm(op, &k, operands, &n);
}

static bool has_kernel_named(const schedule *s, const char *name)
{
    for (size_t i = 0; i + 1 < s->n_calls; i++)
        if (s->calls[i].kernel && !strcmp(s->calls[i].kernel, name)) return true;
    return false;
}

wf_status schedule_norm(schedule *s)
{
    norm_kernel k;
    MlirValue operands[3];
    int n;
    tensor x[3], y;
    bool layer = op_is(s->op, "wf.layer_norm");
    if (!read_norm(s->op, &k, operands, &n)) return schedule_refuse(s, "cannot be compiled");
    for (int i = 0; i < n; i++) {
        TRY(schedule_read_tensor(s, operands[i], &x[i]));
        TRY(schedule_to_memory(s, &x[i]));
        if (x[i].offset && i > 0) { // weights are read from the start of their buffer
            tensor moved = x[i];
            TRY(schedule_new_tensor(s, mlirValueGetType(operands[i]), &moved));
            TRY(schedule_copy(s, &x[i], &moved));
            x[i] = moved;
        }
    }
    if (x[0].offset) {
        tensor moved;
        TRY(schedule_new_tensor(s, mlirValueGetType(operands[0]), &moved));
        TRY(schedule_copy(s, &x[0], &moved));
        x[0] = moved;
    }
    TRY(schedule_new_tensor(s, mlirValueGetType(mlirOperationGetResult(s->op, 0)), &y));
    size_t index = s->n_calls;
    call *c = schedule_add_call(s);
    if (!c) return error_memory(s->err, sizeof *c);
    // operands are told apart by place, so that no two share a buffer: x may be gamma as well
    const int order[] = {x[0].root, y.root, n > 1 ? x[1].root : -1, n > 2 ? x[2].root : -1};
    for (int i = 0; i < n + 1; i++) {
        c->roots[i] = order[i];
        c->written[i] = i == 1;
        root *r = &s->roots[order[i]];
        if (r->first < 0) r->first = (int)index;
        r->last = (int)index;
        c->n_buffers++;
    }
    char name[96];
    (layer ? layer_norm_name : rms_norm_name)(&k, name);
    c->kernel = arena_strdup(&s->out->memory, view_of(name));
    c->label = schedule_make_label(s);
    if (!c->kernel || !c->label) return error_memory(s->err, sizeof name);
    c->n_tiles = tensor_count(&x[0]) / k.cols;
    c->grain = 16384 / k.cols > 1 ? 16384 / k.cols : 1;
    c->chain = (int)index;
    call *before = index > 0 ? &s->calls[index - 1] : NULL;
    root *from = &s->roots[x[0].root];
    bool fresh = before && from->base == GRAPH_ARENA && from->first >= before->chain;
    bool weights_fresh = false;
    for (int i = 1; i < n; i++) {
        const root *r = &s->roots[x[i].root];
        weights_fresh = weights_fresh || (before && r->base == GRAPH_ARENA && r->first >= before->chain);
    }
    if (s->chain && before && before->n_tiles == c->n_tiles && c->n_tiles > 1 && !weights_fresh &&
        (!fresh || from->step == k.cols)) {
        c->chained = true;
        c->chain = before->chain;
    }
    s->roots[y.root].step = k.cols;
    if (!has_kernel_named(s, c->kernel)) (layer ? layer_norm_build : rms_norm_build)(s->b, &k, c->kernel);
    return schedule_add_tensor(s, mlirOperationGetResult(s->op, 0), &y);
}
