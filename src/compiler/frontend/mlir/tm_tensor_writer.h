// Writes what tm_tensor's ops mean as MLIR text: of a function whose arguments are the operands of the op.
#ifndef WELFORD_COMPILER_FRONTEND_MLIR_TM_TENSOR_WRITER_H
#define WELFORD_COMPILER_FRONTEND_MLIR_TM_TENSOR_WRITER_H

#include "base/buffer.h"
#include "compiler/mlir/build.h"

typedef struct writer {
    buffer text;
    MlirOperation op;
} writer;

// False where the op's form has no meaning.
typedef bool write_meaning(writer *w);

typedef struct type_name {
    char s[16];
} type_name;

typedef struct argument_name {
    char s[16];
} argument_name;

MlirValue operand_of(const writer *w, int i);            // operand i, %arg<i> in the text
argument_name argument_of(const writer *w, MlirValue v); // of the operand v
type_name type_name_of(MlirType t);                      // "f32"
void print_type(MlirValue v, char out[256]);             // "tensor<2x3xf32>"
int64_t count_sizes(MlirValue v, int from, int to);      // of its sizes [from, to)
const char *lowest_number(const char *element);          // as MLIR writes it

// A reshape of `from` to other dimensions, "2x3x".
void write_reshape(writer *w, const char *to, const char *from, const char *from_type, const char *dims,
                   const char *element);
// Operand v in other dimensions.
void write_operand(writer *w, MlirValue v, const char *name, const char *dims);
// %to = a new tensor filled with a number.
void write_fill(writer *w, const char *to, const char *number, const char *element, const char *type);

#endif
