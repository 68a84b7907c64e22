// Formatting of values, for the operator % (jinja_percent.c) and str.format (jinja_format.c).
#ifndef WELFORD_TEXT_JINJA_JINJA_FORMAT_H
#define WELFORD_TEXT_JINJA_JINJA_FORMAT_H

#include "text/jinja/jinja_internal.h"

enum { FORMAT_MAX_WIDTH = 1000000 };

typedef struct format_spec {
    uint32_t fill;  // 0: a space
    char align;     // < > ^ =; 0: as the type has it
    char sign;      // + or a space; else 0
    bool alternate; // #
    int64_t width;
    char grouping;     // , or _; else 0
    int64_t precision; // -1: none
    char type;         // 0: none
} format_spec;

void jinja_format_value(jinja_run *r, jinja_text *t, const format_spec *spec, jinja_value v);
void jinja_ascii(jinja_run *r, jinja_text *t, jinja_value v); // Python's ascii()

// str.format and str.format_map: `named` has the values of names.
jinja_value jinja_format_braces(jinja_run *r, const jinja_string *format, const jinja_args *args);

#endif
