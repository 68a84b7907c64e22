// The GGUF reader: one pass over the header, then one over the tensor table.
//
//     0   "GGUF"  u32 version  u64 tensor count  u64 value count
//     24  values:   string key, u32 type, then the value; an array is u32 item type, u64 count, items
//         tensors:  string name, u32 n_dims, u64 dims[n_dims], u32 type, u64 offset (from the start of the data)
//         padding to general.alignment (32 when absent)
//         data:     each tensor at a multiple of the alignment
//
// A string is a u64 length and its bytes, without a terminating zero. Everything is little endian.
//
// Invariants. The cursor never passes its end: every read asks `cursor_take` first. A count is believed only when that
// many of the smallest possible items fit in the bytes left, so memory stays proportional to the file (at most 8 bytes
// for each). Strings and arrays of numbers are views into the file; only tables are allocated, from one arena.
//
// Format page: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#include "format/gguf.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "format/file_kind.h"

enum {
    KEY_BYTES_MAX = 65535,                   // the format page's limit
    NAME_BYTES_MAX = 256,                    // the format page says 64; some converters write more
    DEFAULT_ALIGNMENT = 32,                  // bytes
    SMALLEST_ALIGNMENT = 8,                  // the format page: a multiple of 8
    GREATEST_ALIGNMENT = 65536,              // bytes
    SMALLEST_VALUE = 8 + 1 + 4 + 1,          // bytes: key length, key, type, value
    SMALLEST_TENSOR = 8 + 1 + 4 + 8 + 4 + 8, // bytes: name length, name, n_dims, one dimension, type, offset
};

static const int64_t DIM_LIMIT = (int64_t)1 << 48;

typedef struct cursor {
    checkpoint *file;
    const char *path;
    const unsigned char *data;
    size_t bytes, at; // at <= bytes
    size_t alignment;
    wf_error *err;
} cursor;

// ---- cursor

// The next `bytes` bytes, or NULL when the file ends before.
static const unsigned char *cursor_take(cursor *c, size_t bytes)
{
    if (bytes > c->bytes - c->at) return NULL;
    const unsigned char *p = c->data + c->at;
    c->at += bytes;
    return p;
}

static wf_status fail_short(const cursor *c, const char *what)
{
    return error_set(c->err, WF_ERROR_FORMAT, "%s: offset %zu: the file ends inside %s", c->path, c->at, what);
}

static wf_status read_u32(cursor *c, const char *what, uint32_t *value)
{
    const unsigned char *p = cursor_take(c, 4);
    if (!p) return fail_short(c, what);
    memcpy(value, p, sizeof *value);
    return WF_OK;
}

static wf_status read_u64(cursor *c, const char *what, uint64_t *value)
{
    const unsigned char *p = cursor_take(c, 8);
    if (!p) return fail_short(c, what);
    *value = load_u64(p);
    return WF_OK;
}

static wf_status read_string(cursor *c, const char *what, view *text)
{
    uint64_t len = 0;
    size_t at = c->at;
    TRY(read_u64(c, what, &len));
    const unsigned char *p = cursor_take(c, len);
    if (!p)
        return error_set(c->err, WF_ERROR_FORMAT, "%s: offset %zu: length %" PRIu64 " of %s, but %zu bytes are left",
                         c->path, at, len, what, c->bytes - c->at);
    *text = (view){(const char *)p, len};
    return WF_OK;
}

// A key or tensor name: 1 to `limit` bytes, no zero byte, since later parts look names up as C strings.
static wf_status read_name(cursor *c, const char *what, size_t limit, view *name)
{
    size_t at = c->at;
    TRY(read_string(c, what, name));
    if (name->len == 0 || name->len > limit)
        return error_set(c->err, WF_ERROR_FORMAT, "%s: offset %zu: length %zu of %s is not in 1..%zu", c->path, at,
                         name->len, what, limit);
    if (memchr(name->data, 0, name->len))
        return error_set(c->err, WF_ERROR_FORMAT, "%s: offset %zu: a zero byte in %s", c->path, at, what);
    return WF_OK;
}

// ---- metadata values

static wf_status fail_value(const cursor *c, const metadata_value *value, wf_status status, const char *reason)
{
    return error_set(c->err, status, "%s: key '%.*s': %s", c->path, NAME_ARG(value->key), reason);
}

static wf_status read_number(cursor *c, metadata_value *value)
{
    size_t bytes = metadata_number_bytes(value->type);
    const unsigned char *p = cursor_take(c, bytes);
    if (!p) return fail_value(c, value, WF_ERROR_FORMAT, "the file ends inside the value");
    metadata_load(value, p);
    if (value->type == METADATA_BOOL && value->u > 1)
        return fail_value(c, value, WF_ERROR_FORMAT, "a bool that is neither 0 nor 1");
    return WF_OK;
}

static wf_status read_string_items(cursor *c, metadata_value *value)
{
    view *strings = arena_alloc(checkpoint_memory(c->file), value->count, sizeof *strings);
    if (!strings) return error_memory(c->err, value->count * sizeof *strings);
    for (uint64_t i = 0; i < value->count; i++) {
        if (c->bytes - c->at < 8)
            return fail_value(c, value, WF_ERROR_FORMAT, "the file ends inside the array of strings");
        uint64_t len = load_u64(cursor_take(c, 8));
        const unsigned char *p = cursor_take(c, len);
        if (!p)
            return error_set(c->err, WF_ERROR_FORMAT,
                             "%s: key '%.*s': item %" PRIu64 " has %" PRIu64 " bytes, but %zu are left", c->path,
                             NAME_ARG(value->key), i, len, c->bytes - c->at);
        strings[i] = (view){(const char *)p, len};
    }
    value->strings = strings;
    return WF_OK;
}

static wf_status read_array(cursor *c, metadata_value *value)
{
    uint32_t type;
    TRY(read_u32(c, "an array's type", &type));
    TRY(read_u64(c, "an array's count", &value->count));
    if (type == METADATA_ARRAY)
        return fail_value(c, value, WF_ERROR_UNSUPPORTED, "an array of arrays is not supported");
    size_t item_bytes = type == METADATA_STRING ? 8 : metadata_number_bytes(type); // of the smallest item
    if (!item_bytes)
        return error_set(c->err, WF_ERROR_FORMAT, "%s: key '%.*s': item type %" PRIu32 " does not exist", c->path,
                         NAME_ARG(value->key), type);
    value->item_type = (metadata_type)type;
    size_t left = c->bytes - c->at;
    if (value->count > left / item_bytes)
        return error_set(c->err, WF_ERROR_FORMAT, "%s: key '%.*s': %" PRIu64 " array items, but %zu bytes are left",
                         c->path, NAME_ARG(value->key), value->count, left);
    if (type == METADATA_STRING) return read_string_items(c, value);
    value->data = cursor_take(c, value->count * item_bytes);
    for (uint64_t i = 0; type == METADATA_BOOL && i < value->count; i++)
        if (value->data[i] > 1) return fail_value(c, value, WF_ERROR_FORMAT, "a bool that is neither 0 nor 1");
    return WF_OK;
}

static wf_status read_value(cursor *c, metadata_value *value)
{
    uint32_t type;
    TRY(read_name(c, "a key", KEY_BYTES_MAX, &value->key));
    TRY(read_u32(c, "a value's type", &type));
    value->type = (metadata_type)type;
    value->count = 1;
    if (type == METADATA_ARRAY) return read_array(c, value);
    if (type == METADATA_STRING) return read_string(c, "a string", &value->s);
    if (metadata_number_bytes(type)) return read_number(c, value);
    return error_set(c->err, WF_ERROR_FORMAT, "%s: key '%.*s': type %" PRIu32 " does not exist", c->path,
                     NAME_ARG(value->key), type);
}

// ---- tensor table

static wf_status fail_tensor(const cursor *c, const checkpoint_tensor *t, wf_status status, const char *reason)
{
    return error_set(c->err, status, "%s: tensor '%.*s': %s", c->path, NAME_ARG(t->name), reason);
}

static wf_status read_dims(cursor *c, checkpoint_tensor *t)
{
    TRY(read_u32(c, "a tensor's number of dimensions", &t->n_dims));
    if (t->n_dims < 1 || t->n_dims > 4)
        return error_set(c->err, WF_ERROR_FORMAT, "%s: tensor '%.*s': %" PRIu32 " dimensions, not 1 to 4", c->path,
                         NAME_ARG(t->name), t->n_dims);
    for (uint32_t i = 0; i < 4; i++) {
        uint64_t dim = 1;
        if (i < t->n_dims) TRY(read_u64(c, "a tensor's dimensions", &dim));
        if (dim == 0 || dim >= (uint64_t)DIM_LIMIT)
            return error_set(c->err, WF_ERROR_FORMAT, "%s: tensor '%.*s': dimension %" PRIu32 " is %" PRIu64, c->path,
                             NAME_ARG(t->name), i, dim);
        t->dims[i] = (int64_t)dim;
    }
    return WF_OK;
}

// Sets t->bytes from type and dimensions; the number of values fits int64_t afterwards.
static wf_status size_tensor(cursor *c, checkpoint_tensor *t)
{
    const tensor_layout *layout = tensor_type_layout(t->type);
    if (!layout)
        return error_set(c->err, WF_ERROR_UNSUPPORTED, "%s: tensor '%.*s': type %u (%s) is not supported", c->path,
                         NAME_ARG(t->name), (unsigned)t->type, tensor_type_name(t->type));
    if ((size_t)t->dims[0] % layout->block_values)
        return error_set(c->err, WF_ERROR_FORMAT,
                         "%s: tensor '%.*s': rows of %" PRId64 " values, not a multiple of %zu (%s)", c->path,
                         NAME_ARG(t->name), t->dims[0], layout->block_values, layout->name);
    size_t values = 1;
    bool fits = true;
    for (int i = 0; i < 4; i++) fits = fits && checked_mul(values, (size_t)t->dims[i], &values);
    fits = fits && values <= INT64_MAX && checked_mul(values / layout->block_values, layout->block_bytes, &t->bytes);
    return fits ? WF_OK : fail_tensor(c, t, WF_ERROR_FORMAT, "the product of the dimensions overflows");
}

// Leaves t->offset relative to the data; place_tensor makes it absolute once the header's end is known.
static wf_status read_tensor(cursor *c, checkpoint_tensor *t)
{
    uint32_t type;
    uint64_t offset;
    TRY(read_name(c, "a tensor's name", NAME_BYTES_MAX, &t->name));
    TRY(read_dims(c, t));
    TRY(read_u32(c, "a tensor's type", &type));
    TRY(read_u64(c, "a tensor's offset", &offset));
    t->type = (tensor_type)type;
    t->offset = offset;
    return size_tensor(c, t);
}

static wf_status place_tensor(cursor *c, checkpoint_tensor *t, size_t data_start, bool header_only)
{
    size_t relative = t->offset, end;
    if (relative % c->alignment)
        return error_set(c->err, WF_ERROR_FORMAT, "%s: tensor '%.*s': offset %zu is not a multiple of %zu", c->path,
                         NAME_ARG(t->name), relative, c->alignment);
    if (!checked_add(data_start, relative, &t->offset) || !checked_add(t->offset, t->bytes, &end))
        return fail_tensor(c, t, WF_ERROR_FORMAT, "the offset overflows");
    if (end <= c->bytes)
        t->data = c->data + t->offset;
    else if (!header_only)
        return error_set(c->err, WF_ERROR_FORMAT,
                         "%s: tensor '%.*s': bytes %zu to %zu lie beyond the file's end at %zu", c->path,
                         NAME_ARG(t->name), t->offset, end, c->bytes);
    return WF_OK;
}

static int compare_offsets(const void *a, const void *b)
{
    const checkpoint_tensor *x = *(const checkpoint_tensor *const *)a, *y = *(const checkpoint_tensor *const *)b;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

// In order of their offsets, each tensor must end before the next begins.
static wf_status check_overlap(cursor *c)
{
    size_t n = checkpoint_tensor_count(c->file);
    const checkpoint_tensor **sorted = arena_alloc(checkpoint_memory(c->file), n, sizeof *sorted);
    if (!sorted) return error_memory(c->err, n * sizeof *sorted);
    for (size_t i = 0; i < n; i++) sorted[i] = checkpoint_tensor_at(c->file, i);
    qsort(sorted, n, sizeof *sorted, compare_offsets);
    for (size_t i = 1; i < n; i++) {
        const checkpoint_tensor *before = sorted[i - 1];
        if (before->offset + before->bytes > sorted[i]->offset)
            return error_set(c->err, WF_ERROR_FORMAT, "%s: tensor '%.*s' overlaps tensor '%.*s' at offset %zu", c->path,
                             NAME_ARG(before->name), NAME_ARG(sorted[i]->name), sorted[i]->offset);
    }
    return WF_OK;
}

// ---- the file

static wf_status refuse_kind(const cursor *c)
{
    const file_kind *kind = file_kind_find((view){(const char *)c->data, c->bytes});
    if (!kind || kind->is_model)
        return error_set(c->err, WF_ERROR_FORMAT,
                         "%s: offset 0: not a GGUF file (the first four bytes are not \"GGUF\")", c->path);
    return error_set(c->err, WF_ERROR_FORMAT, "%s: offset 0: not a GGUF file, but %s%s%s", c->path, kind->what,
                     kind->hint ? ": " : "", kind->hint ? kind->hint : "");
}

static wf_status read_preamble(cursor *c, uint32_t *version, uint64_t *n_tensors, uint64_t *n_values)
{
    const unsigned char *magic = cursor_take(c, 4);
    if (!magic || memcmp(magic, "GGUF", 4)) return refuse_kind(c);
    TRY(read_u32(c, "the version", version));
    if (*version == 1)
        return error_set(c->err, WF_ERROR_UNSUPPORTED, "%s: GGUF version 1 is not supported, only 2 and 3", c->path);
    if (*version && !(*version & 0xffff))
        return error_set(c->err, WF_ERROR_UNSUPPORTED, "%s: a big-endian GGUF file is not supported", c->path);
    if (*version != 2 && *version != 3)
        return error_set(c->err, WF_ERROR_UNSUPPORTED, "%s: GGUF version %" PRIu32 " is not supported, only 2 and 3",
                         c->path, *version);
    TRY(read_u64(c, "the tensor count", n_tensors));
    TRY(read_u64(c, "the value count", n_values));
    size_t left = c->bytes - c->at;
    if (*n_values > left / SMALLEST_VALUE)
        return error_set(c->err, WF_ERROR_FORMAT, "%s: offset 16: %" PRIu64 " metadata values, but %zu bytes are left",
                         c->path, *n_values, left);
    if (*n_tensors > left / SMALLEST_TENSOR)
        return error_set(c->err, WF_ERROR_FORMAT, "%s: offset 8: %" PRIu64 " tensors, but %zu bytes are left", c->path,
                         *n_tensors, left);
    return WF_OK;
}

static wf_status read_values(cursor *c, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        metadata_value value = {0};
        TRY(read_value(c, &value));
        TRY(checkpoint_add_value(c->file, &value, c->err));
    }
    return checkpoint_finish(c->file, (view){0}, c->err); // for the look-up of the alignment
}

static wf_status read_alignment(cursor *c)
{
    int64_t alignment = DEFAULT_ALIGNMENT;
    TRY(checkpoint_get_int_or(c->file, "general.alignment", SMALLEST_ALIGNMENT, GREATEST_ALIGNMENT, &alignment,
                              c->err));
    if (alignment & (alignment - 1))
        return error_set(c->err, WF_ERROR_FORMAT, "%s: key 'general.alignment': %" PRId64 " is not a power of two",
                         c->path, alignment);
    c->alignment = (size_t)alignment;
    return WF_OK;
}

static wf_status read_tensors(cursor *c, uint64_t n, bool header_only)
{
    size_t data_start;
    checkpoint_tensor *tensors = arena_alloc(checkpoint_memory(c->file), n, sizeof *tensors);
    if (!tensors) return error_memory(c->err, n * sizeof *tensors);
    for (uint64_t i = 0; i < n; i++) TRY(read_tensor(c, &tensors[i]));
    if (!checked_align(c->at, c->alignment, &data_start)) return fail_short(c, "the header");
    for (uint64_t i = 0; i < n; i++) {
        TRY(place_tensor(c, &tensors[i], data_start, header_only));
        TRY(checkpoint_add_tensor(c->file, &tensors[i], c->err));
    }
    size_t header_bytes = data_start < c->bytes ? data_start : c->bytes;
    TRY(checkpoint_finish(c->file, (view){(const char *)c->data, header_bytes}, c->err));
    return check_overlap(c);
}

static wf_status parse_file(checkpoint *file, view bytes, bool header_only, wf_error *err)
{
    cursor c = {.file = file,
                .path = checkpoint_path(file),
                .data = (const unsigned char *)bytes.data,
                .bytes = bytes.len,
                .err = err};
    uint32_t version;
    uint64_t n_tensors, n_values;
    TRY(read_preamble(&c, &version, &n_tensors, &n_values));
    TRY(read_values(&c, n_values));
    TRY(read_alignment(&c));
    checkpoint_set_gguf(file, version, c.alignment);
    return read_tensors(&c, n_tensors, header_only);
}

static wf_status open_file(const char *path, bool header_only, checkpoint **file, wf_error *err)
{
    *file = NULL;
    checkpoint *created;
    TRY(checkpoint_create(path, &created, err));
    wf_status status;
    file_map map;
    TRY_GOTO(file_kind_map_open(path, &map, err), fail);
    TRY_GOTO(checkpoint_take_map(created, &map, err), fail);
    TRY_GOTO(parse_file(created, checkpoint_part(created, 0), header_only, err), fail);
    *file = created;
    return WF_OK;
fail:
    checkpoint_close(created);
    return status;
}

wf_status gguf_open(const char *path, checkpoint **file, wf_error *err) { return open_file(path, false, file, err); }

wf_status gguf_open_header(const char *path, checkpoint **file, wf_error *err)
{
    return open_file(path, true, file, err);
}

static wf_status parse_memory(const unsigned char *data, size_t bytes, const char *name, bool header_only,
                              checkpoint **file, wf_error *err)
{
    *file = NULL;
    checkpoint *created;
    TRY(checkpoint_create(name, &created, err));
    wf_status status;
    view all = {(const char *)data, bytes};
    TRY_GOTO(checkpoint_lend_part(created, all, err), fail);
    TRY_GOTO(parse_file(created, all, header_only, err), fail);
    *file = created;
    return WF_OK;
fail:
    checkpoint_close(created);
    return status;
}

wf_status gguf_parse(const unsigned char *data, size_t bytes, const char *name, checkpoint **file, wf_error *err)
{
    return parse_memory(data, bytes, name, false, file, err);
}

wf_status gguf_parse_header(const unsigned char *data, size_t bytes, const char *name, checkpoint **file, wf_error *err)
{
    return parse_memory(data, bytes, name, true, file, err);
}
