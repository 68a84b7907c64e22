// Matrix products (kernel/linear.h), fused ones too: one call, one tile a panel of 16 output features. Weights that are
// constants are packed into panels of their type here, others by a copy before the call, which pays from some rows on.
// The kernel computes in f32: 16-bit activations, biases and residuals are widened before it, a 16-bit result is
// rounded after it.
#include <string.h>

#include "base/checked.h"
#include "base/half.h"
#include "compiler/dialect/wf.h"
#include "compiler/graph/constant.h"
#include "compiler/graph/schedule_parts.h"
#include "compiler/kernel/linear.h"
#include "runtime/pack_panel.h"

enum { ROWS_WORTH_PACKING = 8 };

// f32, f16 or bf16.
static bool is_small_float(MlirValue v)
{
    MlirType t = element_type_of(v);
    return mlirTypeIsAF32(t) || mlirTypeIsAF16(t) || mlirTypeIsABF16(t);
}

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
    if (!is_small_float(w) || rank_of(w) != 2 || dim_of(w, 0) < 1 || dim_of(w, 0) >= 1 << 24 || dim_of(w, 1) != cols)
        return 0;
    bool several = parts->n_weights > 1;
    if (several && (!is_constant(w) || dim_of(w, 0) % PANEL_ROWS)) return 0;
    if (!mlirTypeEqual(element_type_of(w), element_type_of(parts->weights[0]))) return 0;
    if (!parts->n_biases) return dim_of(w, 0);
    MlirValue bias = parts->biases[i];
    if (!is_small_float(bias) || (several && !is_f32(bias)) || count_elements(bias) != dim_of(w, 0) ||
        (several && !is_constant(bias)))
        return 0;
    return dim_of(w, 0);
}

// False when no kernel takes this product.
static bool read_linear(MlirOperation op, linear_parts *parts)
{
    if (!op_is(op, "wf.linear") || !linear_read(op, parts)) return false;
    MlirValue x = parts->x, y = mlirOperationGetResult(op, 0);
    if (rank_of(x) < 1 || rank_of(y) < 1 || !is_small_float(x) || !is_small_float(y)) return false;
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
    return !parts->residual.ptr ||
           (is_small_float(parts->residual) && count_elements(parts->residual) == count_elements(y));
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

// That of the weight's type. On a CPU with vdpbf16ps the kernel rounds f32 activations to bf16 for BF16 weights, which
// the op does not say.
static weight_layout choose_layout(const schedule *s, const linear_parts *parts)
{
    MlirType t = element_type_of(parts->weights[0]);
    if (!is_constant(parts->weights[0]) || mlirTypeIsAF32(t)) return LAYOUT_F32_X16;
    if (mlirTypeIsAF16(t)) return LAYOUT_F16_X16;
    bool exact = mlirTypeIsABF16(element_type_of(parts->x)) || !s->b->target.vdpbf16ps;
    return exact ? LAYOUT_BF16_X16 : LAYOUT_F32_X16;
}

// bf16 values as f32.
static bool widen_bytes(buffer *data)
{
    buffer wide = {0};
    for (size_t i = 0; i + 2 <= data->len; i += 2) {
        uint16_t bits;
        memcpy(&bits, data->data + i, 2);
        float x = bfloat_to_float(bits);
        buffer_append(&wide, &x, sizeof x);
    }
    buffer_free(data);
    *data = wide;
    return !wide.failed;
}

// Panels of constants: one weight after the other, or a panel of each in turn.
static wf_status pack_constants(schedule *s, const linear_parts *parts, weight_layout layout, int *index)
{
    bool widens = layout == LAYOUT_F32_X16 && !is_f32(parts->weights[0]);
    int64_t panels[LINEAR_MAX_WEIGHTS], n_panels = 0, cols = dim_of(parts->weights[0], 1), before = 0;
    size_t panel_bytes, all, row_bytes = (size_t)cols * (layout == LAYOUT_F32_X16 ? 4 : 2);
    for (int i = 0; i < parts->n_weights; i++)
        n_panels += panels[i] = (dim_of(parts->weights[i], 0) + PANEL_ROWS - 1) / PANEL_ROWS;
    if (!layout_panel_bytes(layout, cols, &panel_bytes) || !checked_mul(panel_bytes, (size_t)n_panels, &all))
        return error_memory(s->err, SIZE_MAX);
    unsigned char *data;
    TRY(schedule_new_constant(s, all, index, &data));
    for (int i = 0; i < parts->n_weights; before += panels[i++]) {
        buffer plain = {0};
        wf_status status = read_constant(s, parts->weights[i], &plain);
        int64_t rows = dim_of(parts->weights[i], 0);
        if (status == WF_OK && widens && !widen_bytes(&plain)) status = error_memory(s->err, all);
        for (int64_t panel = 0; panel < panels[i] && status == WF_OK; panel++) {
            int64_t at = parts->swiglu ? panel * parts->n_weights + i : before + panel, first = panel * PANEL_ROWS;
            panel_pack(layout, (const unsigned char *)plain.data + (size_t)first * row_bytes, row_bytes,
                       (size_t)(rows - first < PANEL_ROWS ? rows - first : PANEL_ROWS), cols,
                       data + (size_t)at * panel_bytes);
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

static MlirType with_f32(MlirType t)
{
    int64_t dims[MAX_RANK];
    int rank = (int)mlirShapedTypeGetRank(t);
    for (int d = 0; d < rank; d++) dims[d] = mlirShapedTypeGetDimSize(t, d);
    return tensor_of(rank, dims, mlirF32TypeGet(mlirTypeGetContext(t)));
}

// The root of a value in f32.
static wf_status widen_to_root(schedule *s, MlirValue v, int *index)
{
    tensor x, wide;
    if (is_f32(v)) {
        TRY(schedule_to_root(s, v, &x));
        *index = x.root;
        return WF_OK;
    }
    TRY(schedule_read_tensor(s, v, &x));
    TRY(schedule_new_tensor(s, with_f32(mlirValueGetType(v)), &wide));
    TRY(schedule_copy(s, &x, &wide));
    *index = wide.root;
    return WF_OK;
}

// The same at run time, in f32, with strides: [panels, 16, cols] to [panel][col][16], then the rows of the last panel.
// What pads it may be anything: its products are not stored.
static wf_status pack_value(schedule *s, MlirValue v, int *index)
{
    tensor w, to;
    TRY(schedule_read_tensor(s, v, &w));
    if (w.place != PLACE_MEMORY) TRY(schedule_to_memory(s, &w));
    int64_t rows = w.dims[0], cols = w.dims[1], whole = rows / PANEL_ROWS, rest = rows % PANEL_ROWS;
    TRY(schedule_new_tensor(s, with_f32(mlirValueGetType(v)), &to));
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
    linear_kernel k = {.layout = choose_layout(s, &parts),
                       .cols = dim_of(weight, 1),
                       .tail = parts.n_weights == 1 ? features % PANEL_ROWS : 0,
                       .bias = parts.n_biases > 0,
                       .residual = parts.residual.ptr != NULL,
                       .swiglu = parts.swiglu,
                       .gelu = parts.gelu};
    tensor y, rounded;
    char name[96];
    int roots[5], n = 3;
    const bool written[] = {false, false, true, false, false};
    TRY(widen_to_root(s, parts.x, &roots[0]));
    TRY(is_constant(weight) ? pack_constants(s, &parts, k.layout, &roots[1]) : pack_value(s, weight, &roots[1]));
    if (parts.n_biases > 1) TRY(join_biases(s, &parts, &roots[n]));
    if (parts.n_biases == 1) TRY(widen_to_root(s, parts.biases[0], &roots[n]));
    n += k.bias;
    if (k.residual) TRY(widen_to_root(s, parts.residual, &roots[n++]));
    TRY(schedule_new_tensor(s, with_f32(mlirValueGetType(result)), &y));
    roots[2] = y.root;
    linear_name(&k, name);
    call *c = schedule_kernel_call(s, name, n, roots, written);
    if (!c) return error_memory(s->err, sizeof name);
    c->n_tiles = (features + PANEL_ROWS - 1) / PANEL_ROWS; // one tile is a pair of panels with swiglu
    const int64_t dims[] = {count_rows(parts.x), features, c->n_tiles};
    memcpy(c->dims, dims, sizeof dims);
    c->n_dims = 3;
    for (int i = 0; i < parts.n_weights; i++)
        c->flops += 2.0 * (double)dims[0] * (double)dim_of(parts.weights[i], 0) * (double)k.cols;
    s->roots[y.root].step = -1;
    if (!schedule_knows_kernel(s)) linear_build(s->b, &k, c->kernel);
    if (is_f32(result)) return schedule_add_tensor(s, result, &y);
    TRY(schedule_new_tensor(s, mlirValueGetType(result), &rounded));
    TRY(schedule_copy(s, &y, &rounded));
    return schedule_add_tensor(s, result, &rounded);
}
