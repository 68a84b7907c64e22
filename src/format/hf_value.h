// Metadata values that a Hugging Face folder becomes, copied into the checkpoint's memory.
#ifndef WELFORD_FORMAT_HF_VALUE_H
#define WELFORD_FORMAT_HF_VALUE_H

#include "format/checkpoint.h"

wf_status hf_add_string(checkpoint *file, const char *key, view text, wf_error *err);
wf_status hf_add_int(checkpoint *file, const char *key, int64_t number, wf_error *err);
wf_status hf_add_float(checkpoint *file, const char *key, double number, wf_error *err);
wf_status hf_add_bool(checkpoint *file, const char *key, bool value, wf_error *err);
// The arrays belong to the file's memory already.
wf_status hf_add_strings(checkpoint *file, const char *key, const view *strings, size_t count, wf_error *err);
wf_status hf_add_array(checkpoint *file, const char *key, metadata_type type, const void *items, size_t count,
                       wf_error *err);

#endif
