// What definitions of ops are written with (decompose.h): MLIR text of a function whose arguments are the operands of
// the op, for the sizes and types at hand. Arithmetic is f32 for 16-bit floats, rounded where the op says so.
//
// Tensors are seen as a few fixed axes first: rows [r, c] for what works along the last axes; [b, t, h, ..] for heads.
#ifndef WELFORD_COMPILER_DIALECT_DEFINITION_DEFINITION_H
#define WELFORD_COMPILER_DIALECT_DEFINITION_DEFINITION_H

#include "base/buffer.h"
#include "compiler/dialect/wf.h"

typedef struct writer {
    buffer text;
    MlirOperation op;
} writer;

// A definition: false where the op's form has none.
typedef bool definition(writer *w);

typedef struct type_name {
    char s[16];
} type_name;

typedef struct argument_name {
    char s[16];
} argument_name;

MlirValue operand_of(const writer *w, int i);            // operand i, %arg<i> in the text
argument_name argument_of(const writer *w, MlirValue v); // of the operand v
MlirValue result_of(const writer *w);
type_name type_name_of(MlirType t);                 // "f32"
const char *wide_type(type_name t);                 // f32, or f64 for f64
void print_type(MlirValue v, char out[256]);        // "tensor<2x3xf32>"
int64_t count_sizes(MlirValue v, int from, int to); // of its sizes [from, to)
const char *lowest_number(const char *element);     // as MLIR writes it

// Within a body: `to` = `from` in another float type.
void write_cast(writer *w, const char *to, const char *from, const char *old, const char *new);
// A reshape of `from` to other dimensions, "2x3x".
void write_reshape(writer *w, const char *to, const char *from, const char *from_type, const char *dims,
                   const char *element);
// Reshapes the operand v to %<name>, of dimensions `dims`, "2x3x".
void write_operand(writer *w, MlirValue v, const char *name, const char *dims);
// Returns `value`, of dimensions `dims`, in the op's type.
void write_return(writer *w, const char *value, const char *dims);
// linalg.generic up to its body, and the end of its body.
void write_generic(writer *w, const char *to, const char *maps, const char *iterators, const char *ins,
                   const char *in_types, const char *init, const char *type);
void write_yield(writer *w, const char *value, const char *element, const char *type);
// %to = a new tensor filled with a number.
void write_fill(writer *w, const char *to, const char *number, const char *element, const char *type);
// %to [dims] = %from in another element type.
void write_convert(writer *w, const char *to, const char *from, const char *dims, const char *old, const char *new);

// %to, of `rank` sizes, = %from repeated along axes where its size is 1, in another element type.
void write_spread(writer *w, const char *to, const char *from, int rank, const int64_t *from_sizes,
                  const int64_t *sizes, const char *old, const char *new);

// ---- rows [r, c] of the last axes

typedef struct rows {
    int64_t rows, cols;
    char dims[64], matrix[112], stats[64]; // "2x3x", "tensor<2x3xf16>", "tensor<2xf32>"
    type_name x, y;
    const char *w; // the type to compute in
} rows;

#define ROW_MAPS "affine_map<(d0, d1) -> (d0, d1)>"
#define ROW_STAT "affine_map<(d0, d1) -> (d0)>"
#define ROW_VECTOR "affine_map<(d0, d1) -> (d1)>"
#define REDUCE_ROWS "\"parallel\", \"reduction\""
#define ALL_ROWS "\"parallel\", \"parallel\""

// The operand x as %x; rows are its last `axes` axes.
rows see_rows(writer *w, MlirValue x, int axes);
// %<to> = softmax of the rows of %<from>, both [r, c] of type `e`; rows of -inf give zeros where asked for.
// %<sink> [r] joins the sum of each row; NULL: none.
void write_row_softmax(writer *w, const char *from, const char *to, int64_t n_rows, int64_t n_cols, const char *e,
                       bool zero_masked, const char *sink);

// ---- the definitions

definition define_norm, define_softmax, define_glu, define_linear; // define_rows.c
definition define_rope, define_attention;                          // define_attention.c
definition define_scatter, define_insert, define_extract_slice, define_insert_slice, define_bitcast,
    define_linalg_softmax; // define_tensor.c

#endif
