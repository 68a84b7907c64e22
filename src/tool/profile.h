// Where the time of a program goes, kernel by kernel, and how near each comes to what this CPU can do.
#ifndef WELFORD_TOOL_PROFILE_H
#define WELFORD_TOOL_PROFILE_H

#include <jansson.h>

#include "runtime/compiler.h"
#include "runtime/execute.h"

typedef struct kernel_profile {
    int64_t calls;
    double seconds, bytes, flops; // of all calls
    ceiling_kind ceiling;         // the arithmetic that bounds it, not CEILING_READ
} kernel_profile;

// The sum over some runs of a program.
typedef struct profile {
    const program *program;
    double seconds;          // of the runs; the kernels' add up to less
    kernel_profile *kernels; // [program->n_kernels]
} profile;

wf_status profile_create(const program *p, profile *out, wf_error *err);
void profile_free(profile *p);
void profile_clear(profile *p);
void profile_copy(profile *to, const profile *from); // of the same program
execute_observer profile_observe;                    // context: a profile

// What this CPU can do, measured by kernels of the same compiler on the same threads.
typedef struct ceilings {
    executable executable;
    unsigned char *memory;
    double best[CEILING_COUNT]; // flop/s, flop/s, bytes/s; 0: not yet measured
} ceilings;

wf_status ceilings_create(ceilings *c, wf_error *err);
void ceilings_free(ceilings *c);
// Measures once and keeps what is better than before: called between runs of what is compared with them.
wf_status ceilings_measure(ceilings *c, thread_pool *pool, wf_error *err);

// A table of the kernels, longest first; the ceilings are its last lines.
void profile_print(const profile *p, const ceilings *c);
// {"seconds", "kernels": [{"name", "calls", "seconds", "bytes", "flops", "ceiling"}]}; and {"fma_flops", ...}.
json_t *profile_describe(const profile *p);
json_t *ceilings_describe(const ceilings *c);

#endif
