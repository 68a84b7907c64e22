// What the files of the lowering share: where values of the graph lie, and how kernels, weights and calls are added.
//
//   lower.c            the table of rules, norms, linears, row by row ops, the function
//   lower_attention.c  rotations, the KV cache, attention
#ifndef WELFORD_COMPILER_CODEGEN_LOWER_PARTS_H
#define WELFORD_COMPILER_CODEGEN_LOWER_PARTS_H

#include "compiler/codegen/lower.h"
#include "compiler/codegen/plan_builder.h"
#include "compiler/dialect/wf.h"

// Where a value of the graph lies: a plan value, or a part of every row of one.
typedef struct placed {
    MlirValue value;
    int plan_value;
    int64_t skip_bytes;
} placed;

typedef struct lowering {
    plan_builder p;
    const checkpoint *file;
    const model_facts *facts;
    bool kv_f32;
    kernel_shards *kernels;
    placed *placed;
    int n_placed, max_placed;
    MlirBlock block;
    wf_error *err;
} lowering;

// WF_ERROR_UNSUPPORTED: "location: name: reason".
wf_status lowering_fail(lowering *l, MlirOperation op, const char *reason);

// Where an operand lies, and a new value for the op's result, of `rows` rows.
const placed *lowering_operand(const lowering *l, MlirOperation op, intptr_t i);
int lowering_add_result(lowering *l, MlirOperation op, uint32_t rows);

static inline bool has_quantised_result(MlirOperation op)
{
    return is_wf_type(element_type_of(mlirOperationGetResult(op, 0)), "q8");
}

static inline affine constant_size(int64_t c) { return affine_of(DIM_ONE, c); }

typedef void build_kernel(builder *b, const void *params, const char *name);

// Index of the kernel of that name, built when it is new.
uint32_t lowering_add_kernel(lowering *l, const char *name, build_kernel *build, const void *params);

// Typed wrappers, so that no function is called through a pointer of another type.
#define BUILD_WRAPPER(function, params_type)                                                                           \
    static void do_##function(builder *b, const void *params, const char *name)                                        \
    {                                                                                                                  \
        const params_type *typed = params;                                                                             \
        function(b, typed, name);                                                                                      \
    }

// A call of one tile a row.
plan_call *lowering_add_call(lowering *l, uint32_t k, const char *label, uint32_t rows);

// The weight of n sources in the pack; `user`: the op that reads it.
wf_status lowering_add_weight(lowering *l, MlirOperation user, const MlirValue *sources, int n, bool interleave,
                              int *index);

wf_status lower_rope(lowering *l, MlirOperation op);
wf_status lower_rope_store(lowering *l, MlirOperation op);
wf_status lower_attention(lowering *l, MlirOperation op);
wf_status lower_cached_attention(lowering *l, MlirOperation op);

#endif
