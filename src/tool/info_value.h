// Values of metadata as `welford info` shows them. Strings are of unknown content: invalid UTF-8 becomes U+FFFD,
// control characters are escaped. Long texts and arrays are abbreviated.
#ifndef WELFORD_TOOL_INFO_VALUE_H
#define WELFORD_TOOL_INFO_VALUE_H

#include <stdbool.h>

#include "format/metadata.h"

const char *value_type_name(metadata_type type);

// Prints the text up to about `limit` bytes, with JSON's escapes; `quotes` escapes '"' and '\' too.
void print_escaped(view text, size_t limit, bool quotes);
void print_text_string(view text);
void print_value(const metadata_value *value, bool json);

#endif
