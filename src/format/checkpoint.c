// Names are found by binary search in a sorted table: unlike a hash table it has no bad case that a file could aim at.
#include "format/checkpoint.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct name_entry {
    view name;
    size_t index; // of the value or tensor
} name_entry;

typedef struct part {
    file_map map;     // data is NULL: memory of the caller, or of `file`
    checkpoint *file; // owned; NULL: none
    view bytes;
    bool mapped; // the bytes are a file's map
} part;

struct checkpoint {
    const char *path;
    const unsigned char *data; // the header
    size_t bytes, header_bytes, alignment;
    part *parts; // where tensors lie
    size_t n_parts, max_parts;
    uint32_t version;
    metadata_value *values;
    checkpoint_tensor *tensors;
    size_t n_values, n_tensors;
    size_t max_values, max_tensors;
    name_entry *values_by_name, *tensors_by_name; // sorted by name
    arena memory;
};

// ---- names

static int compare_views(view a, view b)
{
    int order = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len); // names are never empty
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int compare_entries(const void *a, const void *b)
{
    return compare_views(((const name_entry *)a)->name, ((const name_entry *)b)->name);
}

static wf_status sort_names(const checkpoint *file, name_entry *entries, size_t n, const char *kind, wf_error *err)
{
    qsort(entries, n, sizeof *entries, compare_entries);
    for (size_t i = 1; i < n; i++)
        if (view_equal(entries[i - 1].name, entries[i].name))
            return error_set(err, WF_ERROR_FORMAT, "%s: %s '%.*s' occurs twice", file->path, kind,
                             NAME_ARG(entries[i].name));
    return WF_OK;
}

// The entry's index, or `n` when there is none.
static size_t find_name(const name_entry *entries, size_t n, const char *name)
{
    name_entry wanted = {view_of(name), 0};
    if (wanted.name.len == 0 || n == 0) return n;
    const name_entry *found = bsearch(&wanted, entries, n, sizeof *entries, compare_entries);
    return found ? found->index : n;
}

// ---- filling

wf_status checkpoint_create(const char *path, checkpoint **file, wf_error *err)
{
    *file = NULL;
    checkpoint *created = calloc(1, sizeof *created);
    if (!created) return error_memory(err, sizeof *created);
    created->path = arena_strdup(&created->memory, view_of(path));
    if (!created->path) {
        free(created);
        return error_memory(err, strlen(path) + 1);
    }
    *file = created;
    return WF_OK;
}

// Room for one more item of `size` bytes in an array that lives in the file's arena: its size doubles.
static void *grow(checkpoint *file, void *items, size_t n, size_t *max, size_t size, wf_error *err)
{
    if (n < *max) return items;
    size_t wanted = n ? 2 * n : 16; // n items are there, so twice as many are within reach of size_t
    void *moved = arena_alloc(&file->memory, wanted, size);
    if (!moved) {
        error_memory(err, wanted * size);
        return NULL;
    }
    if (n) memcpy(moved, items, n * size);
    *max = wanted;
    return moved;
}

static wf_status add_part(checkpoint *file, part p, wf_error *err)
{
    part *parts = grow(file, file->parts, file->n_parts, &file->max_parts, sizeof *parts, err);
    if (!parts) {
        file_map_close(&p.map);
        checkpoint_close(p.file);
        return WF_ERROR_MEMORY;
    }
    file->parts = parts;
    file->parts[file->n_parts++] = p;
    return WF_OK;
}

static view map_view(const file_map *map) { return (view){(const char *)map->data, map->bytes}; }

void checkpoint_close(checkpoint *file)
{
    if (!file) return;
    for (size_t i = 0; i < file->n_parts; i++) {
        file_map_close(&file->parts[i].map);
        checkpoint_close(file->parts[i].file);
    }
    arena_free(&file->memory);
    free(file);
}

arena *checkpoint_memory(checkpoint *file) { return &file->memory; }

void checkpoint_set_gguf(checkpoint *file, uint32_t version, size_t alignment)
{
    file->version = version;
    file->alignment = alignment;
}

wf_status checkpoint_lend_part(checkpoint *file, view bytes, wf_error *err)
{
    return add_part(file, (part){.bytes = bytes}, err);
}

wf_status checkpoint_take_map(checkpoint *file, file_map *map, wf_error *err)
{
    return add_part(file, (part){.map = *map, .bytes = map_view(map), .mapped = true}, err);
}

wf_status checkpoint_lend_map(checkpoint *file, const file_map *map, wf_error *err)
{
    return add_part(file, (part){.bytes = map_view(map), .mapped = true}, err);
}

wf_status checkpoint_take_part(checkpoint *file, checkpoint *other, wf_error *err)
{
    const part *own = &other->parts[0];
    return add_part(file, (part){.file = other, .bytes = own->bytes, .mapped = own->mapped}, err);
}

wf_status checkpoint_add_value(checkpoint *file, const metadata_value *value, wf_error *err)
{
    metadata_value *values = grow(file, file->values, file->n_values, &file->max_values, sizeof *values, err);
    if (!values) return WF_ERROR_MEMORY;
    file->values = values;
    file->values[file->n_values++] = *value;
    return WF_OK;
}

wf_status checkpoint_add_tensor(checkpoint *file, const checkpoint_tensor *tensor, wf_error *err)
{
    checkpoint_tensor *tensors = grow(file, file->tensors, file->n_tensors, &file->max_tensors, sizeof *tensors, err);
    if (!tensors) return WF_ERROR_MEMORY;
    file->tensors = tensors;
    file->tensors[file->n_tensors++] = *tensor;
    return WF_OK;
}

wf_status checkpoint_finish(checkpoint *file, view header, wf_error *err)
{
    file->values_by_name = arena_alloc(&file->memory, file->n_values, sizeof *file->values_by_name);
    file->tensors_by_name = arena_alloc(&file->memory, file->n_tensors, sizeof *file->tensors_by_name);
    if (!file->values_by_name || !file->tensors_by_name) return error_memory(err, file->n_values * sizeof(name_entry));
    for (size_t i = 0; i < file->n_values; i++) file->values_by_name[i] = (name_entry){file->values[i].key, i};
    for (size_t i = 0; i < file->n_tensors; i++) file->tensors_by_name[i] = (name_entry){file->tensors[i].name, i};
    TRY(sort_names(file, file->values_by_name, file->n_values, "key", err));
    TRY(sort_names(file, file->tensors_by_name, file->n_tensors, "tensor", err));
    file->data = (const unsigned char *)header.data;
    file->header_bytes = header.len;
    file->bytes = 0;
    for (size_t i = 0; i < file->n_parts; i++) file->bytes += file->parts[i].bytes.len; // all are mapped: the sum fits
    return WF_OK;
}

// ---- access

const char *checkpoint_path(const checkpoint *file) { return file->path; }

uint32_t checkpoint_gguf_version(const checkpoint *file) { return file->version; }

size_t checkpoint_alignment(const checkpoint *file) { return file->alignment; }

const unsigned char *checkpoint_bytes(const checkpoint *file, size_t *bytes, size_t *header_bytes)
{
    *bytes = file->bytes;
    *header_bytes = file->header_bytes;
    return file->data;
}

size_t checkpoint_part_count(const checkpoint *file) { return file->n_parts; }

view checkpoint_part(const checkpoint *file, size_t index) { return file->parts[index].bytes; }

bool checkpoint_part_is_mapped(const checkpoint *file, size_t index) { return file->parts[index].mapped; }

int64_t checkpoint_mtime_ns(const checkpoint *file)
{
    uint64_t mix = 0;
    for (size_t i = 0; i < file->n_parts; i++) {
        const part *p = &file->parts[i];
        mix = 31 * mix + (uint64_t)(p->file ? checkpoint_mtime_ns(p->file) : p->map.mtime_ns);
    }
    return (int64_t)mix;
}

size_t checkpoint_value_count(const checkpoint *file) { return file->n_values; }

const metadata_value *checkpoint_value_at(const checkpoint *file, size_t index) { return &file->values[index]; }

const metadata_value *checkpoint_find(const checkpoint *file, const char *key)
{
    size_t i = find_name(file->values_by_name, file->n_values, key);
    return i < file->n_values ? &file->values[i] : NULL;
}

size_t checkpoint_tensor_count(const checkpoint *file) { return file->n_tensors; }

const checkpoint_tensor *checkpoint_tensor_at(const checkpoint *file, size_t index) { return &file->tensors[index]; }

const checkpoint_tensor *checkpoint_find_tensor(const checkpoint *file, const char *name)
{
    size_t i = find_name(file->tensors_by_name, file->n_tensors, name);
    return i < file->n_tensors ? &file->tensors[i] : NULL;
}

// ---- typed access

static wf_status fail_key(const checkpoint *file, const char *key, const char *reason, wf_error *err)
{
    return error_set(err, WF_ERROR_FORMAT, "%s: key '%s': %s", file->path, key, reason);
}

static bool is_integer(const metadata_value *value)
{
    return metadata_is_signed(value->type) || (metadata_is_unsigned(value->type) && value->type != METADATA_BOOL);
}

wf_status checkpoint_get_int_or(const checkpoint *file, const char *key, int64_t min, int64_t max, int64_t *value,
                                wf_error *err)
{
    const metadata_value *found = checkpoint_find(file, key);
    if (!found) return WF_OK;
    if (!is_integer(found)) return fail_key(file, key, "not an integer", err);
    if (metadata_is_unsigned(found->type) && found->u > INT64_MAX)
        return error_set(err, WF_ERROR_FORMAT, "%s: key '%s': %" PRIu64 " is not in %" PRId64 "..%" PRId64, file->path,
                         key, found->u, min, max);
    int64_t number = metadata_is_signed(found->type) ? found->i : (int64_t)found->u;
    if (number < min || number > max)
        return error_set(err, WF_ERROR_FORMAT, "%s: key '%s': %" PRId64 " is not in %" PRId64 "..%" PRId64, file->path,
                         key, number, min, max);
    *value = number;
    return WF_OK;
}

wf_status checkpoint_get_float_or(const checkpoint *file, const char *key, double *value, wf_error *err)
{
    const metadata_value *found = checkpoint_find(file, key);
    if (!found) return WF_OK;
    if (found->type != METADATA_F32 && found->type != METADATA_F64) return fail_key(file, key, "not a float", err);
    if (!isfinite(found->f)) return fail_key(file, key, "not a finite number", err);
    *value = found->f;
    return WF_OK;
}

wf_status checkpoint_get_number_or(const checkpoint *file, const char *key, double *value, wf_error *err)
{
    const metadata_value *found = checkpoint_find(file, key);
    if (!found) return WF_OK;
    if (metadata_is_signed(found->type))
        *value = (double)found->i;
    else if (metadata_is_unsigned(found->type))
        *value = (double)found->u;
    else if (metadata_number_bytes(found->type))
        return checkpoint_get_float_or(file, key, value, err);
    else
        return fail_key(file, key, "not a number", err);
    return WF_OK;
}

wf_status checkpoint_get_token(const checkpoint *file, const char *key, int64_t n_tokens, int32_t *id, wf_error *err)
{
    const metadata_value *found = checkpoint_find(file, key);
    *id = -1;
    if (!found) return WF_OK;
    if (!is_integer(found)) return fail_key(file, key, "not an integer", err);
    uint64_t number = metadata_is_signed(found->type) ? (uint64_t)found->i : found->u; // negative ones are huge
    if (number < (uint64_t)n_tokens && number <= INT32_MAX) *id = (int32_t)number;
    return WF_OK;
}

bool checkpoint_token_is_bad(const checkpoint *file, const char *key, int64_t n_tokens)
{
    int32_t id;
    return checkpoint_find(file, key) && checkpoint_get_token(file, key, n_tokens, &id, NULL) == WF_OK && id < 0;
}

wf_status checkpoint_get_string_or(const checkpoint *file, const char *key, view *value, wf_error *err)
{
    const metadata_value *found = checkpoint_find(file, key);
    if (!found) return WF_OK;
    if (found->type != METADATA_STRING) return fail_key(file, key, "not a string", err);
    *value = found->s;
    return WF_OK;
}

wf_status checkpoint_get_bool_or(const checkpoint *file, const char *key, bool *value, wf_error *err)
{
    const metadata_value *found = checkpoint_find(file, key);
    if (!found) return WF_OK;
    if (found->type != METADATA_BOOL) return fail_key(file, key, "not a bool", err);
    *value = found->u != 0;
    return WF_OK;
}

static wf_status require_key(const checkpoint *file, const char *key, wf_error *err)
{
    return checkpoint_find(file, key) ? WF_OK
                                      : error_set(err, WF_ERROR_FORMAT, "%s: key '%s' is missing", file->path, key);
}

wf_status checkpoint_get_int(const checkpoint *file, const char *key, int64_t min, int64_t max, int64_t *value,
                             wf_error *err)
{
    TRY(require_key(file, key, err));
    return checkpoint_get_int_or(file, key, min, max, value, err);
}

wf_status checkpoint_get_float(const checkpoint *file, const char *key, double *value, wf_error *err)
{
    TRY(require_key(file, key, err));
    return checkpoint_get_float_or(file, key, value, err);
}

wf_status checkpoint_get_string(const checkpoint *file, const char *key, view *value, wf_error *err)
{
    TRY(require_key(file, key, err));
    return checkpoint_get_string_or(file, key, value, err);
}

wf_status checkpoint_get_bool(const checkpoint *file, const char *key, bool *value, wf_error *err)
{
    TRY(require_key(file, key, err));
    return checkpoint_get_bool_or(file, key, value, err);
}
