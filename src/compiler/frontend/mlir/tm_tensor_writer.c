#include "compiler/frontend/mlir/tm_tensor_writer.h"

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

// %to = a new tensor filled with a number.
void write_fill(writer *w, const char *to, const char *number, const char *element, const char *type)
{
    buffer_printf(&w->text, "  %s_e = tensor.empty() : %s\n  %s_c = arith.constant %s : %s\n", to, type, to, number,
                  element);
    buffer_printf(&w->text, "  %s = linalg.fill ins(%s_c : %s) outs(%s_e : %s) -> %s\n", to, to, element, to, type,
                  type);
}

const char *lowest_number(const char *element) { return strcmp(element, "f64") ? "0xFF800000" : "0xFFF0000000000000"; }
