// The door to the compiler library, which is opened only when no compiled program is in the cache.
//
// libwelford_compiler.so links MLIR and LLVM; nothing else does. It exports
//
//   welford_compile   compile_fn   a checkpoint to a program, or only whether that can be
//   welford_opt       opt_fn       a graph file through passes
//   welford_list      list_fn      the tables of passes and rules
//   welford_compile_function   compile_function_fn   a function of a graph file to a program on arrays
//   welford_ceilings  ceilings_fn  kernels that do what the CPU can do at best
#ifndef WELFORD_RUNTIME_COMPILER_H
#define WELFORD_RUNTIME_COMPILER_H

#include "base/buffer.h"
#include "base/cpu.h"
#include "base/status.h"
#include "format/checkpoint.h"
#include "runtime/program/array.h"
#include "runtime/program/kv.h"
#include "runtime/weight/weight_type.h"

typedef struct compile_options {
    cpu_features cpu;           // what kernels may use
    kv_type kv;                 // of the KV cache
    int n_threads;              // that compile; the program is the same for any number
    const char *fuse, *no_fuse; // comma-separated names of fusions: only these, all but these; NULL: all
    const char *print_ir_after; // a pass's name or "all": the graph after it goes to stderr; NULL: nothing
    const char *weights;        // the type that float matrices are packed in (weight_type.h); NULL: as stored
} compile_options;

// What a session needs of a model that is known before it is compiled.
typedef struct model_sizes {
    int64_t n_vocab, n_ctx_train;
    kv_layout kv;
} model_sizes;

// Compiles a checkpoint to an executable (runtime/program/executable.h) that is appended to `image`. Everything that
// is refused, options, fields, tensors that are missing or of other shapes and types, is refused before that begins, in
// milliseconds; a NULL `image` asks for this part alone.
typedef wf_status compile_fn(const checkpoint *file, const compile_options *options, model_sizes *sizes, buffer *image,
                             wf_error *err);

typedef struct opt_options {
    const char *name;           // of the graph file, for messages
    const char *passes;         // comma-separated names of passes, rules and groups, run in this order; NULL: all
    const char *fuse, *no_fuse; // comma-separated names of fusions: only these, all but these; NULL: all
    const char *print_ir_after; // comma-separated names, "frontend" or "all": the graph after these goes to the notes
    bool explain;               // near misses of the raising rules go to the notes, a line each
    bool bytecode;              // writes MLIR bytecode, not text
} opt_options;

// Parses a graph file of `bytes` bytes, zero-terminated after them, runs passes and appends the result to `out`.
// WF_ERROR_USAGE: a name in the options is none; WF_ERROR_FORMAT: the file does not parse ("name:line:column: reason").
typedef wf_status opt_fn(const char *text, size_t bytes, const opt_options *options, buffer *out, buffer *notes,
                         wf_error *err);

// Appends the tables of rules and passes, for people.
typedef wf_status list_fn(buffer *out, wf_error *err);

// A weight of a function: an argument that every call would bring, or a wf.weight of its graph.
typedef struct weight_argument {
    const char
        *name; // of the argument, "argument3" where the file gives it none (attribute wf.name), or of the wf.weight
    array_shape shape;
    bool lent; // where it is read as it is, it stays an argument of the program, of this name
} weight_argument;

// An argument whose memory becomes that of a result, which has its shape.
typedef struct donation {
    const char *argument; // its name, as of a weight_argument, or its number
    uint32_t result;
} donation;

typedef struct function_options {
    cpu_features cpu;           // what kernels may use
    const char *name;           // of the graph file, for messages
    const char *entry;          // name of the function; NULL: the only public one, else "main" or "forward"
    bool no_raise;              // everything through upstream's lowering and our loops: no wf ops
    const char *fuse, *no_fuse; // comma-separated names of fusions, "elementwise", "chain", "kernels": only these, all
                                // but these; no_fuse may name raising rules too
    bool as_declared;           // shapes without dims, and those that are missing, are the function's own; types too
    bool counts_weights;        // shapes of arguments have places for the weights too, which are not looked at
    bool or_signature;          // as_declared, where sizes would have to be given: instead of failing a program without
                                // calls, which says what the function takes and gives, and in `fixed` why
    const char *print_ir_after; // comma-separated: bind, raise, linalg, lower, kernels, names of rules and passes, all:
                                // the IR after these goes to the notes
    const weight_argument *weights; // [n_weights]: what calls do not bring, since it is known
    uint32_t n_weights;
    const donation *donations; // [n_donations]: beside those that the file says by tf.aliasing_output
    uint32_t n_donations;
    const char *packed_as; // the type that float matrices of constants and weights are packed in (weight_type.h); NULL:
                           // as stored
} function_options;

// Compiles a function for arguments of the given shapes, weights not counted, which fix its dynamic sizes.
// `argument_names` (may be NULL) stand for the arguments in messages. WF_ERROR_USAGE: no such function, an argument of
// the wrong rank, type or size. WF_ERROR_UNSUPPORTED: an op that cannot be compiled, with its name and location. Appends
// the image of a program (runtime/program/executable.h). `weights` has a tensor of one dimension for each of
// options->weights, whose data are not looked at; constants that belong in the program's pack are added, with data.
typedef wf_status compile_function_fn(const char *text, size_t bytes, const function_options *options,
                                      uint32_t n_arguments, const array_shape *arguments,
                                      const char *const *argument_names, checkpoint *weights, buffer *image,
                                      buffer *notes, wf_error *err);

// The calls of the ceilings' program, by index.
typedef enum ceiling_kind {
    CEILING_FMA,  // f32 multiply-adds
    CEILING_BF16, // bf16 products into f32 sums: vdpbf16ps, or f32 multiply-adds
    CEILING_INT8, // 8-bit products into 32-bit sums: vpdpbusd, or vpmaddubsw and vpmaddwd in 256 bits
    CEILING_READ, // reads memory
    CEILING_COUNT
} ceiling_kind;

// What bounds the products of activations in this form with weights.
static inline ceiling_kind activation_ceiling(activation_form form)
{
    return form == ACTIVATION_Q8 ? CEILING_INT8 : form == ACTIVATION_BF16 ? CEILING_BF16 : CEILING_FMA;
}

// Appends an executable whose program runs each ceiling once, a few milliseconds each; its calls state what they
// compute and read (program_call_flops, program_call_bytes). It is a function without arguments or results.
typedef wf_status ceilings_fn(const cpu_features *cpu, buffer *image, wf_error *err);

// Finds one of these functions, by name, in $WELFORD_COMPILER, else the library beside the program, else the installed
// one, which is opened where it is not yet. WF_ERROR_COMPILE says where it was looked for.
wf_status compiler_find(const char *name, void **function, wf_error *err);

// What stands for the compiler in cache keys: its version (versions.h), and size and time of modification of the
// library that would be opened, so that a rebuilt compiler is never answered from an old cache. Where there is no
// library, it is that of the one which last left a program in the cache: its programs still run.
enum { COMPILER_IDENTITY_CHARS = 96 };
void compiler_identity(char identity[COMPILER_IDENTITY_CHARS]);
// Leaves the identity in the cache folder.
void compiler_keep_identity(void);

#endif
