// The passes: each one file with one public function, switched by name.
//
// A pass gets a function of wf ops and rewrites it in place. Whatever subset runs, in this order, the result computes the
// same up to rounding.
#ifndef WELFORD_COMPILER_PASS_PASS_H
#define WELFORD_COMPILER_PASS_PASS_H

#include "compiler/dialect/wf.h"

typedef enum pass_group {
    PASS_FUSE,  // wf ops to bigger wf ops: optional, each has a switch
    PASS_LOWER, // wf ops to the forms that kernels take: always run
} pass_group;

typedef struct pass {
    const char *name;
    pass_group group;
    void (*run)(MlirOperation function);
    const char *help; // one line
} pass;

// In the order in which they run; ends with a null name.
extern const pass PASSES[];

// NULL when there is none of that name.
const pass *pass_find(const char *name, size_t len);

void pass_fuse_qkv(MlirOperation function);
void pass_fuse_linear_swiglu(MlirOperation function);
void pass_fuse_linear_residual(MlirOperation function);
void pass_fuse_rope_kv(MlirOperation function);
void pass_lower_quantize(MlirOperation function);
void pass_fuse_norm_linear(MlirOperation function);
void pass_fuse_quantize(MlirOperation function);

#endif
