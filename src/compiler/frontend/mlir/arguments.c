#include "compiler/frontend/mlir/arguments.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "compiler/dialect/wf.h"
#include "compiler/frontend/mlir/bind.h"
#include "compiler/mlir/text.h"

typedef char numbered_name[32];

static void write_number(uint32_t i, numbered_name name)
{
    snprintf(name, sizeof(numbered_name), "argument%" PRIu32, i);
}

// The attribute of an argument; null: there is none.
static MlirAttribute argument_attribute(MlirOperation function, uint32_t i, const char *name)
{
    MlirAttribute all = op_attribute(function, "arg_attrs");
    if (!all.ptr || !mlirAttributeIsAArray(all) || i >= mlirArrayAttrGetNumElements(all)) return (MlirAttribute){0};
    MlirAttribute own = mlirArrayAttrGetElement(all, i);
    return mlirAttributeIsADictionary(own) ? mlirDictionaryAttrGetElementByName(own, mlir_text(name))
                                           : (MlirAttribute){0};
}

static const char *read_name(MlirOperation function, uint32_t i, arena *memory)
{
    numbered_name number;
    MlirAttribute a = argument_attribute(function, i, "wf.name");
    if (a.ptr && mlirAttributeIsAString(a)) {
        MlirStringRef text = mlirStringAttrGetValue(a);
        if (text.length && !memchr(text.data, 0, text.length))
            return arena_strdup(memory, (view){text.data, text.length});
    }
    write_number(i, number);
    return arena_strdup(memory, view_of(number));
}

static bool is_named(const graph_argument *a, uint32_t i, const char *name)
{
    numbered_name number;
    write_number(i, number);
    return !strcmp(a->name, name) || !strcmp(number, name) || !strcmp(number + strlen("argument"), name);
}

typedef struct search {
    const char *name;
    bool found;
} search;

static void look_at(MlirOperation op, void *context)
{
    search *s = context;
    weight_op weight;
    s->found = s->found || (weight_read(op, &weight) && mlir_text_is(weight.name, s->name));
}

// A weight's values may be what a wf.weight of the function names.
static wf_status check_name(MlirOperation function, const function_options *o, const char *name, wf_error *err)
{
    search s = {.name = name};
    for_each_op(function, look_at, &s);
    if (s.found) return WF_OK;
    return error_set(err, WF_ERROR_USAGE, "%s: no argument of the function is called '%.80s'", o->name, name);
}

static wf_status declare(MlirOperation function, const function_options *o, const weight_argument *weight,
                         graph_argument *arguments, uint32_t n, wf_error *err)
{
    uint32_t i = 0;
    while (i < n && !is_named(&arguments[i], i, weight->name)) i++;
    if (i == n) return check_name(function, o, weight->name, err);
    if (arguments[i].kind != ARGUMENT_OF_CALL)
        return error_set(err, WF_ERROR_USAGE, "%s: argument %" PRIu32 " is given twice, as '%.80s' and as '%.80s'",
                         o->name, i, arguments[i].name, weight->name);
    arguments[i] = (graph_argument){weight->name, weight->lent ? ARGUMENT_LENT : ARGUMENT_PACKED, 0};
    return bind_argument(function, i, &weight->shape, weight->name, err);
}

// ---- donations

static wf_status refuse_donation(const function_options *o, uint32_t i, int64_t result, const char *reason,
                                 wf_error *err)
{
    return error_set(err, WF_ERROR_USAGE, "%s: argument %" PRIu32 " cannot be donated to result %" PRId64 ": %s",
                     o->name, i, result, reason);
}

static wf_status donate(MlirOperation function, const function_options *o, graph_argument *arguments, uint32_t n,
                        uint32_t i, int64_t result, wf_error *err)
{
    MlirBlock entry = function_body(function);
    MlirOperation end = mlirBlockGetTerminator(entry);
    if (result < 0 || result >= mlirOperationGetNumOperands(end))
        return refuse_donation(o, i, result, "there is no such result", err);
    if (arguments[i].kind != ARGUMENT_OF_CALL) return refuse_donation(o, i, result, "it is a weight", err);
    if (arguments[i].donates_to == (uint32_t)result + 1) return WF_OK;
    if (arguments[i].donates_to) return refuse_donation(o, i, result, "it is donated to another", err);
    for (uint32_t k = 0; k < n; k++)
        if (arguments[k].donates_to == (uint32_t)result + 1)
            return refuse_donation(o, i, result, "another argument is donated to it", err);
    MlirType from = mlirValueGetType(mlirBlockGetArgument(entry, i));
    if (!mlirTypeEqual(from, mlirValueGetType(mlirOperationGetOperand(end, result))))
        return refuse_donation(o, i, result, "they are of different types", err);
    arguments[i].donates_to = (uint32_t)result + 1;
    return WF_OK;
}

static wf_status read_donations(MlirOperation function, const function_options *o, graph_argument *arguments,
                                uint32_t n, wf_error *err)
{
    for (uint32_t d = 0; d < o->n_donations; d++) {
        uint32_t i = 0;
        while (i < n && !is_named(&arguments[i], i, o->donations[d].argument)) i++;
        if (i == n)
            return error_set(err, WF_ERROR_USAGE, "%s: no argument of the function is called '%.80s'", o->name,
                             o->donations[d].argument);
        TRY(donate(function, o, arguments, n, i, o->donations[d].result, err));
    }
    for (uint32_t i = 0; i < n; i++) {
        MlirAttribute a = argument_attribute(function, i, "tf.aliasing_output");
        if (!a.ptr || !mlirAttributeIsAInteger(a)) continue;
        TRY(donate(function, o, arguments, n, i, mlirIntegerAttrGetValueInt(a), err));
    }
    return WF_OK;
}

wf_status arguments_read(MlirOperation function, const function_options *options, arena *memory,
                         graph_argument **arguments, uint32_t *n, wf_error *err)
{
    uint32_t n_all = (uint32_t)mlirBlockGetNumArguments(function_body(function));
    graph_argument *all = arena_alloc(memory, (size_t)n_all + 1, sizeof *all);
    if (!all) return error_memory(err, n_all * sizeof *all);
    for (uint32_t i = 0; i < n_all; i++) {
        all[i] = (graph_argument){read_name(function, i, memory), ARGUMENT_OF_CALL, 0};
        if (!all[i].name) return error_memory(err, 0);
    }
    for (uint32_t w = 0; w < options->n_weights; w++)
        TRY(declare(function, options, &options->weights[w], all, n_all, err));
    TRY(read_donations(function, options, all, n_all, err));
    *arguments = all;
    *n = n_all;
    return WF_OK;
}
