#include "compiler/dialect/schema.h"

#define HEADS                                                                                                          \
    FIELD(attention_op, n_heads, "n_heads", INT, REQUIRED),                                                            \
        FIELD(attention_op, n_kv_heads, "n_kv_heads", INT, REQUIRED),                                                  \
        FIELD(attention_op, scale, "scale", FLOAT, REQUIRED), FIELD(attention_op, causal, "causal", BOOL, SHOWN),      \
        FIELD(attention_op, window, "window", INT, OPTIONAL),                                                          \
        FIELD(attention_op, softcap, "softcap", FLOAT, OPTIONAL), FIELD(attention_op, fused, "fused", BOOL, OPTIONAL)

static const field ATTENTION[] = {
    FIELD(attention_op, q, "q", OPERAND, REQUIRED),
    FIELD(attention_op, k, "k", OPERAND, REQUIRED),
    FIELD(attention_op, v, "v", OPERAND, REQUIRED),
    FIELD(attention_op, mask, "mask", OPERAND, OPTIONAL),
    FIELD(attention_op, sink, "sink", OPERAND, OPTIONAL),
    FIELD(attention_op, y, "y", RESULT, REQUIRED),
    HEADS,
    FIELD(attention_op, zero_masked, "zero_masked", BOOL, OPTIONAL),
    FIELD_WITH(attention_op, cache, "cache", INT, OPTIONAL, .absent = -1),
};
static const field CACHED[] = {
    FIELD(attention_op, q, "q", OPERAND, REQUIRED),
    FIELD(attention_op, y, "y", RESULT, REQUIRED),
    HEADS,
    FIELD(attention_op, cache, "cache", INT, REQUIRED),
};

static wf_status verify_heads(const attention_op *a, wf_error *err)
{
    int64_t features = last_size(a->q);
    if (a->n_heads < 1 || a->n_kv_heads < 1 || a->n_heads % a->n_kv_heads)
        REJECT("%lld heads of q make no groups for %lld heads of k and v", (long long)a->n_heads,
               (long long)a->n_kv_heads);
    if (features >= 0 && features % a->n_heads)
        REJECT("%lld features of q make no %lld heads", (long long)features, (long long)a->n_heads);
    if (a->window < 0) REJECT("window is %lld", (long long)a->window);
    if (a->cache < -1) REJECT("cache is %lld", (long long)a->cache);
    return WF_OK;
}

// q, k, v and y: [.., rows, heads * size], for as many sequences.
static wf_status verify_rows(const attention_op *a, wf_error *err)
{
    int rank = rank_of(a->q);
    MlirValue y = a->y.value;
    const struct {
        MlirValue v;
        const char *name;
    } others[] = {{a->k, "k"}, {a->v, "v"}, {y, "y"}};
    for (int i = 0; i < 3; i++) {
        if (rank_of(others[i].v) != rank)
            REJECT("q has %d dimensions, %s has %d", rank, others[i].name, rank_of(others[i].v));
        TRY(verify_floats(others[i].v, others[i].name, false, err));
        for (int d = 0; d + 2 < rank; d++)
            if (!sizes_agree(dim_of(others[i].v, d), dim_of(a->q, d)))
                REJECT("%s has not as many sequences as q", others[i].name);
    }
    int64_t features = last_size(a->q), keys = last_size(a->k), values = last_size(a->v);
    if (!sizes_agree(dim_of(a->k, rank - 2), dim_of(a->v, rank - 2))) REJECT("k and v have different numbers of rows");
    if (!sizes_agree(dim_of(y, rank - 2), dim_of(a->q, rank - 2))) REJECT("y has not as many rows as q");
    if (features >= 0 && keys >= 0 && (keys % a->n_kv_heads || keys / a->n_kv_heads != features / a->n_heads))
        REJECT("heads of q and k are of different sizes");
    if (values >= 0 && values % a->n_kv_heads)
        REJECT("%lld features of v make no %lld heads", (long long)values, (long long)a->n_kv_heads);
    if (values >= 0 && last_size(y) >= 0 &&
        (last_size(y) % a->n_heads || last_size(y) / a->n_heads != values / a->n_kv_heads))
        REJECT("heads of v and y are of different sizes");
    return WF_OK;
}

// Broadcast to [sequences, heads, rows of q, rows of k].
static wf_status verify_mask(const attention_op *a, wf_error *err)
{
    int rank = rank_of(a->mask), of_q = rank_of(a->q);
    const int64_t full[] = {count_elements_of(a->q, 0, of_q - 2), a->n_heads, dim_of(a->q, of_q - 2),
                            dim_of(a->k, of_q - 2)};
    MlirType t = element_type_of(a->mask);
    bool yes_or_no = mlirTypeIsAInteger(t) && mlirIntegerTypeGetWidth(t) == 1;
    if (!mlirTypeIsAFloat(t) && !yes_or_no) REJECT("mask is neither of floats nor of i1");
    if (rank > 4) REJECT("mask has %d dimensions", rank);
    for (int d = 0; d < rank; d++) {
        int64_t size = dim_of(a->mask, d), wanted = full[4 - rank + d];
        if (size != 1 && !sizes_agree(size, wanted))
            REJECT("dimension %d of mask is %lld, neither 1 nor %lld", d, (long long)size, (long long)wanted);
    }
    return WF_OK;
}

static wf_status verify_attention(const void *parts, wf_error *err)
{
    const attention_op *a = parts;
    TRY(verify_floats(a->q, "q", false, err));
    TRY(verify_floats(a->y.value, "y", true, err));
    if (rank_of(a->q) < 2) REJECT("q is no rows of heads");
    TRY(verify_heads(a, err));
    if (!a->k.ptr) return verify_same_shape(a->q, "q", a->y.value, "y", err); // over the cache alone
    TRY(verify_rows(a, err));
    if (a->window && !a->causal) REJECT("a window goes with causal alone");
    if (a->mask.ptr) TRY(verify_mask(a, err));
    if (!a->sink.ptr) return WF_OK;
    TRY(verify_floats(a->sink, "sink", false, err));
    if (!sizes_agree(count_elements_of(a->sink, 0, rank_of(a->sink)), a->n_heads))
        REJECT("sink has not one number for each of %lld heads", (long long)a->n_heads);
    return WF_OK;
}

const op_schema ATTENTION_OPS[] = {
    {"attention", sizeof(attention_op), FIELDS(ATTENTION), verify_attention},
    {"cached_attention", sizeof(attention_op), FIELDS(CACHED), verify_attention},
    {0},
};

DEFINE_ACCESS(attention, &ATTENTION_OPS[0])
bool cached_attention_read(MlirOperation op, attention_op *parts) { return schema_read(&ATTENTION_OPS[1], op, parts); }
MlirValue cached_attention_write(op_builder *b, attention_op *parts)
{
    return schema_write(&ATTENTION_OPS[1], b, parts);
}
