// What `welford info` says of a checkpoint: its sum, as text (info.c) or JSON (info_json.c).
#ifndef WELFORD_TOOL_INFO_SUMMARY_H
#define WELFORD_TOOL_INFO_SUMMARY_H

#include "format/bundle.h"
#include "format/checkpoint.h"

enum { INFO_TYPE_LIMIT = 64 }; // above every known tensor type

typedef struct info_summary {
    uint64_t parameters, data_bytes;       // of all tensors; saturated
    uint64_t end;                          // file offset of the last tensor's end, if there is one file
    uint64_t type_counts[INFO_TYPE_LIMIT]; // tensors of each type
    size_t file_bytes;
    const bundle *ahead;   // of a .wf file; else NULL
    bool is_checked;       // it says what it is, and is whole: what follows is known
    wf_error refusal;      // WF_OK: it can be run
    wf_error chat_refusal; // WF_OK: its chat template, if there is one, can be used
} info_summary;

info_summary info_summarise(const checkpoint *file, const bundle *ahead);
double info_bits_per_weight(const info_summary *s);

// The value of a string key, or an empty view when it is absent or of another type.
view info_find_string(const checkpoint *file, const char *key);
// "ARCHITECTURE.context_length"; 0 when absent.
int64_t info_find_context(const checkpoint *file);
uint64_t info_count_tokens(const checkpoint *file);

// [rows, columns]: the file's dimensions in reverse, the contiguous one last.
void info_format_shape(const checkpoint_tensor *t, char *text, size_t bytes);

void info_print_json(const checkpoint *file, const info_summary *s, bool tensors);

#endif
