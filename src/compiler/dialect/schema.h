// The declaration of an op: one row a field of its struct, from which all else follows: its declaration to MLIR, how it
// is read, written and checked, and its line in the reference.
#ifndef WELFORD_COMPILER_DIALECT_SCHEMA_H
#define WELFORD_COMPILER_DIALECT_SCHEMA_H

#include <stddef.h>

#include "base/buffer.h"
#include "compiler/dialect/wf.h"

typedef enum field_kind { // and what the struct holds
    FIELD_OPERAND,        // MlirValue
    FIELD_RESULT,         // op_result
    FIELD_INT,            // int64_t
    FIELD_FLOAT,          // double
    FIELD_BOOL,           // bool
    FIELD_WORD,           // int: 1 + index into words, 0 when absent
    FIELD_TEXT,           // MlirStringRef
    FIELD_TYPE,           // MlirType
} field_kind;

typedef enum field_presence {
    REQUIRED,
    OPTIONAL, // left out when written as absent
    SHOWN,    // may be absent, but is always written
} field_presence;

typedef struct field {
    const char *name;
    field_kind kind;
    field_presence presence;
    size_t at;                // in the struct
    int64_t absent;           // what a number is when it is absent
    const char *const *words; // ends with NULL
} field;

// Operands first, then results, then attributes.
typedef struct op_schema {
    const char *name; // without "wf."
    size_t size;      // of the struct
    const field *fields;
    int n_fields;
    wf_status (*verify)(const void *parts, wf_error *err); // WF_ERROR_FORMAT with the reason
} op_schema;

// A row: the struct and its member, the field's name, kind (without FIELD_) and presence; what more there is.
#define FIELD_WITH(T, member, text, which, when, ...)                                                                  \
    {.name = (text), .kind = FIELD_##which, .presence = (when), .at = offsetof(T, member), __VA_ARGS__}
#define FIELD(T, member, text, which, when) FIELD_WITH(T, member, text, which, when, .absent = 0)
#define FIELDS(list) (list), (int)(sizeof(list) / sizeof *(list))

// The schemas of each family, in the order of the reference; their lists end with a null name.
extern const op_schema NORM_OPS[], LINEAR_OPS[], ATTENTION_OPS[], ROPE_OPS[], ROW_OPS[];

bool schema_is(const op_schema *s, MlirOperation op);
bool schema_read(const op_schema *s, MlirOperation op, void *parts); // false when op is another
// Fills in the values of the results; returns the last.
MlirValue schema_write(const op_schema *s, op_builder *b, void *parts);
wf_status schema_verify(const op_schema *s, MlirOperation op, wf_error *err);
void schema_declare(const op_schema *s, buffer *irdl);
void schema_list(const op_schema *s, buffer *out);

// X_read and X_write of the op with schema S, whose struct is X_op.
#define DEFINE_ACCESS(X, S)                                                                                            \
    bool X##_read(MlirOperation op, X##_op *parts) { return schema_read((S), op, parts); }                             \
    MlirValue X##_write(op_builder *b, X##_op *parts) { return schema_write((S), b, parts); }

// ---- what verifiers share

// Returns from a verifier with the reason.
#define REJECT(...) return error_set(err, WF_ERROR_FORMAT, __VA_ARGS__)

static inline bool sizes_agree(int64_t a, int64_t b) { return a < 0 || b < 0 || a == b; } // below 0: not known

// "x has ...": that a value is a tensor of known rank with float elements; quantised activations too, where `q8`.
wf_status verify_floats(MlirValue v, const char *name, bool q8, wf_error *err);
// That two values have the same shape, as far as it is known.
wf_status verify_same_shape(MlirValue a, const char *a_name, MlirValue b, const char *b_name, wf_error *err);
// That a number is finite.
wf_status verify_finite(double x, const char *name, wf_error *err);
// Elements of the axes [from, to) of a value; -1 where that is not known, or too many to count.
int64_t count_elements_of(MlirValue v, int from, int to);
int64_t last_size(MlirValue v);

#endif
