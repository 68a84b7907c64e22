// Writes the text of definitions (decompose.h).
#include "compiler/dialect/definition/definition.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "compiler/mlir/text.h"

type_name type_name_of(MlirType t)
{
    buffer text = {0};
    type_name name;
    mlirTypePrint(t, append_text, &text);
    snprintf(name.s, sizeof name.s, "%s", buffer_view(&text).data);
    buffer_free(&text);
    return name;
}

int64_t count_sizes(MlirValue v, int from, int to)
{
    int64_t n = 1;
    for (int d = from; d < to; d++) n *= dim_of(v, d);
    return n;
}

// f32, or f64 for f64.
const char *wide_type(type_name t) { return strcmp(t.s, "f64") ? "f32" : "f64"; }

// Within a body: `to` = `from` in another float type.
void write_cast(writer *w, const char *to, const char *from, const char *old, const char *new)
{
    MlirContext ctx = mlirOperationGetContext(w->op);
    unsigned a = mlirFloatTypeGetWidth(mlirTypeParseGet(ctx, mlir_text(old))),
             b = mlirFloatTypeGetWidth(mlirTypeParseGet(ctx, mlir_text(new)));
    if (!strcmp(old, new)) // x + (-0) is x
        buffer_printf(&w->text, "      %s_0 = arith.constant -0.0 : %s\n      %s = arith.addf %s, %s_0 : %s\n", to, new,
                      to, from, to, new);
    else
        buffer_printf(&w->text, "      %s = arith.%s %s : %s to %s\n", to, a < b ? "extf" : "truncf", from, old, new);
}

// A reshape of `from` to other dimensions.
void write_reshape(writer *w, const char *to, const char *from, const char *from_type, const char *dims,
                   const char *element)
{
    char list[128];
    int rank = 0;
    size_t len = 0;
    for (const char *p = dims; *p; p++) { // "2x3x" becomes "2, 3"
        if (*p != 'x')
            list[len++] = *p;
        else if (rank++, p[1])
            len += (size_t)snprintf(list + len, sizeof list - len, ", ");
        if (len + 3 > sizeof list) break;
    }
    list[len] = 0;
    buffer_printf(&w->text, "  %s_s = arith.constant dense<[%s]> : tensor<%dxi64>\n", to, list, rank);
    buffer_printf(&w->text, "  %s = tensor.reshape %s(%s_s) : (%s, tensor<%dxi64>) -> tensor<%s%s>\n", to, from, to,
                  from_type, rank, dims, element);
}

// "tensor<2x3xf32>"
void print_type(MlirValue v, char out[256])
{
    buffer text = {0};
    mlirTypePrint(mlirValueGetType(v), append_text, &text);
    snprintf(out, 256, "%s", buffer_view(&text).data);
    buffer_free(&text);
}

MlirValue operand_of(const writer *w, int i) { return mlirOperationGetOperand(w->op, i); }
MlirValue result_of(const writer *w) { return mlirOperationGetResult(w->op, 0); }

argument_name argument_of(const writer *w, MlirValue v)
{
    argument_name name;
    intptr_t i = 0, n = mlirOperationGetNumOperands(w->op);
    while (i < n && !mlirValueEqual(mlirOperationGetOperand(w->op, i), v)) i++;
    snprintf(name.s, sizeof name.s, "%%arg%d", (int)i);
    return name;
}

void write_operand(writer *w, MlirValue v, const char *name, const char *dims)
{
    char type[256];
    print_type(v, type);
    write_reshape(w, name, argument_of(w, v).s, type, dims, type_name_of(element_type_of(v)).s);
}

void write_return(writer *w, const char *value, const char *dims)
{
    type_name y = type_name_of(element_type_of(result_of(w)));
    char from[256], type[256], out[256] = "";
    size_t len = 0;
    snprintf(from, sizeof from, "tensor<%s%s>", dims, y.s);
    print_type(result_of(w), type);
    for (int d = 0; d < rank_of(result_of(w)); d++)
        len += (size_t)snprintf(out + len, sizeof out - len, "%" PRId64 "x", dim_of(result_of(w), d));
    write_reshape(w, "%result", value, from, out, y.s);
    buffer_printf(&w->text, "  return %%result : %s\n", type);
}

// A result of linalg.generic, up to its body: %to = generic(ins) over `loops`, reducing where the iterator says so.
void write_generic(writer *w, const char *to, const char *maps, const char *iterators, const char *ins,
                   const char *in_types, const char *init, const char *type)
{
    buffer_printf(&w->text,
                  "  %s = linalg.generic {indexing_maps = [%s], iterator_types = [%s]} ins(%s : %s) outs(%s : %s) {\n",
                  to, maps, iterators, ins, in_types, init, type);
}

void write_yield(writer *w, const char *value, const char *element, const char *type)
{
    buffer_printf(&w->text, "      linalg.yield %s : %s\n  } -> %s\n", value, element, type);
}

// %to = a new tensor filled with a number.
void write_fill(writer *w, const char *to, const char *number, const char *element, const char *type)
{
    buffer_printf(&w->text, "  %s_e = tensor.empty() : %s\n  %s_c = arith.constant %s : %s\n", to, type, to, number,
                  element);
    buffer_printf(&w->text, "  %s = linalg.fill ins(%s_c : %s) outs(%s_e : %s) -> %s\n", to, to, element, to, type,
                  type);
}

const char *lowest_number(const char *element) { return strcmp(element, "f64") ? "0xFF800000" : "0xFFF0000000000000"; }

// "affine_map<(d0, d1) -> (d0, 0)>": 0 where `sizes`, if given, has 1.
static void print_map(char out[256], int rank, const int64_t *sizes)
{
    strcpy(out, "affine_map<(");
    for (int i = 0; i < rank; i++) sprintf(out + strlen(out), "%sd%d", i ? ", " : "", i);
    strcat(out, ") -> (");
    for (int i = 0; i < rank; i++)
        sprintf(out + strlen(out), sizes && sizes[i] == 1 ? "%s0" : "%sd%d", i ? ", " : "", i);
    strcat(out, ")>");
}

static void write_elementwise_cast(writer *w, const char *to, const char *from, int rank, const int64_t *from_sizes,
                                   const char *from_type, const char *type, const char *old, const char *new)
{
    char map[256], identity[256], maps[520], iterators[128] = "", init[32];
    print_map(map, rank, from_sizes);
    print_map(identity, rank, NULL);
    snprintf(maps, sizeof maps, "%s, %s", map, identity);
    for (int i = 0; i < rank; i++) sprintf(iterators + strlen(iterators), "%s\"parallel\"", i ? ", " : "");
    snprintf(init, sizeof init, "%s_e", to);
    buffer_printf(&w->text, "  %s = tensor.empty() : %s\n", init, type);
    write_generic(w, to, maps, iterators, from, from_type, init, type);
    buffer_printf(&w->text, "    ^bb0(%%a: %s, %%out: %s):\n", old, new);
    write_cast(w, "%v", "%a", old, new);
    write_yield(w, "%v", new, type);
}

static void print_sizes(char out[256], int rank, const int64_t *sizes, const char *element)
{
    strcpy(out, "tensor<");
    for (int i = 0; i < rank; i++) sprintf(out + strlen(out), "%" PRId64 "x", sizes[i]);
    sprintf(out + strlen(out), "%s>", element);
}

void write_spread(writer *w, const char *to, const char *from, int rank, const int64_t *from_sizes,
                  const int64_t *sizes, const char *old, const char *new)
{
    char from_type[256], type[256];
    print_sizes(from_type, rank, from_sizes, old);
    print_sizes(type, rank, sizes, new);
    write_elementwise_cast(w, to, from, rank, from_sizes, from_type, type, old, new);
}

// %<to> [dims] = %<from> in another element type.
void write_convert(writer *w, const char *to, const char *from, const char *dims, const char *old, const char *new)
{
    char from_type[160], type[160];
    snprintf(from_type, sizeof from_type, "tensor<%s%s>", dims, old);
    snprintf(type, sizeof type, "tensor<%s%s>", dims, new);
    int rank = 0;
    for (const char *p = dims; *p; p++) rank += *p == 'x';
    write_elementwise_cast(w, to, from, rank, NULL, from_type, type, old, new);
}
