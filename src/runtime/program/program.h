// A program: what is computed in one call, as a flat list of kernel calls over a few memory areas.
//
//   calls[0]  embed            tokens, weights+0            -> arena+0          tiles n_tokens
//   calls[1]  rms_norm_q8      arena+0, weights+28311552    -> arena+...        tiles n_tokens
//   ...
//
// Every address is area + offset, every size an affine form of the program's dims, so that one program serves a prefill
// of 512 tokens and a decode of one; a size that never changes is a constant form. There are two kinds:
//
//   a sequence program  a checkpoint's: dims and areas are those of program_sequence_dims and BASE_*, and an engine keeps
//                       the KV cache between calls
//   a function          a graph file's: it takes arrays and gives arrays; areas are FUNCTION_*, then its arguments and
//                       results; its dims are sizes of the arguments
//
// A program is also a file format (program_write, program_read): little endian, checked completely when read.
// program_print shows it as a table for people; with the machine code of its kernels it is an executable.
#ifndef WELFORD_RUNTIME_PROGRAM_PROGRAM_H
#define WELFORD_RUNTIME_PROGRAM_PROGRAM_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/status.h"
#include "runtime/program/array.h"
#include "runtime/program/kv.h"
#include "runtime/weight/layout.h"

// ---- dims and forms

// The sizes that change from call to call. Dim 0 is the constant 1. A dim is given by the caller, or the product of two
// that come before it, so that a form in it stays affine.
typedef struct program_dim {
    const char *name;
    uint32_t factors[2]; // 0, 0: given by the caller
} program_dim;

enum { DIM_ONE, DIM_COUNT = 8 }; // DIM_COUNT: dims of a program at most

// The dims of a sequence program.
enum {
    DIM_TOKENS = 1, // n_tokens: tokens of this call
    DIM_PAST,       // n_past: tokens already in the cache
    DIM_OUTPUTS,    // n_outputs: tokens of this call whose logits are wanted
    DIM_CONTEXT,    // n_ctx: capacity of the KV cache, a multiple of KV_BLOCK
    DIM_PAIRS,      // n_tokens * n_ctx: what holds a number for each token and position
    N_SEQUENCE_DIMS
};
extern const program_dim program_sequence_dims[N_SEQUENCE_DIMS];

// The dims of a call of a sequence program, products included.
void program_dims(int64_t n_tokens, int64_t n_past, int64_t n_outputs, int64_t n_ctx, int64_t dims[DIM_COUNT]);

// value = sum over d of c[d] * dims[d], with dims[DIM_ONE] = 1
typedef struct affine {
    int64_t c[DIM_COUNT];
} affine;

int64_t affine_eval(const affine *a, const int64_t dims[DIM_COUNT]);
// False when the value or a part of it does not fit.
bool affine_eval_checked(const affine *a, const int64_t dims[DIM_COUNT], int64_t *value);

static inline affine affine_of(uint32_t dim, int64_t c)
{
    affine a = {{0}};
    a.c[dim] = c;
    return a;
}

// ---- areas

typedef enum area_kind {
    AREA_ARENA,     // values between calls of kernels; what it holds is lost when the program's call ends
    AREA_WEIGHTS,   // the pack: weights in their layouts, read-only
    AREA_CONSTANTS, // what the program brings itself, read-only
    AREA_STATE,     // kept from call to call: the KV cache. Calls reach it by a table of blocks (kv.h)
    AREA_TABLE,     // made by the engine, read-only: rotations
    AREA_ARGUMENT,  // read-only
    AREA_RESULT,    // written
    AREA_MATH,      // table of functions that kernels may call: runtime/math_table.h
    AREA_FAULT,     // one i64: 0, or 1 + the index of a check that failed
    AREA_KIND_COUNT
} area_kind;

typedef struct program_area {
    const char *name;
    area_kind kind;
    affine bytes;
} program_area;

// The areas of a sequence program.
enum {
    BASE_ARENA,
    BASE_WEIGHTS,
    BASE_KV,     // [n_layer][K, V] of n_ctx positions: what a call takes of it; a kernel gets the table
    BASE_ROPE,   // for each program_rope in order [n_ctx, n_dims] f32, a row = cos[n_dims/2], sin[n_dims/2]
    BASE_TOKENS, // [n_tokens] i32: the input
    BASE_ROWS,   // [n_outputs] i32: which of the call's tokens want logits
    BASE_LOGITS, // [n_outputs, n_vocab] f32: the output
    BASE_COUNT
};

// The first areas of a function; its arguments follow, then its results.
enum { FUNCTION_ARENA, FUNCTION_CONSTANTS, FUNCTION_MATH, FUNCTION_FAULT, FUNCTION_WEIGHTS, FUNCTION_ARRAYS };

enum { PROGRAM_MAX_AREAS = 1024 };

// ---- calls

typedef struct program_buffer {
    uint32_t area;
    affine offset; // bytes
    affine bytes;  // extent that the call may touch: for checks, traces and the poison test
    bool written;  // the call writes it,
    bool partly;   // and leaves some of it as it was
} program_buffer;

// Of a sequence program. Calls that are alternatives to each other have opposite conditions; all zeros: always.
typedef struct program_condition {
    int64_t max_tokens, min_past; // n_tokens <= max_tokens and n_past >= min_past; no condition when max_tokens is 0
    bool otherwise;               // the opposite
} program_condition;

// factor * ceil(a / divisor) if the condition holds, else 0. With the divisor PROGRAM_ALL_ROWS: factor when there are
// any rows, else 0.
#define PROGRAM_ALL_ROWS (INT64_C(1) << 40)
typedef struct program_count {
    affine a;
    int64_t divisor, factor;
    program_condition when;
} program_count;

int64_t program_count_eval(const program_count *count, const int64_t dims[DIM_COUNT]);

enum { PROGRAM_MAX_BUFFERS = 64, PROGRAM_MAX_SIZES = 16 };

typedef struct program_call {
    uint32_t kernel;   // index into program.kernels
    const char *label; // what it computes, for tables and traces: "blk.3 attention", "linalg.generic f.mlir:12:5"
    uint32_t n_buffers, n_sizes;
    const program_buffer *buffers;
    const affine *sizes; // what the kernel takes as its dims
    program_count tiles;
    int64_t grain; // tiles that are worth handing out at once, at least
    // This call has as many tiles as the one before, and its tile t reads, of what that run of calls wrote, only what
    // tile t wrote: whoever has computed tile t of the calls before may go on at once, without waiting for others.
    bool chained;
    // For profiles:
    affine flops;       // arithmetic of the whole call, but for
    int64_t pair_flops; // that of each pair of a token and a position it attends to; 0: no attention
    int64_t window;     // positions that a token attends to at most; 0: all
} program_call;

// ---- weights

// One weight in the pack: one or two or three tensors in one layout, of the checkpoint; of a function large constants,
// whose names say what they hold, and arguments that were declared to be weights, by their names.
enum { PROGRAM_MAX_SOURCES = 3 };
typedef struct program_weight {
    weight_layout layout;
    uint32_t n_sources;
    const char *sources[PROGRAM_MAX_SOURCES]; // tensor names
    uint32_t types[PROGRAM_MAX_SOURCES];      // their tensor_type (format/tensor_type.h), to check against the file
    int64_t
        rows[PROGRAM_MAX_SOURCES]; // of each source; a vector is cut into rows of `cols` values, 1 where it is alone
    bool transposed[PROGRAM_MAX_SOURCES]; // the source has this matrix's columns as its rows
    int64_t cols;                         // of PLAIN: bytes
    bool interleave;                      // panels alternate between the (two) sources instead of following each other
    bool plus_one;                        // VECTOR_F32: 1 is added to every value ((1 + w) norms)
    size_t offset, bytes;                 // in the pack; offset is a multiple of 64
} program_weight;

// Panels of source `s` in the pack: its rows in panels of 16, the last one padded. A vector is one panel, and so is what
// is plain.
int64_t program_source_panels(const program_weight *w, uint32_t s);
// What w->bytes has to be, from layout, rows and cols; false on overflow or when cols does not suit the layout.
bool program_weight_bytes(const program_weight *w, size_t *bytes);

// ---- the whole

typedef struct program_rope {
    int64_t n_dims;         // rotated dimensions of a head, even
    const double *inv_freq; // [n_dims/2] radians a token, scaling included
    double magnitude;       // factor on cos and sin (YaRN's attention factor); 1 otherwise
} program_rope;

// What a fusion did with the graph that the program was made from: for reports.
typedef struct program_fusion {
    const char *name;
    uint32_t found, fused; // places that it looked at, and those where it took effect
    const char *why;       // for the others: "30 weights of different types; 1 ..."; empty when there are none
} program_fusion;

// An argument or a result of a function. A result with a donor starts as that argument, whose values its memory has when the
// program begins: calls read them there, and write over them.
typedef struct program_array {
    array_type type;
    uint32_t donor; // of a result: 1 + the argument, which no call reads itself; 0: none
    uint32_t n_dims;
    affine dims[ARRAY_MAX_DIMS];
} program_array;

typedef struct program {
    const char *name;  // of the model or of the function
    const char *fixed; // of a function whose file leaves sizes open: why it was compiled for some; else empty or NULL
    // facts that the engine of a sequence program needs; architecture is NULL in a function, and the others are unset
    const char *architecture;
    int64_t n_vocab, n_ctx_train, n_embd;
    kv_layout kv; // of BASE_KV
    uint32_t n_ropes;
    const program_rope *ropes;

    uint32_t n_dims; // DIM_ONE included
    const program_dim *dims;
    uint32_t n_areas;
    const program_area *areas;
    uint32_t n_arguments, n_results; // of a function
    const program_array *arrays;     // [n_arguments + n_results]
    uint32_t n_weights;
    const program_weight *weights;
    uint32_t n_fusions;
    const program_fusion *fusions;
    uint32_t n_checks;
    const char *const *checks; // messages of what kernels check: "f.mlir:3:8: an index is out of range"
    uint32_t n_kernels;
    const char *const *kernels; // symbol names
    uint32_t n_calls;
    const program_call *calls;
    arena memory; // owns everything above
} program;

static inline bool program_is_sequence(const program *p) { return p->architecture != NULL; }

// Index of the first area of a kind; n_areas: there is none.
uint32_t program_find_area(const program *p, area_kind kind);
// Bytes of the only area of a kind, which does not change: weights, constants. 0: there is none.
size_t program_fixed_bytes(const program *p, area_kind kind);

// What a call computes and touches; of the KV cache only the positions that its tokens attend to.
double program_call_flops(const program_call *call, const int64_t dims[DIM_COUNT]);
double program_call_bytes(const program *p, const program_call *call, const int64_t dims[DIM_COUNT]);

// Gives a program the dims and areas of a sequence program, whose other sizes follow from its facts (n_vocab, kv,
// ropes).
// The program points to `areas` then.
void program_set_sequence(program *p, affine arena_bytes, size_t weights_bytes, program_area areas[BASE_COUNT]);

// Checks what program_read checks too: indices, forms, offsets inside their areas and aligned.
wf_status program_check(const program *p, wf_error *err);

void program_write(const program *p, buffer *out);
// `name` stands for the file in messages. On success the program owns all it points to; free with program_free.
wf_status program_read(const void *data, size_t bytes, const char *name, program *p, wf_error *err);
void program_free(program *p);

// The table: weights, then calls with kernel, operands, tiles.
void program_print(const program *p, buffer *out);

// "64*n_tokens + 128" into out (always terminated); "0" for zero.
void affine_print(const affine *a, const program_dim *dims, buffer *out);

// Another table: fusion, found, fused, and why not the rest.
void program_print_fusions(const program_fusion *fusions, uint32_t n, buffer *out);

#endif
