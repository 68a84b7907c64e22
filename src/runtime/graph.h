// A compiled function on arrays: kernels and the list of calls that computes its results from its arguments.
//
// Where plan.h serves a model whose sizes change from call to call, every size here is fixed: the function was compiled
// for the shapes of these arguments. Memory areas:
//
//   GRAPH_ARENA      values between calls, offsets planned by lifetime
//   GRAPH_CONSTANTS  the function's constants, packed weights among them
//   GRAPH_MATH       table of functions that kernels call: graph_math
//   GRAPH_FAULT      one i64: 0, or 1 + the index of a check that failed
//   GRAPH_ARRAYS + i the i-th argument; after the arguments the results
#ifndef WELFORD_RUNTIME_GRAPH_H
#define WELFORD_RUNTIME_GRAPH_H

#include <stdio.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/status.h"
#include "runtime/kernel.h"
#include "runtime/plan.h"
#include "runtime/threads.h"

typedef enum graph_type {
    GRAPH_F32,
    GRAPH_F64,
    GRAPH_F16,
    GRAPH_BF16,
    GRAPH_BOOL, // one byte, 0 or 1
    GRAPH_I8,
    GRAPH_I16,
    GRAPH_I32,
    GRAPH_I64,
    GRAPH_TYPE_COUNT
} graph_type;

size_t graph_type_bytes(graph_type type);
const char *graph_type_name(graph_type type); // as MLIR writes it: "f32", "i1"

enum { GRAPH_MAX_DIMS = 8, GRAPH_MAX_OBJECTS = 4 };

typedef struct graph_shape {
    graph_type type;
    uint32_t n_dims;
    int64_t dims[GRAPH_MAX_DIMS];
} graph_shape;

// Bytes of an array of this shape; false on overflow or a negative dimension.
bool graph_shape_bytes(const graph_shape *shape, size_t *bytes);
// "2x128xf32", as in MLIR's tensor types; always terminated.
void graph_shape_print(const graph_shape *shape, buffer *out);

enum { GRAPH_ARENA, GRAPH_CONSTANTS, GRAPH_MATH, GRAPH_FAULT, GRAPH_ARRAYS };

typedef struct graph_buffer {
    uint32_t base;
    size_t offset, bytes; // bytes: what the call may touch from there on
    bool written;
} graph_buffer;

typedef struct graph_call {
    const char *kernel; // symbol
    const char *label;  // what it computes and where in the file: "linalg.generic f.mlir:12:5"
    uint32_t n_buffers, n_dims;
    const graph_buffer *buffers;
    const int64_t *dims;
    int64_t n_tiles;
    int64_t grain; // tiles handed out at once
    // This call has as many tiles as the one before, and its tile t reads, of what that run of calls wrote, only what
    // tile t wrote: whoever has computed tile t of the calls before may go on at once, without waiting for others.
    bool chained;
} graph_call;

typedef struct graph_program {
    uint32_t n_arguments, n_results;
    const graph_shape *shapes; // [n_arguments + n_results]
    size_t arena_bytes, constants_bytes;
    unsigned char *constants; // aligned to 64
    uint32_t n_calls;
    const graph_call *calls;
    uint32_t n_fusions; // 0: nothing was raised
    const plan_fusion *fusions;
    uint32_t n_checks;
    const char *const *checks; // messages
    uint32_t n_objects;
    view objects[GRAPH_MAX_OBJECTS]; // relocatable, with the kernels
    arena memory;                    // owns all above but constants and objects' data, which are malloc's
} graph_program;

void graph_program_free(graph_program *p);
// The calls as a table for people.
void graph_program_print(const graph_program *p, buffer *out);

typedef struct graph_run graph_run;

// Loads the kernels and allocates the arena. `p` must outlive the run.
wf_status graph_run_create(const graph_program *p, int n_threads, graph_run **run, wf_error *err);
void graph_run_free(graph_run *run);

// Computes once: arrays[i] for arguments (read only) and results, in the order of `shapes`, aligned to their elements.
// A check that fails while running (an index out of range) is WF_ERROR_USAGE; results are then unspecified.
wf_status graph_run_compute(graph_run *run, void *const *arrays, wf_error *err);

// As graph_run_compute, without chains: seconds [n_calls] gets each call's start and end, measured
// from the start of the run.
typedef struct graph_time {
    double start, end;
} graph_time;
wf_status graph_run_profile(graph_run *run, void *const *arrays, graph_time *times, wf_error *err);

// The functions that kernels may call, in double precision, by index; the names are those of C's math.h.
enum { GRAPH_MATH_COUNT = 27 };
int graph_math_find(const char *name); // -1: none
int graph_math_arguments(int index);   // 1 or 2

#endif
