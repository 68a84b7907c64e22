#include "format/hf_value.h"

#include <string.h>

static wf_status add_value(checkpoint *file, const char *key, metadata_value value, wf_error *err)
{
    char *copy = arena_strdup(checkpoint_memory(file), view_of(key));
    if (!copy) return error_memory(err, strlen(key));
    value.key = view_of(copy);
    return checkpoint_add_value(file, &value, err);
}

wf_status hf_add_string(checkpoint *file, const char *key, view text, wf_error *err)
{
    char *copy = arena_strdup(checkpoint_memory(file), text);
    if (!copy) return error_memory(err, text.len);
    return add_value(file, key, (metadata_value){.type = METADATA_STRING, .count = 1, .s = {copy, text.len}}, err);
}

wf_status hf_add_int(checkpoint *file, const char *key, int64_t number, wf_error *err)
{
    return add_value(file, key, (metadata_value){.type = METADATA_I64, .count = 1, .i = number}, err);
}

wf_status hf_add_float(checkpoint *file, const char *key, double number, wf_error *err)
{
    return add_value(file, key, (metadata_value){.type = METADATA_F64, .count = 1, .f = number}, err);
}

wf_status hf_add_bool(checkpoint *file, const char *key, bool value, wf_error *err)
{
    return add_value(file, key, (metadata_value){.type = METADATA_BOOL, .count = 1, .u = value}, err);
}

wf_status hf_add_strings(checkpoint *file, const char *key, const view *strings, size_t count, wf_error *err)
{
    return add_value(
        file, key,
        (metadata_value){.type = METADATA_ARRAY, .item_type = METADATA_STRING, .count = count, .strings = strings},
        err);
}

wf_status hf_add_array(checkpoint *file, const char *key, metadata_type type, const void *items, size_t count,
                       wf_error *err)
{
    return add_value(file, key,
                     (metadata_value){.type = METADATA_ARRAY, .item_type = type, .count = count, .data = items}, err);
}
