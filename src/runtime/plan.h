// The plan: what a compiled model does for one call, as a flat list of kernel calls over a few memory areas.
//
//   calls[0]  embed            tokens, weights+0            -> arena+0          tiles n_tokens
//   calls[1]  rms_norm_q8      arena+0, weights+28311552    -> arena+...        tiles n_tokens
//   ...
//
// Every address is base + offset, every size a small affine form of the call's dimensions, so that one plan serves a
// prefill of 512 tokens and a decode of one. A plan is also a file format (plan_write, plan_read): little endian,
// checked completely when read. plan_print shows it as a table for people.
#ifndef WELFORD_RUNTIME_PLAN_H
#define WELFORD_RUNTIME_PLAN_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/status.h"
#include "runtime/kv.h"
#include "runtime/layout.h"

// The dimensions that change from call to call. DIM_ONE is the constant term of an affine form.
typedef enum plan_dim {
    DIM_ONE,
    DIM_TOKENS,  // n_tokens: tokens of this call
    DIM_PAST,    // n_past: tokens already in the cache
    DIM_OUTPUTS, // n_outputs: tokens of this call whose logits are wanted
    DIM_CONTEXT, // n_ctx: capacity of the KV cache, a multiple of KV_CONTEXT_STEP
    DIM_PAIRS,   // n_tokens * n_ctx: what holds a number for each token and position stays a linear form
    DIM_COUNT
} plan_dim;

// The dimensions of a call, with the products that follow from them.
void plan_dims(int64_t n_tokens, int64_t n_past, int64_t n_outputs, int64_t n_ctx, int64_t dims[DIM_COUNT]);

// value = sum over d of c[d] * dims[d], with dims[DIM_ONE] = 1
typedef struct affine {
    int64_t c[DIM_COUNT];
} affine;

int64_t affine_eval(const affine *a, const int64_t dims[DIM_COUNT]);
// "64*n_tokens + 128" into out (always terminated); "0" for zero.
void affine_print(const affine *a, buffer *out);

// The memory areas that a session provides.
typedef enum plan_base {
    BASE_ARENA,   // values between calls
    BASE_WEIGHTS, // the pack, read-only
    BASE_KV,      // the KV cache
    BASE_ROPE, // rotation tables: for each plan_rope in order [n_ctx, n_dims] f32, a row = cos[n_dims/2], sin[n_dims/2]
    BASE_TOKENS, // [n_tokens] i32: the input
    BASE_ROWS,   // [n_outputs] i32: which of the call's tokens want logits
    BASE_LOGITS, // [n_outputs, n_vocab] f32: the output
    BASE_COUNT
} plan_base;

typedef struct plan_buffer {
    plan_base base;
    affine offset; // bytes
    affine bytes;  // extent that the call may touch: for checks, traces and the poison test
    bool written;  // the call writes it
} plan_buffer;

// Calls that are alternatives to each other have opposite conditions; all zeros: always.
typedef struct plan_condition {
    int64_t max_tokens, min_past; // n_tokens <= max_tokens and n_past >= min_past; no condition when max_tokens is 0
    bool otherwise;               // the opposite
} plan_condition;

// factor * ceil(a / divisor) if the condition holds, else 0. With the divisor PLAN_ALL_ROWS: factor when there are any
// rows, else 0.
#define PLAN_ALL_ROWS (INT64_C(1) << 40)
typedef struct plan_count {
    affine a;
    int64_t divisor, factor;
    plan_condition when;
} plan_count;

int64_t plan_count_eval(const plan_count *count, const int64_t dims[DIM_COUNT]);

enum { PLAN_MAX_BUFFERS = 12, PLAN_MAX_DIMS = 8 };

typedef struct plan_call {
    uint32_t kernel;   // index into plan.kernels
    const char *label; // what it computes, for tables and traces: "blk.3 attention"
    uint32_t n_buffers, n_dims;
    plan_buffer buffers[PLAN_MAX_BUFFERS];
    affine dims[PLAN_MAX_DIMS];
    plan_count tiles;
    // For profiles:
    affine flops;       // arithmetic of the whole call, but for
    int64_t pair_flops; // that of each pair of a token and a position it attends to; 0: no attention
    int64_t window;     // positions that a token attends to at most; 0: all
} plan_call;

// What a call computes and touches; of the KV cache only the positions that its tokens attend to.
double plan_call_flops(const plan_call *call, const int64_t dims[DIM_COUNT]);
double plan_call_bytes(const plan_call *call, const int64_t dims[DIM_COUNT]);

// One weight in the pack: one or two or three checkpoint tensors in one layout.
enum { PLAN_MAX_SOURCES = 3 };
typedef struct plan_weight {
    weight_layout layout;
    uint32_t n_sources;
    const char *sources[PLAN_MAX_SOURCES]; // tensor names
    uint32_t types[PLAN_MAX_SOURCES];      // their tensor_type (format/checkpoint.h), to check against the file
    int64_t rows[PLAN_MAX_SOURCES]; // of each source; a vector is cut into rows of `cols` values, 1 where it is alone
    int64_t cols;
    bool interleave;      // panels alternate between the (two) sources instead of following each other
    bool plus_one;        // VECTOR_F32: 1 is added to every value ((1 + w) norms)
    size_t offset, bytes; // in the pack; offset is a multiple of 64
} plan_weight;

// Panels of source `s` in the pack: its rows in panels of 16, the last one padded. A vector is one panel.
int64_t plan_source_panels(const plan_weight *w, uint32_t s);
// What w->bytes has to be, from layout, rows and cols; false on overflow or when cols does not suit the layout.
bool plan_weight_bytes(const plan_weight *w, size_t *bytes);

typedef struct plan_rope {
    int64_t n_dims;         // rotated dimensions of a head, even
    const double *inv_freq; // [n_dims/2] radians a token, scaling included
    double magnitude;       // factor on cos and sin (YaRN's attention factor); 1 otherwise
} plan_rope;

// What a fusion did with the graph that the plan was made from: for reports.
typedef struct plan_fusion {
    const char *name;
    uint32_t found, fused; // places that it looked at, and those where it took effect
    const char *why;       // for the others: "30 weights of different types; 1 ..."; empty when there are none
} plan_fusion;

typedef struct plan {
    // facts that a session needs
    const char *architecture, *name;
    int64_t n_vocab, n_ctx_train, n_embd;
    kv_layout kv;         // of BASE_KV
    affine arena_bytes;   // of BASE_ARENA; in n_tokens, n_outputs, n_ctx and n_tokens * n_ctx
    size_t weights_bytes; // of BASE_WEIGHTS
    uint32_t n_ropes;
    const plan_rope *ropes;
    uint32_t n_weights;
    const plan_weight *weights;
    uint32_t n_fusions;
    const plan_fusion *fusions;
    uint32_t n_kernels;
    const char *const *kernels; // symbol names
    uint32_t n_calls;
    const plan_call *calls;
    arena memory; // owns everything above
} plan;

// Checks what plan_read checks too: indices, offsets inside their areas for the smallest and the largest call of a
// context of n_ctx_train, alignment, terms that overflow.
wf_status plan_check(const plan *p, wf_error *err);

void plan_write(const plan *p, buffer *out);
// `name` stands for the file in messages. On success the plan owns all it points to; free with plan_free.
wf_status plan_read(const void *data, size_t bytes, const char *name, plan *p, wf_error *err);
void plan_free(plan *p);

// The table: weights, then calls with kernel, operands, tiles.
void plan_print(const plan *p, buffer *out);

// Another table: fusion, found, fused, and why not the rest.
void plan_print_fusions(const plan_fusion *fusions, uint32_t n, buffer *out);

#endif
