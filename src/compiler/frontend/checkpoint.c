#include "compiler/frontend/checkpoint.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

// ---- architectures

typedef struct architecture {
    const char *name; // general.architecture, and the prefix of its keys
    bool rope_interleaved, qkv_bias;
    MlirValue (*graph)(frontend *f, MlirValue tokens, MlirValue rows);
} architecture;

static const architecture ARCHITECTURES[] = {
    {"llama", .rope_interleaved = true, .qkv_bias = false, llama_graph},
    {"qwen2", .rope_interleaved = false, .qkv_bias = true, llama_graph},
};

static wf_status find_architecture(const gguf_file *file, const architecture **found, wf_error *err)
{
    view name;
    TRY(gguf_get_string(file, "general.architecture", &name, err));
    for (size_t i = 0; i < sizeof ARCHITECTURES / sizeof *ARCHITECTURES; i++)
        if (view_is(name, ARCHITECTURES[i].name)) {
            *found = &ARCHITECTURES[i];
            return WF_OK;
        }
    return error_set(err, WF_ERROR_UNSUPPORTED, "%s: architecture \"%.*s\" is not supported", gguf_path(file),
                     VIEW_ARG(name));
}

// ---- facts

typedef struct facts_reader {
    const gguf_file *file;
    const char *prefix;
    arena *memory;
    wf_error *err;
} facts_reader;

static const char *key_of(char key[128], const facts_reader *r, const char *suffix)
{
    snprintf(key, 128, "%s.%s", r->prefix, suffix);
    return key;
}

static wf_status get_int(const facts_reader *r, const char *suffix, int64_t min, int64_t max, int64_t *value)
{
    char key[128];
    return gguf_get_int(r->file, key_of(key, r, suffix), min, max, value, r->err);
}

static wf_status get_int_or(const facts_reader *r, const char *suffix, int64_t min, int64_t max, int64_t *value)
{
    char key[128];
    return gguf_get_int_or(r->file, key_of(key, r, suffix), min, max, value, r->err);
}

static wf_status get_float_or(const facts_reader *r, const char *suffix, double *value)
{
    char key[128];
    return gguf_get_float_or(r->file, key_of(key, r, suffix), value, r->err);
}

static wf_status refuse(const facts_reader *r, const char *what)
{
    return error_set(r->err, WF_ERROR_UNSUPPORTED, "%s: %s", gguf_path(r->file), what);
}

// Keys whose presence changes what the model computes in ways that the graph does not know.
static wf_status refuse_unknown_fields(const facts_reader *r)
{
    static const char *const fields[] = {"expert_count", "attention.sliding_window", "attn_logit_softcapping",
                                         "final_logit_softcapping", "logit_scale", "embedding_scale", "residual_scale",
                                         "attention.scale", "attention.clamp_kqv", "attention.max_alibi_bias"};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        char key[128];
        double value = 0;
        TRY(gguf_get_float_or(r->file, key_of(key, r, fields[i]), &value, r->err));
        if (value != 0)
            return error_set(r->err, WF_ERROR_UNSUPPORTED, "%s: key %s = %g is not supported for this architecture",
                             gguf_path(r->file), key, value);
    }
    return WF_OK;
}

// Angles a token for each pair of rotated features: base^(-2i/n), divided by the checkpoint's own factors
// (rope_freqs.weight, Llama 3) or by the linear scaling factor.
static wf_status read_rope(const facts_reader *r, model_facts *m)
{
    double base = 10000, linear = 1;
    TRY(get_float_or(r, "rope.freq_base", &base));
    if (!(base > 0)) return refuse(r, "rope.freq_base is not positive");
    char key[128];
    view type = VIEW_LITERAL("none");
    TRY(gguf_get_string_or(r->file, key_of(key, r, "rope.scaling.type"), &type, r->err));
    if (view_is(type, "linear"))
        TRY(get_float_or(r, "rope.scaling.factor", &linear));
    else if (!view_is(type, "none"))
        return error_set(r->err, WF_ERROR_UNSUPPORTED, "%s: rope scaling \"%.*s\" is not supported", gguf_path(r->file),
                         VIEW_ARG(type));
    if (!(linear > 0)) return refuse(r, "rope.scaling.factor is not positive");
    const gguf_tensor *factors = gguf_find_tensor(r->file, "rope_freqs.weight");
    if (factors && (factors->type != TENSOR_F32 || factors->dims[0] != m->n_rot / 2 || !factors->data))
        return refuse(r, "tensor rope_freqs.weight must be F32 with one value a pair of rotated features");
    double *inv_freq = arena_alloc(r->memory, (size_t)m->n_rot / 2, sizeof *inv_freq);
    if (!inv_freq) return error_memory(r->err, (size_t)m->n_rot * 4);
    for (int64_t i = 0; i < m->n_rot / 2; i++) {
        float factor = 1;
        if (factors) memcpy(&factor, factors->data + 4 * i, 4);
        if (!(factor > 0)) return refuse(r, "tensor rope_freqs.weight holds a value that is not positive");
        inv_freq[i] = pow(base, -2.0 * (double)i / (double)m->n_rot) / (linear * (double)factor);
    }
    m->n_ropes = 1;
    m->ropes[0] = (plan_rope){.n_dims = m->n_rot, .inv_freq = inv_freq, .magnitude = 1};
    return WF_OK;
}

static wf_status read_facts(const facts_reader *r, const architecture *arch, model_facts *m)
{
    enum { MAX_FEATURES = 1 << 20 };
    *m = (model_facts){.architecture = arch->name,
                       .rope_interleaved = arch->rope_interleaved,
                       .qkv_bias = arch->qkv_bias};
    view name = VIEW_LITERAL("");
    TRY(gguf_get_string_or(r->file, "general.name", &name, r->err));
    m->name = arena_strdup(r->memory, name);
    if (!m->name) return error_memory(r->err, name.len);
    TRY(get_int(r, "block_count", 1, 1000, &m->n_layer));
    TRY(get_int(r, "context_length", 1, 1 << 24, &m->n_ctx_train));
    TRY(get_int(r, "embedding_length", 1, MAX_FEATURES, &m->n_embd));
    TRY(get_int(r, "feed_forward_length", 1, MAX_FEATURES, &m->n_ff));
    TRY(get_int(r, "attention.head_count", 1, 1024, &m->n_heads));
    m->n_kv_heads = m->n_heads;
    TRY(get_int_or(r, "attention.head_count_kv", 1, 1024, &m->n_kv_heads));
    if (m->n_heads % m->n_kv_heads)
        return refuse(r, "attention.head_count is no multiple of attention.head_count_kv");
    m->head_dim = m->n_embd / m->n_heads;
    TRY(get_int_or(r, "attention.key_length", 1, 1024, &m->head_dim));
    int64_t value_length = m->head_dim;
    TRY(get_int_or(r, "attention.value_length", 1, 1024, &value_length));
    if (value_length != m->head_dim) return refuse(r, "attention.value_length differs from attention.key_length");
    if (m->head_dim < 16 || m->head_dim % 16 || m->head_dim > 256)
        return refuse(r, "heads must have 16 to 256 features, a multiple of 16");
    m->n_rot = m->head_dim;
    TRY(get_int_or(r, "rope.dimension_count", 2, m->head_dim, &m->n_rot));
    if (m->n_rot % 2) return refuse(r, "rope.dimension_count is odd");
    char key[128];
    TRY(gguf_get_float(r->file, key_of(key, r, "attention.layer_norm_rms_epsilon"), &m->norm_eps, r->err));
    if (!(m->norm_eps >= 0)) return refuse(r, "attention.layer_norm_rms_epsilon is negative");
    const gguf_tensor *table = gguf_find_tensor(r->file, "token_embd.weight");
    if (!table) return error_set(r->err, WF_ERROR_FORMAT, "%s: tensor token_embd.weight is missing", gguf_path(r->file));
    m->n_vocab = table->dims[1];
    if (m->n_vocab > MAX_FEATURES) return refuse(r, "the vocabulary has more than a million tokens");
    m->tied_head = !gguf_find_tensor(r->file, "output.weight");
    TRY(refuse_unknown_fields(r));
    return read_rope(r, m);
}

// ---- ops

static MlirValue graph_value(frontend *f, const char *name, int64_t cols, int n_operands, const MlirValue *operands,
                             int n_attributes, const MlirNamedAttribute *attributes)
{
    if (f->status != WF_OK) return (MlirValue){0};
    return build_value(&f->b, name, tensor2(-1, cols, f->f32), n_operands, operands, n_attributes, attributes);
}

static MlirType weight_element(frontend *f, tensor_type t)
{
    switch (t) {
    case TENSOR_F32: return f->f32;
    case TENSOR_F16: return mlirF16TypeGet(f->b.ctx);
    case TENSOR_BF16: return mlirBF16TypeGet(f->b.ctx);
    case TENSOR_Q8_0: return wf_type(f->b.ctx, "q8_0");
    case TENSOR_Q4_0: return wf_type(f->b.ctx, "q4_0");
    case TENSOR_Q4_1: return wf_type(f->b.ctx, "q4_1");
    default: return (MlirType){0};
    }
}

static MlirValue weight(frontend *f, int64_t rows, int64_t cols, const char *name)
{
    if (f->status != WF_OK) return (MlirValue){0};
    const gguf_tensor *t = gguf_find_tensor(f->file, name);
    const char *path = gguf_path(f->file);
    if (!t) {
        f->status = error_set(f->err, WF_ERROR_FORMAT, "%s: tensor %s is missing", path, name);
    } else if (t->dims[0] != cols || t->dims[1] != (rows ? rows : 1) || t->dims[2] != 1 || t->dims[3] != 1) {
        f->status = error_set(f->err, WF_ERROR_FORMAT,
                              "%s: tensor %s has shape [%lld, %lld, %lld, %lld], expected [%lld, %lld, 1, 1]", path, name,
                              (long long)t->dims[0], (long long)t->dims[1], (long long)t->dims[2], (long long)t->dims[3],
                              (long long)cols, (long long)(rows ? rows : 1));
    } else if (!t->data) {
        f->status = error_set(f->err, WF_ERROR_FORMAT, "%s: tensor %s lies beyond the end of the file", path, name);
    }
    if (f->status != WF_OK) return (MlirValue){0};
    MlirType element = weight_element(f, t->type);
    bool is_float = t->type == TENSOR_F32 || t->type == TENSOR_F16 || t->type == TENSOR_BF16;
    if (!element.ptr || (!rows && !is_float)) {
        f->status = error_set(f->err, WF_ERROR_UNSUPPORTED, "%s: tensor %s has type %s, which is not supported%s", path,
                              name, gguf_type_layout(t->type)->name, rows ? "" : " for a vector");
        return (MlirValue){0};
    }
    MlirNamedAttribute attribute = named_string(&f->b, "name", name);
    MlirType result = rows ? tensor2(rows, cols, element) : tensor_of(1, &cols, element);
    return build_value(&f->b, "wf.weight", result, 0, NULL, 1, &attribute);
}

MlirValue graph_matrix(frontend *f, int64_t rows, int64_t cols, const char *name_format, ...)
{
    char name[96];
    va_list args;
    va_start(args, name_format);
    vsnprintf(name, sizeof name, name_format, args);
    va_end(args);
    return weight(f, rows, cols, name);
}

MlirValue graph_vector(frontend *f, int64_t cols, const char *name_format, ...)
{
    char name[96];
    va_list args;
    va_start(args, name_format);
    vsnprintf(name, sizeof name, name_format, args);
    va_end(args);
    return weight(f, 0, cols, name);
}

MlirValue graph_rms_norm(frontend *f, MlirValue x, MlirValue gamma)
{
    if (f->status != WF_OK) return x;
    MlirNamedAttribute eps = named_float(&f->b, "eps", f->facts->norm_eps);
    MlirValue operands[] = {x, gamma};
    return graph_value(f, "wf.rms_norm", dim_of(x, 1), 2, operands, 1, &eps);
}

MlirValue graph_linear(frontend *f, MlirValue x, MlirValue w, MlirValue bias)
{
    if (f->status != WF_OK) return x;
    linear_parts parts = {.x = x, .weights = {w}, .n_weights = 1, .biases = {bias}, .n_biases = bias.ptr ? 1 : 0};
    parts.result = tensor2(-1, dim_of(w, 0), f->f32);
    return linear_write(&f->b, &parts);
}

MlirValue graph_add(frontend *f, MlirValue x, MlirValue y)
{
    if (f->status != WF_OK) return x;
    MlirValue operands[] = {x, y};
    return graph_value(f, "arith.addf", dim_of(x, 1), 2, operands, 0, NULL);
}

MlirValue graph_swiglu(frontend *f, MlirValue gate, MlirValue up)
{
    if (f->status != WF_OK) return gate;
    MlirValue operands[] = {gate, up};
    return graph_value(f, "wf.swiglu", dim_of(gate, 1), 2, operands, 0, NULL);
}

void graph_rope_table(frontend *f, int64_t table, MlirValue cos_sin[2])
{
    MlirType half = tensor2(-1, f->facts->ropes[table].n_dims / 2, f->f32), results[] = {half, half};
    MlirNamedAttribute attribute = named_int(&f->b, "table", table);
    MlirOperation op = build_op(&f->b, "wf.rope_table", 2, results, 0, NULL, 1, &attribute);
    for (int i = 0; i < 2; i++) cos_sin[i] = mlirOperationGetResult(op, i);
}

MlirValue graph_rope(frontend *f, MlirValue x, int64_t n_heads, const MlirValue table[2])
{
    if (f->status != WF_OK) return x;
    MlirNamedAttribute attributes[] = {named_int(&f->b, "n_heads", n_heads),
                                       named_bool(&f->b, "interleaved", f->facts->rope_interleaved)};
    MlirValue operands[] = {x, table[0], table[1]};
    return graph_value(f, "wf.rope", dim_of(x, 1), 3, operands, 2, attributes);
}

MlirValue graph_attention(frontend *f, MlirValue q, MlirValue k, MlirValue v, int64_t layer)
{
    if (f->status != WF_OK) return q;
    const model_facts *m = f->facts;
    MlirNamedAttribute attributes[] = {
        named_int(&f->b, "n_heads", m->n_heads),
        named_int(&f->b, "n_kv_heads", m->n_kv_heads),
        named_float(&f->b, "scale", 1 / sqrt((double)m->head_dim)),
        named_bool(&f->b, "causal", true),
        named_int(&f->b, "cache", layer),
    };
    MlirValue operands[] = {q, k, v};
    return graph_value(f, "wf.attention", dim_of(q, 1), 3, operands, 5, attributes);
}

MlirValue graph_embed(frontend *f, MlirValue tokens, MlirValue table)
{
    if (f->status != WF_OK) return table;
    MlirValue operands[] = {tokens, table};
    return graph_value(f, "wf.embed", dim_of(table, 1), 2, operands, 0, NULL);
}

MlirValue graph_select_rows(frontend *f, MlirValue x, MlirValue which)
{
    if (f->status != WF_OK) return x;
    MlirValue operands[] = {x, which};
    return graph_value(f, "wf.select_rows", dim_of(x, 1), 2, operands, 0, NULL);
}

// ---- the function

wf_status checkpoint_graph(const gguf_file *file, compiler_context *c, arena *memory, model_facts *facts,
                           MlirModule *module, wf_error *err)
{
    const architecture *arch = NULL;
    TRY(find_architecture(file, &arch, err));
    facts_reader reader = {file, arch->name, memory, err};
    TRY(read_facts(&reader, arch, facts));

    MlirLocation loc = mlirLocationUnknownGet(c->mlir);
    MlirType i32 = mlirIntegerTypeGet(c->mlir, 32);
    int64_t dynamic = -1;
    MlirType ids = tensor_of(1, &dynamic, i32), inputs[] = {ids, ids};
    MlirType result = tensor2(-1, facts->n_vocab, mlirF32TypeGet(c->mlir));
    MlirLocation locations[] = {loc, loc};
    MlirBlock block = mlirBlockCreate(2, inputs, locations);
    frontend f = {.file = file, .facts = facts, .b = op_builder_at_end(block, loc), .f32 = mlirF32TypeGet(c->mlir),
                  .err = err};
    MlirValue logits = arch->graph(&f, mlirBlockGetArgument(block, 0), mlirBlockGetArgument(block, 1));
    if (f.status != WF_OK) {
        mlirBlockDestroy(block);
        return f.status;
    }
    build_op(&f.b, "func.return", 0, NULL, 1, &logits, 0, NULL);
    MlirRegion body = mlirRegionCreate();
    mlirRegionAppendOwnedBlock(body, block);
    *module = mlirModuleCreateEmpty(loc);
    MlirOperationState state = mlirOperationStateGet(mlir_text("func.func"), loc);
    MlirType type = mlirFunctionTypeGet(c->mlir, 2, inputs, 1, &result);
    MlirNamedAttribute attributes[] = {
        named_string(&f.b, "sym_name", "forward"),
        mlirNamedAttributeGet(mlirIdentifierGet(c->mlir, mlir_text("function_type")), mlirTypeAttrGet(type)),
    };
    mlirOperationStateAddAttributes(&state, 2, attributes);
    mlirOperationStateAddOwnedRegions(&state, 1, &body);
    mlirBlockAppendOwnedOperation(mlirModuleGetBody(*module), mlirOperationCreate(&state));
    return WF_OK;
}
