// Weights: tensors of a checkpoint go into the pack; constants are packed into the program's constants here; arguments
// are packed by a copy before the call, which pays from some rows on.
#include <string.h>

#include "base/checked.h"
#include "compiler/lower/lowering.h"
#include "compiler/mlir/constant.h"
#include "runtime/weight/pack_panel.h"

bool is_checkpoint_weight(MlirValue v)
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

// ---- of a checkpoint

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
    return checkpoint_find_tensor(l->o.file, text);
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
        if (strcmp(a->sources[i], b->sources[i])) return false;
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
    *index = lowering_add_root(l, BASE_WEIGHTS, affine_of(DIM_ONE, (int64_t)l->weights[i].offset),
                               affine_of(DIM_ONE, (int64_t)l->weights[i].bytes));
    return *index < 0 ? error_memory(l->err, sizeof *l->roots) : WF_OK;
}

static wf_status bind_tensors(lowering *l, const MlirValue *sources, int n, weight_layout layout, bool interleave,
                              bool plus_one, int *index)
{
    program_weight w = {.layout = layout, .n_sources = (uint32_t)n, .interleave = interleave, .plus_one = plus_one};
    for (int i = 0; i < n; i++) {
        if (!is_checkpoint_weight(sources[i]))
            return lowering_refuse(l, "has a weight that is no tensor of the checkpoint");
        const checkpoint_tensor *t = find_tensor(l, sources[i]);
        w.sources[i] = weight_name(l, sources[i]);
        if (!w.sources[i]) return error_memory(l->err, 0);
        w.types[i] = t->type;
        w.cols = t->dims[0];
        w.rows[i] = layout == LAYOUT_VECTOR_F32 ? t->dims[0] : t->dims[1];
    }
    if (layout == LAYOUT_VECTOR_F32) cut_vectors(&w);
    return add_weight(l, &w, index);
}

// ---- constants

wf_status lowering_new_constant(lowering *l, size_t bytes, int *index, unsigned char **data)
{
    while (l->blob->len % 64) buffer_append_char(l->blob, 0);
    size_t offset = l->blob->len;
    if (!buffer_reserve(l->blob, bytes)) return error_memory(l->err, bytes);
    memset(l->blob->data + offset, 0, bytes + 1);
    l->blob->len += bytes;
    *data = (unsigned char *)l->blob->data + offset;
    *index = lowering_add_root(l, FUNCTION_CONSTANTS, affine_of(DIM_ONE, (int64_t)offset),
                               affine_of(DIM_ONE, (int64_t)bytes));
    return *index < 0 ? error_memory(l->err, sizeof *l->roots) : WF_OK;
}

// A block as a checkpoint has it: its scale, then 32 bytes, or 16 of which each holds a number j and number j + 16, plus 8
// (https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h).
static void append_block(const char *q, const char *d, bool nibbles, buffer *out)
{
    buffer_append(out, d, 2);
    if (!nibbles) buffer_append(out, q, QUANT_BLOCK);
    for (int j = 0; j < QUANT_BLOCK / 2 && nibbles; j++)
        buffer_append_char(out, (char)(((q[j] + 8) & 15) | (q[j + QUANT_BLOCK / 2] + 8) << 4));
}

static wf_status read_constant(lowering *l, MlirValue v, buffer *out);

static wf_status read_blocks(lowering *l, const blocks_op *blocks, buffer *out)
{
    buffer q = {0}, d = {0};
    bool nibbles = is_wf_type(element_type_of(blocks->w.value), "q4_0");
    wf_status status = read_constant(l, blocks->q, &q);
    if (status == WF_OK) status = read_constant(l, blocks->d, &d);
    for (size_t i = 0; status == WF_OK && i < q.len / QUANT_BLOCK; i++)
        append_block(q.data + i * QUANT_BLOCK, d.data + 2 * i, nibbles, out);
    if (out->failed) status = error_memory(l->err, q.len);
    buffer_free(&q);
    buffer_free(&d);
    return status;
}

// The bytes of a constant.
static wf_status read_constant(lowering *l, MlirValue v, buffer *out)
{
    wf_error inner = {0};
    blocks_op blocks;
    if (blocks_read(defining_op(v), &blocks)) return read_blocks(l, &blocks, out);
    wf_status status = constant_append(constant_attribute_of(defining_op(v)), out, &inner);
    if (status != WF_OK) lowering_refuse(l, inner.message);
    return status;
}

static wf_status pack_constants(lowering *l, const MlirValue *sources, int n, bool interleave, weight_layout layout,
                                int *index)
{
    int64_t panels[PROGRAM_MAX_SOURCES], n_panels = 0, cols = dim_of(sources[0], 1), before = 0;
    const weight_type *stored = wf_weight_type(element_type_of(sources[0]));
    size_t panel_bytes, all, row_bytes = weight_type_file_bytes(stored, cols);
    for (int i = 0; i < n; i++) n_panels += panels[i] = (dim_of(sources[i], 0) + PANEL_ROWS - 1) / PANEL_ROWS;
    if (!layout_panel_bytes(layout, cols, &panel_bytes) || !checked_mul(panel_bytes, (size_t)n_panels, &all))
        return error_memory(l->err, SIZE_MAX);
    unsigned char *data;
    TRY(lowering_new_constant(l, all, index, &data));
    for (int i = 0; i < n; before += panels[i++]) {
        buffer plain = {0};
        wf_status status = read_constant(l, sources[i], &plain);
        int64_t rows = dim_of(sources[i], 0);
        for (int64_t panel = 0; panel < panels[i] && status == WF_OK; panel++) {
            int64_t at = interleave ? panel * n + i : before + panel, first = panel * PANEL_ROWS;
            panel_pack(layout, stored->tensor, (const unsigned char *)plain.data + (size_t)first * row_bytes, row_bytes,
                       (size_t)(rows - first < PANEL_ROWS ? rows - first : PANEL_ROWS), cols,
                       data + (size_t)at * panel_bytes);
        }
        buffer_free(&plain);
        TRY(status);
    }
    return WF_OK;
}

static wf_status join_vectors(lowering *l, const MlirValue *sources, int n, int *index)
{
    buffer all = {0};
    unsigned char *data;
    wf_status status = WF_OK;
    for (int i = 0; i < n && status == WF_OK; i++) status = read_constant(l, sources[i], &all);
    if (status == WF_OK) status = lowering_new_constant(l, all.len, index, &data);
    if (status == WF_OK) memcpy(data, all.data, all.len);
    buffer_free(&all);
    return status;
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
    if (is_checkpoint_weight(sources[0])) return bind_tensors(l, sources, n, layout, interleave, false, index);
    return is_constant_value(sources[0]) || is_blocks(sources[0])
               ? pack_constants(l, sources, n, interleave, layout, index)
               : pack_value(l, sources[0], index);
}

wf_status lowering_bind_vector(lowering *l, const MlirValue *sources, int n, bool plus_one, int *index)
{
    if (is_checkpoint_weight(sources[0])) return bind_tensors(l, sources, n, LAYOUT_VECTOR_F32, false, plus_one, index);
    if (n > 1) return join_vectors(l, sources, n, index);
    tensor x;
    TRY(lowering_to_root(l, sources[0], &x));
    *index = x.root;
    return WF_OK;
}
