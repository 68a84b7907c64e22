#include "compiler/raise/raise.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "compiler/mlir/text.h"
#include "compiler/raise/normal/steps.h"

const rule RULES[] = {
    {"store_rows", raise_store_rows, "rows written at the places of a list, by a loop or a scatter: into a cache"},
    {"split", raise_split, "a matrix product apart from what computes its factors, as no fusion had joined them"},
    {"matmul", raise_matmul, "a product summed over several axes, or over other places, as one of matrices"},
    {"group", raise_group, "x * a + b by the groups that a and b were computed for, as group norms are decomposed"},
    {"welford", raise_welford, "mean and M2 by Welford's recurrence, as the sums that they are"},
    {"twins", raise_twins, "a normalised value that several gammas scale, once for each of them"},
    {"layer_norm", raise_layer_norm, "(x - mean) / sqrt(variance + eps) [* gamma [+ beta]]"},
    {"rms_norm", raise_rms_norm, "x / sqrt(mean(x^2) + eps) [* gamma]"},
    {"softmax", raise_softmax, "exp(x - max) / sum(exp(x - max)) over the last axis"},
    {"swiglu", raise_swiglu, "activation(gate) * up, of silu and gelu"},
    {"linear", raise_linear, "x W^T [+ bias], W a constant or a transposed operand"},
    {"residual", raise_residual,
     "x + linear(..), or x + y before a norm, as arith.addf: the form that checkpoints have"},
    {"rows", raise_rows, "reshapes behind the row-wise ops that they would part: linear(reshape(x)), sums, norms"},
    {"rope", raise_rope, "x * cos + rotate_half(x) * sin"},
    {"attention", raise_attention, "softmax(scale * q k^T [+ mask]) v, with grouped heads"},
    {0},
};

const rule *rule_find(const char *name, size_t len)
{
    for (const rule *r = RULES; r->name; r++)
        if (strlen(r->name) == len && !memcmp(r->name, name, len)) return r;
    return NULL;
}

// The op's own, or where it has none, as in the body of a named op, that of the op that it lies in.
static MlirLocation place_of(MlirOperation op)
{
    MlirLocation unknown = mlirLocationUnknownGet(mlirOperationGetContext(op)), place = mlirOperationGetLocation(op);
    for (; op.ptr && mlirLocationEqual(place, unknown); op = mlirOperationGetParentOperation(op))
        place = mlirOperationGetLocation(op);
    return place;
}

bool near_miss(matcher *m, const char *format, ...)
{
    if (!m->explain || (m->subject.ptr && mlirValueEqual(m->subject, m->noted))) return false;
    m->noted = m->subject;
    char reason[256];
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    buffer line = {0}, place = {0};
    print_location(place_of(m->root), &place);
    view where = buffer_view(&place);
    if (where.len && where.data[0] == '-') // text from memory has the name "-"
        buffer_printf(&line, "%s%s", m->file, where.data + 1);
    else
        buffer_append_view(&line, where);
    buffer_printf(&line, ": %s: %s\n", m->rule->name, reason);
    // the same reason for the same place is told once, however often the rule comes by
    if (!line.failed && !(m->explain->len && strstr(m->explain->data, line.data)))
        buffer_append_view(m->explain, buffer_view(&line));
    buffer_free(&line);
    buffer_free(&place);
    return false;
}

// ---- values that escape

static const char MARK[] = "wf.in_pattern"; // an attribute of marked ops, while a rule runs

static bool is_marked(MlirOperation op) { return op_attribute(op, MARK).ptr != NULL; }

// Whether v is computed from an input; marks the ops on the way. `steps` bounds the walk.
static bool mark_from(MlirValue v, int n_inputs, const MlirValue *inputs, int *steps)
{
    for (int i = 0; i < n_inputs; i++)
        if (mlirValueEqual(v, inputs[i])) return true;
    MlirOperation op = defining_op(v);
    if (!op.ptr || ++*steps > 256 || !float_bits_of(element_type_of(v))) return false;
    if (is_marked(op)) return true;
    bool found = false;
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); i++)
        found = mark_from(mlirOperationGetOperand(op, i), n_inputs, inputs, steps) || found;
    MlirAttribute unit = mlirUnitAttrGet(mlirOperationGetContext(op));
    if (found) mlirOperationSetAttributeByName(op, mlir_text(MARK), unit);
    return found;
}

void mark_pattern(matcher *m, MlirValue result, int n_inputs, const MlirValue *inputs)
{
    int steps = 0;
    if (m->explain) mark_from(result, n_inputs, inputs, &steps);
}

// The op of `block` that `op` is, or lies in; null op when it lies elsewhere.
static MlirOperation op_in_block(MlirOperation op, MlirBlock block)
{
    while (op.ptr && !mlirBlockEqual(mlirOperationGetBlock(op), block)) op = mlirOperationGetParentOperation(op);
    return op;
}

static bool is_used_outside(MlirOperation op)
{
    for (intptr_t i = 0; i < mlirOperationGetNumResults(op); i++) {
        MlirOpOperand use = mlirValueGetFirstUse(mlirOperationGetResult(op, i));
        for (; !mlirOpOperandIsNull(use); use = mlirOpOperandGetNextUse(use)) {
            MlirOperation user = op_in_block(mlirOpOperandGetOwner(use), mlirOperationGetBlock(op));
            if (!user.ptr || !is_marked(user)) return true;
        }
    }
    return false;
}

static void note_escape(MlirOperation op, void *context)
{
    matcher *m = context;
    if (!is_marked(op) || !is_used_outside(op)) return;
    m->root = op;
    m->subject = (MlirValue){0};
    near_miss(m, "a value inside the pattern is used elsewhere too: it stays, computed beside the op");
}

static void unmark(MlirOperation op, void *context)
{
    (void)context;
    mlirOperationRemoveAttributeByName(op, mlir_text(MARK));
}

// ---- running

// What nobody uses has been replaced already, or does not matter.
static bool is_live(MlirOperation op)
{
    for (intptr_t i = 0; i < mlirOperationGetNumResults(op); i++)
        if (!has_no_use(mlirOperationGetResult(op, i))) return true;
    return false;
}

static void offer(MlirOperation op, void *context)
{
    matcher *m = context;
    if (!is_live(op)) return;
    MlirOperation parent = mlirOperationGetParentOperation(op);
    if (parent.ptr && is_structured(parent, NULL) && !is_live(parent)) return;
    m->root = op;
    m->r = (reader){0};
    m->subject = (MlirValue){0};
    m->rule->match(m, op);
}

void rule_run(const rule *which, MlirOperation function, const char *file, buffer *explain)
{
    matcher m = {.rule = which, .file = file, .explain = explain};
    for_each_op(function, step_fold_sizes, NULL);
    erase_dead(function);
    for_each_op(function, offer, &m);
    erase_dead(function);
    if (!explain) return;
    for_each_op(function, note_escape, &m);
    for_each_op(function, unmark, NULL);
}
