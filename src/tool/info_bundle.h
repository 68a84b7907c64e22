// What `welford info` shows of .wf files beside their metadata. Nothing of a file is run for it.
#ifndef WELFORD_TOOL_INFO_BUNDLE_H
#define WELFORD_TOOL_INFO_BUNDLE_H

#include "base/status.h"
#include "format/bundle.h"

// "134.5 M" of 134515008, in steps of 1000.
void print_scaled(uint64_t number, const char *unit);

// Lines "programs" and "weights", and the same as a JSON field "compiled".
void print_bundle(const bundle *b);
void print_json_bundle(const bundle *b);

// All of a file that holds a function.
wf_status info_print_function(const bundle *b, bool json, wf_error *err);

#endif
