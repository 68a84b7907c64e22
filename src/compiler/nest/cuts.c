#include "compiler/nest/cuts.h"

#include <mlir-c/BuiltinAttributes.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/mlir/build.h"
#include "compiler/mlir/op.h"
#include "compiler/mlir/pointer_map.h"
#include "compiler/mlir/text.h"

// Ops that the fusion may make one.
typedef struct group {
    int n_ops, n_inputs, n_extracts;
    MlirValue inputs[CUTS_MAX_INPUTS]; // those counted so far, each once
} group;

typedef struct search {
    MlirBlock block;
    MlirOperation *ops; // of the block
    int *group_of;      // by op
    group *groups;
    int n, n_groups;
    pointer_map index; // of an op
    MlirValue *cut;
    intptr_t n_cut, max_cut;
} search;

static bool is_structured(MlirOperation op) { return op_is(op, "linalg.generic"); }

// What only views its operand differently; fusion moves it out of the way.
static bool is_view(MlirOperation op)
{
    return op_is(op, "tensor.expand_shape") || op_is(op, "tensor.collapse_shape") || op_is(op, "tensor.cast");
}

static bool is_parallel(MlirOperation op)
{
    MlirAttribute kinds = op_attribute(op, "iterator_types");
    for (intptr_t i = 0; kinds.ptr && i < mlirArrayAttrGetNumElements(kinds); i++) {
        char text[64] = {0};
        buffer b = {0};
        mlirAttributePrint(mlirArrayAttrGetElement(kinds, i), append_text, &b);
        if (b.data) strncpy(text, b.data, sizeof text - 1);
        buffer_free(&b);
        if (!strstr(text, "parallel")) return false;
    }
    return kinds.ptr != NULL;
}

// The one group that all uses of the op's results lie in, as operands of ops that fusion may join it with; or -1.
static int users_group(const search *s, MlirOperation op)
{
    int g = -1;
    for (intptr_t r = 0; r < mlirOperationGetNumResults(op); r++)
        for (MlirOpOperand use = mlirValueGetFirstUse(mlirOperationGetResult(op, r)); !mlirOpOperandIsNull(use);
             use = mlirOpOperandGetNextUse(use)) {
            MlirOperation user = mlirOpOperandGetOwner(use);
            int i = pointer_map_get(&s->index, user.ptr);
            if (i < 0 || s->group_of[i] < 0 || (g >= 0 && s->group_of[i] != g)) return -1;
            g = s->group_of[i];
        }
    return g;
}

// Whether the operand is one of the fused op's too: outputs are, where their first value is read.
static bool is_input(MlirOperation op, intptr_t i)
{
    if (!is_structured(op)) return true;
    MlirBlock body = mlirRegionGetFirstBlock(mlirOperationGetRegion(op, 0));
    return i < mlirBlockGetNumArguments(body) && !has_no_use(mlirBlockGetArgument(body, i));
}

static int find_input(const group *g, MlirValue v)
{
    for (int i = 0; i < g->n_inputs && i < CUTS_MAX_INPUTS; i++)
        if (mlirValueEqual(g->inputs[i], v)) return i;
    return -1;
}

static void count_body(MlirOperation op, group *g)
{
    if (!is_structured(op)) return;
    MlirBlock body = mlirRegionGetFirstBlock(mlirOperationGetRegion(op, 0));
    for (MlirOperation o = mlirBlockGetFirstOperation(body); o.ptr; o = mlirOperationGetNextInBlock(o)) {
        g->n_ops++;
        g->n_extracts += op_is(o, "tensor.extract");
    }
    g->n_ops--; // the terminator
}

// The group with the op in it: what it computes is no input any more, what it reads is.
static void join(group *g, MlirOperation op)
{
    for (intptr_t r = 0; r < mlirOperationGetNumResults(op); r++) {
        int i = find_input(g, mlirOperationGetResult(op, r));
        if (i >= 0) g->inputs[i] = g->inputs[--g->n_inputs];
    }
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); i++) {
        MlirValue v = mlirOperationGetOperand(op, i);
        if (!is_input(op, i) || find_input(g, v) >= 0) continue;
        if (g->n_inputs < CUTS_MAX_INPUTS) g->inputs[g->n_inputs] = v;
        g->n_inputs++;
    }
    count_body(op, g);
}

static bool is_within(const group *g)
{
    return g->n_ops <= CUTS_MAX_OPS && g->n_inputs <= CUTS_MAX_INPUTS && g->n_extracts <= CUTS_MAX_EXTRACTS;
}

static bool cut_results(search *s, MlirOperation op)
{
    for (intptr_t r = 0; r < mlirOperationGetNumResults(op); r++) {
        if (s->n_cut == s->max_cut) {
            intptr_t more = s->max_cut ? 2 * s->max_cut : 64;
            MlirValue *grown = realloc(s->cut, (size_t)more * sizeof *grown);
            if (!grown) return false;
            s->cut = grown;
            s->max_cut = more;
        }
        s->cut[s->n_cut++] = mlirOperationGetResult(op, r);
    }
    return true;
}

// Users come before what they use: an op joins its users' group, or is cut off from it and begins its own.
static bool visit(search *s, int i)
{
    MlirOperation op = s->ops[i];
    s->group_of[i] = -1;
    if (!is_structured(op) && !is_view(op)) return true;
    int g = is_view(op) || is_parallel(op) ? users_group(s, op) : -1;
    if (g >= 0) {
        group joined = s->groups[g];
        if (joined.n_inputs <= CUTS_MAX_INPUTS) {
            join(&joined, op);
            if (is_within(&joined)) {
                s->groups[g] = joined;
                s->group_of[i] = g;
                return true;
            }
        }
        if (!cut_results(s, op)) return false;
    }
    s->groups[s->n_groups] = (group){0};
    join(&s->groups[s->n_groups], op);
    s->group_of[i] = s->n_groups++;
    return true;
}

static bool find_cuts(search *s)
{
    for (MlirOperation op = mlirBlockGetFirstOperation(s->block); op.ptr; op = mlirOperationGetNextInBlock(op)) s->n++;
    s->ops = malloc(((size_t)s->n + 1) * sizeof *s->ops);
    s->group_of = malloc(((size_t)s->n + 1) * sizeof *s->group_of);
    s->groups = malloc(((size_t)s->n + 1) * sizeof *s->groups);
    bool good = s->ops && s->group_of && s->groups;
    int i = 0;
    for (MlirOperation op = mlirBlockGetFirstOperation(s->block); op.ptr && good;
         op = mlirOperationGetNextInBlock(op)) {
        good = pointer_map_set(&s->index, op.ptr, i);
        s->ops[i++] = op;
    }
    while (good && i-- > 0) good = visit(s, i);
    return good;
}

// Makes the first n_old operands and `more` the results of the function.
static bool set_results(MlirOperation function, MlirOperation end, intptr_t n_old, intptr_t n_more,
                        const MlirValue *more)
{
    MlirValue *values = malloc(((size_t)(n_old + n_more) + 1) * sizeof *values);
    if (!values) return false;
    for (intptr_t i = 0; i < n_old; i++) values[i] = mlirOperationGetOperand(end, i);
    for (intptr_t i = 0; i < n_more; i++) values[n_old + i] = more[i];
    mlirOperationSetOperands(end, n_old + n_more, values);
    free(values);
    return update_function_type(function);
}

wf_status cuts_make(MlirOperation function, cuts *c, wf_error *err)
{
    search s = {.block = function_body(function)};
    MlirOperation end = mlirBlockGetTerminator(s.block);
    *c = (cuts){.function = function, .n_results = mlirOperationGetNumOperands(end)};
    bool good = find_cuts(&s);
    if (good && s.n_cut) {
        c->n = s.n_cut;
        c->results = op_attribute(function, "res_attrs"); // one for each result, where there are any
        if (c->results.ptr) mlirOperationRemoveAttributeByName(function, mlir_text("res_attrs"));
        good = set_results(function, end, c->n_results, s.n_cut, s.cut);
    }
    free(s.ops);
    free(s.group_of);
    free(s.groups);
    free(s.cut);
    pointer_map_free(&s.index);
    return good ? WF_OK : error_memory(err, 0);
}

wf_status cuts_end(cuts *c, wf_error *err)
{
    if (!c->n) return WF_OK;
    MlirOperation end = mlirBlockGetTerminator(function_body(c->function));
    if (!set_results(c->function, end, c->n_results, 0, NULL)) return error_memory(err, 0);
    if (c->results.ptr) mlirOperationSetAttributeByName(c->function, mlir_text("res_attrs"), c->results);
    c->n = 0;
    return WF_OK;
}
