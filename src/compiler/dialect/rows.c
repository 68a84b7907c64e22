// What stands at both ends of a model, and small steps row by row.
#include "compiler/dialect/schema.h"

static const field WEIGHT[] = {
    FIELD(weight_op, w, "w", RESULT, REQUIRED),
    FIELD(weight_op, name, "name", TEXT, REQUIRED),
    FIELD(weight_op, transposed, "transposed", BOOL, OPTIONAL),
    FIELD(weight_op, wide, "wide", BOOL, OPTIONAL),
};
static const field EMBED[] = {
    FIELD(embed_op, ids, "ids", OPERAND, REQUIRED),
    FIELD(embed_op, table, "table", OPERAND, REQUIRED),
    FIELD(embed_op, y, "y", RESULT, REQUIRED),
    FIELD_WITH(embed_op, scale, "scale", FLOAT, OPTIONAL, .absent = 1),
};
static const field SELECT_ROWS[] = {
    FIELD(select_rows_op, x, "x", OPERAND, REQUIRED),
    FIELD(select_rows_op, which, "which", OPERAND, REQUIRED),
    FIELD(select_rows_op, y, "y", RESULT, REQUIRED),
};
static const field COLUMNS[] = {
    FIELD(columns_op, x, "x", OPERAND, REQUIRED),
    FIELD(columns_op, y, "y", RESULT, REQUIRED),
    FIELD(columns_op, first, "first", INT, REQUIRED),
};
static const field STORE_ROWS[] = {
    FIELD(store_rows_op, x, "x", OPERAND, REQUIRED),      FIELD(store_rows_op, rows, "rows", OPERAND, REQUIRED),
    FIELD(store_rows_op, at, "at", OPERAND, REQUIRED),    FIELD(store_rows_op, y, "y", RESULT, REQUIRED),
    FIELD(store_rows_op, drops, "drops", BOOL, OPTIONAL),
};
static const field QUANTIZE[] = {
    FIELD(quantize_op, x, "x", OPERAND, REQUIRED),
    FIELD(quantize_op, y, "y", RESULT, REQUIRED),
};
static const field SOFTCAP[] = {
    FIELD(softcap_op, x, "x", OPERAND, REQUIRED),
    FIELD(softcap_op, y, "y", RESULT, REQUIRED),
    FIELD(softcap_op, cap, "cap", FLOAT, REQUIRED),
};
static const field SOFTMAX[] = {
    FIELD(softmax_op, x, "x", OPERAND, REQUIRED),
    FIELD(softmax_op, sink, "sink", OPERAND, OPTIONAL),
    FIELD(softmax_op, y, "y", RESULT, REQUIRED),
    FIELD(softmax_op, zero_masked, "zero_masked", BOOL, OPTIONAL),
};

static wf_status verify_weight(const void *parts, wf_error *err)
{
    const weight_op *weight = parts;
    if (!weight->name.length) REJECT("name is empty");
    if (weight->transposed && rank_of(weight->w.value) != 2) REJECT("it is transposed, but no matrix");
    return WF_OK;
}

static wf_status verify_embed(const void *parts, wf_error *err)
{
    const embed_op *embed = parts;
    MlirValue y = embed->y.value;
    if (!mlirTypeIsAInteger(element_type_of(embed->ids)) || rank_of(embed->ids) != 1)
        REJECT("ids is no list of integers");
    if (rank_of(embed->table) != 2 || rank_of(y) != 2) REJECT("table or y is no matrix");
    if (!sizes_agree(dim_of(embed->ids, 0), dim_of(y, 0))) REJECT("y has not one row for each id");
    if (!sizes_agree(last_size(embed->table), last_size(y))) REJECT("rows of y are not of the size of the table's");
    return verify_floats(y, "y", false, err);
}

static wf_status verify_select_rows(const void *parts, wf_error *err)
{
    const select_rows_op *select = parts;
    MlirValue y = select->y.value;
    if (!mlirTypeIsAInteger(element_type_of(select->which)) || rank_of(select->which) != 1)
        REJECT("which is no list of integers");
    if (rank_of(select->x) != 2 || rank_of(y) != 2) REJECT("x or y is no matrix");
    if (!sizes_agree(dim_of(select->which, 0), dim_of(y, 0))) REJECT("y has not one row for each index");
    if (!sizes_agree(last_size(select->x), last_size(y))) REJECT("rows of y are not of the size of x's");
    return WF_OK;
}

static wf_status verify_columns(const void *parts, wf_error *err)
{
    const columns_op *columns = parts;
    MlirValue x = columns->x, y = columns->y.value;
    int rank = rank_of(x);
    if (rank < 1 || rank_of(y) != rank) REJECT("x has %d dimensions, y has %d", rank, rank_of(y));
    for (int d = 0; d + 1 < rank; d++)
        if (!sizes_agree(dim_of(x, d), dim_of(y, d))) REJECT("y has not as many rows as x");
    int64_t width = last_size(y), all = last_size(x);
    if (columns->first < 0 || (all >= 0 && (columns->first > all || width > all - columns->first)))
        REJECT("features %lld to %lld are beyond the %lld of x", (long long)columns->first,
               (long long)(columns->first + width), (long long)all);
    return WF_OK;
}

// x [.., n, c], rows [.., w, c], at [.., w] or [w].
static wf_status verify_store_rows(const void *parts, wf_error *err)
{
    const store_rows_op *store = parts;
    MlirValue x = store->x, rows = store->rows, at = store->at;
    int rank = rank_of(x), last = rank_of(at) - 1;
    if (rank < 2 || rank_of(rows) != rank) REJECT("x has %d dimensions, rows has %d", rank, rank_of(rows));
    if (!mlirTypeIsAInteger(element_type_of(at)) || (last != 0 && last != rank - 2))
        REJECT("at has not one integer for each row");
    for (int d = 0; d < rank; d++)
        if (d != rank - 2 && !sizes_agree(dim_of(x, d), dim_of(rows, d)))
            REJECT("dimension %d is %lld in x, %lld in rows", d, (long long)dim_of(x, d), (long long)dim_of(rows, d));
    for (int d = 0; d <= last; d++)
        if (!sizes_agree(dim_of(at, last - d), dim_of(rows, rank - 2 - d)))
            REJECT("at has not one integer for each row");
    if (!mlirTypeEqual(element_type_of(x), element_type_of(rows)) ||
        !mlirTypeEqual(element_type_of(x), element_type_of(store->y.value)))
        REJECT("x, rows and y are of different types");
    return verify_same_shape(x, "x", store->y.value, "y", err);
}

static wf_status verify_quantize(const void *parts, wf_error *err)
{
    const quantize_op *quantize = parts;
    TRY(verify_floats(quantize->x, "x", false, err));
    if (!is_wf_type(element_type_of(quantize->y.value), "q8")) REJECT("y is not of !wf.q8");
    if (rank_of(quantize->x) < 1) REJECT("x is a scalar");
    return verify_same_shape(quantize->x, "x", quantize->y.value, "y", err);
}

static wf_status verify_softcap(const void *parts, wf_error *err)
{
    const softcap_op *softcap = parts;
    TRY(verify_floats(softcap->x, "x", false, err));
    if (softcap->cap == 0) REJECT("cap is zero");
    return verify_same_shape(softcap->x, "x", softcap->y.value, "y", err);
}

static wf_status verify_softmax(const void *parts, wf_error *err)
{
    const softmax_op *softmax = parts;
    MlirValue x = softmax->x, sink = softmax->sink;
    int rank = rank_of(x);
    TRY(verify_floats(x, "x", false, err));
    TRY(verify_floats(softmax->y.value, "y", false, err));
    if (rank < 1) REJECT("x is a scalar");
    TRY(verify_same_shape(x, "x", softmax->y.value, "y", err));
    if (!sink.ptr) return WF_OK;
    TRY(verify_floats(sink, "sink", false, err));
    if (rank_of(sink) != rank) REJECT("x has %d dimensions, sink has %d", rank, rank_of(sink));
    for (int d = 0; d < rank; d++)
        if (dim_of(sink, d) >= 0 && dim_of(sink, d) != 1 &&
            (d + 1 == rank || !sizes_agree(dim_of(sink, d), dim_of(x, d))))
            REJECT("dimension %d is %lld in sink, which %s", d, (long long)dim_of(sink, d),
                   d + 1 == rank ? "has one number a row" : "is neither 1 nor that of x");
    return WF_OK;
}

const op_schema ROW_OPS[] = {
    {"weight", sizeof(weight_op), FIELDS(WEIGHT), verify_weight},
    {"embed", sizeof(embed_op), FIELDS(EMBED), verify_embed},
    {"select_rows", sizeof(select_rows_op), FIELDS(SELECT_ROWS), verify_select_rows},
    {"columns", sizeof(columns_op), FIELDS(COLUMNS), verify_columns},
    {"store_rows", sizeof(store_rows_op), FIELDS(STORE_ROWS), verify_store_rows},
    {"quantize", sizeof(quantize_op), FIELDS(QUANTIZE), verify_quantize},
    {"softcap", sizeof(softcap_op), FIELDS(SOFTCAP), verify_softcap},
    {"softmax", sizeof(softmax_op), FIELDS(SOFTMAX), verify_softmax},
    {0},
};

DEFINE_ACCESS(weight, &ROW_OPS[0])
DEFINE_ACCESS(embed, &ROW_OPS[1])
DEFINE_ACCESS(select_rows, &ROW_OPS[2])
DEFINE_ACCESS(columns, &ROW_OPS[3])
DEFINE_ACCESS(store_rows, &ROW_OPS[4])
DEFINE_ACCESS(quantize, &ROW_OPS[5])
DEFINE_ACCESS(softcap, &ROW_OPS[6])
DEFINE_ACCESS(softmax, &ROW_OPS[7])
