// Kinds of kernels. A kind is a row: its name and a line of help, the parameters that change its code, and the function
// that builds it. The registry of them all is compiler/registry.h.
//
// A kernel's name is written from all of these parameters: two kernels are one exactly where their names are equal. A
// kind whose parameters are no plain fields (loop nests) has a key in their place, and numbers for names.
#ifndef WELFORD_COMPILER_KERNEL_KERNELS_H
#define WELFORD_COMPILER_KERNEL_KERNELS_H

#include <stddef.h>

#include "base/buffer.h"
#include "compiler/kernel/builder.h"

// How a parameter is written: after its label, and not at all where it is 0, false or an empty text.
typedef enum kernel_field_form {
    FIELD_INT,  // int64_t
    FIELD_BOOL, // the label alone
    FIELD_TEXT, // an enum, by its text
    FIELD_F64,  // double: its bits, in hex
} kernel_field_form;

typedef struct kernel_field {
    const char *label;
    size_t offset, bytes;
    kernel_field_form form;
    const char *(*text)(int value); // of FIELD_TEXT; NULL: it is none of the values
} kernel_field;

#define KERNEL_FIELD(params, member, form, label)                                                                      \
    {label, offsetof(params, member), sizeof(((params *)0)->member), form, NULL}
#define KERNEL_TEXT(params, member, text, label)                                                                       \
    {label, offsetof(params, member), sizeof(((params *)0)->member), FIELD_TEXT, text}

// Builds a kernel of this name; `params` is the struct of its kind.
typedef void kernel_build_fn(builder *b, const void *params, const char *name);

typedef struct kernel_kind {
    const char *name; // how full names begin
    const char *file; // under src/compiler; where it is built and described
    const char *help; // one line
    kernel_build_fn *build;
    size_t params_bytes;
    const kernel_field *fields; // in the order of the name
    size_t n_fields;
    bool ignores_others; // the code does not depend on the rest of the parameters; false: there is no rest
    // Appends what the code depends on; false where no other call may share the kernel. NULL: the name tells it.
    bool (*write_key)(const void *params, buffer *key);
} kernel_kind;

// Appends the name of the kernel with these parameters.
void kernel_write_name(const kernel_kind *kind, const void *params, buffer *name);

#endif
