#include "format/npy.h"

#include <inttypes.h>
#include <string.h>

#include "base/buffer.h"
#include "base/checked.h"
#include "format/file_kind.h"

enum { PREFIX_BYTES = 10, DATA_ALIGNMENT = 64, ITEM_ALIGNMENT = 8 };

static const char MAGIC[] = "\x93NUMPY";
enum { MAGIC_BYTES = sizeof MAGIC - 1 };

static const struct {
    const char *descr, *name;
    size_t bytes;
} TYPES[NPY_TYPE_COUNT] = {
    [NPY_F32] = {"<f4", "float32", 4}, [NPY_F64] = {"<f8", "float64", 8}, [NPY_F16] = {"<f2", "float16", 2},
    [NPY_BOOL] = {"|b1", "bool", 1},   [NPY_I8] = {"|i1", "int8", 1},     [NPY_I16] = {"<i2", "int16", 2},
    [NPY_I32] = {"<i4", "int32", 4},   [NPY_I64] = {"<i8", "int64", 8},   [NPY_U8] = {"|u1", "uint8", 1},
    [NPY_U16] = {"<u2", "uint16", 2},
};

size_t npy_item_bytes(npy_type type) { return TYPES[type].bytes; }
const char *npy_type_name(npy_type type) { return TYPES[type].name; }

// Product of dims and the bytes of so many values; false on overflow or a negative dimension.
static bool measure(npy_type type, const int64_t *dims, uint32_t n_dims, size_t *count, size_t *bytes)
{
    *count = 1;
    for (uint32_t i = 0; i < n_dims; i++)
        if (dims[i] < 0 || !checked_mul(*count, (size_t)dims[i], count)) return false;
    return checked_mul(*count, TYPES[type].bytes, bytes);
}

// ---- writing

static void write_header(npy_type type, const int64_t *dims, uint32_t n_dims, buffer *out)
{
    buffer header = {0};
    buffer_printf(&header, "{'descr': '%s', 'fortran_order': False, 'shape': (", TYPES[type].descr);
    for (uint32_t i = 0; i < n_dims; i++) buffer_printf(&header, i ? " %" PRId64 "," : "%" PRId64 ",", dims[i]);
    if (n_dims > 1 && header.len) header.data[--header.len] = 0; // (3, 4) but (3,)
    buffer_printf(&header, "), }");
    while ((PREFIX_BYTES + header.len + 1) % DATA_ALIGNMENT && !header.failed) buffer_append_char(&header, ' ');
    buffer_append_char(&header, '\n');
    buffer_append(out, MAGIC, MAGIC_BYTES);
    const unsigned char version_and_length[] = {1, 0, (unsigned char)header.len, (unsigned char)(header.len >> 8)};
    buffer_append(out, version_and_length, sizeof version_and_length);
    buffer_append_view(out, buffer_view(&header));
    out->failed |= header.failed;
    buffer_free(&header);
}

wf_status npy_write(const char *path, npy_type type, const int64_t *dims, uint32_t n_dims, const void *data,
                    wf_error *err)
{
    size_t count, bytes;
    if (n_dims > NPY_MAX_DIMS || !measure(type, dims, n_dims, &count, &bytes))
        return error_set(err, WF_ERROR_USAGE, "%s: an array too large to write", path);
    buffer content = {0};
    write_header(type, dims, n_dims, &content);
    buffer_append(&content, data, bytes);
    wf_status status = content.failed ? error_memory(err, bytes) : file_write(path, content.data, content.len, err);
    buffer_free(&content);
    return status;
}

// ---- reading: a header is a Python dict of three known keys in any order

typedef struct reader {
    const char *name;
    view text;
    size_t pos;
    wf_error *err;
} reader;

static wf_status fail(const reader *r, const char *reason)
{
    return error_set(r->err, WF_ERROR_FORMAT, "%s: header byte %zu: %s", r->name, r->pos, reason);
}

static void skip_space(reader *r)
{
    while (r->pos < r->text.len && strchr(" \t\r\n", r->text.data[r->pos]) && r->text.data[r->pos]) r->pos++;
}

static bool take(reader *r, const char *token)
{
    skip_space(r);
    view rest = {r->text.data + r->pos, r->text.len - r->pos};
    if (!view_starts_with(rest, view_of(token))) return false;
    r->pos += strlen(token);
    return true;
}

static wf_status read_string(reader *r, view *value)
{
    skip_space(r);
    char quote = r->pos < r->text.len ? r->text.data[r->pos] : 0;
    if (quote != '\'' && quote != '"') return fail(r, "a string was expected");
    size_t start = ++r->pos;
    while (r->pos < r->text.len && r->text.data[r->pos] != quote) r->pos++;
    if (r->pos == r->text.len) return fail(r, "a string does not end");
    *value = (view){r->text.data + start, r->pos++ - start};
    return WF_OK;
}

static wf_status read_type(reader *r, npy_type *type)
{
    view descr;
    TRY(read_string(r, &descr));
    for (int i = 0; i < NPY_TYPE_COUNT; i++) {
        if (!view_is(descr, TYPES[i].descr)) continue;
        *type = (npy_type)i;
        return WF_OK;
    }
    return error_set(r->err, WF_ERROR_UNSUPPORTED,
                     "%s: values of type '%.*s' (known: <f2 <f4 <f8 |i1 <i2 <i4 <i8 |u1 <u2 |b1)", r->name,
                     VIEW_ARG(descr));
}

static wf_status read_dimension(reader *r, int64_t *dim)
{
    skip_space(r);
    size_t start = r->pos;
    *dim = 0;
    for (; r->pos < r->text.len && r->text.data[r->pos] >= '0' && r->text.data[r->pos] <= '9'; r->pos++)
        if (__builtin_mul_overflow(*dim, 10, dim) || __builtin_add_overflow(*dim, r->text.data[r->pos] - '0', dim))
            return fail(r, "a dimension is too large");
    return r->pos == start ? fail(r, "a dimension was expected") : WF_OK;
}

static wf_status read_shape(reader *r, npy_array *array)
{
    if (!take(r, "(")) return fail(r, "a shape was expected");
    array->n_dims = 0;
    while (!take(r, ")")) {
        if (array->n_dims == NPY_MAX_DIMS) return fail(r, "more than 8 dimensions");
        TRY(read_dimension(r, &array->dims[array->n_dims++]));
        if (take(r, ",")) continue;
        if (!take(r, ")")) return fail(r, "the shape does not end");
        break;
    }
    return WF_OK;
}

static wf_status read_header(reader *r, npy_array *array)
{
    bool has_type = false, has_order = false, has_shape = false;
    if (!take(r, "{")) return fail(r, "a dict was expected");
    while (!take(r, "}")) {
        view key;
        TRY(read_string(r, &key));
        if (!take(r, ":")) return fail(r, "':' was expected");
        if (view_is(key, "descr") && !has_type) {
            TRY(read_type(r, &array->type));
            has_type = true;
        } else if (view_is(key, "fortran_order") && !has_order) {
            if (take(r, "True"))
                return error_set(r->err, WF_ERROR_UNSUPPORTED, "%s: an array in Fortran order", r->name);
            if (!take(r, "False")) return fail(r, "True or False was expected");
            has_order = true;
        } else if (view_is(key, "shape") && !has_shape) {
            TRY(read_shape(r, array));
            has_shape = true;
        } else {
            return fail(r, "an unknown or repeated key");
        }
        if (take(r, ",")) continue;
        if (!take(r, "}")) return fail(r, "the dict does not end");
        break;
    }
    return has_type && has_order && has_shape ? WF_OK : fail(r, "descr, fortran_order or shape is missing");
}

wf_status npy_parse(const unsigned char *data, size_t bytes, const char *name, npy_array *array, wf_error *err)
{
    *array = (npy_array){0};
    if (bytes < PREFIX_BYTES || memcmp(data, MAGIC, MAGIC_BYTES)) {
        const file_kind *kind = file_kind_find((view){(const char *)data, bytes});
        return error_set(err, WF_ERROR_FORMAT, "%s: not a .npy file%s%s", name, kind ? ", but " : "",
                         kind ? kind->what : "");
    }
    int major = data[6];
    if (major < 1 || major > 3) return error_set(err, WF_ERROR_UNSUPPORTED, "%s: .npy version %d", name, major);
    size_t start = major == 1 ? 10 : 12, length = (size_t)data[8] | (size_t)data[9] << 8;
    if (major > 1 && bytes >= start) length |= (size_t)data[10] << 16 | (size_t)data[11] << 24;
    if (bytes < start || length > bytes - start)
        return error_set(err, WF_ERROR_FORMAT, "%s: the header of %zu bytes reaches beyond the end", name, length);
    reader r = {name, {(const char *)data + start, length}, 0, err};
    TRY(read_header(&r, array));
    size_t content;
    if (!measure(array->type, array->dims, array->n_dims, &array->count, &content) || content > bytes - start - length)
        return error_set(err, WF_ERROR_FORMAT, "%s: the shape needs more than the %zu bytes after the header", name,
                         bytes - start - length);
    if (content < bytes - start - length)
        return error_set(err, WF_ERROR_FORMAT, "%s: %zu bytes too many after the array", name,
                         bytes - start - length - content);
    if ((start + length) % ITEM_ALIGNMENT)
        return error_set(err, WF_ERROR_UNSUPPORTED, "%s: values at offset %zu are not aligned", name, start + length);
    array->data = data + start + length;
    return WF_OK;
}

wf_status npy_open(const char *path, npy_array *array, wf_error *err)
{
    file_map map;
    *array = (npy_array){0};
    TRY(file_map_open(path, &map, err));
    wf_status status = npy_parse(map.data, map.bytes, path, array, err);
    array->map = map;
    if (status != WF_OK) npy_close(array);
    return status;
}

void npy_close(npy_array *array)
{
    file_map_close(&array->map);
    *array = (npy_array){0};
}
