#include "compiler/dialect/schema.h"

static const field TABLE[] = {
    FIELD(rope_table_op, cos, "cos", RESULT, REQUIRED),
    FIELD(rope_table_op, sin, "sin", RESULT, REQUIRED),
    FIELD(rope_table_op, table, "table", INT, REQUIRED),
};
static const field ROPE[] = {
    FIELD(rope_op, x, "x", OPERAND, REQUIRED),         FIELD(rope_op, cos, "cos", OPERAND, REQUIRED),
    FIELD(rope_op, sin, "sin", OPERAND, REQUIRED),     FIELD(rope_op, y, "y", RESULT, REQUIRED),
    FIELD(rope_op, n_heads, "n_heads", INT, REQUIRED), FIELD(rope_op, interleaved, "interleaved", BOOL, SHOWN),
};
static const field STORE[] = {
    FIELD(rope_store_op, q, "q", OPERAND, REQUIRED),
    FIELD(rope_store_op, k, "k", OPERAND, REQUIRED),
    FIELD(rope_store_op, v, "v", OPERAND, REQUIRED),
    FIELD(rope_store_op, cos, "cos", OPERAND, REQUIRED),
    FIELD(rope_store_op, sin, "sin", OPERAND, REQUIRED),
    FIELD(rope_store_op, gamma_q, "gamma_q", OPERAND, OPTIONAL),
    FIELD(rope_store_op, gamma_k, "gamma_k", OPERAND, OPTIONAL),
    FIELD(rope_store_op, rotated, "rotated", RESULT, REQUIRED),
    FIELD(rope_store_op, n_heads, "n_heads", INT, REQUIRED),
    FIELD(rope_store_op, n_kv_heads, "n_kv_heads", INT, REQUIRED),
    FIELD(rope_store_op, interleaved, "interleaved", BOOL, SHOWN),
    FIELD(rope_store_op, cache, "cache", INT, REQUIRED),
    FIELD(rope_store_op, eps, "eps", FLOAT, OPTIONAL),
    FIELD(rope_store_op, plus_one, "plus_one", BOOL, OPTIONAL),
};

static wf_status verify_table(const void *parts, wf_error *err)
{
    const rope_table_op *t = parts;
    if (t->table < 0) REJECT("table is %lld", (long long)t->table);
    TRY(verify_floats(t->cos.value, "cos", false, err));
    if (rank_of(t->cos.value) != 2) REJECT("cos is no matrix");
    return verify_same_shape(t->cos.value, "cos", t->sin.value, "sin", err);
}

// That x is rows of heads, each of at least the features that the tables rotate.
static wf_status verify_heads(MlirValue x, const char *name, int64_t n_heads, MlirValue cos, MlirValue sin,
                              wf_error *err)
{
    TRY(verify_floats(x, name, false, err));
    TRY(verify_floats(cos, "cos", false, err));
    TRY(verify_same_shape(cos, "cos", sin, "sin", err));
    if (rank_of(x) < 2 || rank_of(cos) < 1) REJECT("%s is no rows of heads, or cos a scalar", name);
    int64_t features = last_size(x), half = last_size(cos);
    if (n_heads < 1) REJECT("%s has %lld heads", name, (long long)n_heads);
    if (features >= 0 && features % n_heads)
        REJECT("%lld features of %s make no %lld heads", (long long)features, name, (long long)n_heads);
    if (features >= 0 && half > features / n_heads / 2)
        REJECT("cos rotates 2 x %lld features, heads of %s have %lld", (long long)half, name,
               (long long)(features / n_heads));
    return WF_OK;
}

static wf_status verify_rope(const void *parts, wf_error *err)
{
    const rope_op *r = parts;
    TRY(verify_heads(r->x, "x", r->n_heads, r->cos, r->sin, err));
    return verify_same_shape(r->x, "x", r->y.value, "y", err);
}

static wf_status verify_store(const void *parts, wf_error *err)
{
    const rope_store_op *r = parts;
    TRY(verify_heads(r->q, "q", r->n_heads, r->cos, r->sin, err));
    TRY(verify_heads(r->k, "k", r->n_kv_heads, r->cos, r->sin, err));
    TRY(verify_same_shape(r->k, "k", r->v, "v", err));
    TRY(verify_same_shape(r->q, "q", r->rotated.value, "rotated", err));
    if (r->cache < 0) REJECT("cache is %lld", (long long)r->cache);
    if (!r->gamma_q.ptr != !r->gamma_k.ptr) REJECT("only one of gamma_q and gamma_k is there");
    if (!r->gamma_q.ptr) return WF_OK;
    if (!sizes_agree(count_elements_of(r->gamma_q, 0, rank_of(r->gamma_q)), last_size(r->q) / r->n_heads) ||
        !sizes_agree(count_elements_of(r->gamma_k, 0, rank_of(r->gamma_k)), last_size(r->k) / r->n_kv_heads))
        REJECT("gamma_q or gamma_k has not the size of a head");
    return WF_OK;
}

const op_schema ROPE_OPS[] = {
    {"rope_table", sizeof(rope_table_op), FIELDS(TABLE), verify_table},
    {"rope", sizeof(rope_op), FIELDS(ROPE), verify_rope},
    {"rope_store", sizeof(rope_store_op), FIELDS(STORE), verify_store},
    {0},
};

DEFINE_ACCESS(rope_table, &ROPE_OPS[0])
DEFINE_ACCESS(rope, &ROPE_OPS[1])
DEFINE_ACCESS(rope_store, &ROPE_OPS[2])
