#include "compiler/frontend/checkpoint/frontend.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

// ---- architectures

typedef struct architecture {
    architecture_facts facts;
    MlirValue (*graph)(frontend *f, MlirValue tokens, MlirValue rows);
} architecture;

static const architecture ARCHITECTURES[] = {
    {{"llama", .rope_interleaved = true}, llama_graph},
    {{"mistral", .rope_interleaved = false}, llama_graph},
    {{"qwen2", .qkv_bias = true}, llama_graph},
    {{"qwen3", .qk_norm = true}, llama_graph},
    {{"gemma3", .qk_norm = true, .gelu = true, .embedding_by_root = true, .window_period = 6,
      .window_rope_base = 10000},
     gemma3_graph},
};
enum { N_ARCHITECTURES = sizeof ARCHITECTURES / sizeof *ARCHITECTURES };

static wf_status find_architecture(const checkpoint *file, const architecture **found, wf_error *err)
{
    view name;
    char known[256] = "";
    TRY(checkpoint_get_string(file, "general.architecture", &name, err));
    for (size_t i = 0; i < N_ARCHITECTURES; i++) {
        *found = &ARCHITECTURES[i];
        if (view_is(name, (*found)->facts.name)) return WF_OK;
        size_t len = strlen(known);
        snprintf(known + len, sizeof known - len, "%s%s", i ? ", " : "", (*found)->facts.name);
    }
    return error_set(err, WF_ERROR_UNSUPPORTED, "%s: architecture \"%.*s\" is not supported; these are: %s",
                     checkpoint_path(file), VIEW_ARG(name), known);
}

// ---- ops

static MlirValue weight(frontend *f, int64_t rows, int64_t cols, const char *name)
{
    if (f->status != WF_OK) return (MlirValue){0};
    const checkpoint_tensor *t = checkpoint_find_tensor(f->file, name);
    const char *path = checkpoint_path(f->file);
    if (t) f->used[t - checkpoint_tensor_at(f->file, 0)] = true;
    if (!t) {
        f->status = error_set(f->err, WF_ERROR_FORMAT, "%s: tensor %s is missing", path, name);
    } else if (t->dims[0] != cols || t->dims[1] != (rows ? rows : 1) || t->dims[2] != 1 || t->dims[3] != 1) {
        f->status = error_set(f->err, WF_ERROR_FORMAT,
                              "%s: tensor %s has shape [%lld, %lld, %lld, %lld], expected [%lld, %lld, 1, 1]", path,
                              name, (long long)t->dims[0], (long long)t->dims[1], (long long)t->dims[2],
                              (long long)t->dims[3], (long long)cols, (long long)(rows ? rows : 1));
    } else if (!t->data) {
        f->status = error_set(f->err, WF_ERROR_FORMAT, "%s: tensor %s lies beyond the end of the file", path, name);
    }
    if (f->status != WF_OK) return (MlirValue){0};
    const weight_type *type = rows ? weight_type_packed(t->type, cols, f->facts->weights) : weight_type_of(t->type);
    if (!type || (!rows && !type->widen)) {
        f->status = error_set(f->err, WF_ERROR_UNSUPPORTED, "%s: tensor %s has type %s, which is not supported%s", path,
                              name, tensor_type_layout(t->type)->name, rows ? "" : " for a vector");
        return (MlirValue){0};
    }
    MlirType element = wf_weight_element(f->b.ctx, type);
    weight_op w = {.name = mlir_text(name),
                   .w = {.type = rows ? tensor2(rows, cols, element) : tensor_of(1, &cols, element)}};
    return weight_write(&f->b, &w);
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

MlirValue graph_bias(frontend *f, int64_t cols, const char *name_format, ...)
{
    char name[96];
    va_list args;
    va_start(args, name_format);
    vsnprintf(name, sizeof name, name_format, args);
    va_end(args);
    return checkpoint_find_tensor(f->file, name) ? weight(f, 0, cols, name) : (MlirValue){0};
}

MlirValue graph_rms_norm(frontend *f, MlirValue x, MlirValue gamma) { return graph_head_norm(f, x, gamma, 0); }

// Rows of this call's tokens.
static op_result rows_of(const frontend *f, int64_t features)
{
    return (op_result){.type = tensor2(-1, features, f->f32)};
}

MlirValue graph_head_norm(frontend *f, MlirValue x, MlirValue gamma, int64_t n_heads)
{
    if (f->status != WF_OK) return x;
    norm_op norm = {.kind = NORM_RMS,
                    .x = x,
                    .gamma = gamma,
                    .eps = f->facts->norm_eps,
                    .plus_one = f->facts->norm_plus_one,
                    .n_heads = n_heads,
                    .y = rows_of(f, dim_of(x, 1))};
    return norm_write(&f->b, &norm);
}

MlirValue graph_linear(frontend *f, MlirValue x, MlirValue w, MlirValue bias)
{
    if (f->status != WF_OK) return x;
    linear_op linear = {.x = x, .weights = {w}, .biases = {bias}, .y = rows_of(f, dim_of(w, 0))};
    return linear_write(&f->b, &linear);
}

MlirValue graph_add(frontend *f, MlirValue x, MlirValue y)
{
    if (f->status != WF_OK) return x;
    MlirValue operands[] = {x, y};
    return build_value(&f->b, "arith.addf", tensor2(-1, dim_of(x, 1), f->f32), 2, operands, 0, NULL);
}

MlirValue graph_glu(frontend *f, MlirValue gate, MlirValue up)
{
    if (f->status != WF_OK) return gate;
    glu_op glu = {.gate = gate,
                  .up = up,
                  .activation = f->facts->gelu ? GLU_GELU_TANH : GLU_SILU,
                  .y = rows_of(f, dim_of(gate, 1))};
    return glu_write(&f->b, &glu);
}

MlirValue graph_softcap(frontend *f, MlirValue x, double cap)
{
    if (f->status != WF_OK || cap == 0) return x;
    softcap_op softcap = {.x = x, .cap = cap, .y = rows_of(f, dim_of(x, 1))};
    return softcap_write(&f->b, &softcap);
}

void graph_rope_table(frontend *f, int64_t table, MlirValue cos_sin[2])
{
    op_result half = rows_of(f, f->facts->ropes[table].n_dims / 2);
    rope_table_op t = {.table = table, .cos = half, .sin = half};
    rope_table_write(&f->b, &t);
    cos_sin[0] = t.cos.value;
    cos_sin[1] = t.sin.value;
}

MlirValue graph_rope(frontend *f, MlirValue x, int64_t n_heads, const MlirValue table[2])
{
    if (f->status != WF_OK) return x;
    rope_op rope = {.x = x,
                    .cos = table[0],
                    .sin = table[1],
                    .n_heads = n_heads,
                    .interleaved = f->facts->rope_interleaved,
                    .y = rows_of(f, dim_of(x, 1))};
    return rope_write(&f->b, &rope);
}

MlirValue graph_attention(frontend *f, MlirValue q, MlirValue k, MlirValue v, int64_t layer)
{
    if (f->status != WF_OK) return q;
    const model_facts *m = f->facts;
    attention_op attention = {.q = q,
                              .k = k,
                              .v = v,
                              .n_heads = m->n_heads,
                              .n_kv_heads = m->n_kv_heads,
                              .scale = m->attention_scale,
                              .causal = true,
                              .window = m->has_window[layer] ? m->window : 0,
                              .softcap = m->attention_softcap,
                              .cache = layer,
                              .y = rows_of(f, dim_of(q, 1))};
    return attention_write(&f->b, &attention);
}

MlirValue graph_embed(frontend *f, MlirValue tokens, MlirValue table)
{
    if (f->status != WF_OK) return table;
    embed_op embed = {
        .ids = tokens, .table = table, .scale = f->facts->embedding_scale, .y = rows_of(f, dim_of(table, 1))};
    return embed_write(&f->b, &embed);
}

MlirValue graph_select_rows(frontend *f, MlirValue x, MlirValue which)
{
    if (f->status != WF_OK) return x;
    select_rows_op select = {.x = x, .which = which, .y = rows_of(f, dim_of(x, 1))};
    return select_rows_write(&f->b, &select);
}

// ---- the function

// A tensor that the graph leaves out would change the result: the file holds another model than the graph computes.
static wf_status check_all_used(const frontend *f)
{
    for (size_t i = 0; i < checkpoint_tensor_count(f->file); i++) {
        view name = checkpoint_tensor_at(f->file, i)->name;
        // rotation frequencies are no weights: they are read with the facts, or copies of what the metadata say
        static const char *const harmless[] = {"rope_freqs.weight", "rope.freqs", "rotary_emb.inv_freq",
                                               "attn_rot_embd.weight"};
        bool fine = f->used[i];
        for (size_t j = 0; j < sizeof harmless / sizeof *harmless && !fine; j++) {
            view end = view_of(harmless[j]);
            fine = name.len >= end.len && view_equal((view){name.data + name.len - end.len, end.len}, end);
        }
        if (!fine)
            return error_set(f->err, WF_ERROR_UNSUPPORTED, "%s: tensor %.*s is not used by architecture \"%s\"",
                             checkpoint_path(f->file), VIEW_ARG(name), f->facts->architecture);
    }
    return WF_OK;
}

wf_status frontend_graph(const checkpoint *file, const char *weights, compiler_context *c, arena *memory,
                         model_facts *facts, MlirModule *module, wf_error *err)
{
    const architecture *arch = NULL;
    TRY(find_architecture(file, &arch, err));
    TRY(facts_read(file, &arch->facts, memory, facts, err));
    bool *used = arena_alloc(memory, checkpoint_tensor_count(file), sizeof *used);
    if (!used) return error_memory(err, checkpoint_tensor_count(file));
    TRY(weight_type_parse(weights, &facts->weights, err));

    MlirLocation loc = mlirLocationUnknownGet(c->mlir);
    MlirType i32 = mlirIntegerTypeGet(c->mlir, 32);
    int64_t dynamic = -1;
    MlirType ids = tensor_of(1, &dynamic, i32), inputs[] = {ids, ids};
    MlirType result = tensor2(-1, facts->n_vocab, mlirF32TypeGet(c->mlir));
    MlirLocation locations[] = {loc, loc};
    MlirBlock block = mlirBlockCreate(2, inputs, locations);
    frontend f = {.file = file,
                  .facts = facts,
                  .used = used,
                  .b = op_builder_at_end(block, loc),
                  .f32 = mlirF32TypeGet(c->mlir),
                  .err = err};
    MlirValue logits = arch->graph(&f, mlirBlockGetArgument(block, 0), mlirBlockGetArgument(block, 1));
    if (f.status == WF_OK) f.status = check_all_used(&f);
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
