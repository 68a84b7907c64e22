// The safetensors reader.
//
//     0      u64 n, little endian: bytes of the header
//     8      header: JSON, an object; it begins with '{' and may end in spaces
//                {"name": {"dtype": "F32", "shape": [rows, cols], "data_offsets": [begin, end]}, ...,
//                 "__metadata__": {"key": "text", ...}}
//     8 + n  data; offsets count from here
//
// Checks, those of the reference library (safetensors/src/tensor.rs): n is at most 100 MB and within the file, no name
// occurs twice, the first tensor begins at 0, each next one where the last one ended, the last one ends with the file.
#include "format/safetensors.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/checked.h"
#include "format/json_read.h"

enum { LENGTH_BYTES = 8, HEADER_LIMIT = 100000000 };

typedef struct dtype {
    const char *name;
    unsigned bits;
} dtype;

static const dtype DTYPES[] = {
    {"BOOL", 8},    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8},   {"I8", 8},    {"F8_E5M2", 8},
    {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"I16", 16},    {"U16", 16},    {"F16", 16}, {"BF16", 16}, {"I32", 32},
    {"U32", 32},    {"F32", 32},    {"C64", 64},    {"F64", 64},    {"I64", 64}, {"U64", 64},
};

typedef struct reader {
    const char *path;
    const unsigned char *data;
    size_t bytes;
    bool cut_short;
    arena *memory;
    safetensors *out;
    wf_error *err;
} reader;

static wf_status fail_tensor(const reader *r, const char *name, const char *reason)
{
    return error_set(r->err, WF_ERROR_FORMAT, "%s: tensor '%.80s': %s", r->path, name, reason);
}

// A JSON integer that is not negative.
static bool read_size(const json_t *value, int64_t *size)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0) return false;
    *size = json_integer_value(value);
    return true;
}

static wf_status read_dtype(const reader *r, const json_t *info, safetensors_tensor *t, unsigned *bits)
{
    const char *name = json_name_of(json_object_get(info, "dtype"));
    if (!name) return fail_tensor(r, t->name, "no dtype");
    for (size_t i = 0; i < sizeof DTYPES / sizeof *DTYPES; i++)
        if (!strcmp(name, DTYPES[i].name)) {
            t->dtype = DTYPES[i].name;
            *bits = DTYPES[i].bits;
            return WF_OK;
        }
    return error_set(r->err, WF_ERROR_UNSUPPORTED, "%s: tensor '%.80s': dtype '%.40s' is not known", r->path, t->name,
                     name);
}

static wf_status read_shape(const reader *r, const json_t *info, safetensors_tensor *t, size_t *count)
{
    const json_t *shape = json_object_get(info, "shape");
    if (!json_is_array(shape)) return fail_tensor(r, t->name, "no shape");
    if (json_array_size(shape) > SAFETENSORS_MAX_DIMS)
        return error_set(r->err, WF_ERROR_UNSUPPORTED, "%s: tensor '%.80s': %zu dimensions, more than %d", r->path,
                         t->name, json_array_size(shape), SAFETENSORS_MAX_DIMS);
    t->n_dims = (uint32_t)json_array_size(shape);
    *count = 1;
    for (uint32_t i = 0; i < t->n_dims; i++) {
        if (!read_size(json_array_get(shape, i), &t->dims[i]))
            return fail_tensor(r, t->name, "the shape holds something else than sizes");
        if (!checked_mul(*count, (size_t)t->dims[i], count) || *count > INT64_MAX)
            return fail_tensor(r, t->name, "the product of the shape overflows");
    }
    return WF_OK;
}

// Leaves t->offset relative to the data.
static wf_status read_tensor(const reader *r, const char *name, const json_t *info, safetensors_tensor *t)
{
    unsigned bits = 0;
    size_t count = 0, n_bits;
    int64_t begin, end;
    *t = (safetensors_tensor){.name = arena_strdup(r->memory, view_of(name))};
    if (!t->name) return error_memory(r->err, strlen(name));
    if (!json_is_object(info)) return fail_tensor(r, name, "not an object");
    TRY(read_dtype(r, info, t, &bits));
    TRY(read_shape(r, info, t, &count));
    const json_t *offsets = json_object_get(info, "data_offsets");
    if (!json_is_array(offsets) || json_array_size(offsets) != 2 || !read_size(json_array_get(offsets, 0), &begin) ||
        !read_size(json_array_get(offsets, 1), &end))
        return fail_tensor(r, name, "data_offsets is no pair of offsets");
    if (begin > end) return fail_tensor(r, name, "it ends before it begins");
    if (!checked_mul(count, bits, &n_bits) || n_bits % 8) return fail_tensor(r, name, "its size is no number of bytes");
    t->offset = (size_t)begin;
    t->bytes = (size_t)(end - begin);
    if (n_bits / 8 != t->bytes)
        return error_set(r->err, WF_ERROR_FORMAT,
                         "%s: tensor '%.80s': dtype and shape ask for %zu bytes, the offsets for %zu", r->path, name,
                         n_bits / 8, t->bytes);
    return WF_OK;
}

static wf_status check_metadata(const reader *r, json_t *metadata)
{
    const char *key;
    json_t *value;
    if (!json_is_object(metadata))
        return error_set(r->err, WF_ERROR_FORMAT, "%s: __metadata__ is not an object", r->path);
    json_object_foreach(metadata, key, value) if (!json_is_string(value)) return error_set(
        r->err, WF_ERROR_FORMAT, "%s: __metadata__: '%.80s' is not a string", r->path, key);
    return WF_OK;
}

static int compare_tensors(const void *a, const void *b)
{
    const safetensors_tensor *x = a, *y = b;
    if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes); // an empty one comes before what begins at its place
}

// Sorts the tensors and makes their offsets absolute.
static wf_status place_tensors(const reader *r)
{
    safetensors *s = r->out;
    size_t end = 0, data_bytes = r->bytes - s->header_bytes;
    qsort(s->tensors, s->n_tensors, sizeof *s->tensors, compare_tensors);
    for (size_t i = 0; i < s->n_tensors; i++) {
        safetensors_tensor *t = &s->tensors[i];
        if (t->offset != end)
            return error_set(r->err, WF_ERROR_FORMAT,
                             "%s: tensor '%.80s': begins at offset %zu, but the data before %s at %zu", r->path,
                             t->name, t->offset, i ? "it ends" : "the first tensor end", end);
        if (!checked_add(end, t->bytes, &end) || (end > data_bytes && !r->cut_short))
            return error_set(r->err, WF_ERROR_FORMAT, "%s: tensor '%.80s': ends at offset %zu, the data at %zu",
                             r->path, t->name, end, data_bytes);
        t->data = end <= data_bytes ? r->data + s->header_bytes + t->offset : NULL;
        if (!checked_add(t->offset, s->header_bytes, &t->offset))
            return fail_tensor(r, t->name, "the offset overflows");
    }
    if (end < data_bytes)
        return error_set(r->err, WF_ERROR_FORMAT, "%s: %zu bytes behind the last tensor", r->path, data_bytes - end);
    return WF_OK;
}

static wf_status read_header(const reader *r, json_t *header)
{
    const char *key;
    json_t *value;
    safetensors *s = r->out;
    if (!json_is_object(header)) return error_set(r->err, WF_ERROR_FORMAT, "%s: the header is not an object", r->path);
    s->tensors = arena_alloc(r->memory, json_object_size(header), sizeof *s->tensors);
    if (!s->tensors) return error_memory(r->err, json_object_size(header) * sizeof *s->tensors);
    json_object_foreach(header, key, value)
    {
        if (!strcmp(key, "__metadata__"))
            TRY(check_metadata(r, value));
        else
            TRY(read_tensor(r, key, value, &s->tensors[s->n_tensors++]));
    }
    return place_tensors(r);
}

wf_status safetensors_parse(const unsigned char *data, size_t bytes, const char *name, bool cut_short, arena *memory,
                            safetensors *out, wf_error *err)
{
    *out = (safetensors){0};
    const reader r = {name, data, bytes, cut_short, memory, out, err};
    if (bytes < LENGTH_BYTES)
        return error_set(err, WF_ERROR_FORMAT, "%s: the file ends before the header's length", name);
    uint64_t n = 0;
    for (int i = 0; i < LENGTH_BYTES; i++) n |= (uint64_t)data[i] << (8 * i);
    if (n > HEADER_LIMIT)
        return error_set(err, WF_ERROR_FORMAT, "%s: offset 0: a header of %" PRIu64 " bytes is above the limit of %d",
                         name, n, HEADER_LIMIT);
    if (n > bytes - LENGTH_BYTES)
        return error_set(err, WF_ERROR_FORMAT, "%s: offset 0: a header of %" PRIu64 " bytes, but %zu are left", name, n,
                         bytes - LENGTH_BYTES);
    if (n == 0 || data[LENGTH_BYTES] != '{')
        return error_set(err, WF_ERROR_FORMAT, "%s: offset 8: the header does not begin with '{'", name);
    out->header_bytes = LENGTH_BYTES + (size_t)n;
    json_t *header;
    view text = {(const char *)data + LENGTH_BYTES, (size_t)n};
    char place[PATH_MAX + 16];
    snprintf(place, sizeof place, "%s: header", name);
    TRY(json_read(text, place, JSON_RULES_STRICT, &header, err));
    wf_status status = read_header(&r, header);
    json_decref(header);
    return status;
}
