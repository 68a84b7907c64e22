// JSON text as a tree of jansson's values, read as Python's json module reads it: numbers of any size, NaN and
// Infinity, NUL in strings and names. A byte order mark is skipped.
#ifndef WELFORD_FORMAT_JSON_READ_H
#define WELFORD_FORMAT_JSON_READ_H

#include <jansson.h>

#include "base/buffer.h"
#include "base/status.h"
#include "base/view.h"

typedef enum json_rules {
    JSON_RULES_PYTHON, // of a name that an object has twice, the last value counts
    JSON_RULES_STRICT, // names that occur twice or hold NUL are errors, as safetensors has it
} json_rules;

// WF_ERROR_FORMAT: "name: line N: reason". *root: json_decref it.
wf_status json_read(view text, const char *name, json_rules rules, json_t **root, wf_error *err);

// A number that neither int64_t nor a finite double holds: *text is its digits, or "NaN", "Infinity", "-Infinity".
// jansson has no such value: it stands in the tree as an object with one member, that text, so it is neither a number
// nor a string to readers who do not ask here.
bool json_is_wide(const json_t *value, view *text);

// A string without NUL, as names and paths are; NULL for all else.
const char *json_name_of(const json_t *value);

// Gives `object` the members of `from` that it lacks. False: memory is out, of which json_object_update_missing and
// json_copy say nothing.
bool json_add_missing(json_t *object, const json_t *from);

// Appends the value as text; `flags` are jansson's. out->failed: memory is out. (json_dumps leaves out a quote when
// memory ends just there, and says nothing.)
void json_append(const json_t *value, size_t flags, buffer *out);

// The value as a double: a JSON number of any size, infinite where it is beyond a double. False: no number.
bool json_number_of(const json_t *value, double *number);

#endif
