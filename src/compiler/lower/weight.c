// Weights: tensors of a checkpoint, large constants of a graph, and arguments that were declared to be weights go into
// the pack; other arguments are packed by a copy before the call, which pays from some rows on.
#include <string.h>

#include "base/checked.h"
#include "compiler/lower/lowering.h"
#include "compiler/mlir/constant.h"

bool is_weight(MlirValue v)
{
    weight_op weight;
    return weight_read(defining_op(v), &weight);
}

MlirStringRef weight_label(MlirValue v)
{
    weight_op weight;
    weight_read(defining_op(v), &weight);
    return weight.name.data ? weight.name : mlirStringRefCreate("", 0);
}

bool is_constant_value(MlirValue v)
{
    MlirAttribute a = constant_attribute_of(defining_op(v));
    return a.ptr && !constant_splat(a).ptr;
}

bool is_blocks(MlirValue v)
{
    blocks_op blocks;
    return blocks_read(defining_op(v), &blocks);
}

// ---- in the pack

static const char *weight_name(lowering *l, MlirValue v)
{
    MlirStringRef name = weight_label(v);
    return arena_strdup(&l->out->memory, (view){name.data, name.length});
}

static const checkpoint_tensor *find_tensor(const lowering *l, MlirValue v)
{
    MlirStringRef name = weight_label(v);
    char text[512];
    if (name.length >= sizeof text) return NULL;
    memcpy(text, name.data, name.length);
    text[name.length] = 0;
    return checkpoint_find_tensor(l->o.file ? l->o.file : l->o.weights, text);
}

static int64_t common_divisor(int64_t a, int64_t b)
{
    for (int64_t rest; b; a = b, b = rest) rest = a % b;
    return a;
}

// rows are the lengths of vectors that lie behind each other: they are cut into rows of one length.
static void cut_vectors(program_weight *w)
{
    w->cols = 0;
    for (uint32_t i = 0; i < w->n_sources; i++) w->cols = common_divisor(w->rows[i], w->cols);
    for (uint32_t i = 0; i < w->n_sources; i++) w->rows[i] /= w->cols;
}

static bool same_weight(const program_weight *a, const program_weight *b)
{
    if (a->layout != b->layout || a->n_sources != b->n_sources || a->cols != b->cols ||
        a->interleave != b->interleave || a->plus_one != b->plus_one)
        return false;
    for (uint32_t i = 0; i < a->n_sources; i++)
        if (strcmp(a->sources[i], b->sources[i]) || a->rows[i] != b->rows[i] || a->transposed[i] != b->transposed[i])
            return false;
    return true;
}

// The root of the weight with these sources and this layout, added to the pack when new.
static wf_status add_weight(lowering *l, program_weight *w, int *index)
{
    size_t i = 0, end;
    while (i < l->n_weights && !same_weight(&l->weights[i], w)) i++;
    if (i == l->n_weights) {
        // vectors are read in whole registers: their last one may reach beyond the values, never beyond the pack
        if (!program_weight_bytes(w, &w->bytes) || !checked_align(l->weights_bytes, 64, &w->offset) ||
            !checked_add(w->offset, w->bytes, &end) || !checked_align(end, 64, &end) || end > INT64_MAX)
            return error_set(l->err, WF_ERROR_UNSUPPORTED, "tensor %s is too large or no whole number of blocks",
                             w->sources[0]);
        if (!GROW(l, weights, weights)) return error_memory(l->err, sizeof *w);
        l->weights_bytes = end;
        l->weights[l->n_weights++] = *w;
    }
    *index = lowering_add_root(l, is_sequence(l) ? BASE_WEIGHTS : FUNCTION_WEIGHTS,
                               affine_of(DIM_ONE, (int64_t)l->weights[i].offset),
                               affine_of(DIM_ONE, (int64_t)l->weights[i].bytes));
    return *index < 0 ? error_memory(l->err, sizeof *l->roots) : WF_OK;
}

static wf_status bind_tensors(lowering *l, const MlirValue *sources, int n, weight_layout layout, bool interleave,
                              bool plus_one, int *index)
{
    program_weight w = {.layout = layout, .n_sources = (uint32_t)n, .interleave = interleave, .plus_one = plus_one};
    for (int i = 0; i < n; i++) {
        weight_op weight;
        const checkpoint_tensor *t = is_weight(sources[i]) ? find_tensor(l, sources[i]) : NULL;
        if (!t || !weight_read(defining_op(sources[i]), &weight))
            return lowering_refuse(l, "has a weight that is no tensor of the checkpoint");
        w.sources[i] = weight_name(l, sources[i]);
        if (!w.sources[i]) return error_memory(l->err, 0);
        w.types[i] = t->type;
        w.transposed[i] = weight.transposed;
        bool vector = layout == LAYOUT_VECTOR_F32;
        w.cols = vector ? 1 : dim_of(sources[i], 1);
        w.rows[i] = vector ? 1 : dim_of(sources[i], 0);
        for (int d = 0; vector && d < rank_of(sources[i]); d++) w.rows[i] *= dim_of(sources[i], d);
    }
    if (layout == LAYOUT_VECTOR_F32) cut_vectors(&w);
    return add_weight(l, &w, index);
}

// ---- plain

wf_status lowering_bind_plain(lowering *l, const char *name, MlirType t, tensor *x)
{
    const checkpoint_tensor *source = checkpoint_find_tensor(l->o.weights, name);
    int64_t bytes;
    TRY(lowering_read_type(l, t, NULL, x));
    if (!source || __builtin_mul_overflow(tensor_count(x), (int64_t)tensor_element_bytes(x), &bytes) || bytes < 1)
        return lowering_refuse(l, source ? "has a weight without elements" : "has a weight that nobody gives");
    program_weight w = {.layout = LAYOUT_PLAIN, .n_sources = 1, .types = {source->type}, .rows = {1}, .cols = bytes};
    w.sources[0] = arena_strdup(&l->out->memory, view_of(name));
    x->place = PLACE_MEMORY;
    return w.sources[0] ? add_weight(l, &w, &x->root) : error_memory(l->err, 0);
}

wf_status lowering_read_weight(lowering *l, MlirValue v, tensor *x)
{
    weight_op weight;
    const weight_type *t = wf_weight_type(element_type_of(v));
    if (is_sequence(l) || !weight_read(defining_op(v), &weight) || (t && weight_type_is_quantised(t)))
        return lowering_refuse(l, "uses a weight in its packed form");
    const char *name = weight_name(l, v);
    if (!name) return error_memory(l->err, 0);
    TRY(lowering_bind_plain(l, name, mlirValueGetType(v), x));
    if (!weight.transposed) return WF_OK;
    x->strides[0] = 1;
    x->strides[1] = x->dims[0];
    return WF_OK;
}

// ---- arguments

// In f32, with strides: [panels, 16, cols] to [panel][col][16], then the rows of the last panel. What pads it may be
// anything: its products are not stored.
static wf_status pack_value(lowering *l, MlirValue v, int *index)
{
    tensor w, to;
    TRY(lowering_read_tensor(l, v, &w));
    if (w.place != PLACE_MEMORY) TRY(lowering_to_memory(l, &w));
    int64_t rows = w.dims[0], cols = w.dims[1], whole = rows / PANEL_ROWS, rest = rows % PANEL_ROWS;
    TRY(lowering_new_tensor(l, type_with_f32(mlirValueGetType(v)), NULL, &to));
    l->roots[to.root].bytes = affine_of(DIM_ONE, (whole + (rest > 0)) * PANEL_ROWS * cols * 4);
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
    if (whole) TRY(lowering_copy(l, &from, &to));
    if (!rest) return WF_OK;
    from.dims[0] = to.dims[0] = 1;
    from.dims[1] = to.dims[1] = rest;
    from.offset += whole * source[0];
    to.offset += whole * target[0];
    return lowering_copy(l, &from, &to);
}

// ---- whichever

wf_status lowering_bind_matrix(lowering *l, const MlirValue *sources, int n, bool interleave, weight_layout layout,
                               int *index)
{
    if (is_weight(sources[0])) return bind_tensors(l, sources, n, layout, interleave, false, index);
    return n == 1 ? pack_value(l, sources[0], index) : lowering_refuse(l, "has several weights that nobody refers to");
}

wf_status lowering_bind_vector(lowering *l, const MlirValue *sources, int n, bool plus_one, int *index)
{
    if (is_weight(sources[0])) return bind_tensors(l, sources, n, LAYOUT_VECTOR_F32, false, plus_one, index);
    if (n > 1) return lowering_refuse(l, "has several biases that nobody refers to");
    tensor x;
    TRY(lowering_to_root(l, sources[0], &x));
    *index = x.root;
    return WF_OK;
}
