// Loop nests: what a structured op of linalg computes, and a kernel for it.
//
//     for every parallel loop:  out = init;  for every reduction loop:  out = body(in..., out)
//
// Everything is known: extents, and for each operand the place of its element as offset + sum over loops of
// coefficient * index. The kernel vectorises one loop, keeps what is reduced in registers, and splits the parallel
// loops into tiles.
#ifndef WELFORD_COMPILER_NEST_NEST_H
#define WELFORD_COMPILER_NEST_NEST_H

#include "base/buffer.h"
#include "base/status.h"
#include "compiler/kernel/kernels.h"

enum { NEST_MAX_LOOPS = 12 };

// An operand of the nest.
typedef enum access_kind { ACCESS_NONE, ACCESS_MEMORY, ACCESS_SCALAR } access_kind;
typedef struct access {
    access_kind kind;
    MlirType element; // i1 lies in memory as a byte, index as i64
    int buffer;       // MEMORY: which operand of the kernel
    int64_t offset;   // in elements
    int64_t coef[NEST_MAX_LOOPS];
    MlirValue scalar;       // SCALAR: a value outside the body, or
    MlirAttribute constant; // the element itself, when scalar is null
} access;

// A tensor that the body reads at computed indices (tensor.extract).
typedef struct gather {
    MlirValue source;
    MlirType element;
    int buffer, rank;
    int64_t offset, dims[NEST_MAX_LOOPS], strides[NEST_MAX_LOOPS];
} gather;

typedef struct nest {
    int n_loops;
    int64_t extent[NEST_MAX_LOOPS];
    bool reduction[NEST_MAX_LOOPS];
    int open; // 1: loop 0 is parallel and as long as the caller says: its extent is 1 here, tiles are those of one step
    int n_in, n_out, n_gathers;
    access *in;                    // [n_in]
    access *out;                   // [n_out] memory
    access *init;                  // [n_out] NONE when the body does not read it
    gather *gathers;               // [n_gathers]
    MlirBlock body;                // arguments: inputs, then outputs; null: copies in[0] to out[0]
    int math_buffer, fault_buffer; // operands of the kernel: runtime/program/program.h
    // Gives a check in the body, which may fail at run time, its number; -1: memory is out.
    int (*add_check)(void *context, const char *message, MlirLocation place);
    void *check_context;
} nest;

// How the kernel walks the nest.
typedef struct nest_shape {
    int vector_loop; // -1: none
    bool across;     // the vector loop is a reduction: lanes are combined at the end
    int lanes, unroll;
    int row_loop, rows; // register tile: rows of this parallel loop at a time; -1, 1: none
    int64_t chunk;      // of the vector loop, a tile takes this many
    int n_tile_loops;   // the other parallel loops, outermost first
    int tile_loops[NEST_MAX_LOOPS];
    int64_t n_tiles; // of an open nest: of one step of loop 0
    int64_t grain;   // tiles that are worth handing out at once
} nest_shape;

// Puts the loops into the order of the first output, joins what can be joined and decides. Changes the nest's loops.
void nest_plan(nest *n, const kernel_target *target, nest_shape *shape);

// Where tile t touches this operand: elements [offset + t * *step, .. + *step) only. False when that is not so.
bool nest_tile_step(const nest *n, const nest_shape *shape, const access *a, int64_t *step);

// Appends what the kernel depends on: nests of equal keys, planned, have equal kernels. False where none may be shared.
bool nest_write_key(const nest *n, buffer *key);

// Its key is nest_write_key's.
typedef struct nest_kernel {
    const nest *n;
    const nest_shape *shape;
    // what became of building it: WF_ERROR_UNSUPPORTED names an op of the body that cannot be compiled, with its location
    wf_status *status;
    wf_error *err;
} nest_kernel;

extern const kernel_kind NEST_KERNEL;

#endif
