// What the files of the lowering share.
//
// Values of the function, and where they lie:
//
//   memory   a root (a piece of the arena, a constant, a weight, an argument, a result) with offset and strides:
//            reshapes, casts and slices are other views of the same root and cost nothing
//   splat    one scalar everywhere: linalg.fill, splat constants; never written out unless an op needs it in memory
//   empty    tensor.empty: what a destination starts as
//
//   lower.c      the table of ops, arguments and results
//   place.c      the arena, the program's tables
//   dims.c       sizes that are dims of the program
//   value.c      tensors, roots, constants
//   call.c       calls and their kernels
//   weight.c     weights and vectors: tensors of a checkpoint, constants, arguments
//   norm.c linear.c attention.c rope.c rows.c store_rows.c nest_call.c routine_call.c   bind the operands of a kernel each
//   attention_rows.c   keys and values that are read where they lie
//   view.c       reshapes, slices, and what is put together from slices
#ifndef WELFORD_COMPILER_LOWER_LOWERING_H
#define WELFORD_COMPILER_LOWER_LOWERING_H

#include "compiler/dialect/wf.h"
#include "compiler/kernel/kernels.h"
#include "compiler/lower/lower.h"
#include "compiler/nest/nest.h"

enum { MAX_RANK = NEST_MAX_LOOPS, MAX_OPERANDS = 50 };

typedef enum place { PLACE_MEMORY, PLACE_SPLAT, PLACE_EMPTY } place;

// A size: so many, or, below zero, a multiple of a dim of the program.
typedef int64_t size_code;

static inline size_code size_of(uint32_t dim, int64_t factor) { return -(factor * DIM_COUNT + (int64_t)dim); }
static inline uint32_t size_dim(size_code size) { return size < 0 ? (uint32_t)(-size % DIM_COUNT) : DIM_ONE; }
static inline int64_t size_factor(size_code size) { return size < 0 ? -size / DIM_COUNT : size; }
static inline affine form_of(size_code size, int64_t c) { return affine_of(size_dim(size), size_factor(size) * c); }

enum { NO_STRIDE = -1 };

typedef struct tensor {
    place place;
    MlirType element;
    int rank;
    size_code dims[MAX_RANK];
    int64_t strides[MAX_RANK]; // in elements; NO_STRIDE before the last size that is a dim of the program
    int64_t offset;
    int root;               // memory
    MlirValue scalar;       // splat: this value, or
    MlirAttribute constant; // this element
} tensor;

typedef struct root {
    uint32_t area;
    affine offset, bytes; // the arena's offsets are set when all is known (place.c)
    int first, last;      // calls that use it; -1: none
    int writer, earlier;  // the newest call that writes it, and the one before that; -1: none
    int64_t step;         // elements that a tile of the current chain writes; -1: written as a whole
    bool overwritten;     // what it held before was taken over: calls that use it are not chained
    bool at_end;          // behind all others in the arena, where it shares its place with the others of this kind
} root;

typedef struct call_operand {
    int root;
    int64_t skip_bytes; // into the root
    bool written, partly;
} call_operand;

typedef struct call {
    uint32_t kernel; // index into lowering.kernels
    const char *label;
    int n_operands, n_sizes;
    call_operand operands[MAX_OPERANDS];
    affine sizes[PROGRAM_MAX_SIZES];
    program_count tiles;
    int64_t grain;
    affine flops;
    int64_t pair_flops, window;
    bool chained;
    int chain; // index of the first call of its chain
} call;

// The argument whose memory a result has.
typedef struct donor {
    MlirValue argument;
    int root; // -1: there is none
    uint32_t index;
} donor;

typedef struct lowering {
    lower_options o;
    builder *b;
    program *out;
    wf_error *err;
    // values
    MlirValue *keys;
    tensor *tensors;
    size_t n_tensors, max_tensors;
    root *roots;
    size_t n_roots, max_roots;
    call *calls;
    size_t n_calls, max_calls;
    const char **kernels;     // names
    const char **kernel_keys; // what tells whether one can be used again; NULL: it cannot
    size_t n_kernels, max_kernels;
    program_weight *weights; // in the pack
    size_t n_weights, max_weights;
    size_t weights_bytes;
    MlirAttribute *constants; // that are in the blob, with their roots
    int *constant_roots;
    size_t n_constants, max_constants;
    buffer *blob; // the constants, but for those in the pack
    const char **checks;
    size_t n_checks, max_checks;
    uint32_t n_arguments, n_results;
    program_array *arrays; // of a function: [n_arguments + n_results]
    const char **names;    // of its arguments; NULL: none
    donor *donors;         // [n_results]
    program_dim dims[DIM_COUNT];
    uint32_t n_dims;
    uint32_t same[DIM_COUNT]; // a dim of a smaller index that this one has to be equal to, or itself
    MlirOperation op;         // being lowered
    MlirBlock entry;
    int math_root, fault_root; // of a function
} lowering;

static inline bool is_sequence(const lowering *l) { return l->o.facts != NULL; }

bool lowering_grow(void **items, size_t *max, size_t n, size_t size);
#define GROW(l, list, count) lowering_grow((void **)&(l)->list, &(l)->max_##count, (l)->n_##count, sizeof *(l)->list)

// WF_ERROR_UNSUPPORTED: "location: name REASON", of the op being lowered or another.
wf_status lowering_refuse(lowering *l, const char *reason);
wf_status lowering_refuse_op(lowering *l, MlirOperation op, const char *reason);
wf_status lowering_refuse_kernel(lowering *l, const char *why); // "location: name cannot be compiled: WHY"

// ---- dims.c

// A new dim of a function; DIM_ONE: there are too many.
uint32_t lowering_add_dim(lowering *l);
// The product of sizes; false: too many dims.
bool lowering_multiply(lowering *l, const size_code *sizes, int n, size_code *product);
// Makes two sizes equal: false where they are known to differ, or nobody can tell.
bool lowering_equate(lowering *l, size_code a, size_code b);
// A size that an op computes: a constant, tensor.dim, or a product of these. False: another.
bool lowering_read_size(lowering *l, MlirValue v, size_code *size);
// Counts what a form has of a dim that goes for the dim that stays.
void lowering_settle_form(const lowering *l, affine *form);
// How many leading sizes of the tensor there are, up to the last that is a dim of the program.
int tensor_lead(const tensor *x);
static inline bool tensor_is_fixed(const tensor *x) { return tensor_lead(x) == 0; }

// ---- value.c

// A contiguous tensor of this type that lies nowhere yet. Dynamic sizes are those of `like` on the same axes (NULL: the
// type must have none).
wf_status lowering_read_type(lowering *l, MlirType t, const size_code *like, tensor *x);
// The same in a new piece of the arena.
wf_status lowering_new_tensor(lowering *l, MlirType t, const size_code *like, tensor *x);
int lowering_add_root(lowering *l, uint32_t area, affine offset, affine bytes); // -1: out of memory
// A piece of the arena behind all others, for what one call leaves to the next and no tensor holds. -1: out of memory
int lowering_add_end(lowering *l, affine bytes);
int64_t tensor_count(const tensor *x); // of fixed sizes
size_t tensor_element_bytes(const tensor *x);
wf_status tensor_bytes(lowering *l, const tensor *x, affine *bytes);
bool tensor_is_contiguous(const tensor *x);

// The tensor of a value. The newest that was added counts.
wf_status lowering_add_tensor(lowering *l, MlirValue v, const tensor *x);
wf_status lowering_read_tensor(lowering *l, MlirValue v, tensor *x);
// The same values from the start of a root on, contiguous: most kernels know no offsets.
wf_status lowering_to_root(lowering *l, MlirValue v, tensor *x);

MlirType type_with_f32(MlirType t);                    // the same shape
MlirAttribute constant_attribute_of(MlirOperation op); // null: no constant
bool is_scalar_value(MlirValue v);

// ---- call.c

// Index of the kernel with these parameters, built when new; UINT32_MAX: out of memory.
uint32_t lowering_add_kernel(lowering *l, const kernel_kind *kind, const void *params);

// A new call of one tile, with a copy of the label (NULL: the op's name and place). Valid until the next one. NULL: out
// of memory.
call *lowering_add_call(lowering *l, uint32_t kernel, const char *label);
// Operands of the newest call, in order; each returns its index, -1: too many.
int call_reads(lowering *l, int index, int64_t skip_bytes);
int call_writes(lowering *l, int index);
void call_size(lowering *l, affine size);
static inline void call_tiles(call *c, affine rows) { c->tiles.a = rows; }
// Whether two calls have the same tiles, more than one.
bool has_same_tiles(const call *a, const call *b);

// As call_reads and call_writes, but an operand that the call has already is used again.
int lowering_use_root(lowering *l, call *c, int index, bool written);
// The newest call but `index` that writes the root; -1: none.
int root_writer_before(const root *r, int index);
int lowering_add_check(void *context, const char *message, MlirLocation where);

// ---- weight.c

// The root of n weights as the kernel of `layout` streams them: in the pack, a panel of each in turn with `interleave`;
// one that is no weight in a copy before the call.
wf_status lowering_bind_matrix(lowering *l, const MlirValue *sources, int n, bool interleave, weight_layout layout,
                               int *index);
// A vector: f32 in the pack, `plus_one` added there; else where it lies.
wf_status lowering_bind_vector(lowering *l, const MlirValue *sources, int n, bool plus_one, int *index);
// A tensor of `weights` (lower_options) as it is, in the pack.
wf_status lowering_bind_plain(lowering *l, const char *name, MlirType t, tensor *x);
// What a wf.weight of a graph is where no kernel for weights reads it.
wf_status lowering_read_weight(lowering *l, MlirValue v, tensor *x);
bool is_weight(MlirValue v);             // of a checkpoint, or one that a graph refers to (fuse/refer.h)
MlirStringRef weight_label(MlirValue v); // its name, empty for other values
bool is_constant_value(MlirValue v);     // that is no splat
bool is_blocks(MlirValue v);             // quantised weights of a graph

// ---- nest_call.c

// Tensors that scalars read at computed indices.
typedef struct gather_list {
    lowering *l;
    call *c;
    gather *items; // [max]
    int n, max, depth;
    wf_status status;
} gather_list;

// Adds those that `op` reads, or a scalar outside that it uses.
void lowering_find_gathers(gather_list *g, MlirOperation op);
// They must be in memory before the call that reads them is made.
wf_status lowering_prepare_gathers(lowering *l, MlirOperation op, int depth);

wf_status lower_generic(lowering *l);
wf_status lower_splat(lowering *l, MlirValue scalar); // null: nothing is known of the elements
// Copies `from` (memory or splat) into `to`, of the same shape; f32, f16 and bf16 into one another, by way of f32.
wf_status lowering_copy(lowering *l, const tensor *from, const tensor *to);
// The same values, contiguous in memory.
wf_status lowering_to_memory(lowering *l, tensor *x);

// ---- routine_call.c

// scf.for, scf.if and scf.while.
wf_status lower_routine(lowering *l);

// ---- view.c

wf_status lower_reshape(lowering *l);
wf_status lower_alias(lowering *l);
wf_status lower_columns(lowering *l);
wf_status lower_extract_slice(lowering *l);
wf_status lower_insert_slice(lowering *l);
// Whether the op being lowered may write its result where its operand i lies: memory of a donated argument, whose old values
// nobody reads from here on. It is the result's then.
bool lowering_take_over(lowering *l, intptr_t i, const tensor *x);
wf_status lower_concat(lowering *l);
wf_status lower_pad(lowering *l);
wf_status lower_from_elements(lowering *l);

// ---- attention_rows.c

// Whether the attention takes keys and values that are rows, where they lie: it has few tokens, and reads them once.
bool attention_reads_rows(MlirOperation op, const kernel_target *target);
// Whether nobody but such an attention reads what this op only moves: then nobody moves it.
bool attention_reads_through(lowering *l, MlirOperation op);
// Moves it after all, where the attention of l->op that v is for cannot read it so.
wf_status attention_move_rows(lowering *l, MlirValue v);
// Keys or values of an attention as [sequences, heads, positions, features] where they lie; strides: of positions,
// heads, sequences. False where their features do not lie side by side.
bool attention_find_rows(lowering *l, MlirValue v, int64_t n_heads, tensor *rows);

// ---- one file a kernel

wf_status lower_norm(lowering *l);
wf_status lower_linear(lowering *l);
wf_status lower_attention(lowering *l);
wf_status lower_cached_attention(lowering *l);
wf_status lower_rope(lowering *l);
wf_status lower_rope_store(lowering *l);
wf_status lower_kv_store(lowering *l, const attention_op *op);
wf_status lower_embed(lowering *l);
wf_status lower_select_rows(lowering *l);
wf_status lower_store_rows(lowering *l);
wf_status lower_glu(lowering *l);
wf_status lower_softcap(lowering *l);
wf_status lower_quantize(lowering *l);
wf_status lower_add(lowering *l);

// Why no kernel takes the op, a literal; NULL: one does.
const char *why_not_norm(MlirOperation op, graph_kind kind);
const char *why_not_linear(MlirOperation op, graph_kind kind);
const char *why_not_blocks(MlirOperation op, graph_kind kind);
const char *why_not_attention(MlirOperation op, graph_kind kind);
const char *why_not_store_rows(MlirOperation op, graph_kind kind);
const char *why_not_glu(MlirOperation op, graph_kind kind);
const char *why_not_quantize(MlirOperation op, graph_kind kind);
bool is_small_float(MlirValue v); // f32, f16 or bf16

// K (part 0) or V (part 1) of a layer in the cache.
int lowering_cache_root(lowering *l, int64_t layer, int part);
// As a size of the call: bytes from the beginning of a block of the cache to the layer's K.
void call_layer(lowering *l, int64_t layer);

// ---- place.c

// Places the arena's roots and fills the program's tables.
wf_status lowering_finish(lowering *l, MlirOperation function);

#endif
