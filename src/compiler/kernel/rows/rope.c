#include "compiler/kernel/rows/rope.h"

#include "compiler/kernel/cache.h"
#include "compiler/kernel/rows/q8.h"

// Where the features of a head come from.
typedef struct source {
    value x;            // of feature 0
    value scale, gamma; // f32 factor of all features, f32 of each; null: there are none
} source;

// Where the features of a head go: to successive elements, or to a lane of successive 16-key vectors of K.
typedef struct sink {
    value address;  // of feature 0
    type element;   // f16 or f32
    int64_t stride; // bytes between features
} sink;

static sink row_sink(builder *b, value address) { return (sink){address, b->f32, 4}; }

static void put(builder *b, const sink *out, value x, int64_t feature)
{
    int n = lanes(mlirValueGetType(x));
    int64_t bytes = mlirTypeEqual(out->element, b->f32) ? 4 : 2;
    value y = from_f32(b, x, out->element);
    if (n == 1 || out->stride == bytes) {
        store(b, y, out->address, (value){0}, feature * out->stride);
        return;
    }
    // lane by lane: neighbours belong to other tokens, which other threads may be writing
    for (int i = 0; i < n; i++) store(b, extract(b, y, i), out->address, (value){0}, (feature + i) * out->stride);
}

static value load_f32(builder *b, value address, int64_t feature, int n)
{
    return load(b, address, (value){0}, feature * 4, vec(b, n, b->f32));
}

static value get(builder *b, const source *from, int64_t feature, int n)
{
    value x = load_f32(b, from->x, feature, n);
    if (!from->gamma.ptr) return x;
    return mul_f(b, mul_f(b, x, splat(b, from->scale, n)), load_f32(b, from->gamma, feature, n));
}

// A head to be normed: 1 / sqrt(mean(x^2) + eps), where squares of f32 cannot overflow f64.
static source normed(builder *b, value x, value gamma, int64_t head_dim, double eps)
{
    enum { CHAINS = 2 };
    int n = b->target.lanes;
    while (n > 1 && head_dim % (CHAINS * n)) n /= 2;
    type wide = vec(b, n, b->f64);
    value sums[CHAINS];
    for (int c = 0; c < CHAINS; c++) sums[c] = const_f(b, wide, 0);
    for (int64_t i = 0; i < head_dim; i += n) {
        value d = ext_f(b, load_f32(b, x, i, n), wide), *sum = &sums[i / n % CHAINS];
        *sum = fma_(b, d, d, *sum);
    }
    value square = sum_f(b, add_f(b, sums[0], sums[1]));
    value mean = div_f(b, square, const_f(b, b->f64, (double)head_dim));
    value root = sqrt_f(b, add_f(b, mean, const_f(b, b->f64, eps)));
    value scale = trunc_f(b, div_f(b, const_f(b, b->f64, 1), root), b->f32);
    return (source){.x = x, .scale = scale, .gamma = gamma};
}

// The widest vector that fits into the rest.
static int width_for(const builder *b, int64_t rest)
{
    int n = b->target.lanes;
    while (n > rest) n /= 2;
    return n;
}

static void copy_features(builder *b, const source *x, int64_t from, int64_t to, const sink *out)
{
    int n;
    for (int64_t i = from; i < to; i += n) {
        n = width_for(b, to - i);
        put(b, out, get(b, x, i, n), i);
    }
}

static void rotate_halves(builder *b, int64_t n_dims, const source *x, value table, const sink *out)
{
    int64_t half = n_dims / 2;
    int n;
    for (int64_t i = 0; i < half; i += n) {
        n = width_for(b, half - i);
        value cosine = load_f32(b, table, i, n), sine = load_f32(b, table, half + i, n);
        value low = get(b, x, i, n), high = get(b, x, half + i, n);
        put(b, out, sub_f(b, mul_f(b, low, cosine), mul_f(b, high, sine)), i);
        put(b, out, add_f(b, mul_f(b, high, cosine), mul_f(b, low, sine)), half + i);
    }
}

// x[0] x[0] x[1] x[1] ... of n/2 values from the table
static value load_twice(builder *b, value table, int64_t i, int n)
{
    int64_t mask[16];
    value x = load_f32(b, table, i, n / 2);
    for (int j = 0; j < n; j++) mask[j] = j / 2;
    return n == 2 ? splat(b, x, 2) : shuffle(b, x, x, n, mask);
}

static void rotate_pairs(builder *b, int64_t n_dims, const source *x, value table, const sink *out)
{
    int64_t half = n_dims / 2, swapped[16], alternate[16];
    int n;
    for (int64_t i = 0; i < n_dims; i += n) {
        n = width_for(b, n_dims - i);
        for (int j = 0; j < n; j++) swapped[j] = j ^ 1, alternate[j] = j % 2 ? n + j : j;
        value cosine = load_twice(b, table, i / 2, n), sine = load_twice(b, table, half + i / 2, n);
        value ab = get(b, x, i, n);
        value direct = mul_f(b, ab, cosine), crossed = mul_f(b, shuffle(b, ab, ab, n, swapped), sine);
        put(b, out, shuffle(b, sub_f(b, direct, crossed), add_f(b, direct, crossed), n, alternate), i);
    }
}

static void rotate_head(builder *b, int64_t head_dim, int64_t n_dims, bool interleaved, const source *x, value table,
                        const sink *out)
{
    (interleaved ? rotate_pairs : rotate_halves)(b, n_dims, x, table, out);
    copy_features(b, x, n_dims, head_dim, out);
}

// The table's row of a position.
static value table_row(builder *b, value table, value position, int64_t n_dims)
{
    return at(b, table, mul_i(b, position, 4 * n_dims), 0);
}

// Where a head's features go in the cache, by its block; and how they get there.
typedef struct place {
    kv_type kv;
    int64_t head_dim;
    value address;  // of feature 0
    int64_t stride; // bytes between features
    value scales;   // q8: of the first
    int64_t scale_stride;
    value staging; // q8: f32 [row, rounded up to 32], zero behind head_dim
} place;

static value head_in_block(builder *b, value part, value head, int64_t head_dim, kv_type kv)
{
    return at(b, part, mul_i(b, head, KV_BLOCK * kv_row_bytes(head_dim, kv)), 0);
}

// A token's key and value; `position` is counted from the block's first.
static place key_place(builder *b, value part, value head, value position, int64_t head_dim, kv_type kv, value staging)
{
    int64_t group_bytes = KV_GROUP * kv_row_bytes(head_dim, kv);
    value group =
        at(b, head_in_block(b, part, head, head_dim, kv), mul_i(b, div_i(b, position, KV_GROUP), group_bytes), 0);
    value lane = rem_i(b, position, KV_GROUP);
    return (place){.kv = kv,
                   .head_dim = head_dim,
                   .address = at(b, group, mul_i(b, lane, kv_element_bytes(kv)), 0),
                   .stride = kv_key_stride(kv),
                   .scales = at(b, group, mul_i(b, lane, 4), KV_GROUP * kv_row(head_dim)),
                   .scale_stride = 4 * KV_GROUP,
                   .staging = staging};
}

static place value_place(builder *b, value part, value head, value position, int64_t head_dim, kv_type kv,
                         value staging)
{
    value address =
        at(b, head_in_block(b, part, head, head_dim, kv), mul_i(b, position, kv_row_bytes(head_dim, kv)), 0);
    return (place){.kv = kv,
                   .head_dim = head_dim,
                   .address = address,
                   .stride = kv_element_bytes(kv),
                   .scales = at(b, address, (value){0}, kv_row(head_dim)),
                   .scale_stride = 4,
                   .staging = staging};
}

// Memory for heads on their way into a cache in q8.
static value staging_for(builder *b, int64_t head_dim, kv_type kv)
{
    if (kv != KV_Q8) return (value){0};
    int64_t floats = kv_scales(head_dim) * KV_SCALED;
    value staging = scratch(b, 4 * floats);
    for (int64_t i = head_dim; i < floats; i++) store(b, const_f(b, b->f32, 0), staging, (value){0}, 4 * i);
    return staging;
}

// What takes the features of a head; then they are on their way.
static sink place_sink(builder *b, const place *to)
{
    return to->kv == KV_Q8 ? row_sink(b, to->staging) : (sink){to->address, cache_element(b, to->kv), to->stride};
}

// They have arrived: in q8 they are known only now.
static void place_finish(builder *b, const place *to)
{
    int n = b->target.lanes;
    for (int64_t first = 0; first < to->head_dim && to->kv == KV_Q8; first += KV_SCALED) {
        value x[KV_SCALED / 8], q[KV_SCALED / 8];
        for (int v = 0; v < KV_SCALED / n; v++) x[v] = load_f32(b, to->staging, first + v * n, n);
        store(b, q8_quantize(b, x, q), to->scales, (value){0}, first / KV_SCALED * to->scale_stride);
        for (int v = 0; v < KV_SCALED / n; v++) {
            int64_t feature = first + v * n;
            if (feature >= kv_row(to->head_dim)) break;
            value bytes = trunc_i(b, q[v], vec(b, n, b->i8));
            if (to->stride == 1) store(b, bytes, to->address, (value){0}, feature);
            for (int i = 0; i < n && to->stride > 1 && feature + i < to->head_dim; i++)
                store(b, extract(b, bytes, i), to->address, (value){0}, (feature + i) * to->stride);
        }
    }
}

static void loop_heads(builder *b, loop *l, int64_t n) { loop_begin(b, l, const_i(b, 0), const_i(b, n), 1, 0, NULL); }

static void build_rope(builder *b, const void *params, const char *name)
{
    const rope_kernel *k = params;
    kernel_begin(b, name);
    value x_base = operand(b, 0), table_base = operand(b, 1), y_base = operand(b, 2), past = dim(b, 1);
    value x_bytes = mul_i(b, dim(b, 2), 4);
    int64_t head_bytes = 4 * k->head_dim;
    loop tokens, heads;
    loop_begin(b, &tokens, b->begin, b->end, 1, 0, NULL);
    value x = at(b, x_base, mul(b, tokens.iv, x_bytes), 0);
    value y = at(b, y_base, mul_i(b, tokens.iv, k->n_heads * head_bytes), 0);
    value table = table_row(b, table_base, add(b, past, tokens.iv), k->n_dims);
    loop_heads(b, &heads, k->n_heads);
    value offset = mul_i(b, heads.iv, head_bytes);
    sink out = row_sink(b, at(b, y, offset, 0));
    source head = {.x = at(b, x, offset, 0)};
    rotate_head(b, k->head_dim, k->n_dims, k->interleaved, &head, table, &out);
    loop_end(b, &heads, NULL);
    loop_end(b, &tokens, NULL);
    kernel_end(b);
}

static void build_kv_store(builder *b, const void *params, const char *name)
{
    const kv_store_kernel *k = params;
    kernel_begin(b, name);
    value k_base = operand(b, 0), v_base = operand(b, 1), k_cache = operand(b, 2), v_cache = operand(b, 3);
    value past = dim(b, 1), layer = dim(b, 2), k_bytes = mul_i(b, dim(b, 3), 4), v_bytes = mul_i(b, dim(b, 4), 4);
    int64_t values = k->n_kv_heads * KV_BLOCK * kv_row_bytes(k->head_dim, k->kv);
    value staging = staging_for(b, k->head_dim, k->kv);
    loop tokens, heads;
    loop_begin(b, &tokens, b->begin, b->end, 1, 0, NULL);
    value key = at(b, k_base, mul(b, tokens.iv, k_bytes), 0), val = at(b, v_base, mul(b, tokens.iv, v_bytes), 0);
    value position = add(b, past, tokens.iv), in_block = rem_i(b, position, KV_BLOCK);
    value k_part = at(b, cache_block(b, k_cache, position), layer, 0);
    value v_part = at(b, cache_block(b, v_cache, position), layer, values);
    loop_heads(b, &heads, k->n_kv_heads);
    value offset = mul_i(b, heads.iv, 4 * k->head_dim);
    place k_place = key_place(b, k_part, heads.iv, in_block, k->head_dim, k->kv, staging);
    place v_place = value_place(b, v_part, heads.iv, in_block, k->head_dim, k->kv, staging);
    sink k_out = place_sink(b, &k_place), v_out = place_sink(b, &v_place);
    source k_head_in = {.x = at(b, key, offset, 0)}, v_head_in = {.x = at(b, val, offset, 0)};
    copy_features(b, &k_head_in, 0, k->head_dim, &k_out);
    place_finish(b, &k_place);
    copy_features(b, &v_head_in, 0, k->head_dim, &v_out);
    place_finish(b, &v_place);
    loop_end(b, &heads, NULL);
    loop_end(b, &tokens, NULL);
    kernel_end(b);
}

static void build_rope_store(builder *b, const void *params, const char *name)
{
    const rope_store_kernel *k = params;
    kernel_begin(b, name);
    value base[3], bytes[3], row[3]; // of q, k and v
    for (int i = 0; i < 3; i++) base[i] = operand(b, i), bytes[i] = mul_i(b, dim(b, 3 + i), 4);
    value table_base = operand(b, 3), out_base = operand(b, 4), k_cache = operand(b, 5), v_cache = operand(b, 6);
    value gamma_q = k->norm ? operand(b, 7) : (value){0}, gamma_k = k->norm ? operand(b, 8) : (value){0};
    value past = dim(b, 1), layer = dim(b, 2);
    int64_t values = k->n_kv_heads * KV_BLOCK * kv_row_bytes(k->head_dim, k->kv);
    value staging = staging_for(b, k->head_dim, k->kv);
    int64_t head_bytes = 4 * k->head_dim;
    loop tokens, q_heads, kv_heads;
    loop_begin(b, &tokens, b->begin, b->end, 1, 0, NULL);
    for (int i = 0; i < 3; i++) row[i] = at(b, base[i], mul(b, tokens.iv, bytes[i]), 0);
    value out = at(b, out_base, mul_i(b, tokens.iv, k->n_heads * head_bytes), 0), position = add(b, past, tokens.iv);
    value table = table_row(b, table_base, position, k->n_dims), in_block = rem_i(b, position, KV_BLOCK);
    value k_part = at(b, cache_block(b, k_cache, position), layer, 0);
    value v_part = at(b, cache_block(b, v_cache, position), layer, values);

    loop_heads(b, &q_heads, k->n_heads);
    value q_offset = mul_i(b, q_heads.iv, head_bytes);
    sink q_out = row_sink(b, at(b, out, q_offset, 0));
    source q_in = {.x = at(b, row[0], q_offset, 0)};
    if (k->norm) q_in = normed(b, q_in.x, gamma_q, k->head_dim, k->eps);
    rotate_head(b, k->head_dim, k->n_dims, k->interleaved, &q_in, table, &q_out);
    loop_end(b, &q_heads, NULL);

    loop_heads(b, &kv_heads, k->n_kv_heads);
    value offset = mul_i(b, kv_heads.iv, head_bytes);
    place k_place = key_place(b, k_part, kv_heads.iv, in_block, k->head_dim, k->kv, staging);
    place v_place = value_place(b, v_part, kv_heads.iv, in_block, k->head_dim, k->kv, staging);
    sink k_out = place_sink(b, &k_place), v_out = place_sink(b, &v_place);
    source k_in = {.x = at(b, row[1], offset, 0)}, v_in = {.x = at(b, row[2], offset, 0)};
    if (k->norm) k_in = normed(b, k_in.x, gamma_k, k->head_dim, k->eps);
    rotate_head(b, k->head_dim, k->n_dims, k->interleaved, &k_in, table, &k_out);
    place_finish(b, &k_place);
    copy_features(b, &v_in, 0, k->head_dim, &v_out);
    place_finish(b, &v_place);
    loop_end(b, &kv_heads, NULL);
    loop_end(b, &tokens, NULL);
    kernel_end(b);
}

static void build_head_norm(builder *b, const void *params, const char *name)
{
    const head_norm_kernel *k = params;
    kernel_begin(b, name);
    value x_base = operand(b, 0), y_base = operand(b, 1), gamma = operand(b, 2), x_bytes = mul_i(b, dim(b, 1), 4);
    int64_t head_bytes = 4 * k->head_dim;
    loop tokens, heads;
    loop_begin(b, &tokens, b->begin, b->end, 1, 0, NULL);
    value x = at(b, x_base, mul(b, tokens.iv, x_bytes), 0);
    value y = at(b, y_base, mul_i(b, tokens.iv, k->n_heads * head_bytes), 0);
    loop_heads(b, &heads, k->n_heads);
    value offset = mul_i(b, heads.iv, head_bytes);
    sink out = row_sink(b, at(b, y, offset, 0));
    source head = normed(b, at(b, x, offset, 0), gamma, k->head_dim, k->eps);
    copy_features(b, &head, 0, k->head_dim, &out);
    loop_end(b, &heads, NULL);
    loop_end(b, &tokens, NULL);
    kernel_end(b);
}

// ---- the kinds

static const kernel_field ROPE_FIELDS[] = {
    KERNEL_FIELD(rope_kernel, n_heads, FIELD_INT, "_"),
    KERNEL_FIELD(rope_kernel, head_dim, FIELD_INT, "x"),
    KERNEL_FIELD(rope_kernel, n_dims, FIELD_INT, "_n"),
    KERNEL_FIELD(rope_kernel, interleaved, FIELD_BOOL, "_interleaved"),
};

const kernel_kind ROPE_KERNEL = {
    .name = "rope",
    .file = "kernel/rows/rope.c",
    .help = "rotary positions of each head",
    .build = build_rope,
    .params_bytes = sizeof(rope_kernel),
    .fields = ROPE_FIELDS,
    .n_fields = sizeof ROPE_FIELDS / sizeof *ROPE_FIELDS,
};

static const kernel_field KV_STORE_FIELDS[] = {
    KERNEL_FIELD(kv_store_kernel, n_kv_heads, FIELD_INT, "_"),
    KERNEL_FIELD(kv_store_kernel, head_dim, FIELD_INT, "x"),
    KERNEL_TEXT(kv_store_kernel, kv, cache_label, "_"),
};

const kernel_kind KV_STORE_KERNEL = {
    .name = "kv_store",
    .file = "kernel/rows/rope.c",
    .help = "appends k and v to the cache",
    .build = build_kv_store,
    .params_bytes = sizeof(kv_store_kernel),
    .fields = KV_STORE_FIELDS,
    .n_fields = sizeof KV_STORE_FIELDS / sizeof *KV_STORE_FIELDS,
};

static const kernel_field ROPE_STORE_FIELDS[] = {
    KERNEL_FIELD(rope_store_kernel, n_heads, FIELD_INT, "_"),
    KERNEL_FIELD(rope_store_kernel, n_kv_heads, FIELD_INT, "_"),
    KERNEL_FIELD(rope_store_kernel, head_dim, FIELD_INT, "x"),
    KERNEL_FIELD(rope_store_kernel, n_dims, FIELD_INT, "_n"),
    KERNEL_FIELD(rope_store_kernel, interleaved, FIELD_BOOL, "_interleaved"),
    KERNEL_TEXT(rope_store_kernel, kv, cache_label, "_"),
    KERNEL_FIELD(rope_store_kernel, norm, FIELD_BOOL, "_norm"),
    KERNEL_FIELD(rope_store_kernel, eps, FIELD_F64, "_eps"),
};

const kernel_kind ROPE_STORE_KERNEL = {
    .name = "rope_store",
    .file = "kernel/rows/rope.c",
    .help = "[norms and] rotates q and k, appends k and v to the cache",
    .build = build_rope_store,
    .params_bytes = sizeof(rope_store_kernel),
    .fields = ROPE_STORE_FIELDS,
    .n_fields = sizeof ROPE_STORE_FIELDS / sizeof *ROPE_STORE_FIELDS,
};

static const kernel_field HEAD_NORM_FIELDS[] = {
    KERNEL_FIELD(head_norm_kernel, n_heads, FIELD_INT, "_"),
    KERNEL_FIELD(head_norm_kernel, head_dim, FIELD_INT, "x"),
    KERNEL_FIELD(head_norm_kernel, eps, FIELD_F64, "_eps"),
};

const kernel_kind HEAD_NORM_KERNEL = {
    .name = "head_norm",
    .file = "kernel/rows/rope.c",
    .help = "RMSNorm of each head of rows",
    .build = build_head_norm,
    .params_bytes = sizeof(head_norm_kernel),
    .fields = HEAD_NORM_FIELDS,
    .n_fields = sizeof HEAD_NORM_FIELDS / sizeof *HEAD_NORM_FIELDS,
};
