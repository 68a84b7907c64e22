// What the readers of config.json share: the file's fields, and the checkpoint that their values go into as keys
// "ARCH.suffix".
#ifndef WELFORD_FORMAT_HF_READER_H
#define WELFORD_FORMAT_HF_READER_H

#include "format/hf.h"

enum { HF_MAX_TOKENS = 1 << 24 };

typedef struct hf_reader {
    json_fields f;
    checkpoint *file;
    const hf_architecture *arch;
    int64_t n_layer, n_heads, head_dim, n_ctx;
} hf_reader;

const char *hf_reader_key(char key[96], const hf_reader *r, const char *suffix);
wf_status hf_reader_add_int(const hf_reader *r, const char *suffix, int64_t value);
wf_status hf_reader_add_float(const hf_reader *r, const char *suffix, double value);
wf_status hf_reader_add_bool(const hf_reader *r, const char *suffix, bool value);
// Adds the number in `name`, where there is one.
wf_status hf_reader_copy_float(const hf_reader *r, const json_fields *f, const char *name, const char *suffix);

// WF_ERROR_UNSUPPORTED for the first field that is neither read nor known to change nothing (hf_field.c).
wf_status hf_refuse_fields(const json_fields *f);
bool hf_is_off(const char *name, const json_t *value); // null, false, empty, 0, or 1 for a factor
bool hf_is_listed(const char *name, const char *const *list, size_t n);

// The rotation: rope_theta, rope_scaling, rope_parameters and their relatives (hf_rope.c).
wf_status hf_read_rope(const hf_reader *r);

#endif
