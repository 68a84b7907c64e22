#include "compiler/raise/raise.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "compiler/codegen/context.h"

const rule RULES[] = {
    {"layer_norm", raise_layer_norm, "(x - mean) / sqrt(variance + eps) [* gamma [+ beta]]"},
    {"rms_norm", raise_rms_norm, "x / sqrt(mean(x^2) + eps) [* gamma]"},
    {"softmax", raise_softmax, "exp(x - max) / sum(exp(x - max)) over the last axis"},
    {"swiglu", raise_swiglu, "gate * sigmoid(gate) * up"},
    {"linear", raise_linear, "x W^T [+ bias], W a constant or a transposed operand"},
    {"residual", raise_residual, "x + linear(..), of one type, as arith.addf: the form that checkpoints have"},
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

bool near_miss(matcher *m, const char *format, ...)
{
    if (!m->explain) return false;
    char reason[256];
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    buffer line = {0}, place = {0};
    print_location(mlirOperationGetLocation(m->root), &place);
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
    m->rule->match(m, op);
}

void rule_run(const rule *which, MlirOperation function, const char *file, buffer *explain)
{
    matcher m = {.rule = which, .file = file, .explain = explain};
    for_each_op(function, offer, &m);
    wf_erase_dead(function);
}
