// Norms (kernel/norm.h): one call, one tile a row; or two calls, one tile a part of a row, where rows are few and long.
#include "compiler/dialect/wf.h"
#include "compiler/graph/constant.h"
#include "compiler/graph/schedule_parts.h"
#include "compiler/kernel/norm.h"

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
    // f64 goes with f64 only
    bool wide = k->x == TENSOR_F64, same = k->y == k->x && (!n->n_weights || k->weight == k->x);
    if (wide ? !same : k->y == TENSOR_F64 || k->weight == TENSOR_F64) return false;
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

// Whether threads share rows. Measured, f32, time in parts over time in whole rows: one row on two threads 0.55 at
// 32768 columns and 0.5 from 65536 on; three rows 0.8; two rows 1.05 to 1.15, which more than two threads would make up
// for; one thread 1.0 to 1.07, and 1.2 at 1048576 columns. docs/norms.md has the table.
static bool is_split(const norm_op *n, int64_t n_rows)
{
    enum { COLS_MIN = 32768, ROWS_MAX = 3 };
    return n->kernel.cols >= COLS_MIN && n_rows <= ROWS_MAX;
}

// What the calls of a norm are made of: its tensors, and their roots.
typedef struct norm_tensors {
    tensor in[4], y, h; // in: x, residual, gamma, beta, those that there are
    int n_rows, n_in;   // of `in`: how many lie row by row, all
} norm_tensors;

static wf_status read_tensors(schedule *s, const norm_op *n, norm_tensors *t)
{
    // in the order in which try_chain looks at them: rows first
    TRY(schedule_to_root(s, n->x, &t->in[t->n_in++]));
    if (n->residual.ptr) TRY(schedule_to_root(s, n->residual, &t->in[t->n_in++]));
    t->n_rows = t->n_in;
    for (int i = 0; i < n->n_weights; i++) TRY(schedule_to_root(s, n->weights[i], &t->in[t->n_in++]));
    TRY(schedule_new_tensor(s, mlirValueGetType(n->y), &t->y));
    return n->residual.ptr ? schedule_new_tensor(s, mlirValueGetType(n->h), &t->h) : WF_OK;
}

// Operands of a call: indices of roots.
typedef struct operands {
    int roots[7], n;
    bool written[7];
} operands;

static void add_operand(operands *o, int index, bool written)
{
    o->roots[o->n] = index;
    o->written[o->n++] = written;
}

static wf_status add_call(schedule *s, const norm_kernel *k, const operands *o, int64_t n_tiles, call **c)
{
    char name[96];
    bool layer = op_is(s->op, "wf.layer_norm");
    (layer ? layer_norm_name : rms_norm_name)(k, name);
    *c = schedule_kernel_call(s, name, o->n, o->roots, o->written);
    if (!*c) return error_memory(s->err, sizeof name);
    (*c)->n_tiles = n_tiles;
    (*c)->flops = (layer ? 8.0 : 4.0) * (double)k->cols * (double)n_tiles;
    (*c)->grain = k->stage == NORM_ROWS && 16384 / k->cols > 1 ? 16384 / k->cols : 1;
    if (!schedule_knows_kernel(s)) (layer ? layer_norm_build : rms_norm_build)(s->b, k, (*c)->kernel);
    return WF_OK;
}

static wf_status schedule_rows(schedule *s, const norm_op *n, const norm_tensors *t, int64_t n_rows)
{
    call *c;
    operands o = {.n = 0};
    add_operand(&o, t->in[0].root, false);
    add_operand(&o, t->y.root, true);
    for (int i = t->n_rows; i < t->n_in; i++) add_operand(&o, t->in[i].root, false);
    if (n->residual.ptr) add_operand(&o, t->in[1].root, false);
    if (n->residual.ptr) add_operand(&o, t->h.root, true);
    TRY(add_call(s, &n->kernel, &o, n_rows, &c));
    try_chain(s, c, t->in, t->n_rows, t->n_in, n->kernel.cols);
    s->roots[t->y.root].step = n->kernel.cols;
    if (n->residual.ptr) s->roots[t->h.root].step = n->kernel.cols;
    return WF_OK;
}

static wf_status schedule_parts(schedule *s, const norm_op *n, const norm_tensors *t, int64_t n_rows)
{
    call *c;
    int moments;
    norm_kernel k = n->kernel;
    int64_t n_tiles = n_rows * norm_part_count(k.cols);
    TRY(schedule_add_root(s, FUNCTION_ARENA, 0, (size_t)n_tiles * NORM_MOMENTS_BYTES, &moments));
    operands reads = {.n = 0}, writes = {.n = 0};
    add_operand(&reads, t->in[0].root, false);
    add_operand(&reads, moments, true);
    if (n->residual.ptr) add_operand(&reads, t->in[1].root, false);
    if (n->residual.ptr) add_operand(&reads, t->h.root, true);
    k.stage = NORM_READ_PARTS;
    TRY(add_call(s, &k, &reads, n_tiles, &c));
    k.residual = false;
    k.stage = NORM_WRITE_PARTS;
    add_operand(&writes, n->residual.ptr ? t->h.root : t->in[0].root, false);
    add_operand(&writes, t->y.root, true);
    add_operand(&writes, moments, false);
    for (int i = t->n_rows; i < t->n_in; i++) add_operand(&writes, t->in[i].root, false);
    return add_call(s, &k, &writes, n_tiles, &c);
}

wf_status schedule_norm(schedule *s)
{
    norm_op n;
    norm_tensors t = {.n_in = 0};
    if (!read_norm(s->op, &n)) return schedule_refuse(s, "cannot be compiled");
    TRY(read_tensors(s, &n, &t));
    int64_t n_rows = tensor_count(&t.in[0]) / n.kernel.cols;
    TRY((is_split(&n, n_rows) ? schedule_parts : schedule_rows)(s, &n, &t, n_rows));
    TRY(schedule_add_tensor(s, n.y, &t.y));
    return n.residual.ptr ? schedule_add_tensor(s, n.h, &t.h) : WF_OK;
}
