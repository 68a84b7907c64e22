// Tables for people, of an array of JSON objects that --json prints.
#ifndef WELFORD_TOOL_JSON_TABLE_H
#define WELFORD_TOOL_JSON_TABLE_H

#include <jansson.h>
#include <stddef.h>

// A field's text; `otherwise` when it is missing or null.
const char *json_text(const json_t *object, const char *field, const char *otherwise);

// Of the longest text of a field in an array of objects, `width` at least.
int json_width(const json_t *objects, const char *field, size_t width);

#endif
