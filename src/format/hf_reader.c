#include "format/hf_reader.h"

#include <stdio.h>

#include "format/hf_value.h"

const char *hf_reader_key(char key[96], const hf_reader *r, const char *suffix)
{
    snprintf(key, 96, "%s.%s", r->arch->name, suffix);
    return key;
}

wf_status hf_reader_add_int(const hf_reader *r, const char *suffix, int64_t value)
{
    char key[96];
    return hf_add_int(r->file, hf_reader_key(key, r, suffix), value, r->f.err);
}

wf_status hf_reader_add_float(const hf_reader *r, const char *suffix, double value)
{
    char key[96];
    return hf_add_float(r->file, hf_reader_key(key, r, suffix), value, r->f.err);
}

wf_status hf_reader_add_bool(const hf_reader *r, const char *suffix, bool value)
{
    char key[96];
    return hf_add_bool(r->file, hf_reader_key(key, r, suffix), value, r->f.err);
}

wf_status hf_reader_copy_float(const hf_reader *r, const json_fields *f, const char *name, const char *suffix)
{
    double value = 0;
    if (!json_field(f, name)) return WF_OK;
    TRY(json_field_float(f, name, &value));
    return hf_reader_add_float(r, suffix, value);
}
