// Runs the steps of a compilation one after the other: which of them are on, the check after each, and the IR that was
// asked for.
#ifndef WELFORD_COMPILER_RUNNER_H
#define WELFORD_COMPILER_RUNNER_H

#include "compiler/dialect/context.h"
#include "compiler/fuse/pass.h"
#include "compiler/raise/raise.h"
#include "runtime/program/program.h"

typedef struct runner {
    compiler_context *c;
    MlirModule module;
    const char *file;           // of the graph, for messages; NULL: none
    const char *fuse, *no_fuse; // comma-separated names: only these fusions, all but these; NULL: all
    const char *print_ir_after; // comma-separated names of steps, or "all": the module after these goes to the notes
    bool explain;               // near misses of rules go to the notes
    why_not_fn *back_end;       // what passes ask before they fuse; NULL: everything has a kernel
    buffer *notes;
} runner;

// Whether the lists have the fusion of that name on.
bool runner_has(const runner *r, const char *name);

// Verifies the module, wf ops by their reference too (16 us of a compilation's 50 ms, for 340 ops), and notes it after
// the step `name`.
wf_status runner_finish_step(const runner *r, const char *name, wf_error *err);
// Notes `op` after the step `name` where that is asked for.
void runner_print(const runner *r, const char *name, MlirOperation op);

// One rule or pass on every function, and then the end of the step. A fusion that is off does nothing; the report (may
// be NULL) says so.
wf_status runner_run_rule(const runner *r, const rule *which, wf_error *err);
wf_status runner_run_pass(const runner *r, const pass *which, pass_report *report, wf_error *err);

// What comes before rules, in opt as in exec: upstream's simplifications, then ours; equal values become one value, so
// that rules and passes see that they are equal.
wf_status runner_settle(const runner *r, wf_error *err);
// All rules but those that no_fuse names: the step "raise".
wf_status runner_raise(const runner *r, wf_error *err);
// All passes; *fusions [*n], in `memory`: what each fusion did.
wf_status runner_run_passes(const runner *r, arena *memory, const program_fusion **fusions, uint32_t *n, wf_error *err);

// A name in `list` that `is_known` does not know is WF_ERROR_USAGE: "--option: there is no KIND 'name'".
wf_status runner_check_names(const char *list, const char *option, const char *kind, bool (*is_known)(view name),
                             wf_error *err);
bool pass_is_fusion(view name);

#endif
