#include "compiler/fuse/pass.h"

#include <string.h>

const pass PASSES[] = {
    {"qkv", PASS_FUSE, pass_fuse_qkv, "q, k and v projections of one input become one linear", NULL},
    {"linear-swiglu", PASS_FUSE, pass_fuse_linear_swiglu,
     "gate and up projections and activation(gate) * up become one linear", NULL},
    {"linear-residual", PASS_FUSE, pass_fuse_linear_residual, "a linear adds the residual as it stores", NULL},
    {"rope-kv", PASS_FUSE, pass_fuse_rope_kv, "q and k are rotated, k and v stored to the cache, in one pass over qkv",
     NULL},
    {"attention", PASS_FUSE, pass_fuse_attention, "scores, softmax and the sum of values in one pass, online", NULL},
    {"residual-norm", PASS_FUSE, pass_fuse_residual_norm, "h = x + r and the norm of h in one pass, both written",
     NULL},
    {"quantize-activations", PASS_LOWER, pass_lower_quantize, "inputs of quantised linears become 8-bit blocks", NULL},
    {"quantize-output", PASS_FUSE, pass_fuse_quantize_output,
     "norms, gated units and attention write the form that the next linear reads", "norm-linear"},
    {0},
};

const pass *pass_find(const char *name, size_t len)
{
    for (const pass *p = PASSES; p->name; p++)
        if (view_is((view){name, len}, p->name) || (p->other && view_is((view){name, len}, p->other))) return p;
    return NULL;
}

bool list_has_pass(const char *list, const pass *which)
{
    return list_has(list, which->name) || (which->other && list_has(list, which->other));
}

static void count_missed(pass_report *report, const char *reason)
{
    for (int i = 0; i < report->n_reasons; i++)
        if (!strcmp(report->reasons[i].text, reason)) {
            report->reasons[i].count++;
            return;
        }
    if (report->n_reasons == REPORT_MAX_REASONS) return;
    report->reasons[report->n_reasons].text = reason;
    report->reasons[report->n_reasons++].count = 1;
}

typedef struct fusing {
    pass_report *report;
    why_not_fn *back_end;
    const char *op_name;
    fuse_fn *fuse;
} fusing;

static void offer(MlirOperation op, void *context)
{
    fusing *f = context;
    if (f->op_name && !op_is(op, f->op_name)) return;
    const char *reason = f->fuse(op, f->back_end);
    if (reason && !*reason) return; // NO_PLACE
    f->report->found++;
    if (reason)
        count_missed(f->report, reason);
    else
        f->report->fused++;
}

void fuse_each(MlirOperation function, why_not_fn *back_end, pass_report *report, const char *op_name, fuse_fn *fuse)
{
    fusing f = {report, back_end, op_name, fuse};
    for_each_op(function, offer, &f);
    erase_dead(function);
}

const char *ask_back_end(why_not_fn *back_end, MlirValue v)
{
    MlirOperation op = defining_op(v);
    const char *why = back_end ? back_end(op) : NULL;
    if (why) mlirOperationDestroy(op);
    return why;
}

MlirOperation linear_behind(MlirValue v, const char **between)
{
    static const struct {
        const char *op, *text;
    } MOVES[] = {
        {"tosa.reshape", "a reshape parts the linear from its use"},
        {"tensor.reshape", "a reshape parts the linear from its use"},
        {"tensor.expand_shape", "a reshape parts the linear from its use"},
        {"tensor.collapse_shape", "a reshape parts the linear from its use"},
        {"tosa.transpose", "a transposition parts the linear from its use"},
        {"linalg.transpose", "a transposition parts the linear from its use"},
        {"tosa.slice", "a slice parts the linear from its use"},
        {"tensor.extract_slice", "a slice parts the linear from its use"},
    };
    enum { N_MOVES = sizeof MOVES / sizeof *MOVES, MAX_STEPS = 16 };
    *between = NULL;
    MlirOperation op = defining_op(v);
    linear_op linear;
    for (int step = 0, i = 0; step < MAX_STEPS && !linear_read(op, &linear); step++, i = 0) {
        columns_op columns;
        bool cut = columns_read(op, &columns);
        while (i < N_MOVES && !cut && !op_is(op, MOVES[i].op)) i++;
        if (i == N_MOVES) break;
        if (!*between) *between = cut ? "a slice parts the linear from its use" : MOVES[i].text;
        op = defining_op(cut ? columns.x : mlirOperationGetOperand(op, 0));
    }
    return linear_read(op, &linear) ? op : (MlirOperation){0};
}

// The next name of a comma-separated list; false at its end.
bool next_name(const char **list, view *name)
{
    const char *p = *list;
    while (p && *p == ',') p++;
    if (!p || !*p) return false;
    *name = (view){p, strcspn(p, ",")};
    *list = p + name->len;
    return true;
}

bool list_has(const char *list, const char *wanted)
{
    view name;
    while (next_name(&list, &name))
        if (view_is(name, wanted)) return true;
    return false;
}
