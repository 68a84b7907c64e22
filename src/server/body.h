// The body of a request: JSON in, checked values out, and errors that name the field.
#ifndef WELFORD_SERVER_BODY_H
#define WELFORD_SERVER_BODY_H

#include <jansson.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/view.h"
#include "server/api_error.h"

// Objects and arrays inside each other. jansson's parser recurses, 64 bytes of stack a level or so; JSON schemas of
// tools need about 20.
enum { BODY_MAX_DEPTH = 64 };

// NULL after an error: not JSON, not an object, or too deep. The caller json_decrefs it.
json_t *body_parse(view text, api_error *err);

// Reads the fields of an object. The first error stays in `err`, and what is read after it does not count: a reader of
// many fields asks once, at its end. A field that is missing or null has its default.
typedef struct fields {
    const json_t *object;
    const char *prefix; // of names in messages: "options."; "": none
    api_error *err;
} fields;

const json_t *field_find(const fields *f, const char *name); // NULL: missing or null
double field_number(const fields *f, const char *name, double min, double max, double missing);
int64_t field_integer(const fields *f, const char *name, int64_t min, int64_t max, int64_t missing);
bool field_bool(const fields *f, const char *name, bool missing);
const char *field_string(const fields *f, const char *name, const char *missing); // owned by the object
const json_t *field_object(const fields *f, const char *name);                    // NULL: missing
const json_t *field_array(const fields *f, const char *name);
// For what welford cannot do: an error unless the field is missing, or has a value that asks for nothing (false, 0, "",
// an empty array or object).
void field_refuse(const fields *f, const char *name);
bool field_fail(const fields *f, const char *name, const char *message);

// ---- JSON out

// Appends a value, compact, and lets go of it. NULL: memory is out, and out->failed says so.
void json_take(buffer *out, json_t *value);
// A string of bytes that should be UTF-8; what is not becomes "".
json_t *json_text_of(view text);

#endif
