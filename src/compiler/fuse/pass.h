// The passes: each one file with one public function, switched by name.
//
// A pass gets a function of wf ops and rewrites it in place. Whatever subset runs, in this order, the result computes
// the same up to rounding.
#ifndef WELFORD_COMPILER_FUSE_PASS_H
#define WELFORD_COMPILER_FUSE_PASS_H

#include "base/view.h"
#include "compiler/dialect/wf.h"

typedef enum pass_group {
    PASS_FUSE,  // wf ops to bigger wf ops: optional, each has a switch
    PASS_LOWER, // wf ops to the forms that kernels take: always run
} pass_group;

// The back end's answer: why no kernel takes a wf op (a literal); NULL: one does. Passes ask before they fuse, so that
// what they report stays fused; a null function takes everything.
typedef const char *why_not_fn(MlirOperation op);

// What a fusion did: how many places it looked at, how many it fused, and why not the others.
enum { REPORT_MAX_REASONS = 8 };
typedef struct pass_report {
    int found, fused;
    int n_reasons;
    struct {
        const char *text; // a literal
        int count;
    } reasons[REPORT_MAX_REASONS];
} pass_report;

// Offers every op of that name (NULL: every op) inside the function to `fuse`, which rewrites it and returns FUSED, or
// says why it cannot (a literal), or that the op is no place for this fusion at all and is not to be counted. Erases
// what became dead.
#define FUSED NULL
#define NO_PLACE ""
typedef const char *fuse_fn(MlirOperation op, why_not_fn *back_end);
void fuse_each(MlirOperation function, why_not_fn *back_end, pass_report *report, const char *op_name, fuse_fn *fuse);

// NULL where the back end takes the op that v, of no use so far, is a result of; else why not, and the op is gone.
const char *ask_back_end(why_not_fn *back_end, MlirValue v);

// The linear that a value is made of, by nothing but moves of elements; null op: none. *between: the move nearest to
// the value, as reasons tell it; NULL: there is none.
MlirOperation linear_behind(MlirValue v, const char **between);

typedef struct pass {
    const char *name;
    pass_group group;
    void (*run)(MlirOperation function, why_not_fn *back_end, pass_report *report);
    const char *help;  // one line
    const char *other; // another name of its switch; NULL: none
} pass;

// In the order in which they run; ends with a null name.
extern const pass PASSES[];

// By either name; NULL when there is none.
const pass *pass_find(const char *name, size_t len);
// Whether a list (list_has) names the pass.
bool list_has_pass(const char *list, const pass *which);

// Comma-separated lists of names, as options give them: takes the next name off a list; whether one is in it (NULL:
// no).
bool next_name(const char **list, view *name);
bool list_has(const char *list, const char *wanted);

void pass_fuse_qkv(MlirOperation function, why_not_fn *back_end, pass_report *report);
void pass_fuse_linear_swiglu(MlirOperation function, why_not_fn *back_end, pass_report *report);
void pass_fuse_linear_residual(MlirOperation function, why_not_fn *back_end, pass_report *report);
void pass_fuse_rope_kv(MlirOperation function, why_not_fn *back_end, pass_report *report);
void pass_fuse_attention(MlirOperation function, why_not_fn *back_end, pass_report *report);
void pass_lower_quantize(MlirOperation function, why_not_fn *back_end, pass_report *report);
void pass_fuse_residual_norm(MlirOperation function, why_not_fn *back_end, pass_report *report);
void pass_fuse_quantize_output(MlirOperation function, why_not_fn *back_end, pass_report *report);

#endif
