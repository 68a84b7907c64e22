#include "compiler/dialect/schema.h"

#define X FIELD(norm_op, x, "x", OPERAND, REQUIRED)
#define GAMMA FIELD(norm_op, gamma, "gamma", OPERAND, OPTIONAL)
#define Y FIELD(norm_op, y, "y", RESULT, REQUIRED)
#define EPS FIELD(norm_op, eps, "eps", FLOAT, REQUIRED)
#define PLUS_ONE FIELD(norm_op, plus_one, "plus_one", BOOL, OPTIONAL)
#define AXES FIELD_WITH(norm_op, axes, "axes", INT, OPTIONAL, .absent = 1)
#define ROUNDED FIELD(norm_op, rounded, "rounded", TYPE, OPTIONAL)

static const field RMS[] = {
    X, GAMMA, Y, EPS, PLUS_ONE, FIELD(norm_op, n_heads, "n_heads", INT, OPTIONAL), AXES, ROUNDED,
};
static const field RESIDUAL[] = {
    X,        FIELD(norm_op, residual, "residual", OPERAND, REQUIRED),
    GAMMA,    FIELD(norm_op, sum, "sum", RESULT, REQUIRED),
    Y,        EPS,
    PLUS_ONE, AXES,
    ROUNDED,
};
static const field LAYER[] = {
    X, GAMMA, FIELD(norm_op, beta, "beta", OPERAND, OPTIONAL), Y, EPS, PLUS_ONE, AXES, ROUNDED,
};

// gamma or beta: as many elements as are normalised together.
static wf_status verify_vector(const norm_op *n, MlirValue v, const char *name, wf_error *err)
{
    if (!v.ptr) return WF_OK;
    TRY(verify_floats(v, name, false, err));
    int rank = rank_of(n->x);
    int64_t cols = count_elements_of(n->x, rank - (int)n->axes, rank), n_elements = count_elements_of(v, 0, rank_of(v));
    if (n->n_heads && cols >= 0) cols /= n->n_heads;
    if (!sizes_agree(cols, n_elements))
        REJECT("%s has %lld elements, %lld are normalised together", name, (long long)n_elements, (long long)cols);
    return WF_OK;
}

static wf_status verify_heads(const norm_op *n, wf_error *err)
{
    int64_t features = last_size(n->x);
    if (n->n_heads < 0) REJECT("n_heads is %lld", (long long)n->n_heads);
    if (n->n_heads && n->axes != 1) REJECT("heads are of one axis, not of %lld", (long long)n->axes);
    if (n->n_heads && features > 0 && features % n->n_heads)
        REJECT("%lld features make no %lld heads", (long long)features, (long long)n->n_heads);
    return WF_OK;
}

static wf_status verify_norm(const void *parts, wf_error *err)
{
    const norm_op *n = parts;
    MlirValue y = n->y.value;
    TRY(verify_floats(n->x, "x", false, err));
    TRY(verify_floats(y, "y", true, err));
    TRY(verify_same_shape(n->x, "x", y, "y", err));
    if (n->axes < 1 || n->axes > rank_of(n->x))
        REJECT("axes is %lld, of a tensor of %d dimensions", (long long)n->axes, rank_of(n->x));
    TRY(verify_heads(n, err));
    TRY(verify_vector(n, n->gamma, "gamma", err));
    TRY(verify_vector(n, n->beta, "beta", err));
    if (n->rounded.ptr && !mlirTypeIsAFloat(n->rounded)) REJECT("rounded is no type of floats");
    if (!n->residual.ptr) return WF_OK;
    TRY(verify_same_shape(n->x, "x", n->residual, "residual", err));
    TRY(verify_same_shape(n->x, "x", n->sum.value, "sum", err));
    if (!mlirTypeEqual(element_type_of(n->x), element_type_of(n->residual)) ||
        !mlirTypeEqual(element_type_of(n->x), element_type_of(n->sum.value)))
        REJECT("x, residual and sum are of different types");
    return WF_OK;
}

const op_schema NORM_OPS[] = {
    [NORM_RMS] = {"rms_norm", sizeof(norm_op), FIELDS(RMS), verify_norm},
    [NORM_RESIDUAL] = {"residual_norm", sizeof(norm_op), FIELDS(RESIDUAL), verify_norm},
    [NORM_LAYER] = {"layer_norm", sizeof(norm_op), FIELDS(LAYER), verify_norm},
    {0},
};

bool norm_read(MlirOperation op, norm_op *n)
{
    for (int kind = NORM_RMS; kind <= NORM_LAYER; kind++) {
        bool read = schema_read(&NORM_OPS[kind], op, n);
        n->kind = (norm_kind)kind;
        if (read) return true;
    }
    return false;
}

MlirValue norm_write(op_builder *b, norm_op *n)
{
    if (!n->axes) n->axes = 1;
    return schema_write(&NORM_OPS[n->kind], b, n);
}
