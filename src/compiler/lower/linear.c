// Matrix products (kernel/linear/linear.h), fused ones too: one call, one tile a panel of 16 output features.
//
// The kernel reads rows of f32, or of 8-bit blocks where the weights are quantised, unless a graph says that its quantised
// weights are multiplied with f32. In a graph, 16-bit activations and residuals are widened before it, a 16-bit result is
// rounded after it.
#include <stdio.h>

#include "compiler/kernel/linear/linear.h"
#include "compiler/lower/lowering.h"

enum { ROWS_WORTH_PACKING = 8 };

bool is_small_float(MlirValue v)
{
    MlirType t = element_type_of(v);
    return mlirTypeIsAF32(t) || mlirTypeIsAF16(t) || mlirTypeIsABF16(t);
}

static bool is_q8(MlirValue v) { return is_wf_type(element_type_of(v), "q8"); }

static bool is_f32(MlirValue v) { return mlirTypeIsAF32(element_type_of(v)); }

// Rows of a value seen as a matrix; 0 where a size is not known.
static int64_t count_rows(MlirValue v)
{
    int64_t n = 1;
    for (int d = 0; d + 1 < rank_of(v); d++)
        if (dim_of(v, d) < 0 || __builtin_mul_overflow(n, dim_of(v, d), &n)) return 0;
    return n;
}

static bool has_unknown_rows(MlirValue v)
{
    for (int d = 0; d + 1 < rank_of(v); d++)
        if (dim_of(v, d) < 0) return true;
    return false;
}

static int64_t count_elements(MlirValue v)
{
    int64_t rows = rank_of(v) ? count_rows(v) : 1, n;
    int64_t cols = rank_of(v) ? dim_of(v, rank_of(v) - 1) : 1;
    return cols < 0 || __builtin_mul_overflow(rows, cols, &n) ? 0 : n;
}

static const char TYPES[] = "no linear kernel has its types";
static const char SIZES[] = "no linear kernel takes its sizes";
static const char ERF[] = "no linear kernel has gelu by erf";

// Whether it will be in the pack when the op is lowered (fuse/refer.h).
static bool is_packed(MlirValue v) { return is_weight(v) || is_constant_value(v) || is_blocks(v); }

static bool is_quantised(MlirValue v)
{
    const weight_type *t = wf_weight_type(element_type_of(v));
    return (is_weight(v) || is_blocks(v)) && t && weight_type_is_quantised(t);
}

// NULL, or why the kernel cannot take one weight, of so many output features. Several weights fill panels of the pack.
static const char *read_weight(const linear_op *parts, int i, int64_t cols, int64_t *features)
{
    MlirValue w = parts->weights[i];
    bool several = parts->n_weights > 1;
    if (!(is_small_float(w) || is_quantised(w)) ||
        !mlirTypeEqual(element_type_of(w), element_type_of(parts->weights[0])))
        return TYPES;
    if (rank_of(w) != 2 || dim_of(w, 0) < 1 || dim_of(w, 0) >= 1 << 24 || dim_of(w, 1) != cols) return SIZES;
    if (several && !is_packed(w)) return "no linear kernel takes several weights that are no constants";
    if (several && dim_of(w, 0) % PANEL_ROWS) return "no linear kernel takes several weights that fill no panels of 16";
    *features = dim_of(w, 0);
    if (!parts->n_biases) return NULL;
    MlirValue bias = parts->biases[i];
    if (!is_small_float(bias) || count_elements(bias) != *features) return "no linear kernel takes its bias";
    return several && !is_packed(bias) ? "no linear kernel takes several biases that are no constants" : NULL;
}

// NULL, or why no kernel takes this product of a graph's values.
static const char *read_linear(MlirOperation op, linear_op *parts)
{
    if (!linear_read(op, parts)) return "it is no linear";
    if (parts->glu == GLU_GELU) return ERF;
    MlirValue x = parts->x, y = parts->y.value;
    if (!(is_small_float(x) || (is_q8(x) && is_quantised(parts->weights[0])))) return TYPES;
    if (!(is_small_float(y) || (is_q8(y) && parts->glu))) return TYPES;
    if (rank_of(x) < 1 || rank_of(y) < 1) return SIZES;
    bool any_rows = has_unknown_rows(x);
    int64_t rows = any_rows ? INT64_MAX : count_rows(x), cols = dim_of(x, rank_of(x) - 1), features = 0;
    if (rows < 1 || cols < 1 || cols >= 1 << 24) return SIZES;
    if (has_unknown_rows(y) != any_rows || (!any_rows && count_rows(y) != rows)) return SIZES;
    if (parts->n_biases && parts->n_biases != parts->n_weights) return "no linear kernel takes its bias";
    for (int i = 0; i < parts->n_weights; i++) {
        int64_t more;
        const char *why = read_weight(parts, i, cols, &more);
        if (why) return why;
        if (parts->glu && i && more != features) return SIZES;
        features = parts->glu ? more : features + more;
    }
    if (dim_of(y, rank_of(y) - 1) != features) return SIZES;
    if (parts->glu && (parts->n_weights != 2 || parts->n_biases || parts->residual.ptr))
        return "no linear kernel gates beside a bias or a residual";
    if (!is_packed(parts->weights[0]) && rows < ROWS_WORTH_PACKING)
        return "a weight that is no constant is not worth packing for so few rows";
    if (!parts->residual.ptr) return NULL;
    if (!is_small_float(parts->residual)) return TYPES;
    return count_elements(parts->residual) == count_elements(y) ? NULL : SIZES;
}

// Of the frontend's own linears the types and sizes are those that the kernel has.
static const char *read_sequence_linear(MlirOperation op, linear_op *parts)
{
    if (!linear_read(op, parts)) return "it is no linear";
    return parts->glu == GLU_GELU ? ERF : NULL;
}

const char *why_not_linear(MlirOperation op, graph_kind kind)
{
    linear_op parts;
    return kind == GRAPH_OF_SEQUENCE ? read_sequence_linear(op, &parts) : read_linear(op, &parts);
}

const char *why_not_blocks(MlirOperation op, graph_kind kind)
{
    blocks_op blocks;
    if (!blocks_read(op, &blocks) || kind == GRAPH_OF_SEQUENCE)
        return "weights of a checkpoint have their blocks in a file";
    MlirOpOperand use = mlirValueGetFirstUse(blocks.w.value);
    for (; !mlirOpOperandIsNull(use); use = mlirOpOperandGetNextUse(use))
        if (lower_why_not(mlirOpOperandGetOwner(use), kind)) return "an op that reads them has no kernel";
    return NULL;
}

// That of the weight's type. On a CPU with vdpbf16ps the kernel rounds f32 activations to bf16 for BF16 weights, which
// the op of a graph does not say unless that type was asked for.
static weight_layout choose_layout(const lowering *l, const linear_op *parts)
{
    MlirValue w = parts->weights[0];
    const weight_type *t = wf_weight_type(element_type_of(w));
    if (is_sequence(l)) return t->layout;
    bool exact = t->activation != ACTIVATION_BF16 || mlirTypeIsABF16(element_type_of(parts->x)) ||
                 !l->b->target.vdpbf16ps || t == l->o.packed_as;
    return is_weight(w) && exact ? t->layout : LAYOUT_F32_X16;
}

// The root of a value in f32; rows of 8-bit blocks stay.
static wf_status bind_rows(lowering *l, MlirValue v, int *index, tensor *x)
{
    tensor wide;
    if (is_f32(v) || is_q8(v)) {
        TRY(lowering_to_root(l, v, x));
        *index = x->root;
        return WF_OK;
    }
    TRY(lowering_read_tensor(l, v, x));
    TRY(lowering_new_tensor(l, type_with_f32(mlirValueGetType(v)), x->dims, &wide));
    TRY(lowering_copy(l, x, &wide));
    *index = wide.root;
    return WF_OK;
}

static wf_status bind_biases(lowering *l, const linear_op *parts, int *index)
{
    tensor ignored;
    if (parts->n_biases > 1 || is_weight(parts->biases[0]))
        return lowering_bind_vector(l, parts->biases, parts->n_biases, false, index);
    return bind_rows(l, parts->biases[0], index, &ignored);
}

typedef struct linear_roots {
    int x, w, bias, residual;
    affine rows;
    tensor x_tensor;
    bool fixed;
} linear_roots;

static wf_status bind(lowering *l, const linear_op *parts, weight_layout layout, linear_roots *r)
{
    tensor residual;
    size_code rows;
    TRY(bind_rows(l, parts->x, &r->x, &r->x_tensor));
    if (!lowering_multiply(l, r->x_tensor.dims, r->x_tensor.rank - 1, &rows)) return lowering_refuse(l, "is too large");
    r->rows = form_of(rows, 1);
    r->fixed = rows >= 0;
    TRY(lowering_bind_matrix(l, parts->weights, parts->n_weights, parts->glu != GLU_NONE, layout, &r->w));
    if (parts->n_biases) TRY(bind_biases(l, parts, &r->bias));
    if (!parts->residual.ptr) return WF_OK;
    TRY(bind_rows(l, parts->residual, &r->residual, &residual));
    size_code others;
    if (!r->fixed &&
        (!lowering_multiply(l, residual.dims, residual.rank - 1, &others) || !lowering_equate(l, rows, others)))
        return lowering_refuse(l, "has operands whose sizes disagree");
    return WF_OK;
}

static wf_status call_linear(lowering *l, const linear_kernel *k, const linear_op *parts, const linear_roots *r,
                             int64_t features, int y)
{
    char label[128] = "";
    if (is_sequence(l)) {
        MlirStringRef weight = weight_label(parts->weights[0]);
        snprintf(label, sizeof label, "%.*s", (int)weight.length, weight.data);
    }
    int64_t per_tile = linear_tile_features(k), n_tiles = (features + per_tile - 1) / per_tile, products = 0;
    call *c = lowering_add_call(l, lowering_add_kernel(l, &LINEAR_KERNEL, k), *label ? label : NULL);
    if (!c) return error_memory(l->err, sizeof *c);
    // no rows, no work: tiles must vanish with n_outputs, so they are counted as tiles a row and all rows share one
    if (!r->fixed)
        c->tiles = (program_count){.a = r->rows, .divisor = PROGRAM_ALL_ROWS, .factor = n_tiles};
    else
        call_tiles(c, affine_of(DIM_ONE, n_tiles));
    for (int i = 0; i < parts->n_weights; i++) products += 2 * k->cols * dim_of(parts->weights[i], 0);
    for (int d = 0; d < DIM_COUNT; d++) c->flops.c[d] = r->rows.c[d] * products;
    call_reads(l, r->x, 0);
    call_reads(l, r->w, 0);
    call_writes(l, y);
    if (k->bias) call_reads(l, r->bias, 0);
    if (k->residual) call_reads(l, r->residual, 0);
    call_size(l, r->rows);
    call_size(l, affine_of(DIM_ONE, features));
    call_size(l, affine_of(DIM_ONE, n_tiles));
    return WF_OK;
}

wf_status lower_linear(lowering *l)
{
    linear_op parts;
    linear_roots roots = {0};
    const char *why = is_sequence(l) ? read_sequence_linear(l->op, &parts) : read_linear(l->op, &parts);
    weight_op weight = {0};
    if (!why) weight_read(defining_op(parts.weights[0]), &weight);
    if (!why && is_quantised(parts.weights[0]) && is_q8(parts.x) == weight.wide) why = TYPES;
    if (why) return lowering_refuse_kernel(l, why);
    MlirValue result = parts.y.value;
    int64_t features = dim_of(result, rank_of(result) - 1);
    bool out_q8 = is_q8(result);
    linear_kernel k = {.layout = choose_layout(l, &parts),
                       .cols = dim_of(parts.weights[0], 1),
                       .tail = parts.n_weights == 1 ? features % PANEL_ROWS : 0,
                       .bias = parts.n_biases > 0,
                       .residual = parts.residual.ptr != NULL,
                       .swiglu = parts.glu != GLU_NONE,
                       .gelu = parts.glu == GLU_GELU_TANH,
                       .q8_features = out_q8 ? features : 0,
                       .wide = weight.wide};
    tensor y, rounded;
    TRY(bind(l, &parts, k.layout, &roots));
    MlirType stored = mlirValueGetType(result);
    TRY(lowering_new_tensor(l, out_q8 ? stored : type_with_f32(stored), roots.x_tensor.dims, &y));
    TRY(call_linear(l, &k, &parts, &roots, features, y.root));
    if (out_q8 || is_f32(result)) return lowering_add_tensor(l, result, &y);
    TRY(lowering_new_tensor(l, stored, roots.x_tensor.dims, &rounded));
    TRY(lowering_copy(l, &y, &rounded));
    return lowering_add_tensor(l, result, &rounded);
}
