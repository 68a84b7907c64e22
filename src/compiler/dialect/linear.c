#include "compiler/dialect/schema.h"

static const char *const ACTIVATIONS[] = {"silu", "gelu", "gelu_tanh", NULL}; // as glu_activation has them

// Each weight and bias has its own slot, those that are there in front.
static const field LINEAR[] = {
    FIELD(linear_op, x, "x", OPERAND, REQUIRED),
    FIELD(linear_op, weights[0], "w0", OPERAND, REQUIRED),
    FIELD(linear_op, weights[1], "w1", OPERAND, OPTIONAL),
    FIELD(linear_op, weights[2], "w2", OPERAND, OPTIONAL),
    FIELD(linear_op, biases[0], "b0", OPERAND, OPTIONAL),
    FIELD(linear_op, biases[1], "b1", OPERAND, OPTIONAL),
    FIELD(linear_op, biases[2], "b2", OPERAND, OPTIONAL),
    FIELD(linear_op, residual, "residual", OPERAND, OPTIONAL),
    FIELD(linear_op, y, "y", RESULT, REQUIRED),
    FIELD_WITH(linear_op, glu, "glu", WORD, OPTIONAL, .words = ACTIVATIONS),
};
static const field BLOCKS[] = {
    FIELD(blocks_op, q, "q", OPERAND, REQUIRED),
    FIELD(blocks_op, d, "d", OPERAND, REQUIRED),
    FIELD(blocks_op, w, "w", RESULT, REQUIRED),
};
static const field GLU[] = {
    FIELD(glu_op, gate, "gate", OPERAND, REQUIRED),
    FIELD(glu_op, up, "up", OPERAND, REQUIRED),
    FIELD(glu_op, y, "y", RESULT, REQUIRED),
    FIELD_WITH(glu_op, activation, "activation", WORD, REQUIRED, .words = ACTIVATIONS),
    FIELD(glu_op, rounded, "rounded", TYPE, OPTIONAL),
};

// How many of the slots are filled; -1: one behind an empty one is.
static int count_slots(const MlirValue slots[LINEAR_MAX_WEIGHTS])
{
    int n = 0;
    while (n < LINEAR_MAX_WEIGHTS && slots[n].ptr) n++;
    for (int i = n; i < LINEAR_MAX_WEIGHTS; i++)
        if (slots[i].ptr) return -1;
    return n;
}

// *features: of all weights together, or of each where they gate; -1: not known.
static wf_status verify_weights(const linear_op *l, int64_t *features, wf_error *err)
{
    *features = 0;
    for (int i = 0; i < count_slots(l->weights); i++) {
        MlirValue w = l->weights[i], bias = l->biases[i];
        if (rank_of(w) != 2) REJECT("w%d is no matrix", i);
        int64_t rows = dim_of(w, 0), n_biases = bias.ptr ? count_elements_of(bias, 0, rank_of(bias)) : -1;
        if (!sizes_agree(dim_of(w, 1), last_size(l->x)))
            REJECT("w%d takes %lld features, x has %lld", i, (long long)dim_of(w, 1), (long long)last_size(l->x));
        if (!sizes_agree(n_biases, rows))
            REJECT("b%d has %lld elements, w%d has %lld rows", i, (long long)n_biases, i, (long long)rows);
        if (l->glu && i && !mlirTypeEqual(mlirValueGetType(w), mlirValueGetType(l->weights[0])))
            REJECT("w0 and w1 are of different types");
        if (rows < 0 || *features < 0)
            *features = -1;
        else if (l->glu)
            *features = rows;
        else if (__builtin_add_overflow(*features, rows, features))
            REJECT("there are too many output features");
    }
    return WF_OK;
}

static wf_status verify_linear(const void *parts, wf_error *err)
{
    const linear_op *l = parts;
    MlirValue y = l->y.value;
    int n_weights = count_slots(l->weights), n_biases = count_slots(l->biases), rank = rank_of(l->x);
    int64_t features;
    if (n_weights < 0 || n_biases < 0) REJECT("a weight or bias is there, but not the one before it");
    if (n_biases && n_biases != n_weights) REJECT("has %d weights and %d biases", n_weights, n_biases);
    if (l->glu && (n_weights != 2 || n_biases || l->residual.ptr))
        REJECT("glu goes with two weights, without biases and residual");
    TRY(verify_floats(l->x, "x", true, err));
    TRY(verify_floats(y, "y", true, err));
    if (rank < 1 || rank_of(y) < 1) REJECT("x or y is a scalar");
    TRY(verify_weights(l, &features, err));
    if (!sizes_agree(last_size(y), features))
        REJECT("y has %lld features, the weights make %lld", (long long)last_size(y), (long long)features);
    if (!sizes_agree(count_elements_of(l->x, 0, rank - 1), count_elements_of(y, 0, rank_of(y) - 1)))
        REJECT("y has not as many rows as x");
    if (!l->residual.ptr) return WF_OK;
    TRY(verify_floats(l->residual, "residual", false, err));
    if (!sizes_agree(count_elements_of(l->residual, 0, rank_of(l->residual)), count_elements_of(y, 0, rank_of(y))))
        REJECT("residual has not as many elements as y");
    return WF_OK;
}

static wf_status verify_blocks(const void *parts, wf_error *err)
{
    const blocks_op *blocks = parts;
    MlirValue q = blocks->q, d = blocks->d, w = blocks->w.value;
    MlirType element = element_type_of(w);
    if (!is_wf_type(element, "q8_0") && !is_wf_type(element, "q4_0"))
        REJECT("w is neither of !wf.q8_0 nor of !wf.q4_0");
    if (!mlirTypeIsAInteger(element_type_of(q)) || mlirIntegerTypeGetWidth(element_type_of(q)) != 8 || rank_of(q) != 2)
        REJECT("q is no matrix of i8");
    if (!mlirTypeIsAF16(element_type_of(d)) || rank_of(d) != 2) REJECT("d is no matrix of f16");
    if (dim_of(q, 0) != dim_of(d, 0) || dim_of(q, 1) != QUANT_BLOCK * dim_of(d, 1))
        REJECT("d has not one scale for each 32 of a row of q");
    return verify_same_shape(q, "q", w, "w", err);
}

static wf_status verify_glu(const void *parts, wf_error *err)
{
    const glu_op *glu = parts;
    TRY(verify_floats(glu->gate, "gate", false, err));
    TRY(verify_floats(glu->up, "up", false, err));
    TRY(verify_floats(glu->y.value, "y", true, err));
    if (glu->rounded.ptr && !mlirTypeIsAFloat(glu->rounded)) REJECT("rounded is no type of floats");
    if (rank_of(glu->gate) < 1) REJECT("gate is a scalar");
    TRY(verify_same_shape(glu->gate, "gate", glu->up, "up", err));
    return verify_same_shape(glu->gate, "gate", glu->y.value, "y", err);
}

const op_schema LINEAR_OPS[] = {
    {"linear", sizeof(linear_op), FIELDS(LINEAR), verify_linear},
    {"blocks", sizeof(blocks_op), FIELDS(BLOCKS), verify_blocks},
    {"glu", sizeof(glu_op), FIELDS(GLU), verify_glu},
    {0},
};

DEFINE_ACCESS(blocks, &LINEAR_OPS[1])
DEFINE_ACCESS(glu, &LINEAR_OPS[2])

bool linear_read(MlirOperation op, linear_op *l)
{
    if (!schema_read(&LINEAR_OPS[0], op, l)) return false;
    l->n_weights = count_slots(l->weights);
    l->n_biases = count_slots(l->biases);
    return true;
}

MlirValue linear_write(op_builder *b, linear_op *l) { return schema_write(&LINEAR_OPS[0], b, l); }

bool linear_is_plain(const linear_op *l) { return l->n_weights == 1 && !l->residual.ptr && !l->glu; }
