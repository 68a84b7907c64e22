// Checkpoint frontend: a checkpoint to a graph of wf ops.
//
// An architecture is one row of a table (its facts) and one graph function that reads like the model's paper. The graph
// is a module with one function,
//
//     func.func @forward(%tokens: tensor<?xi32>, %rows: tensor<?xi32>) -> tensor<?x n_vocab xf32>
//
// the logits of the selected rows after the tokens of this call have joined the KV cache.
#ifndef WELFORD_COMPILER_FRONTEND_CHECKPOINT_FRONTEND_H
#define WELFORD_COMPILER_FRONTEND_CHECKPOINT_FRONTEND_H

#include "base/arena.h"
#include "compiler/dialect/context.h"
#include "compiler/dialect/wf.h"
#include "compiler/frontend/checkpoint/facts.h"
#include "format/checkpoint.h"

// A graph under construction.
typedef struct frontend {
    const checkpoint *file;
    const model_facts *facts;
    bool *used; // tensors of the file that are part of the graph
    op_builder b;
    MlirType f32;
    wf_error *err;
    wf_status status; // the first failure; later calls then give null values
} frontend;

// Reads the facts and builds the graph. `memory` owns what the facts point to. An unknown architecture, an unsupported
// tensor type, a field that would change the model's meaning, or a tensor that the architecture does not have is
// WF_ERROR_UNSUPPORTED by name.
// `weights` names the type that float matrices are packed in; NULL: their own.
wf_status frontend_graph(const checkpoint *file, const char *weights, compiler_context *c, arena *memory,
                         model_facts *facts, MlirModule *module, wf_error *err);

// ---- for graph functions

// wf.weight for a matrix [rows, cols] or a vector [cols] (rows == 0). The tensor must exist with these sizes and a type
// that kernels take.
MlirValue graph_matrix(frontend *f, int64_t rows, int64_t cols, const char *name_format, ...)
    __attribute__((format(printf, 4, 5)));
MlirValue graph_vector(frontend *f, int64_t cols, const char *name_format, ...) __attribute__((format(printf, 3, 4)));
MlirValue graph_bias(frontend *f, int64_t cols, const char *name_format, ...) // null where the file has none
    __attribute__((format(printf, 3, 4)));

MlirValue graph_rms_norm(frontend *f, MlirValue x, MlirValue gamma);
MlirValue graph_head_norm(frontend *f, MlirValue x, MlirValue gamma, int64_t n_heads); // each head by itself
MlirValue graph_linear(frontend *f, MlirValue x, MlirValue w, MlirValue bias);         // bias may be null
MlirValue graph_add(frontend *f, MlirValue x, MlirValue y);
MlirValue graph_glu(frontend *f, MlirValue gate, MlirValue up); // silu or gelu of the gate, times up
MlirValue graph_softcap(frontend *f, MlirValue x, double cap);  // x itself where cap is 0
MlirValue graph_rope(frontend *f, MlirValue x, int64_t n_heads, const MlirValue table[2]);
void graph_rope_table(frontend *f, int64_t table, MlirValue cos_sin[2]);
MlirValue graph_attention(frontend *f, MlirValue q, MlirValue k, MlirValue v, int64_t layer);
MlirValue graph_embed(frontend *f, MlirValue tokens, MlirValue table);
MlirValue graph_select_rows(frontend *f, MlirValue x, MlirValue which);

// ---- parts that decoders share (decoder.c)

// Rotation tables by layer: cos and sin for those that see everything and those with a window.
typedef struct graph_tables {
    MlirValue cos_sin[2][2];
} graph_tables;
graph_tables graph_rope_tables(frontend *f);
MlirValue graph_self_attention(frontend *f, MlirValue x, int layer, const graph_tables *tables);
MlirValue graph_feed_forward(frontend *f, MlirValue x, int layer);
MlirValue graph_head(frontend *f, MlirValue x, MlirValue rows, MlirValue table); // x -> logits of the rows

// ---- graph functions, one file each: tokens and rows in, logits out
MlirValue llama_graph(frontend *f, MlirValue tokens, MlirValue rows);
MlirValue gemma3_graph(frontend *f, MlirValue tokens, MlirValue rows);

#endif
