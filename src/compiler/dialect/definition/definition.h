// The definition of an op, from wf.mlir (decompose.h), made to fit: its function is copied, takes the op's operands,
// its attributes as constants, the op's types and sizes, and the functions that it calls.
#ifndef WELFORD_COMPILER_DIALECT_DEFINITION_DEFINITION_H
#define WELFORD_COMPILER_DIALECT_DEFINITION_DEFINITION_H

#include "compiler/dialect/context.h"
#include "compiler/dialect/wf.h"

enum { DEFINITION_MAX_ARGUMENTS = 12, DEFINITION_MAX_RANK = 16, DEFINITION_MAX_CALLS = 3 };

// What goes into a function, in the order of its arguments.
typedef struct definition {
    op_builder b;                                  // before the op that is replaced
    MlirModule library;                            // wf.mlir
    const char *name;                              // of the function
    MlirValue arguments[DEFINITION_MAX_ARGUMENTS]; // null: left out
    int n_arguments;
    MlirType y;       // the element type of the result
    MlirType wide;    // what is computed in
    MlirType rounded; // null: nothing is rounded in between
    struct {
        const char *name, *is; // calls of the one function are calls of the other
    } calls[DEFINITION_MAX_CALLS];
    int n_calls;
    bool failed; // an operand does not fit, or has sizes that are not known where they have to be
} definition;

// A definition of the op: computes in f64 when the values of type x are f64, else in f32.
definition definition_of(MlirOperation op, MlirModule library, const char *name, MlirType x, MlirType y);

// The next argument: an operand, seen with other dimensions of as many elements (-1: not known); null is left out.
void definition_operand(definition *d, MlirValue v, int rank, const int64_t *dims);
void definition_value(definition *d, MlirValue v);
void definition_float(definition *d, double x); // of the type that is computed in
void definition_index(definition *d, int64_t n);
void definition_bool(definition *d, bool yes);

void definition_call(definition *d, const char *name, const char *is);

// The result of the function for these arguments, computed before the op: null when the definition has failed.
MlirValue definition_build(definition *d);

// v with other dimensions of as many elements. Sizes that are not known (-1) may be in what is seen as rows alone:
// [.., c], to another [.., c]. `like` tells those of the result; null: there are none but the first. Null: cannot be.
MlirValue reshape(op_builder *b, MlirValue v, int rank, const int64_t *dims, MlirValue like);

#endif
