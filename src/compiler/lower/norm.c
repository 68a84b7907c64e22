// Norms (kernel/norm/norm.h): one call, one tile a row; or two calls, one tile a part of a row, where rows are few and
// long.
// Norms of each head of a row (kernel/rows/rope.h).
#include <stdio.h>

#include "compiler/kernel/norm/norm.h"
#include "compiler/kernel/rows/rope.h"
#include "compiler/lower/lowering.h"
#include "compiler/mlir/constant.h"

static bool norm_type(MlirType t, tensor_type *out)
{
    array_type g;
    static const struct {
        array_type graph;
        tensor_type kernel;
    } types[] = {{ARRAY_F32, TENSOR_F32}, {ARRAY_F16, TENSOR_F16}, {ARRAY_BF16, TENSOR_BF16}, {ARRAY_F64, TENSOR_F64}};
    if (!constant_type(t, &g)) return false;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (types[i].graph != g) continue;
        *out = types[i].kernel;
        return true;
    }
    return false;
}

typedef struct norm_call {
    norm_op op;
    norm_kernel kernel;
    MlirValue weights[2];
    int n_weights;
} norm_call;

static bool same_shape(MlirValue a, MlirValue b)
{
    if (rank_of(a) != rank_of(b)) return false;
    for (int d = 0; d < rank_of(a); d++)
        if (dim_of(a, d) != dim_of(b, d)) return false;
    return true;
}

// gamma or beta, where it is there; false when the kernel cannot take it.
static bool read_weight(norm_call *n, MlirValue v)
{
    tensor_type t = TENSOR_F32; // of all vectors in the pack
    int64_t count = 1;
    if (!v.ptr) return true;
    if ((!is_weight(v) && !norm_type(element_type_of(v), &t)) || (n->n_weights && t != n->kernel.weight)) return false;
    for (int d = 0; d < rank_of(v); d++) count *= dim_of(v, d);
    n->kernel.weight = t;
    n->weights[n->n_weights++] = v;
    return count == n->kernel.cols;
}

static bool read_rounding(MlirType rounded, norm_kernel *k)
{
    tensor_type to;
    if (!rounded.ptr) return true;
    if (!norm_type(rounded, &to) || (to != TENSOR_F32 && to != k->x)) return false;
    k->round_before_gamma = to != TENSOR_F32;
    return true;
}

static bool fits_residual(const norm_op *n) { return same_shape(n->x, n->residual) && same_shape(n->x, n->sum.value); }

// NULL, or why there is no kernel for this norm of whole rows.
static const char *read_norm(MlirOperation op, norm_call *n)
{
    static const char TYPES[] = "no norm kernel has its types";
    *n = (norm_call){.kernel = {.cols = 1}};
    if (!norm_read(op, &n->op)) return "it is no norm";
    MlirValue x = n->op.x, y = n->op.y.value;
    norm_kernel *k = &n->kernel;
    int rank = rank_of(x), axes = (int)n->op.axes;
    k->eps = n->op.eps;
    k->gamma = n->op.gamma.ptr != NULL;
    k->beta = n->op.beta.ptr != NULL;
    k->residual = n->op.residual.ptr != NULL;
    k->out_q8 = is_wf_type(element_type_of(y), "q8");
    if (n->op.n_heads) return "no norm kernel takes the heads of a graph's rows";
    if (!same_shape(x, y)) return "no norm kernel changes the shape";
    if (!norm_type(element_type_of(x), &k->x) || (!k->out_q8 && !norm_type(element_type_of(y), &k->y))) return TYPES;
    for (int d = rank - axes; d < rank; d++)
        if (dim_of(x, d) < 1 || __builtin_mul_overflow(k->cols, dim_of(x, d), &k->cols))
            return "no norm kernel takes rows of an unknown size";
    if (k->cols > 1 << 24) return "no norm kernel takes rows as long";
    if (!read_rounding(n->op.rounded, k)) return "no norm kernel rounds so";
    if (!read_weight(n, n->op.gamma) || !read_weight(n, n->op.beta)) return "no norm kernel takes its gamma or beta";
    // in the pack it is added
    k->plus_one = n->op.plus_one && n->n_weights && !is_weight(n->weights[0]);
    // f64 goes with f64 only
    bool wide = k->x == TENSOR_F64, same = !k->out_q8 && k->y == k->x && (!n->n_weights || k->weight == k->x);
    if (wide ? !same : k->y == TENSOR_F64 || k->weight == TENSOR_F64) return TYPES;
    return k->residual && !fits_residual(&n->op) ? "no norm kernel adds a residual of another shape" : NULL;
}

static const char NO_GAMMA[] = "no norm kernel takes heads without gamma";

const char *why_not_norm(MlirOperation op, graph_kind kind)
{
    norm_call n;
    const char *why = read_norm(op, &n);
    if (kind == GRAPH_OF_SEQUENCE && n.op.n_heads) return n.op.gamma.ptr ? NULL : NO_GAMMA;
    return why;
}

// Whether a tile of the call may follow the same tile of the call before without waiting for the others: it reads what
// that tile wrote, row by row (the first n_rows of the n roots), and weights that no call of the chain writes.
static void try_chain(lowering *l, call *c, const int *roots, int n_rows, int n, int64_t cols)
{
    int index = (int)(c - l->calls);
    const call *before = index > 0 ? &l->calls[index - 1] : NULL;
    if (!l->o.chain || !before || !has_same_tiles(c, before)) return;
    for (int i = 0; i < n; i++) {
        const root *r = &l->roots[roots[i]];
        bool fresh = root_writer_before(r, index) >= before->chain;
        if (fresh && (i >= n_rows || r->step != cols)) return;
    }
    c->chained = true;
    c->chain = before->chain;
}

// Whether threads share rows. Measured, f32, time in parts over time in whole rows: one row on two threads 0.55 at
// 32768 columns and 0.5 from 65536 on; three rows 0.8; two rows 1.05 to 1.15, which more than two threads would make up
// for; one thread 1.0 to 1.07, and 1.2 at 1048576 columns. docs/norms.md has the table.
static bool is_split(const norm_call *n, const affine *rows)
{
    enum { COLS_MIN = 32768, ROWS_MAX = 3 };
    bool fixed = true;
    for (int d = DIM_ONE + 1; d < DIM_COUNT; d++) fixed = fixed && !rows->c[d];
    return fixed && n->kernel.cols >= COLS_MIN && rows->c[DIM_ONE] <= ROWS_MAX && !n->kernel.out_q8;
}

// What the calls of a norm are made of.
typedef struct norm_tensors {
    tensor y, h;
    int in[4];        // roots of x, residual, gamma, beta, those that there are
    int n_rows, n_in; // of `in`: how many lie row by row, all
    affine rows;
} norm_tensors;

static bool equate_shapes(lowering *l, const tensor *a, const tensor *b)
{
    for (int d = 0; d < a->rank; d++)
        if (!lowering_equate(l, a->dims[d], b->dims[d])) return false;
    return true;
}

static wf_status read_tensors(lowering *l, const norm_call *n, norm_tensors *t)
{
    // in the order in which try_chain looks at them: rows first
    tensor x, r;
    TRY(lowering_to_root(l, n->op.x, &x));
    t->in[t->n_in++] = x.root;
    if (n->kernel.residual) {
        TRY(lowering_to_root(l, n->op.residual, &r));
        t->in[t->n_in++] = r.root;
    }
    t->n_rows = t->n_in;
    for (int i = 0; i < n->n_weights; i++)
        TRY(lowering_bind_vector(l, &n->weights[i], 1, i == 0 && n->kernel.gamma && n->op.plus_one, &t->in[t->n_in++]));
    size_code rows;
    if (!lowering_multiply(l, x.dims, x.rank - (int)n->op.axes, &rows)) return lowering_refuse(l, "is too large");
    if (n->kernel.residual && !equate_shapes(l, &x, &r)) return lowering_refuse(l, "has operands whose sizes disagree");
    t->rows = form_of(rows, 1);
    TRY(lowering_new_tensor(l, n->op.y.type, x.dims, &t->y));
    return n->kernel.residual ? lowering_new_tensor(l, n->op.sum.type, x.dims, &t->h) : WF_OK;
}

// The call is labelled by the weight where that has a name.
static call *add_call(lowering *l, const norm_call *n, const norm_kernel *k, affine rows)
{
    char label[128] = "";
    bool layer = n->op.kind == NORM_LAYER;
    if (is_sequence(l) && n->n_weights && is_weight(n->weights[0])) {
        MlirStringRef weight = weight_label(n->weights[0]);
        snprintf(label, sizeof label, "%.*s", (int)weight.length, weight.data);
    } else if (is_sequence(l)) {
        snprintf(label, sizeof label, layer ? "layer_norm" : "rms_norm");
    }
    uint32_t index = lowering_add_kernel(l, layer ? &LAYER_NORM_KERNEL : &RMS_NORM_KERNEL, k);
    call *c = lowering_add_call(l, index, *label ? label : NULL);
    if (!c) return NULL;
    c->tiles.a = c->flops = rows;
    for (int d = 0; d < DIM_COUNT; d++) c->flops.c[d] *= ((layer ? 8 : 4) + (k->residual ? 1 : 0)) * k->cols;
    c->grain = k->stage == NORM_ROWS && !is_sequence(l) && 16384 / k->cols > 1 ? 16384 / k->cols : 1;
    return c;
}

static wf_status lower_whole_rows(lowering *l, const norm_call *n, const norm_tensors *t)
{
    call *c = add_call(l, n, &n->kernel, t->rows);
    if (!c) return error_memory(l->err, sizeof *c);
    call_reads(l, t->in[0], 0);
    call_writes(l, t->y.root);
    for (int i = t->n_rows; i < t->n_in; i++) call_reads(l, t->in[i], 0);
    if (n->kernel.residual) call_reads(l, t->in[1], 0);
    if (n->kernel.residual) call_writes(l, t->h.root);
    try_chain(l, c, t->in, t->n_rows, t->n_in, n->kernel.cols);
    l->roots[t->y.root].step = n->kernel.cols;
    if (n->kernel.residual) l->roots[t->h.root].step = n->kernel.cols;
    return WF_OK;
}

static wf_status lower_parts(lowering *l, const norm_call *n, const norm_tensors *t)
{
    norm_kernel k = n->kernel;
    affine tiles = affine_of(DIM_ONE, t->rows.c[DIM_ONE] * norm_part_count(k.cols));
    int moments = lowering_add_root(l, FUNCTION_ARENA, affine_of(DIM_ONE, 0),
                                    affine_of(DIM_ONE, tiles.c[DIM_ONE] * NORM_MOMENTS_BYTES));
    k.stage = NORM_READ_PARTS;
    if (moments < 0 || !add_call(l, n, &k, tiles)) return error_memory(l->err, sizeof k);
    call_reads(l, t->in[0], 0);
    call_writes(l, moments);
    if (n->kernel.residual) call_reads(l, t->in[1], 0);
    if (n->kernel.residual) call_writes(l, t->h.root);
    k.residual = false;
    k.stage = NORM_WRITE_PARTS;
    if (!add_call(l, n, &k, tiles)) return error_memory(l->err, sizeof k);
    call_reads(l, n->kernel.residual ? t->h.root : t->in[0], 0);
    call_writes(l, t->y.root);
    call_reads(l, moments, 0);
    for (int i = t->n_rows; i < t->n_in; i++) call_reads(l, t->in[i], 0);
    return WF_OK;
}

static wf_status lower_head_norm(lowering *l, const norm_op *n)
{
    if (!n->gamma.ptr) return lowering_refuse_kernel(l, NO_GAMMA);
    head_norm_kernel k = {.n_heads = n->n_heads, .head_dim = dim_of(n->gamma, 0), .eps = n->eps};
    tensor x, y;
    int w;
    TRY(lowering_read_tensor(l, n->x, &x));
    TRY(lowering_bind_vector(l, &n->gamma, 1, n->plus_one, &w));
    TRY(lowering_new_tensor(l, n->y.type, x.dims, &y));
    MlirStringRef weight = weight_label(n->gamma);
    char label[128];
    snprintf(label, sizeof label, "%.*s", (int)weight.length, weight.data);
    call *c = lowering_add_call(l, lowering_add_kernel(l, &HEAD_NORM_KERNEL, &k), label);
    if (!c) return error_memory(l->err, sizeof *c);
    call_tiles(c, form_of(x.dims[0], 1));
    call_reads(l, x.root, 4 * x.offset);
    call_writes(l, y.root);
    call_reads(l, w, 0);
    call_size(l, form_of(x.dims[0], 1));
    call_size(l, affine_of(DIM_ONE, x.strides[0]));
    return lowering_add_tensor(l, n->y.value, &y);
}

wf_status lower_norm(lowering *l)
{
    norm_call n;
    norm_tensors t = {.n_in = 0};
    const char *why = read_norm(l->op, &n);
    if (n.op.n_heads && is_sequence(l)) return lower_head_norm(l, &n.op);
    if (why) return lowering_refuse_kernel(l, why);
    TRY(read_tensors(l, &n, &t));
    TRY((is_split(&n, &t.rows) ? lower_parts : lower_whole_rows)(l, &n, &t));
    TRY(lowering_add_tensor(l, n.op.y.value, &t.y));
    return n.kernel.residual ? lowering_add_tensor(l, n.op.sum.value, &t.h) : WF_OK;
}
