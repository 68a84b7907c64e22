// Matrix products (kernel/linear.h) in f32, fused ones too: one call, one tile a panel of 16 output features. Weights
// that are constants are packed into panels here, others by a copy before the call, which pays from some rows on.
#include <string.h>

#include "compiler/dialect/wf.h"
#include "compiler/graph/constant.h"
#include "compiler/graph/schedule_parts.h"
#include "compiler/kernel/linear.h"

enum { ROWS_WORTH_PACKING = 8 };

static bool is_f32(MlirValue v) { return mlirTypeIsAF32(element_type_of(v)); }

static bool is_constant(MlirValue v)
{
    MlirAttribute a = constant_attribute_of(defining_op(v));
    return a.ptr && !constant_splat(a).ptr;
}

// Rows of a value seen as a matrix; 0 where a size is not known.
static int64_t count_rows(MlirValue v)
{
    int64_t n = 1;
    for (int d = 0; d + 1 < rank_of(v); d++)
        if (dim_of(v, d) < 0 || __builtin_mul_overflow(n, dim_of(v, d), &n)) return 0;
    return n;
}

static int64_t count_elements(MlirValue v)
{
    int64_t rows = rank_of(v) ? count_rows(v) : 1, n;
    int64_t cols = rank_of(v) ? dim_of(v, rank_of(v) - 1) : 1;
    return cols < 0 || __builtin_mul_overflow(rows, cols, &n) ? 0 : n;
}

// Output features of one weight, or 0 where its kernel cannot take it. Several weights are constants that fill panels.
static int64_t read_weight(const linear_parts *parts, int i, int64_t cols)
{
    MlirValue w = parts->weights[i];
    if (!is_f32(w) || rank_of(w) != 2 || dim_of(w, 0) < 1 || dim_of(w, 0) >= 1 << 24 || dim_of(w, 1) != cols) return 0;
    bool several = parts->n_weights > 1;
    if (several && (!is_constant(w) || dim_of(w, 0) % PANEL_ROWS)) return 0;
    if (!parts->n_biases) return dim_of(w, 0);
    MlirValue bias = parts->biases[i];
    if (!is_f32(bias) || count_elements(bias) != dim_of(w, 0) || (several && !is_constant(bias))) return 0;
    return dim_of(w, 0);
}

// False when no kernel takes this product.
static bool read_linear(MlirOperation op, linear_parts *parts)
{
    if (!op_is(op, "wf.linear") || !linear_read(op, parts)) return false;
    MlirValue x = parts->x, y = mlirOperationGetResult(op, 0);
    if (rank_of(x) < 1 || rank_of(y) < 1 || !is_f32(x) || !is_f32(y)) return false;
    int64_t rows = count_rows(x), cols = dim_of(x, rank_of(x) - 1), features = 0;
    if (rows < 1 || cols < 1 || cols >= 1 << 24 || count_rows(y) != rows) return false;
    if (parts->n_biases && parts->n_biases != parts->n_weights) return false;
    for (int i = 0; i < parts->n_weights; i++) {
        int64_t more = read_weight(parts, i, cols);
        if (!more || (parts->swiglu && i && more != features)) return false;
        features = parts->swiglu ? more : features + more;
    }
    if (dim_of(y, rank_of(y) - 1) != features) return false;
    if (parts->swiglu && (parts->n_weights != 2 || parts->n_biases || parts->residual.ptr)) return false;
    if (!is_constant(parts->weights[0]) && rows < ROWS_WORTH_PACKING) return false;
    return !parts->residual.ptr || (is_f32(parts->residual) && count_elements(parts->residual) == count_elements(y));
}

bool linear_has_kernel(MlirOperation op)
{
    linear_parts parts;
    return read_linear(op, &parts);
}

// The bytes of a constant.
static wf_status read_constant(schedule *s, MlirValue v, buffer *out)
{
    wf_error inner = {0};
    wf_status status = constant_append(constant_attribute_of(defining_op(v)), out, &inner);
    if (status != WF_OK) schedule_refuse(s, inner.message);
    return status;
}

// [panel][col][16] of constants [rows, cols]: one after the other, or a panel of each in turn.
static wf_status pack_constants(schedule *s, const linear_parts *parts, int *index)
{
    int64_t panels[LINEAR_MAX_WEIGHTS], n_panels = 0, cols = dim_of(parts->weights[0], 1), before = 0;
    for (int i = 0; i < parts->n_weights; i++)
        n_panels += panels[i] = (dim_of(parts->weights[i], 0) + PANEL_ROWS - 1) / PANEL_ROWS;
    unsigned char *data;
    TRY(schedule_new_constant(s, (size_t)(n_panels * PANEL_ROWS * cols) * 4, index, &data));
    for (int i = 0; i < parts->n_weights; before += panels[i++]) {
        buffer plain = {0};
        wf_status status = read_constant(s, parts->weights[i], &plain);
        for (int64_t r = 0; r < dim_of(parts->weights[i], 0) && status == WF_OK; r++) {
            int64_t panel = r / PANEL_ROWS, at = parts->swiglu ? panel * parts->n_weights + i : before + panel;
            const char *from = plain.data + r * cols * 4;
            unsigned char *to = data + (at * cols * PANEL_ROWS + r % PANEL_ROWS) * 4;
            for (int64_t c = 0; c < cols; c++) memcpy(to + c * PANEL_ROWS * 4, from + c * 4, 4);
        }
        buffer_free(&plain);
        TRY(status);
    }
    return WF_OK;
}

// The biases of several weights, one after the other.
static wf_status join_biases(schedule *s, const linear_parts *parts, int *index)
{
    buffer all = {0};
    unsigned char *data;
    wf_status status = WF_OK;
    for (int i = 0; i < parts->n_biases && status == WF_OK; i++) status = read_constant(s, parts->biases[i], &all);
    if (status == WF_OK) status = schedule_new_constant(s, all.len, index, &data);
    if (status == WF_OK) memcpy(data, all.data, all.len);
    buffer_free(&all);
    return status;
}

// The same at run time, with strides: [panels, 16, cols] to [panel][col][16], then the rows of the last panel. What
// pads it may be anything: its products are not stored.
static wf_status pack_value(schedule *s, MlirValue v, int *index)
{
    tensor w, to;
    TRY(schedule_read_tensor(s, v, &w));
    if (w.place != PLACE_MEMORY) TRY(schedule_to_memory(s, &w));
    int64_t rows = w.dims[0], cols = w.dims[1], whole = rows / PANEL_ROWS, rest = rows % PANEL_ROWS;
    TRY(schedule_new_tensor(s, mlirValueGetType(v), &to));
    s->roots[to.root].bytes = (size_t)((whole + (rest > 0)) * PANEL_ROWS * cols) * 4;
    *index = to.root;
    tensor from = w;
    from.rank = to.rank = 3;
    const int64_t dims[] = {whole, PANEL_ROWS, cols},
                  source[] = {PANEL_ROWS * w.strides[0], w.strides[0], w.strides[1]},
                  target[] = {PANEL_ROWS * cols, 1, PANEL_ROWS};
    for (int d = 0; d < 3; d++) {
        from.dims[d] = to.dims[d] = dims[d];
        from.strides[d] = source[d];
        to.strides[d] = target[d];
    }
    if (whole) TRY(schedule_copy(s, &from, &to));
    if (!rest) return WF_OK;
    from.dims[0] = to.dims[0] = 1;
    from.dims[1] = to.dims[1] = rest;
    from.offset += whole * source[0];
    to.offset += whole * target[0];
    return schedule_copy(s, &from, &to);
}

wf_status schedule_linear(schedule *s)
{
    linear_parts parts;
    if (!read_linear(s->op, &parts)) return schedule_refuse(s, "cannot be compiled");
    MlirValue weight = parts.weights[0], result = mlirOperationGetResult(s->op, 0);
    int64_t features = dim_of(result, rank_of(result) - 1);
    linear_kernel k = {.layout = LAYOUT_F32_X16,
                       .cols = dim_of(weight, 1),
                       .tail = parts.n_weights == 1 ? features % PANEL_ROWS : 0,
                       .bias = parts.n_biases > 0,
                       .residual = parts.residual.ptr != NULL,
                       .swiglu = parts.swiglu,
                       .gelu = parts.gelu};
    tensor x, y, bias, residual;
    char name[96];
    int roots[5], n = 3;
    const bool written[] = {false, false, true, false, false};
    TRY(schedule_to_root(s, parts.x, &x));
    TRY(is_constant(weight) ? pack_constants(s, &parts, &roots[1]) : pack_value(s, weight, &roots[1]));
    if (parts.n_biases > 1) TRY(join_biases(s, &parts, &bias.root));
    if (parts.n_biases == 1) TRY(schedule_to_root(s, parts.biases[0], &bias));
    if (k.residual) TRY(schedule_to_root(s, parts.residual, &residual));
    TRY(schedule_new_tensor(s, mlirValueGetType(result), &y));
    roots[0] = x.root;
    roots[2] = y.root;
    if (k.bias) roots[n++] = bias.root;
    if (k.residual) roots[n++] = residual.root;
    linear_name(&k, name);
    call *c = schedule_kernel_call(s, name, n, roots, written);
    if (!c) return error_memory(s->err, sizeof name);
    c->n_tiles = (features + PANEL_ROWS - 1) / PANEL_ROWS; // one tile is a pair of panels with swiglu
    const int64_t dims[] = {count_rows(parts.x), features, c->n_tiles};
    memcpy(c->dims, dims, sizeof dims);
    c->n_dims = 3;
    s->roots[y.root].step = -1;
    if (!schedule_knows_kernel(s)) linear_build(s->b, &k, c->kernel);
    return schedule_add_tensor(s, result, &y);
}
