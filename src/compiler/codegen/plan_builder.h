// Builds a plan: kernels, weights, values with their lifetimes, calls; at the end every value gets its place in the
// arena.
//
// Values are rows x bytes. A value lives from the call that writes it to the last call that reads it; two values whose
// lifetimes overlap never share memory, others may.
#ifndef WELFORD_COMPILER_CODEGEN_PLAN_BUILDER_H
#define WELFORD_COMPILER_CODEGEN_PLAN_BUILDER_H

#include "runtime/plan.h"

typedef struct plan_value {
    uint32_t area;     // BASE_ARENA, or where the value lies otherwise
    uint32_t rows;     // DIM_TOKENS or DIM_OUTPUTS
    int64_t row_bytes; // of one row; rows follow each other without gaps
    int first, last;   // calls that write and last read it; -1: none yet
    int64_t place;     // in the arena, bytes a token
} plan_value;

// An operand: a value, a part of each of its rows, a fixed area, or the arena's end.
typedef struct plan_operand {
    int value; // index, or -1: fixed, or -2: fixed, from where the values end
    plan_buffer fixed;
    int64_t skip_bytes; // into the first row
} plan_operand;

enum { BUILDER_MAX_OPERANDS = 16 };

typedef struct plan_builder {
    plan *plan;
    plan_value *values;
    plan_call *calls;
    plan_operand (*operands)[BUILDER_MAX_OPERANDS]; // of each call
    affine (*sizes)[PLAN_MAX_SIZES];
    size_t weights_bytes;
    affine kv_bytes;
    plan_weight *weights;
    const char **names; // of kernels
    affine end_bytes;   // behind the values in the arena
    int n_values, n_calls, n_weights, n_names;
    int max_values, max_calls, max_weights, max_names;
    bool failed; // memory ran out
} plan_builder;

void plan_builder_init(plan_builder *p, plan *plan);
void plan_builder_free(plan_builder *p);

int plan_add_value(plan_builder *p, uint32_t area, uint32_t rows, int64_t row_bytes);

// Index of the weight with these sources and this layout, added when new; w->offset and w->bytes are set here.
// WF_ERROR_UNSUPPORTED when its size overflows.
wf_status plan_add_weight(plan_builder *p, const plan_weight *w, int *index, wf_error *err);

// Index of the kernel with this name; true in *is_new when the caller must build it.
uint32_t plan_add_kernel(plan_builder *p, const char *name, bool *is_new);

// A new call, with a copy of the label. Valid until the next one.
plan_call *plan_add_call(plan_builder *p, uint32_t kernel, const char *label);
void plan_reads(plan_builder *p, int index); // operands of the newest call, in order
void plan_reads_part(plan_builder *p, int value, int64_t skip_bytes);
void plan_writes(plan_builder *p, int value);
void plan_uses_weight(plan_builder *p, int weight);
void plan_uses_area(plan_builder *p, uint32_t area, affine offset, affine bytes, bool written);
// Memory behind all values, for what one call leaves to the next and no value's rows can hold. It is the same for all
// calls.
void plan_uses_end(plan_builder *p, affine bytes, bool written);
void plan_size(plan_builder *p, affine size);

// Places values, fills the plan's tables.
wf_status plan_finish(plan_builder *p, wf_error *err);

#endif
