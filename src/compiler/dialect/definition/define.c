#include "compiler/dialect/definition/define.h"

#include "compiler/dialect/schema.h"

enum { MASK_AXES = 4, SCORE_AXES = 5 };

static MlirType result_element(MlirOperation op) { return element_type_of(mlirOperationGetResult(op, 0)); }

static definition start(MlirOperation op, MlirModule library, const char *name)
{
    MlirType x = element_type_of(mlirOperationGetOperand(op, 0));
    return definition_of(op, library, name, x, result_element(op));
}

// [rows, columns], of the last `axes` axes.
static void see_rows(MlirValue v, int64_t axes, int64_t dims[2])
{
    int rank = rank_of(v);
    dims[0] = count_elements_of(v, 0, rank - (int)axes);
    dims[1] = count_elements_of(v, rank - (int)axes, rank);
}

// ---- rows

static MlirValue define_norm(MlirOperation op, MlirModule library)
{
    norm_op n;
    int64_t rows[2];
    if (!norm_read(op, &n) || n.n_heads || n.residual.ptr) return (MlirValue){0};
    bool layer = n.kind == NORM_LAYER;
    definition d = start(op, library, layer ? "wf.layer_norm" : "wf.rms_norm");
    see_rows(n.x, n.axes, rows);
    definition_operand(&d, n.x, 2, rows);
    definition_operand(&d, n.gamma, 1, rows + 1);
    if (layer) definition_operand(&d, n.beta, 1, rows + 1);
    definition_float(&d, n.eps);
    definition_bool(&d, n.plus_one && n.gamma.ptr);
    d.rounded = n.rounded;
    return definition_build(&d);
}

static MlirValue define_linear(MlirOperation op, MlirModule library)
{
    linear_op l;
    int64_t rows[2];
    if (!linear_read(op, &l) || l.n_weights != 1 || l.glu) return (MlirValue){0};
    definition d = start(op, library, "wf.linear");
    int64_t features = dim_of(l.weights[0], 0), y[2];
    see_rows(l.x, 1, rows);
    y[0] = rows[0];
    y[1] = features;
    definition_operand(&d, l.x, 2, rows);
    definition_value(&d, l.weights[0]);
    definition_operand(&d, l.biases[0], 1, &features);
    definition_operand(&d, l.residual, 2, y);
    return definition_build(&d);
}

// In f32: a linear that no kernel takes reads such weights.
static MlirValue define_blocks(MlirOperation op, MlirModule library)
{
    blocks_op blocks;
    if (!blocks_read(op, &blocks)) return (MlirValue){0};
    MlirType half = element_type_of(blocks.d);
    definition d = definition_of(op, library, "wf.blocks", half, mlirF32TypeGet(mlirOperationGetContext(op)));
    const int64_t dims[] = {dim_of(blocks.q, 0), dim_of(blocks.d, 1), QUANT_BLOCK};
    definition_operand(&d, blocks.q, 3, dims);
    definition_value(&d, blocks.d);
    return definition_build(&d);
}

static MlirValue define_glu(MlirOperation op, MlirModule library)
{
    static const char *const ACTIVATIONS[] = {[GLU_SILU] = "silu", [GLU_GELU] = "gelu", [GLU_GELU_TANH] = "gelu_tanh"};
    glu_op glu;
    int64_t rows[2];
    if (!glu_read(op, &glu) || glu.activation == GLU_NONE) return (MlirValue){0};
    definition d = start(op, library, "wf.glu");
    see_rows(glu.gate, 1, rows);
    definition_operand(&d, glu.gate, 2, rows);
    definition_operand(&d, glu.up, 2, rows);
    d.rounded = glu.rounded;
    definition_call(&d, "activation", ACTIVATIONS[glu.activation]);
    return definition_build(&d);
}

// Rows of x, which `which` chooses.
static MlirValue choose_rows(MlirOperation op, MlirModule library, MlirValue x, MlirValue which, double scale)
{
    definition d = definition_of(op, library, "wf.embed", element_type_of(x), result_element(op));
    definition_value(&d, x);
    definition_value(&d, which);
    definition_float(&d, scale);
    return definition_build(&d);
}

static MlirValue define_embed(MlirOperation op, MlirModule library)
{
    embed_op embed;
    embed_read(op, &embed);
    return choose_rows(op, library, embed.table, embed.ids, embed.scale);
}

static MlirValue define_select_rows(MlirOperation op, MlirModule library)
{
    select_rows_op select;
    select_rows_read(op, &select);
    return choose_rows(op, library, select.x, select.which, 1);
}

static MlirValue define_softcap(MlirOperation op, MlirModule library)
{
    softcap_op softcap;
    int64_t rows[2] = {1, 1};
    if (!softcap_read(op, &softcap)) return (MlirValue){0};
    definition d = start(op, library, "wf.softcap");
    if (rank_of(softcap.x)) see_rows(softcap.x, 1, rows);
    definition_operand(&d, softcap.x, 2, rows);
    definition_float(&d, softcap.cap);
    return definition_build(&d);
}

// ---- softmax

static void call_sinks(definition *d, MlirValue sink)
{
    definition_call(d, "first_max", sink.ptr ? "first_max.sink" : "first_max.none");
    definition_call(d, "first_sum", sink.ptr ? "first_sum.sink" : "first_sum.none");
}

// The sink may be repeated along some axes of x's rows and not along others. Of more than four, the first are joined:
// the sink has all of them or none.
static MlirValue define_softmax(MlirOperation op, MlirModule library)
{
    enum { AXES = 4 };
    softmax_op softmax;
    int64_t rows[2], dims[AXES] = {1, 1, 1, 1}, sinks[AXES] = {1, 1, 1, 1};
    if (!softmax_read(op, &softmax)) return (MlirValue){0};
    MlirValue x = softmax.x, sink = softmax.sink;
    int n_axes = rank_of(x) - 1, n_joined = n_axes > AXES ? n_axes - AXES + 1 : 1;
    see_rows(x, 1, rows);
    if (sink.ptr && n_axes > 0) {
        dims[0] = count_elements_of(x, 0, n_joined);
        sinks[0] = count_elements_of(sink, 0, n_joined);
        if (sinks[0] != 1 && sinks[0] != dims[0]) return (MlirValue){0};
        for (int d = n_joined; d < n_axes; d++) {
            dims[d - n_joined + 1] = dim_of(x, d);
            sinks[d - n_joined + 1] = dim_of(sink, d);
        }
    }
    definition d = start(op, library, "wf.softmax");
    definition_operand(&d, x, 2, rows);
    definition_operand(&d, sink, AXES, sinks);
    definition_bool(&d, softmax.zero_masked);
    for (int i = 0; i < AXES; i++) definition_index(&d, dims[i]);
    call_sinks(&d, sink);
    return definition_build(&d);
}

static MlirValue define_linalg_softmax(MlirOperation op, MlirModule library)
{
    MlirValue x = mlirOperationGetOperand(op, 0);
    int64_t axis = op_int(op, "dimension", -1);
    int rank = rank_of(x);
    if (axis < 0 || axis >= rank) return (MlirValue){0};
    const int64_t dims[] = {count_elements_of(x, 0, (int)axis), dim_of(x, (int)axis),
                            count_elements_of(x, (int)axis + 1, rank)};
    definition d = start(op, library, "linalg.softmax");
    definition_operand(&d, x, 3, dims);
    return definition_build(&d);
}

// ---- heads side by side in the last axis

static MlirValue define_rope(MlirOperation op, MlirModule library)
{
    rope_op rope;
    if (!rope_read(op, &rope)) return (MlirValue){0};
    MlirValue x = rope.x;
    int rank = rank_of(x), rank_c = rank_of(rope.cos);
    int64_t half = last_size(rope.cos), tokens = dim_of(x, rank - 2);
    const int64_t dims[] = {count_elements_of(x, 0, rank - 2), tokens, rope.n_heads, rope.interleaved ? half : 2,
                            rope.interleaved ? 2 : half},
                  table[] = {count_elements_of(rope.cos, 0, rank_c - 1), half};
    if (half < 1 || last_size(x) != rope.n_heads * half * 2 || (table[0] != tokens && table[0] != 1) ||
        !mlirTypeEqual(element_type_of(rope.cos), element_type_of(rope.sin)))
        return (MlirValue){0};
    definition d = start(op, library, rope.interleaved ? "wf.rope.interleaved" : "wf.rope");
    definition_operand(&d, x, 5, dims);
    definition_operand(&d, rope.cos, 2, table);
    definition_operand(&d, rope.sin, 2, table);
    return definition_build(&d);
}

// Sequences, heads of keys, heads of queries for each, queries, keys.
static void see_mask(const attention_op *a, int64_t dims[SCORE_AXES])
{
    int rank = rank_of(a->mask);
    int64_t last[MASK_AXES] = {1, 1, 1, 1}; // sequences, heads, queries, keys
    for (int d = 0; d < rank; d++) last[MASK_AXES - rank + d] = dim_of(a->mask, d);
    dims[0] = last[0];
    dims[1] = last[1] == 1 ? 1 : a->n_kv_heads;
    dims[2] = last[1] == 1 ? 1 : a->n_heads / a->n_kv_heads;
    dims[3] = last[2];
    dims[4] = last[3];
}

static MlirValue define_attention(MlirOperation op, MlirModule library)
{
    attention_op a;
    if (!attention_read(op, &a) || a.cache >= 0) return (MlirValue){0};
    int rank = rank_of(a.q);
    int64_t kv = a.n_kv_heads, group = a.n_heads / kv, batch = count_elements_of(a.q, 0, rank - 2),
            keys = dim_of(a.k, rank - 2), mask[SCORE_AXES] = {0};
    const int64_t q[] = {batch, dim_of(a.q, rank - 2), kv, group, last_size(a.q) / a.n_heads},
                  k[] = {batch, keys, kv, last_size(a.k) / kv}, v[] = {batch, keys, kv, last_size(a.v) / kv},
                  sink[] = {1, kv, group, 1};
    bool words = a.mask.ptr && mlirTypeIsAInteger(element_type_of(a.mask));
    definition d = start(op, library, "wf.attention");
    if (a.mask.ptr) see_mask(&a, mask);
    definition_operand(&d, a.q, 5, q);
    definition_operand(&d, a.k, 4, k);
    definition_operand(&d, a.v, 4, v);
    definition_operand(&d, a.mask, SCORE_AXES, mask);
    definition_operand(&d, a.sink, 4, sink);
    definition_float(&d, a.scale);
    definition_bool(&d, a.causal);
    definition_index(&d, a.window);
    definition_float(&d, a.softcap);
    definition_bool(&d, a.zero_masked);
    definition_call(&d, "mask", words ? "mask.i1" : "mask.float");
    call_sinks(&d, a.sink);
    return definition_build(&d);
}

// ---- rows that are stored

static MlirValue define_store(MlirOperation op, MlirModule library, const store_rows_op *store)
{
    int rank = rank_of(store->x), rank_at = rank_of(store->at);
    int64_t lead = count_elements_of(store->x, 0, rank - 2), n_rows = dim_of(store->rows, rank - 2);
    const int64_t x[] = {lead, dim_of(store->x, rank - 2), last_size(store->x)}, rows[] = {lead, n_rows, x[2]},
                  at[] = {rank_at == 1 ? 1 : lead, n_rows};
    definition d = start(op, library, "wf.store_rows");
    definition_operand(&d, store->x, 3, x);
    definition_operand(&d, store->rows, 3, rows);
    definition_operand(&d, store->at, 2, at);
    definition_bool(&d, store->drops);
    return definition_build(&d);
}

static MlirValue define_store_rows(MlirOperation op, MlirModule library)
{
    store_rows_op store;
    return store_rows_read(op, &store) ? define_store(op, library, &store) : (MlirValue){0};
}

static MlirValue define_scatter(MlirOperation op, MlirModule library)
{
    const store_rows_op store = {.x = mlirOperationGetOperand(op, 0),
                                 .at = mlirOperationGetOperand(op, 1),
                                 .rows = mlirOperationGetOperand(op, 2)};
    return define_store(op, library, &store);
}

// ---- TOSA and tensor

static MlirValue define_bitcast(MlirOperation op, MlirModule library)
{
    MlirValue x = mlirOperationGetOperand(op, 0);
    int64_t n = count_elements_of(x, 0, rank_of(x));
    definition d = start(op, library, "tensor.bitcast");
    definition_operand(&d, x, 1, &n);
    return definition_build(&d);
}

define_op *find_definition(MlirOperation op)
{
    static const struct {
        const char *name;
        define_op *define;
    } DEFINITIONS[] = {
        {"wf.rms_norm", define_norm},
        {"wf.layer_norm", define_norm},
        {"wf.softmax", define_softmax},
        {"wf.softcap", define_softcap},
        {"wf.embed", define_embed},
        {"wf.select_rows", define_select_rows},
        {"wf.store_rows", define_store_rows},
        {"wf.glu", define_glu},
        {"wf.linear", define_linear},
        {"wf.blocks", define_blocks},
        {"wf.rope", define_rope},
        {"wf.attention", define_attention},
        // what upstream does not lower
        {"linalg.softmax", define_linalg_softmax},
        {"tensor.bitcast", define_bitcast},
        {"tensor.extract_slice", define_extract_slice},
        {"tensor.insert", define_insert},
        {"tensor.insert_slice", define_insert_slice},
        {"tosa.scatter", define_scatter},
    };
    for (size_t i = 0; i < sizeof DEFINITIONS / sizeof *DEFINITIONS; i++)
        if (op_is(op, DEFINITIONS[i].name)) return DEFINITIONS[i].define;
    return NULL;
}
