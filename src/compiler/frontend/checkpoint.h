// Checkpoint frontend: a GGUF file to a graph of wf ops.
//
// An architecture is one row of a table (its facts) and one graph function that reads like the model's paper. The graph
// is a module with one function,
//
//     func.func @forward(%tokens: tensor<?xi32>, %rows: tensor<?xi32>) -> tensor<?x n_vocab xf32>
//
// the logits of the selected rows after the tokens of this call have joined the KV cache.
#ifndef WELFORD_COMPILER_FRONTEND_CHECKPOINT_H
#define WELFORD_COMPILER_FRONTEND_CHECKPOINT_H

#include "base/arena.h"
#include "compiler/codegen/context.h"
#include "compiler/dialect/wf.h"
#include "format/gguf.h"
#include "runtime/plan.h"

// What a model is, beyond its graph: hyper-parameters, checked against the file and each other.
typedef struct model_facts {
    const char *architecture, *name;
    int64_t n_vocab, n_ctx_train, n_layer, n_embd, n_ff;
    int64_t n_heads, n_kv_heads, head_dim;
    double norm_eps;
    int64_t n_rot;          // rotated features of a head
    bool rope_interleaved;  // pairs (2i, 2i+1) rather than (i, i + n_rot/2)
    bool qkv_bias;
    bool tied_head;         // the output head is the embedding table
    uint32_t n_ropes;
    plan_rope ropes[2];
} model_facts;

// A graph under construction.
typedef struct frontend {
    const gguf_file *file;
    const model_facts *facts;
    op_builder b;
    MlirType f32;
    wf_error *err;
    wf_status status; // the first failure; later calls then give null values
} frontend;

// Reads the facts and builds the graph. `memory` owns what the facts point to. An unknown architecture, an unsupported
// tensor type or a field that would change the model's meaning is WF_ERROR_UNSUPPORTED by name.
wf_status checkpoint_graph(const gguf_file *file, compiler_context *c, arena *memory, model_facts *facts,
                           MlirModule *module, wf_error *err);

// ---- for graph functions

// wf.weight for a matrix [rows, cols] or a vector [cols] (rows == 0). The tensor must exist with these sizes and a type
// that kernels take.
MlirValue graph_matrix(frontend *f, int64_t rows, int64_t cols, const char *name_format, ...)
    __attribute__((format(printf, 4, 5)));
MlirValue graph_vector(frontend *f, int64_t cols, const char *name_format, ...) __attribute__((format(printf, 3, 4)));

MlirValue graph_rms_norm(frontend *f, MlirValue x, MlirValue gamma);
MlirValue graph_linear(frontend *f, MlirValue x, MlirValue w, MlirValue bias); // bias may be null
MlirValue graph_add(frontend *f, MlirValue x, MlirValue y);
MlirValue graph_swiglu(frontend *f, MlirValue gate, MlirValue up);
MlirValue graph_rope(frontend *f, MlirValue x, int64_t n_heads, const MlirValue table[2]);
void graph_rope_table(frontend *f, int64_t table, MlirValue cos_sin[2]);
MlirValue graph_attention(frontend *f, MlirValue q, MlirValue k, MlirValue v, int64_t layer);
MlirValue graph_embed(frontend *f, MlirValue tokens, MlirValue table);
MlirValue graph_select_rows(frontend *f, MlirValue x, MlirValue which);

// ---- graph functions, one file each: tokens and rows in, logits out
MlirValue llama_graph(frontend *f, MlirValue tokens, MlirValue rows);

#endif
