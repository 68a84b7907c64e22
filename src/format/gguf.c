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
// for each). Strings and arrays of numbers are views into the file; only tables are allocated, from one arena. Names
// are found by binary search in a sorted table: unlike a hash table it has no bad case that a file could aim at.
//
// Format page: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#include "format/gguf.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

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

typedef struct name_entry {
    view name;
    size_t index; // of the value or tensor
} name_entry;

typedef struct part {
    file_map map;    // data is NULL: memory of the caller, or of `file`
    gguf_file *file; // owned; NULL: none
    view bytes;
} part;

struct gguf_file {
    const char *path;
    const unsigned char *data; // of the one part that is parsed; of a file put together, the header
    size_t bytes, header_bytes, alignment;
    part *parts; // where tensors lie
    size_t n_parts, max_parts;
    uint32_t version;
    gguf_value *values;
    gguf_tensor *tensors;
    size_t n_values, n_tensors;
    size_t max_values, max_tensors;               // of a file that is put together
    name_entry *values_by_name, *tensors_by_name; // sorted by name
    arena memory;
};

typedef struct cursor {
    gguf_file *file;
    size_t at; // <= file->bytes
    wf_error *err;
} cursor;

// For messages: "%.*s" of a name that may be 64 KiB long.
#define NAME_ARG(v) (int)((v).len > 80 ? 80 : (v).len), (v).data

// Tensor types. block_values is 0 for those whose name is known, but whose blocks welford does not read.
static const tensor_layout LAYOUTS[] = {
    [TENSOR_F32] = {"F32", 1, 4},
    [TENSOR_F16] = {"F16", 1, 2},
    [TENSOR_Q4_0] = {"Q4_0", 32, 18},
    [TENSOR_Q4_1] = {"Q4_1", 32, 20},
    [TENSOR_Q5_0] = {"Q5_0", 32, 22},
    [TENSOR_Q5_1] = {"Q5_1", 32, 24},
    [TENSOR_Q8_0] = {"Q8_0", 32, 34},
    [TENSOR_Q8_1] = {"Q8_1", 32, 36},
    [TENSOR_Q2_K] = {"Q2_K", 256, 84},
    [TENSOR_Q3_K] = {"Q3_K", 256, 110},
    [TENSOR_Q4_K] = {"Q4_K", 256, 144},
    [TENSOR_Q5_K] = {"Q5_K", 256, 176},
    [TENSOR_Q6_K] = {"Q6_K", 256, 210},
    [TENSOR_Q8_K] = {"Q8_K", 256, 292},
    [TENSOR_I8] = {"I8", 1, 1},
    [TENSOR_I16] = {"I16", 1, 2},
    [TENSOR_I32] = {"I32", 1, 4},
    [TENSOR_I64] = {"I64", 1, 8},
    [TENSOR_F64] = {"F64", 1, 8},
    [TENSOR_BF16] = {"BF16", 1, 2},
    [16] = {"IQ2_XXS", 0, 0},
    [17] = {"IQ2_XS", 0, 0},
    [18] = {"IQ3_XXS", 0, 0},
    [19] = {"IQ1_S", 0, 0},
    [20] = {"IQ4_NL", 0, 0},
    [21] = {"IQ3_S", 0, 0},
    [22] = {"IQ2_S", 0, 0},
    [23] = {"IQ4_XS", 0, 0},
    [29] = {"IQ1_M", 0, 0},
    [34] = {"TQ1_0", 0, 0},
    [35] = {"TQ2_0", 0, 0},
    [39] = {"MXFP4", 0, 0},
};

static const char *type_name(uint32_t type)
{
    size_t known = sizeof LAYOUTS / sizeof *LAYOUTS;
    return type < known && LAYOUTS[type].name ? LAYOUTS[type].name : "unknown";
}

const tensor_layout *gguf_type_layout(uint32_t type)
{
    size_t known = sizeof LAYOUTS / sizeof *LAYOUTS;
    return type < known && LAYOUTS[type].block_values ? &LAYOUTS[type] : NULL;
}

// Bytes of a number or bool; 0 for STRING, ARRAY and unknown types.
static size_t number_bytes(uint32_t type)
{
    static const unsigned char BYTES[] = {
        [GGUF_U8] = 1,  [GGUF_I8] = 1,   [GGUF_U16] = 2, [GGUF_I16] = 2, [GGUF_U32] = 4, [GGUF_I32] = 4,
        [GGUF_F32] = 4, [GGUF_BOOL] = 1, [GGUF_U64] = 8, [GGUF_I64] = 8, [GGUF_F64] = 8,
    };
    return type < sizeof BYTES ? BYTES[type] : 0;
}

static bool is_unsigned(gguf_type type)
{
    return type == GGUF_U8 || type == GGUF_U16 || type == GGUF_U32 || type == GGUF_U64 || type == GGUF_BOOL;
}

static bool is_signed(gguf_type type)
{
    return type == GGUF_I8 || type == GGUF_I16 || type == GGUF_I32 || type == GGUF_I64;
}

// ---- numbers: little endian, at any address

static uint64_t load_unsigned(const unsigned char *p, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++) value |= (uint64_t)p[i] << (8 * i);
    return value;
}

static int64_t load_signed(const unsigned char *p, size_t bytes)
{
    uint64_t value = load_unsigned(p, bytes), sign = (uint64_t)1 << (8 * bytes - 1);
    return (int64_t)((value ^ sign) - sign);
}

static double load_float(const unsigned char *p, size_t bytes)
{
    uint64_t bits = load_unsigned(p, bytes);
    if (bytes == sizeof(double)) {
        double wide;
        memcpy(&wide, &bits, sizeof wide);
        return wide;
    }
    uint32_t low = (uint32_t)bits;
    float narrow;
    memcpy(&narrow, &low, sizeof narrow);
    return (double)narrow;
}

// ---- cursor

// The next `bytes` bytes, or NULL when the file ends before.
static const unsigned char *cursor_take(cursor *c, size_t bytes)
{
    if (bytes > c->file->bytes - c->at) return NULL;
    const unsigned char *p = c->file->data + c->at;
    c->at += bytes;
    return p;
}

static wf_status fail_short(const cursor *c, const char *what)
{
    return error_set(c->err, WF_ERROR_FORMAT, "%s: offset %zu: the file ends inside %s", c->file->path, c->at, what);
}

static wf_status read_u32(cursor *c, const char *what, uint32_t *value)
{
    const unsigned char *p = cursor_take(c, 4);
    if (!p) return fail_short(c, what);
    *value = (uint32_t)load_unsigned(p, 4);
    return WF_OK;
}

static wf_status read_u64(cursor *c, const char *what, uint64_t *value)
{
    const unsigned char *p = cursor_take(c, 8);
    if (!p) return fail_short(c, what);
    *value = load_unsigned(p, 8);
    return WF_OK;
}

static wf_status read_string(cursor *c, const char *what, view *text)
{
    uint64_t len;
    size_t at = c->at;
    TRY(read_u64(c, what, &len));
    const unsigned char *p = cursor_take(c, len);
    if (!p)
        return error_set(c->err, WF_ERROR_FORMAT, "%s: offset %zu: length %" PRIu64 " of %s, but %zu bytes are left",
                         c->file->path, at, len, what, c->file->bytes - c->at);
    *text = (view){(const char *)p, len};
    return WF_OK;
}

// A key or tensor name: 1 to `limit` bytes, no zero byte, since later parts look names up as C strings.
static wf_status read_name(cursor *c, const char *what, size_t limit, view *name)
{
    size_t at = c->at;
    TRY(read_string(c, what, name));
    if (name->len == 0 || name->len > limit)
        return error_set(c->err, WF_ERROR_FORMAT, "%s: offset %zu: length %zu of %s is not in 1..%zu", c->file->path,
                         at, name->len, what, limit);
    if (memchr(name->data, 0, name->len))
        return error_set(c->err, WF_ERROR_FORMAT, "%s: offset %zu: a zero byte in %s", c->file->path, at, what);
    return WF_OK;
}

// ---- metadata values

static wf_status fail_value(const cursor *c, const gguf_value *value, wf_status status, const char *reason)
{
    return error_set(c->err, status, "%s: key '%.*s': %s", c->file->path, NAME_ARG(value->key), reason);
}

static wf_status read_number(cursor *c, gguf_value *value)
{
    size_t bytes = number_bytes(value->type);
    const unsigned char *p = cursor_take(c, bytes);
    if (!p) return fail_value(c, value, WF_ERROR_FORMAT, "the file ends inside the value");
    if (value->type == GGUF_F32 || value->type == GGUF_F64)
        value->f = load_float(p, bytes);
    else if (is_signed(value->type))
        value->i = load_signed(p, bytes);
    else
        value->u = load_unsigned(p, bytes);
    if (value->type == GGUF_BOOL && value->u > 1)
        return fail_value(c, value, WF_ERROR_FORMAT, "a bool that is neither 0 nor 1");
    return WF_OK;
}

static wf_status read_string_items(cursor *c, gguf_value *value)
{
    view *strings = arena_alloc(&c->file->memory, value->count, sizeof *strings);
    if (!strings) return error_memory(c->err, value->count * sizeof *strings);
    for (uint64_t i = 0; i < value->count; i++) {
        if (c->file->bytes - c->at < 8)
            return fail_value(c, value, WF_ERROR_FORMAT, "the file ends inside the array of strings");
        uint64_t len = load_unsigned(cursor_take(c, 8), 8);
        const unsigned char *p = cursor_take(c, len);
        if (!p)
            return error_set(c->err, WF_ERROR_FORMAT,
                             "%s: key '%.*s': item %" PRIu64 " has %" PRIu64 " bytes, but %zu are left", c->file->path,
                             NAME_ARG(value->key), i, len, c->file->bytes - c->at);
        strings[i] = (view){(const char *)p, len};
    }
    value->strings = strings;
    return WF_OK;
}

static wf_status read_array(cursor *c, gguf_value *value)
{
    uint32_t type;
    TRY(read_u32(c, "an array's type", &type));
    TRY(read_u64(c, "an array's count", &value->count));
    if (type == GGUF_ARRAY) return fail_value(c, value, WF_ERROR_UNSUPPORTED, "an array of arrays is not supported");
    size_t item_bytes = type == GGUF_STRING ? 8 : number_bytes(type); // of the smallest item
    if (!item_bytes)
        return error_set(c->err, WF_ERROR_FORMAT, "%s: key '%.*s': item type %" PRIu32 " does not exist", c->file->path,
                         NAME_ARG(value->key), type);
    value->item_type = (gguf_type)type;
    size_t left = c->file->bytes - c->at;
    if (value->count > left / item_bytes)
        return error_set(c->err, WF_ERROR_FORMAT, "%s: key '%.*s': %" PRIu64 " array items, but %zu bytes are left",
                         c->file->path, NAME_ARG(value->key), value->count, left);
    if (type == GGUF_STRING) return read_string_items(c, value);
    value->data = cursor_take(c, value->count * item_bytes);
    for (uint64_t i = 0; type == GGUF_BOOL && i < value->count; i++)
        if (value->data[i] > 1) return fail_value(c, value, WF_ERROR_FORMAT, "a bool that is neither 0 nor 1");
    return WF_OK;
}

static wf_status read_value(cursor *c, gguf_value *value)
{
    uint32_t type;
    TRY(read_name(c, "a key", KEY_BYTES_MAX, &value->key));
    TRY(read_u32(c, "a value's type", &type));
    value->type = (gguf_type)type;
    value->count = 1;
    if (type == GGUF_ARRAY) return read_array(c, value);
    if (type == GGUF_STRING) return read_string(c, "a string", &value->s);
    if (number_bytes(type)) return read_number(c, value);
    return error_set(c->err, WF_ERROR_FORMAT, "%s: key '%.*s': type %" PRIu32 " does not exist", c->file->path,
                     NAME_ARG(value->key), type);
}

// ---- tensor table

static wf_status fail_tensor(const cursor *c, const gguf_tensor *t, wf_status status, const char *reason)
{
    return error_set(c->err, status, "%s: tensor '%.*s': %s", c->file->path, NAME_ARG(t->name), reason);
}

static wf_status read_dims(cursor *c, gguf_tensor *t)
{
    TRY(read_u32(c, "a tensor's number of dimensions", &t->n_dims));
    if (t->n_dims < 1 || t->n_dims > 4)
        return error_set(c->err, WF_ERROR_FORMAT, "%s: tensor '%.*s': %" PRIu32 " dimensions, not 1 to 4",
                         c->file->path, NAME_ARG(t->name), t->n_dims);
    for (uint32_t i = 0; i < 4; i++) {
        uint64_t dim = 1;
        if (i < t->n_dims) TRY(read_u64(c, "a tensor's dimensions", &dim));
        if (dim == 0 || dim >= (uint64_t)DIM_LIMIT)
            return error_set(c->err, WF_ERROR_FORMAT, "%s: tensor '%.*s': dimension %" PRIu32 " is %" PRIu64,
                             c->file->path, NAME_ARG(t->name), i, dim);
        t->dims[i] = (int64_t)dim;
    }
    return WF_OK;
}

// Sets t->bytes from type and dimensions; the number of values fits int64_t afterwards.
static wf_status size_tensor(cursor *c, gguf_tensor *t)
{
    const tensor_layout *layout = gguf_type_layout(t->type);
    if (!layout)
        return error_set(c->err, WF_ERROR_UNSUPPORTED, "%s: tensor '%.*s': type %u (%s) is not supported",
                         c->file->path, NAME_ARG(t->name), (unsigned)t->type, type_name(t->type));
    if ((size_t)t->dims[0] % layout->block_values)
        return error_set(c->err, WF_ERROR_FORMAT,
                         "%s: tensor '%.*s': rows of %" PRId64 " values, not a multiple of %zu (%s)", c->file->path,
                         NAME_ARG(t->name), t->dims[0], layout->block_values, layout->name);
    size_t values = 1;
    bool fits = true;
    for (int i = 0; i < 4; i++) fits = fits && checked_mul(values, (size_t)t->dims[i], &values);
    fits = fits && values <= INT64_MAX && checked_mul(values / layout->block_values, layout->block_bytes, &t->bytes);
    return fits ? WF_OK : fail_tensor(c, t, WF_ERROR_FORMAT, "the product of the dimensions overflows");
}

// Leaves t->offset relative to the data; place_tensor makes it absolute once the header's end is known.
static wf_status read_tensor(cursor *c, gguf_tensor *t)
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

static wf_status place_tensor(cursor *c, gguf_tensor *t, size_t data_start, bool header_only)
{
    gguf_file *file = c->file;
    size_t relative = t->offset, end;
    if (relative % file->alignment)
        return error_set(c->err, WF_ERROR_FORMAT, "%s: tensor '%.*s': offset %zu is not a multiple of %zu", file->path,
                         NAME_ARG(t->name), relative, file->alignment);
    if (!checked_add(data_start, relative, &t->offset) || !checked_add(t->offset, t->bytes, &end))
        return fail_tensor(c, t, WF_ERROR_FORMAT, "the offset overflows");
    if (end <= file->bytes)
        t->data = file->data + t->offset;
    else if (!header_only)
        return error_set(c->err, WF_ERROR_FORMAT,
                         "%s: tensor '%.*s': bytes %zu to %zu lie beyond the file's end at %zu", file->path,
                         NAME_ARG(t->name), t->offset, end, file->bytes);
    return WF_OK;
}

static int compare_offsets(const void *a, const void *b)
{
    const gguf_tensor *x = *(const gguf_tensor *const *)a, *y = *(const gguf_tensor *const *)b;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

// In order of their offsets, each tensor must end before the next begins.
static wf_status check_overlap(cursor *c)
{
    gguf_file *file = c->file;
    const gguf_tensor **sorted = arena_alloc(&file->memory, file->n_tensors, sizeof *sorted);
    if (!sorted) return error_memory(c->err, file->n_tensors * sizeof *sorted);
    for (size_t i = 0; i < file->n_tensors; i++) sorted[i] = &file->tensors[i];
    qsort(sorted, file->n_tensors, sizeof *sorted, compare_offsets);
    for (size_t i = 1; i < file->n_tensors; i++) {
        const gguf_tensor *before = sorted[i - 1];
        if (before->offset + before->bytes > sorted[i]->offset)
            return error_set(c->err, WF_ERROR_FORMAT, "%s: tensor '%.*s' overlaps tensor '%.*s' at offset %zu",
                             file->path, NAME_ARG(before->name), NAME_ARG(sorted[i]->name), sorted[i]->offset);
    }
    return WF_OK;
}

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

static wf_status sort_names(cursor *c, name_entry *entries, size_t n, const char *kind)
{
    qsort(entries, n, sizeof *entries, compare_entries);
    for (size_t i = 1; i < n; i++)
        if (view_equal(entries[i - 1].name, entries[i].name))
            return error_set(c->err, WF_ERROR_FORMAT, "%s: %s '%.*s' occurs twice", c->file->path, kind,
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

// ---- the file

static wf_status read_preamble(cursor *c, uint64_t *n_tensors, uint64_t *n_values)
{
    gguf_file *file = c->file;
    const unsigned char *magic = cursor_take(c, 4);
    if (!magic || memcmp(magic, "GGUF", 4))
        return error_set(c->err, WF_ERROR_FORMAT,
                         "%s: offset 0: not a GGUF file (the first four bytes are not \"GGUF\")", file->path);
    TRY(read_u32(c, "the version", &file->version));
    if (file->version == 1)
        return error_set(c->err, WF_ERROR_UNSUPPORTED, "%s: GGUF version 1 is not supported, only 2 and 3", file->path);
    if (file->version && !(file->version & 0xffff))
        return error_set(c->err, WF_ERROR_UNSUPPORTED, "%s: a big-endian GGUF file is not supported", file->path);
    if (file->version != 2 && file->version != 3)
        return error_set(c->err, WF_ERROR_UNSUPPORTED, "%s: GGUF version %" PRIu32 " is not supported, only 2 and 3",
                         file->path, file->version);
    TRY(read_u64(c, "the tensor count", n_tensors));
    TRY(read_u64(c, "the value count", n_values));
    size_t left = file->bytes - c->at;
    if (*n_values > left / SMALLEST_VALUE)
        return error_set(c->err, WF_ERROR_FORMAT, "%s: offset 16: %" PRIu64 " metadata values, but %zu bytes are left",
                         file->path, *n_values, left);
    if (*n_tensors > left / SMALLEST_TENSOR)
        return error_set(c->err, WF_ERROR_FORMAT, "%s: offset 8: %" PRIu64 " tensors, but %zu bytes are left",
                         file->path, *n_tensors, left);
    return WF_OK;
}

static wf_status read_values(cursor *c, size_t n)
{
    gguf_file *file = c->file;
    file->values = arena_alloc(&file->memory, n, sizeof *file->values);
    file->values_by_name = arena_alloc(&file->memory, n, sizeof *file->values_by_name);
    if (!file->values || !file->values_by_name) return error_memory(c->err, n * sizeof *file->values);
    for (size_t i = 0; i < n; i++) {
        TRY(read_value(c, &file->values[i]));
        file->values_by_name[i] = (name_entry){file->values[i].key, i};
    }
    TRY(sort_names(c, file->values_by_name, n, "key"));
    file->n_values = n;
    return WF_OK;
}

static wf_status read_alignment(cursor *c)
{
    int64_t alignment = DEFAULT_ALIGNMENT;
    TRY(gguf_get_int_or(c->file, "general.alignment", SMALLEST_ALIGNMENT, GREATEST_ALIGNMENT, &alignment, c->err));
    if (alignment & (alignment - 1))
        return error_set(c->err, WF_ERROR_FORMAT, "%s: key 'general.alignment': %" PRId64 " is not a power of two",
                         c->file->path, alignment);
    c->file->alignment = (size_t)alignment;
    return WF_OK;
}

static wf_status read_tensors(cursor *c, size_t n, bool header_only)
{
    gguf_file *file = c->file;
    file->tensors = arena_alloc(&file->memory, n, sizeof *file->tensors);
    file->tensors_by_name = arena_alloc(&file->memory, n, sizeof *file->tensors_by_name);
    if (!file->tensors || !file->tensors_by_name) return error_memory(c->err, n * sizeof *file->tensors);
    for (size_t i = 0; i < n; i++) {
        TRY(read_tensor(c, &file->tensors[i]));
        file->tensors_by_name[i] = (name_entry){file->tensors[i].name, i};
    }
    TRY(sort_names(c, file->tensors_by_name, n, "tensor"));
    file->n_tensors = n;
    size_t data_start;
    if (!checked_align(c->at, file->alignment, &data_start)) return fail_short(c, "the header");
    for (size_t i = 0; i < n; i++) TRY(place_tensor(c, &file->tensors[i], data_start, header_only));
    file->header_bytes = data_start < file->bytes ? data_start : file->bytes;
    return check_overlap(c);
}

static wf_status parse_file(gguf_file *file, bool header_only, wf_error *err)
{
    cursor c = {file, 0, err};
    uint64_t n_tensors, n_values;
    TRY(read_preamble(&c, &n_tensors, &n_values));
    TRY(read_values(&c, n_values));
    TRY(read_alignment(&c));
    return read_tensors(&c, n_tensors, header_only);
}

static wf_status create_file(const char *path, gguf_file **file, wf_error *err)
{
    gguf_file *created = calloc(1, sizeof *created);
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
static void *grow(gguf_file *file, void *items, size_t n, size_t *max, size_t size, wf_error *err)
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

static wf_status add_part(gguf_file *file, part p, wf_error *err)
{
    part *parts = grow(file, file->parts, file->n_parts, &file->max_parts, sizeof *parts, err);
    if (!parts) {
        file_map_close(&p.map);
        gguf_close(p.file);
        return WF_ERROR_MEMORY;
    }
    file->parts = parts;
    file->parts[file->n_parts++] = p;
    return WF_OK;
}

static view map_view(const file_map *map) { return (view){(const char *)map->data, map->bytes}; }

static wf_status open_file(const char *path, bool header_only, gguf_file **file, wf_error *err)
{
    *file = NULL;
    gguf_file *created;
    TRY(create_file(path, &created, err));
    wf_status status;
    file_map map;
    TRY_GOTO(file_map_open(path, &map, err), fail);
    TRY_GOTO(gguf_take_map(created, &map, err), fail);
    created->data = map.data;
    created->bytes = map.bytes;
    TRY_GOTO(parse_file(created, header_only, err), fail);
    *file = created;
    return WF_OK;
fail:
    gguf_close(created);
    return status;
}

wf_status gguf_open(const char *path, gguf_file **file, wf_error *err) { return open_file(path, false, file, err); }

wf_status gguf_open_header(const char *path, gguf_file **file, wf_error *err)
{
    return open_file(path, true, file, err);
}

wf_status gguf_parse(const unsigned char *data, size_t bytes, const char *name, gguf_file **file, wf_error *err)
{
    *file = NULL;
    gguf_file *created;
    TRY(create_file(name, &created, err));
    created->data = data;
    created->bytes = bytes;
    wf_status status;
    TRY_GOTO(add_part(created, (part){.bytes = {(const char *)data, bytes}}, err), fail);
    TRY_GOTO(parse_file(created, false, err), fail);
    *file = created;
    return WF_OK;
fail:
    gguf_close(created);
    return status;
}

void gguf_close(gguf_file *file)
{
    if (!file) return;
    for (size_t i = 0; i < file->n_parts; i++) {
        file_map_close(&file->parts[i].map);
        gguf_close(file->parts[i].file);
    }
    arena_free(&file->memory);
    free(file);
}

// ---- files put together

wf_status gguf_create(const char *path, gguf_file **file, wf_error *err)
{
    *file = NULL;
    return create_file(path, file, err);
}

arena *gguf_memory(gguf_file *file) { return &file->memory; }

wf_status gguf_take_map(gguf_file *file, file_map *map, wf_error *err)
{
    return add_part(file, (part){.map = *map, .bytes = map_view(map)}, err);
}

wf_status gguf_take_part(gguf_file *file, gguf_file *other, wf_error *err)
{
    return add_part(file, (part){.file = other, .bytes = other->parts[0].bytes}, err);
}

wf_status gguf_add_value(gguf_file *file, const gguf_value *value, wf_error *err)
{
    gguf_value *values = grow(file, file->values, file->n_values, &file->max_values, sizeof *values, err);
    if (!values) return WF_ERROR_MEMORY;
    file->values = values;
    file->values[file->n_values++] = *value;
    return WF_OK;
}

wf_status gguf_add_tensor(gguf_file *file, const gguf_tensor *tensor, wf_error *err)
{
    gguf_tensor *tensors = grow(file, file->tensors, file->n_tensors, &file->max_tensors, sizeof *tensors, err);
    if (!tensors) return WF_ERROR_MEMORY;
    file->tensors = tensors;
    file->tensors[file->n_tensors++] = *tensor;
    return WF_OK;
}

wf_status gguf_finish(gguf_file *file, view header, wf_error *err)
{
    cursor c = {file, 0, err};
    file->values_by_name = arena_alloc(&file->memory, file->n_values, sizeof *file->values_by_name);
    file->tensors_by_name = arena_alloc(&file->memory, file->n_tensors, sizeof *file->tensors_by_name);
    if (!file->values_by_name || !file->tensors_by_name) return error_memory(err, file->n_values * sizeof(name_entry));
    for (size_t i = 0; i < file->n_values; i++) file->values_by_name[i] = (name_entry){file->values[i].key, i};
    for (size_t i = 0; i < file->n_tensors; i++) file->tensors_by_name[i] = (name_entry){file->tensors[i].name, i};
    TRY(sort_names(&c, file->values_by_name, file->n_values, "key"));
    TRY(sort_names(&c, file->tensors_by_name, file->n_tensors, "tensor"));
    file->data = (const unsigned char *)header.data;
    file->header_bytes = header.len;
    file->bytes = 0;
    for (size_t i = 0; i < file->n_parts; i++) file->bytes += file->parts[i].bytes.len; // all are mapped: the sum fits
    return WF_OK;
}

// ---- access

const char *gguf_path(const gguf_file *file) { return file->path; }

uint32_t gguf_version(const gguf_file *file) { return file->version; }

size_t gguf_alignment(const gguf_file *file) { return file->alignment; }

const unsigned char *gguf_bytes(const gguf_file *file, size_t *bytes, size_t *header_bytes)
{
    *bytes = file->bytes;
    *header_bytes = file->header_bytes;
    return file->data;
}

size_t gguf_part_count(const gguf_file *file) { return file->n_parts; }

view gguf_part(const gguf_file *file, size_t index) { return file->parts[index].bytes; }

int64_t gguf_mtime_ns(const gguf_file *file)
{
    uint64_t mix = 0;
    for (size_t i = 0; i < file->n_parts; i++) {
        const part *p = &file->parts[i];
        mix = 31 * mix + (uint64_t)(p->file ? gguf_mtime_ns(p->file) : p->map.mtime_ns);
    }
    return (int64_t)mix;
}

size_t gguf_value_count(const gguf_file *file) { return file->n_values; }

const gguf_value *gguf_value_at(const gguf_file *file, size_t index) { return &file->values[index]; }

const gguf_value *gguf_find(const gguf_file *file, const char *key)
{
    size_t i = find_name(file->values_by_name, file->n_values, key);
    return i < file->n_values ? &file->values[i] : NULL;
}

size_t gguf_tensor_count(const gguf_file *file) { return file->n_tensors; }

const gguf_tensor *gguf_tensor_at(const gguf_file *file, size_t index) { return &file->tensors[index]; }

const gguf_tensor *gguf_find_tensor(const gguf_file *file, const char *name)
{
    size_t i = find_name(file->tensors_by_name, file->n_tensors, name);
    return i < file->n_tensors ? &file->tensors[i] : NULL;
}

// ---- typed access

static wf_status fail_key(const gguf_file *file, const char *key, const char *reason, wf_error *err)
{
    return error_set(err, WF_ERROR_FORMAT, "%s: key '%s': %s", file->path, key, reason);
}

wf_status gguf_get_int_or(const gguf_file *file, const char *key, int64_t min, int64_t max, int64_t *value,
                          wf_error *err)
{
    const gguf_value *found = gguf_find(file, key);
    if (!found) return WF_OK;
    bool is_integer = is_signed(found->type) || (is_unsigned(found->type) && found->type != GGUF_BOOL);
    if (!is_integer) return fail_key(file, key, "not an integer", err);
    if (is_unsigned(found->type) && found->u > INT64_MAX)
        return error_set(err, WF_ERROR_FORMAT, "%s: key '%s': %" PRIu64 " is not in %" PRId64 "..%" PRId64, file->path,
                         key, found->u, min, max);
    int64_t number = is_signed(found->type) ? found->i : (int64_t)found->u;
    if (number < min || number > max)
        return error_set(err, WF_ERROR_FORMAT, "%s: key '%s': %" PRId64 " is not in %" PRId64 "..%" PRId64, file->path,
                         key, number, min, max);
    *value = number;
    return WF_OK;
}

wf_status gguf_get_float_or(const gguf_file *file, const char *key, double *value, wf_error *err)
{
    const gguf_value *found = gguf_find(file, key);
    if (!found) return WF_OK;
    if (found->type != GGUF_F32 && found->type != GGUF_F64) return fail_key(file, key, "not a float", err);
    if (!isfinite(found->f)) return fail_key(file, key, "not a finite number", err);
    *value = found->f;
    return WF_OK;
}

wf_status gguf_get_string_or(const gguf_file *file, const char *key, view *value, wf_error *err)
{
    const gguf_value *found = gguf_find(file, key);
    if (!found) return WF_OK;
    if (found->type != GGUF_STRING) return fail_key(file, key, "not a string", err);
    *value = found->s;
    return WF_OK;
}

wf_status gguf_get_bool_or(const gguf_file *file, const char *key, bool *value, wf_error *err)
{
    const gguf_value *found = gguf_find(file, key);
    if (!found) return WF_OK;
    if (found->type != GGUF_BOOL) return fail_key(file, key, "not a bool", err);
    *value = found->u != 0;
    return WF_OK;
}

static wf_status require_key(const gguf_file *file, const char *key, wf_error *err)
{
    return gguf_find(file, key) ? WF_OK : error_set(err, WF_ERROR_FORMAT, "%s: key '%s' is missing", file->path, key);
}

wf_status gguf_get_int(const gguf_file *file, const char *key, int64_t min, int64_t max, int64_t *value, wf_error *err)
{
    TRY(require_key(file, key, err));
    return gguf_get_int_or(file, key, min, max, value, err);
}

wf_status gguf_get_float(const gguf_file *file, const char *key, double *value, wf_error *err)
{
    TRY(require_key(file, key, err));
    return gguf_get_float_or(file, key, value, err);
}

wf_status gguf_get_string(const gguf_file *file, const char *key, view *value, wf_error *err)
{
    TRY(require_key(file, key, err));
    return gguf_get_string_or(file, key, value, err);
}

wf_status gguf_get_bool(const gguf_file *file, const char *key, bool *value, wf_error *err)
{
    TRY(require_key(file, key, err));
    return gguf_get_bool_or(file, key, value, err);
}

// A double beyond int64_t has no integer: converting it would be undefined, so it is clamped, and NaN gives 0.
static int64_t clamp_to_int(double value)
{
    if (!(value > -0x1p63)) return isnan(value) ? 0 : INT64_MIN;
    return value < 0x1p63 ? (int64_t)value : INT64_MAX;
}

int64_t gguf_item_int(const gguf_value *array, uint64_t index)
{
    size_t bytes = number_bytes(array->item_type);
    const unsigned char *p = array->data + index * bytes;
    if (is_signed(array->item_type)) return load_signed(p, bytes);
    if (array->item_type == GGUF_F32 || array->item_type == GGUF_F64) return clamp_to_int(load_float(p, bytes));
    uint64_t value = load_unsigned(p, bytes);
    return value > INT64_MAX ? INT64_MAX : (int64_t)value;
}

double gguf_item_float(const gguf_value *array, uint64_t index)
{
    size_t bytes = number_bytes(array->item_type);
    const unsigned char *p = array->data + index * bytes;
    if (is_signed(array->item_type)) return (double)load_signed(p, bytes);
    if (is_unsigned(array->item_type)) return (double)load_unsigned(p, bytes);
    return load_float(p, bytes);
}
