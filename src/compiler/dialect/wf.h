// The wf dialect: what transformers are made of, as ops on tensors. docs/wf.md is its reference.
//
// Declared with IRDL from one table (wf.c), so it needs no generated code. Activations are tensor<rows x features>, or,
// in graphs, of any rank with the features last; weights are tensor<out x in>. Ops are pure; MLIR does not know that
// (IRDL cannot say it), so passes erase dead ones themselves (erase_dead).
//
// Each op has a struct of its operands, attributes and results, the only way to them: nobody else knows the order of
// operands or the names of attributes.
//
//   bool X_read(op, &x)          false when op is no wf.X
//   MlirValue X_write(&b, &x)    writes the op with results of the types in x, fills in their values, returns the last
//
// Null where an optional operand, or a type, is absent. What a number is when it is absent stands beside it.
#ifndef WELFORD_COMPILER_DIALECT_WF_H
#define WELFORD_COMPILER_DIALECT_WF_H

#include "base/status.h"
#include "compiler/mlir/build.h"
#include "runtime/weight/weight_type.h"

typedef struct op_result {
    MlirType type;
    MlirValue value;
} op_result;

// ---- norms (norm.c)

typedef enum norm_kind { NORM_RMS, NORM_RESIDUAL, NORM_LAYER } norm_kind;

// wf.rms_norm, wf.residual_norm, wf.layer_norm
typedef struct norm_op {
    norm_kind kind; // of write; set by read
    MlirValue x, residual, gamma, beta;
    double eps;
    bool plus_one;
    int64_t n_heads; // 0: rows are normed whole
    int64_t axes;    // 1; 0 when written means 1 too
    MlirType rounded;
    op_result sum, y; // sum: of a residual_norm
} norm_op;

bool norm_read(MlirOperation op, norm_op *n); // any of the three
MlirValue norm_write(op_builder *b, norm_op *n);

// ---- linear, and what gates (linear.c)

// The activation of a gated linear unit.
typedef enum glu_activation {
    GLU_NONE, // of a linear: it is none
    GLU_SILU,
    GLU_GELU, // by erf
    GLU_GELU_TANH,
} glu_activation;

enum { LINEAR_MAX_WEIGHTS = 3 };

typedef struct linear_op {
    MlirValue x, weights[LINEAR_MAX_WEIGHTS], biases[LINEAR_MAX_WEIGHTS], residual;
    int n_weights, n_biases;
    glu_activation glu; // of the first of two products, times the second
    op_result y;
} linear_op;

bool linear_read(MlirOperation op, linear_op *linear);
MlirValue linear_write(op_builder *b, linear_op *linear);
// One weight, no residual, no activation: what other ops can be fused into.
bool linear_is_plain(const linear_op *linear);

// Quantised weights, of constants.
typedef struct blocks_op {
    MlirValue q, d;
    op_result w;
} blocks_op;

bool blocks_read(MlirOperation op, blocks_op *blocks);
MlirValue blocks_write(op_builder *b, blocks_op *blocks);

typedef struct glu_op {
    MlirValue gate, up;
    glu_activation activation;
    MlirType rounded;
    op_result y;
} glu_op;

bool glu_read(MlirOperation op, glu_op *glu);
MlirValue glu_write(op_builder *b, glu_op *glu);

// ---- attention (attention.c)

// wf.attention; wf.cached_attention has q alone
typedef struct attention_op {
    MlirValue q, k, v, mask, sink;
    int64_t n_heads, n_kv_heads;
    double scale;
    bool causal;
    int64_t window; // 0: all positions
    double softcap; // 0: none
    int64_t cache;  // layer; -1: none
    bool zero_masked;
    bool fused; // in one pass, without a matrix of scores in memory
    op_result y;
} attention_op;

bool attention_read(MlirOperation op, attention_op *attention);
MlirValue attention_write(op_builder *b, attention_op *attention);
bool cached_attention_read(MlirOperation op, attention_op *attention);
MlirValue cached_attention_write(op_builder *b, attention_op *attention);

// ---- rope (rope.c)

typedef struct rope_table_op {
    int64_t table;
    op_result cos, sin;
} rope_table_op;

typedef struct rope_op {
    MlirValue x, cos, sin;
    int64_t n_heads;
    bool interleaved;
    op_result y;
} rope_op;

typedef struct rope_store_op {
    MlirValue q, k, v, cos, sin, gamma_q, gamma_k;
    int64_t n_heads, n_kv_heads, cache;
    bool interleaved, plus_one;
    double eps;
    op_result rotated;
} rope_store_op;

bool rope_table_read(MlirOperation op, rope_table_op *table);
MlirValue rope_table_write(op_builder *b, rope_table_op *table);
bool rope_read(MlirOperation op, rope_op *rope);
MlirValue rope_write(op_builder *b, rope_op *rope);
bool rope_store_read(MlirOperation op, rope_store_op *store);
MlirValue rope_store_write(op_builder *b, rope_store_op *store);

// ---- rows (rows.c)

typedef struct weight_op {
    MlirStringRef name; // of the checkpoint's tensor; in a graph of what holds the values
    bool transposed;    // the values lie there as [in, out]; of a graph
    bool wide;          // quantised, but multiplied with activations as they are; of a graph
    op_result w;
} weight_op;

typedef struct embed_op {
    MlirValue ids, table;
    double scale; // 1
    op_result y;
} embed_op;

typedef struct select_rows_op {
    MlirValue x, which;
    op_result y;
} select_rows_op;

typedef struct softcap_op {
    MlirValue x;
    double cap;
    op_result y;
} softcap_op;

typedef struct softmax_op {
    MlirValue x, sink;
    bool zero_masked;
    op_result y;
} softmax_op;

typedef struct quantize_op {
    MlirValue x;
    op_result y;
} quantize_op;

typedef struct columns_op {
    MlirValue x;
    int64_t first;
    op_result y;
} columns_op;

typedef struct store_rows_op {
    MlirValue x, rows, at;
    bool drops; // rows that have no place in x are left out
    op_result y;
} store_rows_op;

bool weight_read(MlirOperation op, weight_op *weight);
MlirValue weight_write(op_builder *b, weight_op *weight);
bool embed_read(MlirOperation op, embed_op *embed);
MlirValue embed_write(op_builder *b, embed_op *embed);
bool select_rows_read(MlirOperation op, select_rows_op *select);
MlirValue select_rows_write(op_builder *b, select_rows_op *select);
bool softcap_read(MlirOperation op, softcap_op *softcap);
MlirValue softcap_write(op_builder *b, softcap_op *softcap);
bool softmax_read(MlirOperation op, softmax_op *softmax);
MlirValue softmax_write(op_builder *b, softmax_op *softmax);
bool quantize_read(MlirOperation op, quantize_op *quantize);
MlirValue quantize_write(op_builder *b, quantize_op *quantize);
bool columns_read(MlirOperation op, columns_op *columns);
MlirValue columns_write(op_builder *b, columns_op *columns);
bool store_rows_read(MlirOperation op, store_rows_op *store);
MlirValue store_rows_write(op_builder *b, store_rows_op *store);

// ---- all ops

// An op whose every row of the result is computed from the same rows of some of its operands: norms but residual_norm,
// linear, softmax without a sink, glu.
typedef struct rows_op {
    MlirValue rows[2];
    int n_rows; // 1 or 2
    int axes;   // trailing axes that a row takes; 0: the op is elementwise
    op_result y;
} rows_op;

bool rows_read(MlirOperation op, rows_op *r);
// The op `like` on other rows, with a result of another type.
MlirValue rows_write(op_builder *b, MlirOperation like, rows_op *r);

MlirType wf_type(MlirContext ctx, const char *name); // "q8"
bool is_wf_type(MlirType t, const char *name);
// The element type of weights of a type, and the other way round; NULL: weights cannot have it.
MlirType wf_weight_element(MlirContext ctx, const weight_type *t);
const weight_type *wf_weight_type(MlirType element);

// Declares the dialect in the context.
wf_status wf_dialect_load(MlirContext ctx, wf_error *err);

// Whether every wf op in `root` is as docs/wf.md has it: attributes that are known, of their kind and within their
// bounds, shapes that fit each other where they are known. The first that is not: WF_ERROR_FORMAT, with its place.
wf_status wf_verify(MlirOperation root, wf_error *err);

// One line an op: name, operands, results, attributes.
struct buffer;
void wf_list_ops(struct buffer *out);

#endif
