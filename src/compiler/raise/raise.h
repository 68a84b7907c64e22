// Raising: primitive ops → wf ops, by rules over the normal form (normal.h).
//
// A rule is one file with one match function, and one line in the table RULES. It is offered every op, in order; it
// either replaces a result by a wf op and returns true, or returns false, saying why where the op was nearly a match:
//
//     if (!is_last_axis(…)) return near_miss(m, "sum over axis %d, not the last", axis);
//
// What a replaced result leaves without use is erased after each rule. Values of a pattern that others use stay as they
// are, computed beside the wf op; mark_pattern has them noted.
#ifndef WELFORD_COMPILER_RAISE_RAISE_H
#define WELFORD_COMPILER_RAISE_RAISE_H

#include "base/buffer.h"
#include "compiler/raise/normal/normal.h"

typedef struct rule rule;

typedef struct matcher {
    reader r;
    const rule *rule;
    MlirOperation root; // what is being matched
    const char *file;   // stands in messages for the name "-" that text from memory has
    MlirValue subject;  // what a note is about: a norm's sum of squares is met again at each factor beside it,
    MlirValue noted;    // and told once. Null value: the root itself
    buffer *explain;    // near misses, a line each: "file:line:col: rule: reason"; NULL: not wanted
} matcher;

struct rule {
    const char *name;
    bool (*match)(matcher *m, MlirOperation op);
    const char *help; // one line
};

// In the order in which they run; ends with a null name.
extern const rule RULES[];

// NULL when there is none of that name.
const rule *rule_find(const char *name, size_t len);

// Ops that change nothing (identities.c) give way to their operand. Before the rules, once.
void raise_drop_identities(MlirOperation function);

// Runs one rule over a function until it finds nothing more, then erases what has no use.
void rule_run(const rule *which, MlirOperation function, const char *file, buffer *explain);

// Notes why the op at the root is no match. Returns false.
bool near_miss(matcher *m, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Marks the ops between `inputs` and `result`, a tensor that is about to be replaced by an op of those inputs. Those
// that outlive the rule, since their values are used elsewhere too, are noted at its end.
void mark_pattern(matcher *m, MlirValue result, int n_inputs, const MlirValue *inputs);

bool raise_split(matcher *m, MlirOperation op);
bool raise_matmul(matcher *m, MlirOperation op);
bool raise_group(matcher *m, MlirOperation op);
bool raise_welford(matcher *m, MlirOperation op);
bool raise_twins(matcher *m, MlirOperation op);
bool raise_layer_norm(matcher *m, MlirOperation op);
bool raise_rms_norm(matcher *m, MlirOperation op);
bool raise_softmax(matcher *m, MlirOperation op);
bool raise_swiglu(matcher *m, MlirOperation op);
bool raise_rope(matcher *m, MlirOperation op);
bool raise_attention(matcher *m, MlirOperation op);
bool raise_linear(matcher *m, MlirOperation op);
bool raise_residual(matcher *m, MlirOperation op);
bool raise_rows(matcher *m, MlirOperation op);
bool raise_store_rows(matcher *m, MlirOperation op);

#endif
