// What the files of the schedule share.
//
// Values of the function, and where they lie:
//
//   memory   a root (a piece of the arena, a constant, an argument, a result) with offset and strides: reshapes, casts
//   and
//            slices are other views of the same root and cost nothing
//   splat    one scalar everywhere: linalg.fill, splat constants; never written out unless an op needs it in memory
//   empty    tensor.empty: what a destination starts as
//
//   schedule.c         the table of ops, arguments and results, the arena
//   schedule_value.c   tensors, constants, roots, calls
//   schedule_nest.c    structured ops and copies
//   schedule_view.c    reshapes, slices, and what is put together from slices
//   schedule_kernel.c  calls of the kernels that models run on, which wf ops have:
//   schedule_norm.c    rms_norm, layer_norm
//   schedule_linear.c  linear, with weights packed here
//   schedule_attention.c
#ifndef WELFORD_COMPILER_GRAPH_SCHEDULE_PARTS_H
#define WELFORD_COMPILER_GRAPH_SCHEDULE_PARTS_H

#include "compiler/graph/nest.h"
#include "compiler/graph/schedule.h"

enum { MAX_RANK = NEST_MAX_LOOPS, MAX_OPERANDS = 48, MAX_SIZES = 8 };

typedef enum place { PLACE_MEMORY, PLACE_SPLAT, PLACE_EMPTY } place;

typedef struct tensor {
    place place;
    MlirType element;
    int rank;
    int64_t dims[MAX_RANK], strides[MAX_RANK]; // in elements
    int64_t offset;
    int root;               // memory
    MlirValue scalar;       // splat: this value, or
    MlirAttribute constant; // this element
} tensor;

typedef struct root {
    uint32_t base;
    size_t offset, bytes;
    int first, last;     // calls that use it; -1: none
    int writer, earlier; // the newest call that writes it, and the one before that; -1: none
    int64_t step;        // elements that a tile of the current chain writes; -1: written as a whole
} root;

typedef struct call {
    const char *kernel, *label;
    int n_buffers;
    int roots[MAX_OPERANDS]; // of each buffer; -1: math, -2: fault
    bool written[MAX_OPERANDS];
    bool partly[MAX_OPERANDS]; // and leaves some of it as it was
    int64_t dims[MAX_SIZES];
    int n_dims;
    int64_t n_tiles, grain;
    double flops;
    bool chained;
    int chain; // index of the first call of its chain
} call;

// A nest's kernel, by nest_write_key.
typedef struct nest_kernel {
    const char *key, *kernel;
} nest_kernel;

typedef struct schedule {
    builder *b;
    plan *out;
    wf_error *err;
    bool chain;
    // values
    MlirValue *keys;
    tensor *tensors;
    size_t n_tensors, max_tensors;
    root *roots;
    size_t n_roots, max_roots;
    call *calls;
    size_t n_calls, max_calls;
    MlirAttribute *constants; // that are in the blob, with their roots
    int *constant_roots;
    size_t n_constants, max_constants;
    const char **checks;
    size_t n_checks, max_checks;
    nest_kernel *nests; // that may be used again
    size_t n_nests, max_nests;
    array_shape *shapes; // [n_arguments + n_results]
    buffer *blob;        // the constants
    MlirOperation op;    // being scheduled
    MlirBlock entry;
} schedule;

// ---- schedule_value.c

bool schedule_grow(void **items, size_t *max, size_t n, size_t size);
#define GROW(s, list, count) schedule_grow((void **)&(s)->list, &(s)->max_##count, (s)->n_##count, sizeof *(s)->list)

// WF_ERROR_UNSUPPORTED: "location: name REASON", of the op being scheduled or another.
wf_status schedule_refuse(schedule *s, const char *reason);
wf_status schedule_refuse_op(schedule *s, MlirOperation op, const char *reason);

// A contiguous tensor of this type that lies nowhere yet, or in a new piece of the arena.
wf_status schedule_read_type(schedule *s, MlirType t, tensor *x);
wf_status schedule_new_tensor(schedule *s, MlirType t, tensor *x);
wf_status schedule_add_root(schedule *s, uint32_t base, size_t offset, size_t bytes, int *index);
int64_t tensor_count(const tensor *x);
size_t tensor_element_bytes(const tensor *x);
bool tensor_is_contiguous(const tensor *x);

// The tensor of a value. The newest that was added counts.
wf_status schedule_add_tensor(schedule *s, MlirValue v, const tensor *x);
wf_status schedule_read_tensor(schedule *s, MlirValue v, tensor *x);
MlirAttribute constant_attribute_of(MlirOperation op); // null: no constant
bool is_scalar_value(MlirValue v);

// A new call; valid until the next one. NULL: out of memory.
call *schedule_add_call(schedule *s);
// The index of an operand of the call; -1: too many. `index`: of the root; -1: table of functions, -2: fault word.
int schedule_use_root(schedule *s, call *c, int index, bool written);
const char *schedule_make_label(schedule *s);
int schedule_add_check(void *context, const char *message, MlirLocation where);

// ---- schedule_nest.c

wf_status schedule_generic(schedule *s);
wf_status schedule_splat(schedule *s, MlirValue scalar); // null: nothing is known of the elements
// Copies `from` (memory or splat) into `to`, of the same shape; f32, f16 and bf16 into one another, by way of f32.
wf_status schedule_copy(schedule *s, const tensor *from, const tensor *to);
// The same values, contiguous in memory.
wf_status schedule_to_memory(schedule *s, tensor *x);

// ---- schedule_view.c

wf_status schedule_reshape(schedule *s);
wf_status schedule_alias(schedule *s);
wf_status schedule_extract_slice(schedule *s);
wf_status schedule_insert_slice(schedule *s);
wf_status schedule_concat(schedule *s);
wf_status schedule_pad(schedule *s);
wf_status schedule_from_elements(schedule *s);

// ---- schedule_kernel.c

// The same values from the start of a root on, contiguous: kernels know no offsets.
wf_status schedule_to_root(schedule *s, MlirValue v, tensor *x);
// A new call of kernel `name` (copied) on these roots, in the order of its operands. Operands are told apart by place:
// no two share a buffer. NULL: out of memory.
call *schedule_kernel_call(schedule *s, const char *name, int n, const int roots[], const bool written[]);
// The newest call but `index` that writes the root; -1: none.
int root_writer_before(const root *r, int index);
// Notes that call `index` uses the root.
void root_use(root *r, int index, bool written);
// Whether the newest call's kernel was called before; else the caller builds it.
bool schedule_knows_kernel(const schedule *s);
// Appends `bytes` bytes of zeros to the constants, aligned, with a root; *data: valid until the next constant.
wf_status schedule_new_constant(schedule *s, size_t bytes, int *index, unsigned char **data);

// ---- schedule_norm.c, schedule_linear.c, schedule_attention.c

bool norm_has_kernel(MlirOperation op);
bool linear_has_kernel(MlirOperation op);
bool attention_has_kernel(MlirOperation op);
wf_status schedule_norm(schedule *s);
wf_status schedule_linear(schedule *s);
wf_status schedule_attention(schedule *s);

#endif
