// Tables of methods, by the kind of their object.
#ifndef WELFORD_TEXT_JINJA_JINJA_METHOD_H
#define WELFORD_TEXT_JINJA_JINJA_METHOD_H

#include "text/jinja/jinja_internal.h"

#define METHOD(name) static jinja_value name(jinja_run *r, jinja_value self, const jinja_args *args)

typedef struct jinja_method_row {
    const char *name;
    jinja_value (*call)(jinja_run *r, jinja_value self, const jinja_args *args);
    const char *parameters; // jinja_check_args
} jinja_method_row;

extern const jinja_method_row jinja_string_methods[], jinja_text_methods[]; // both of strings

// What Python has and the sandbox or welford refuses.
jinja_value jinja_no_method(jinja_run *r, jinja_value self, const jinja_args *args);

#endif
