// The kernels of a plan, shared out over a fixed number of MLIR contexts: an MLIR or LLVM context is for one thread,
// and nearly all of compile time goes by between a kernel's ops and its machine code.
//
// Which kernel goes where depends on the kernels alone, so that any number of threads makes the same program.
#ifndef WELFORD_COMPILER_CODEGEN_SHARDS_H
#define WELFORD_COMPILER_CODEGEN_SHARDS_H

#include "base/view.h"
#include "compiler/codegen/context.h"
#include "compiler/kernel/builder.h"

// More than two, since kernels differ in size: a thread that is done early takes another shard. A context costs 3 ms.
enum { N_SHARDS = 4 };

typedef struct kernel_shards {
    cpu_features cpu;
    compiler_context contexts[N_SHARDS];
    builder builders[N_SHARDS];
    buffer objects[N_SHARDS]; // machine code, after shards_compile
} kernel_shards;

wf_status shards_create(kernel_shards *s, const cpu_features *cpu, wf_error *err);
void shards_free(kernel_shards *s);

// Where the next kernel is to be built: the shard that has the fewest ops so far.
builder *shards_next(kernel_shards *s);
const kernel_target *shards_target(const kernel_shards *s);

// Compiles all shards on up to n_threads threads. objects[N_SHARDS] receives views of those that hold kernels, in
// order.
wf_status shards_compile(kernel_shards *s, int n_threads, view *objects, size_t *n_objects, wf_error *err);

#endif
