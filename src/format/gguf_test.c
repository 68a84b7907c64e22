// GGUF files made here, byte by byte, and every way to break them.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "format/gguf.h"

// ---- writing

static void put_number(buffer *b, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++) buffer_append_char(b, (char)(value >> (8 * i)));
}

static void put_u32(buffer *b, uint64_t value) { put_number(b, value, 4); }

static void put_u64(buffer *b, uint64_t value) { put_number(b, value, 8); }

static void put_string(buffer *b, const char *text)
{
    put_u64(b, strlen(text));
    buffer_append(b, text, strlen(text));
}

static void put_preamble(buffer *b, uint64_t version, uint64_t n_tensors, uint64_t n_values)
{
    buffer_append(b, "GGUF", 4);
    put_u32(b, version);
    put_u64(b, n_tensors);
    put_u64(b, n_values);
}

static void put_key(buffer *b, const char *key, uint64_t type)
{
    put_string(b, key);
    put_u32(b, type);
}

static void put_array(buffer *b, const char *key, uint64_t item_type, uint64_t count)
{
    put_key(b, key, METADATA_ARRAY);
    put_u32(b, item_type);
    put_u64(b, count);
}

static void put_tensor(buffer *b, const char *name, uint64_t columns, uint64_t rows, uint64_t type, uint64_t offset)
{
    put_string(b, name);
    put_u32(b, 2);
    put_u64(b, columns);
    put_u64(b, rows);
    put_u32(b, type);
    put_u64(b, offset);
}

static void put_padding(buffer *b, size_t alignment)
{
    while (b->len % alignment) buffer_append_char(b, 0);
}

// ---- reading: on a heap copy of the exact size, so that a read beyond the end is seen by the sanitizer

typedef struct parsed {
    unsigned char *copy;
    checkpoint *file;
    wf_status status;
    wf_error err;
} parsed;

static parsed parse_bytes(const char *data, size_t bytes)
{
    parsed p = {0};
    p.copy = malloc(bytes ? bytes : 1);
    assert_non_null(p.copy);
    if (bytes) memcpy(p.copy, data, bytes);
    p.status = gguf_parse(p.copy, bytes, "test.gguf", &p.file, &p.err);
    assert_int_equal(p.status == WF_OK, p.file != NULL);
    if (p.status != WF_OK) {
        assert_int_equal(p.err.status, p.status);
        assert_ptr_equal(strstr(p.err.message, "test.gguf: "), p.err.message);
        assert_null(strchr(p.err.message, '\n'));
    }
    return p;
}

static void parsed_free(parsed *p)
{
    checkpoint_close(p->file);
    free(p->copy);
}

static void assert_status(wf_status actual, wf_status expected, const wf_error *err, const char *part)
{
    if (actual == expected && strstr(err->message, part)) return;
    fail_msg("status %d, expected %d; \"%s\", expected \"%s\" in it", actual, expected, err->message, part);
}

// Parses `b` and frees it; it must be refused with a message that contains `part`.
static void assert_refused(buffer *b, wf_status status, const char *part)
{
    parsed p = parse_bytes(b->data, b->len);
    assert_status(p.status, status, &p.err, part);
    parsed_free(&p);
    buffer_free(b);
}

// A valid file with every type of value and four tensors.
static buffer make_sample(void)
{
    buffer b = {0};
    put_preamble(&b, 3, 4, 19);
    put_key(&b, "u8", METADATA_U8), put_number(&b, 255, 1);
    put_key(&b, "i8", METADATA_I8), put_number(&b, 0x80, 1);
    put_key(&b, "u16", METADATA_U16), put_number(&b, 65535, 2);
    put_key(&b, "i16", METADATA_I16), put_number(&b, 0x8000, 2);
    put_key(&b, "u32", METADATA_U32), put_u32(&b, 4294967295);
    put_key(&b, "i32", METADATA_I32), put_u32(&b, 0x80000000);
    put_key(&b, "f32", METADATA_F32), put_u32(&b, 0x3fc00000); // 1.5
    put_key(&b, "bool", METADATA_BOOL), put_number(&b, 1, 1);
    put_key(&b, "string", METADATA_STRING), put_string(&b, "hello");
    put_key(&b, "u64", METADATA_U64), put_u64(&b, UINT64_MAX);
    put_key(&b, "i64", METADATA_I64), put_u64(&b, (uint64_t)INT64_MIN);
    put_key(&b, "f64", METADATA_F64), put_u64(&b, 0x4004000000000000); // 2.5
    put_key(&b, "nan", METADATA_F32), put_u32(&b, 0x7fc00000);
    put_array(&b, "strings", METADATA_STRING, 3), put_string(&b, "a"), put_string(&b, ""), put_string(&b, "ccc");
    put_array(&b, "i16s", METADATA_I16, 2), put_number(&b, 7, 2), put_number(&b, 0xffff, 2);
    put_array(&b, "f32s", METADATA_F32, 2), put_u32(&b, 0x3fc00000), put_u32(&b, 0x7f800000); // 1.5, infinity
    put_array(&b, "u64s", METADATA_U64, 1), put_u64(&b, UINT64_MAX);
    put_array(&b, "bools", METADATA_BOOL, 2), put_number(&b, 0x0001, 2);
    put_array(&b, "empty", METADATA_U32, 0);
    put_tensor(&b, "f32.weight", 3, 2, TENSOR_F32, 0);    // 24 bytes
    put_tensor(&b, "q4.weight", 64, 3, TENSOR_Q4_0, 64);  // 6 blocks of 18: 108 bytes
    put_tensor(&b, "bf16.weight", 5, 1, TENSOR_BF16, 32); // 10 bytes
    put_tensor(&b, "k.weight", 256, 1, TENSOR_Q6_K, 192); // 210 bytes
    put_padding(&b, 32);
    for (int i = 0; i < 192 + 210; i++) buffer_append_char(&b, (char)i);
    assert_false(b.failed);
    return b;
}

// A file with one tensor and `data_bytes` of data.
static buffer make_one_tensor(uint64_t columns, uint64_t rows, uint64_t type, uint64_t offset, size_t data_bytes)
{
    buffer b = {0};
    put_preamble(&b, 3, 1, 0);
    put_tensor(&b, "w", columns, rows, type, offset);
    put_padding(&b, 32);
    for (size_t i = 0; i < data_bytes; i++) buffer_append_char(&b, 1);
    return b;
}

// ---- valid files

static void test_values(void **state)
{
    (void)state;
    buffer b = make_sample();
    parsed p = parse_bytes(b.data, b.len);
    assert_int_equal(p.status, WF_OK);
    const checkpoint *f = p.file;
    assert_int_equal(checkpoint_gguf_version(f), 3);
    assert_int_equal(checkpoint_alignment(f), 32);
    assert_string_equal(checkpoint_path(f), "test.gguf");
    assert_int_equal(checkpoint_value_count(f), 19);
    assert_true(view_is(checkpoint_value_at(f, 0)->key, "u8"));
    assert_int_equal(checkpoint_find(f, "u8")->u, 255);
    assert_int_equal(checkpoint_find(f, "i8")->i, -128);
    assert_int_equal(checkpoint_find(f, "u16")->u, 65535);
    assert_int_equal(checkpoint_find(f, "i16")->i, -32768);
    assert_int_equal(checkpoint_find(f, "u32")->u, 4294967295);
    assert_int_equal(checkpoint_find(f, "i32")->i, INT32_MIN);
    assert_true(checkpoint_find(f, "f32")->f == 1.5);
    assert_int_equal(checkpoint_find(f, "bool")->u, 1);
    assert_true(view_is(checkpoint_find(f, "string")->s, "hello"));
    assert_true(checkpoint_find(f, "u64")->u == UINT64_MAX);
    assert_true(checkpoint_find(f, "i64")->i == INT64_MIN);
    assert_true(checkpoint_find(f, "f64")->f == 2.5);
    assert_int_equal(checkpoint_find(f, "f64")->count, 1);
    assert_null(checkpoint_find(f, "absent"));
    assert_null(checkpoint_find(f, ""));
    parsed_free(&p);
    buffer_free(&b);
}

static void test_arrays(void **state)
{
    (void)state;
    buffer b = make_sample();
    parsed p = parse_bytes(b.data, b.len);
    assert_int_equal(p.status, WF_OK);
    const metadata_value *strings = checkpoint_find(p.file, "strings");
    assert_int_equal(strings->count, 3);
    assert_true(view_is(strings->strings[0], "a") && view_is(strings->strings[1], "") &&
                view_is(strings->strings[2], "ccc"));
    const metadata_value *i16s = checkpoint_find(p.file, "i16s"), *f32s = checkpoint_find(p.file, "f32s");
    assert_int_equal(i16s->item_type, METADATA_I16);
    assert_int_equal(metadata_item_int(i16s, 0), 7);
    assert_int_equal(metadata_item_int(i16s, 1), -1);
    assert_true(metadata_item_float(i16s, 1) == -1.0);
    assert_true(metadata_item_float(f32s, 0) == 1.5 && isinf(metadata_item_float(f32s, 1)));
    assert_int_equal(metadata_item_int(f32s, 0), 1);
    assert_true(metadata_item_int(f32s, 1) == INT64_MAX);
    assert_true(metadata_item_int(checkpoint_find(p.file, "u64s"), 0) == INT64_MAX);
    assert_int_equal(metadata_item_int(checkpoint_find(p.file, "bools"), 0), 1);
    assert_int_equal(metadata_item_int(checkpoint_find(p.file, "bools"), 1), 0);
    assert_int_equal(checkpoint_find(p.file, "empty")->count, 0);
    parsed_free(&p);
    buffer_free(&b);
}

static void test_tensors(void **state)
{
    (void)state;
    buffer b = make_sample();
    parsed p = parse_bytes(b.data, b.len);
    assert_int_equal(p.status, WF_OK);
    size_t bytes, header_bytes;
    const unsigned char *data = checkpoint_bytes(p.file, &bytes, &header_bytes);
    assert_ptr_equal(data, p.copy);
    assert_int_equal(bytes, b.len);
    assert_int_equal(header_bytes, b.len - 192 - 210);
    assert_int_equal(checkpoint_tensor_count(p.file), 4);
    const checkpoint_tensor *q4 = checkpoint_find_tensor(p.file, "q4.weight");
    assert_ptr_equal(q4, checkpoint_tensor_at(p.file, 1));
    assert_int_equal(q4->type, TENSOR_Q4_0);
    assert_int_equal(q4->n_dims, 2);
    assert_true(q4->dims[0] == 64 && q4->dims[1] == 3 && q4->dims[2] == 1 && q4->dims[3] == 1);
    assert_int_equal(q4->bytes, 108);
    assert_int_equal(q4->offset, header_bytes + 64);
    assert_int_equal(q4->data[0], 64);
    assert_int_equal(checkpoint_find_tensor(p.file, "k.weight")->bytes, 210);
    assert_int_equal(checkpoint_find_tensor(p.file, "bf16.weight")->bytes, 10);
    assert_null(checkpoint_find_tensor(p.file, "q4"));
    parsed_free(&p);
    buffer_free(&b);
}

static void test_getters(void **state)
{
    (void)state;
    buffer b = make_sample();
    parsed p = parse_bytes(b.data, b.len);
    assert_int_equal(p.status, WF_OK);
    const checkpoint *f = p.file;
    wf_error err;
    int64_t integer = 42;
    double number = 42;
    bool flag = false;
    view text = {0};
    assert_int_equal(checkpoint_get_int(f, "i8", -128, 0, &integer, &err), WF_OK);
    assert_int_equal(integer, -128);
    assert_status(checkpoint_get_int(f, "i8", -127, 0, &integer, &err), WF_ERROR_FORMAT, &err,
                  "'i8': -128 is not in -127..0");
    assert_status(checkpoint_get_int(f, "u64", 0, INT64_MAX, &integer, &err), WF_ERROR_FORMAT, &err,
                  "18446744073709551615");
    assert_status(checkpoint_get_int(f, "bool", 0, 1, &integer, &err), WF_ERROR_FORMAT, &err, "'bool': not an integer");
    assert_status(checkpoint_get_int(f, "none", 0, 1, &integer, &err), WF_ERROR_FORMAT, &err, "'none' is missing");
    assert_int_equal(checkpoint_get_int_or(f, "none", 0, 1, &integer, &err), WF_OK);
    assert_int_equal(integer, -128);
    assert_int_equal(checkpoint_get_float(f, "f64", &number, &err), WF_OK);
    assert_true(number == 2.5);
    assert_status(checkpoint_get_float(f, "nan", &number, &err), WF_ERROR_FORMAT, &err, "'nan': not a finite number");
    assert_status(checkpoint_get_float_or(f, "u8", &number, &err), WF_ERROR_FORMAT, &err, "'u8': not a float");
    static const struct {
        const char *key;
        double number;
    } numbers[] = {{"u8", 255},      {"i8", -128}, {"u16", 65535}, {"i32", -0x1p31}, {"u64", 0x1p64},
                   {"i64", -0x1p63}, {"f32", 1.5}, {"f64", 2.5},   {"bool", 1},      {"none", 42}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        number = 42;
        assert_int_equal(checkpoint_get_number_or(f, numbers[i].key, &number, &err), WF_OK);
        assert_true(number == numbers[i].number);
    }
    assert_status(checkpoint_get_number_or(f, "nan", &number, &err), WF_ERROR_FORMAT, &err, "not a finite number");
    assert_status(checkpoint_get_number_or(f, "string", &number, &err), WF_ERROR_FORMAT, &err, "not a number");
    assert_int_equal(checkpoint_get_bool(f, "bool", &flag, &err), WF_OK);
    assert_true(flag);
    assert_status(checkpoint_get_bool(f, "u8", &flag, &err), WF_ERROR_FORMAT, &err, "not a bool");
    assert_int_equal(checkpoint_get_string(f, "string", &text, &err), WF_OK);
    assert_true(view_is(text, "hello"));
    assert_status(checkpoint_get_string(f, "strings", &text, &err), WF_ERROR_FORMAT, &err, "not a string");
    assert_int_equal(checkpoint_get_string(f, "none", &text, NULL), WF_ERROR_FORMAT);
    parsed_free(&p);
    buffer_free(&b);
}

static void test_version_2_without_tensors(void **state)
{
    (void)state;
    buffer b = {0};
    put_preamble(&b, 2, 0, 0);
    parsed p = parse_bytes(b.data, b.len);
    assert_int_equal(p.status, WF_OK);
    assert_int_equal(checkpoint_gguf_version(p.file), 2);
    assert_null(checkpoint_find(p.file, "x"));
    assert_null(checkpoint_find_tensor(p.file, "x"));
    parsed_free(&p);
    buffer_free(&b);
}

// ---- damaged files

static void test_every_truncation_is_refused(void **state)
{
    (void)state;
    buffer b = make_sample();
    for (size_t bytes = 0; bytes < b.len; bytes++) {
        parsed p = parse_bytes(b.data, bytes);
        assert_int_equal(p.status, WF_ERROR_FORMAT);
        parsed_free(&p);
    }
    buffer_free(&b);
}

// A flipped bit may be harmless (a value, a letter of a name); the sanitizers judge.
static void test_every_bit_flip_is_survived(void **state)
{
    (void)state;
    buffer b = make_sample();
    int refused = 0;
    for (size_t bit = 0; bit < 8 * (b.len - 192 - 210); bit++) {
        b.data[bit / 8] ^= (char)(1 << bit % 8);
        parsed p = parse_bytes(b.data, b.len);
        refused += p.status != WF_OK;
        parsed_free(&p);
        b.data[bit / 8] ^= (char)(1 << bit % 8);
    }
    assert_true(refused > 1000); // most bits are of lengths, counts and types
    buffer_free(&b);
}

static void test_preamble(void **state)
{
    (void)state;
    static const struct {
        uint64_t version, n_tensors, n_values;
        wf_status status;
        const char *part;
    } CASES[] = {
        {0, 0, 0, WF_ERROR_UNSUPPORTED, "version 0"},
        {1, 0, 0, WF_ERROR_UNSUPPORTED, "version 1 is not supported"},
        {4, 0, 0, WF_ERROR_UNSUPPORTED, "version 4"},
        {0x03000000, 0, 0, WF_ERROR_UNSUPPORTED, "big-endian"},
        {3, 1, 0, WF_ERROR_FORMAT, "offset 8: 1 tensors"},
        {3, 0, 1, WF_ERROR_FORMAT, "offset 16: 1 metadata values"},
        {3, UINT64_MAX, 0, WF_ERROR_FORMAT, "18446744073709551615 tensors"},
        {3, 0, UINT64_MAX, WF_ERROR_FORMAT, "18446744073709551615 metadata values"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        buffer b = {0};
        put_preamble(&b, CASES[i].version, CASES[i].n_tensors, CASES[i].n_values);
        assert_refused(&b, CASES[i].status, CASES[i].part);
    }
    buffer b = {0};
    buffer_append(&b, "GGML\3\0\0\0", 8);
    assert_refused(&b, WF_ERROR_FORMAT, "offset 0: not a GGUF file");
}

// One value with the key "k" and the given bytes after its type.
static buffer make_value(uint64_t type, const char *data, size_t bytes)
{
    buffer b = {0};
    put_preamble(&b, 3, 0, 1);
    put_key(&b, "k", type);
    buffer_append(&b, data, bytes);
    return b;
}

#define BYTES(literal) literal, sizeof(literal) - 1

static void test_bad_values(void **state)
{
    (void)state;
    static const struct {
        uint64_t type;
        const char *data;
        size_t bytes;
        wf_status status;
        const char *part;
    } CASES[] = {
        {METADATA_BOOL, BYTES("\2"), WF_ERROR_FORMAT, "'k': a bool"},
        {METADATA_U32, BYTES("\0\0\0"), WF_ERROR_FORMAT, "'k': the file ends"},
        {13, BYTES("\0\0\0\0"), WF_ERROR_FORMAT, "'k': type 13"},
        {0xffffffff, BYTES("\0\0\0\0"), WF_ERROR_FORMAT, "type 4294967295"},
        {METADATA_STRING, BYTES("\2\0\0\0\0\0\0\0x"), WF_ERROR_FORMAT, "length 2 of a string, but 1 bytes"},
        {METADATA_STRING, BYTES("\xff\xff\xff\xff\xff\xff\xff\xffx"), WF_ERROR_FORMAT, "length 18446744073709551615"},
        {METADATA_ARRAY, BYTES("\x09\0\0\0\0\0\0\0\0\0\0\0"), WF_ERROR_UNSUPPORTED, "array of arrays"},
        {METADATA_ARRAY, BYTES("\x0d\0\0\0\0\0\0\0\0\0\0\0"), WF_ERROR_FORMAT, "item type 13"},
        {METADATA_ARRAY, BYTES("\x04\0\0\0\2\0\0\0\0\0\0\0abcdefg"), WF_ERROR_FORMAT, "2 array items, but 7 bytes"},
        {METADATA_ARRAY, BYTES("\x0a\0\0\0\1\0\0\0\0\0\0\x20"), WF_ERROR_FORMAT, "array items"}, // x 8 bytes wraps to 8
        {METADATA_ARRAY, BYTES("\x07\0\0\0\2\0\0\0\0\0\0\0\1\2"), WF_ERROR_FORMAT, "a bool"},
        {METADATA_ARRAY, BYTES("\x08\0\0\0\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0"), WF_ERROR_FORMAT, "item 0 has 1 bytes"},
        {METADATA_ARRAY, BYTES("\x08\0\0\0\2\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0aabcdefg"), WF_ERROR_FORMAT, "ends inside"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        buffer b = make_value(CASES[i].type, CASES[i].data, CASES[i].bytes);
        assert_refused(&b, CASES[i].status, CASES[i].part);
    }
}

static void test_bad_names(void **state)
{
    (void)state;
    buffer b = {0};
    put_preamble(&b, 3, 0, 2);
    put_key(&b, "twice\nand\x1b[31m red", METADATA_U8), put_number(&b, 1, 1);
    put_key(&b, "twice\nand\x1b[31m red", METADATA_U8), put_number(&b, 2, 1);
    assert_refused(&b, WF_ERROR_FORMAT, "key 'twice?and?[31m red' occurs twice");

    put_preamble(&b, 3, 0, 1);
    put_key(&b, "", METADATA_U64), put_u64(&b, 1);
    assert_refused(&b, WF_ERROR_FORMAT, "length 0 of a key");

    put_preamble(&b, 3, 0, 1);
    put_u64(&b, 3), buffer_append(&b, "a\0b", 3);
    put_u32(&b, METADATA_U8), put_u64(&b, 1);
    assert_refused(&b, WF_ERROR_FORMAT, "a zero byte in a key");

    put_preamble(&b, 3, 0, 1);
    put_u64(&b, 65536);
    for (int i = 0; i < 65536; i++) buffer_append_char(&b, 'x');
    put_u32(&b, METADATA_U8), put_number(&b, 1, 1);
    assert_refused(&b, WF_ERROR_FORMAT, "length 65536 of a key is not in 1..65535");

    put_preamble(&b, 3, 2, 0);
    put_tensor(&b, "w", 8, 1, TENSOR_F32, 0), put_tensor(&b, "w", 8, 1, TENSOR_F32, 32);
    for (int i = 0; i < 128; i++) buffer_append_char(&b, 0);
    assert_refused(&b, WF_ERROR_FORMAT, "tensor 'w' occurs twice");
}

static void test_bad_tensors(void **state)
{
    (void)state;
    static const struct {
        uint64_t columns, rows, type, offset;
        wf_status status;
        const char *part;
    } CASES[] = {
        {0, 1, TENSOR_F32, 0, WF_ERROR_FORMAT, "'w': dimension 0 is 0"},
        {1, 0, TENSOR_F32, 0, WF_ERROR_FORMAT, "'w': dimension 1 is 0"},
        {(uint64_t)1 << 48, 1, TENSOR_F32, 0, WF_ERROR_FORMAT, "dimension 0"},
        {UINT64_MAX, 1, TENSOR_F32, 0, WF_ERROR_FORMAT, "dimension 0"},
        {(uint64_t)1 << 47, (uint64_t)1 << 47, TENSOR_F32, 0, WF_ERROR_FORMAT, "overflows"},
        {(uint64_t)1 << 40, (uint64_t)1 << 22, TENSOR_F32, 0, WF_ERROR_FORMAT, "overflows"}, // bytes: 2^64
        {8, 1, 4, 0, WF_ERROR_UNSUPPORTED, "'w': type 4 (unknown)"},
        {8, 1, 39, 0, WF_ERROR_UNSUPPORTED, "'w': type 39 (MXFP4)"},
        {8, 1, 0xffffffff, 0, WF_ERROR_UNSUPPORTED, "'w': type 4294967295"},
        {33, 1, TENSOR_Q8_0, 0, WF_ERROR_FORMAT, "rows of 33 values, not a multiple of 32 (Q8_0)"},
        {8, 1, TENSOR_F32, 4, WF_ERROR_FORMAT, "offset 4 is not a multiple of 32"},
        {8, 1, TENSOR_F32, 64, WF_ERROR_FORMAT, "lie beyond the file's end"},
        {8, 1, TENSOR_F32, (uint64_t)1 << 63, WF_ERROR_FORMAT, "lie beyond the file's end"},
        {8, 1, TENSOR_F32, UINT64_MAX - 31, WF_ERROR_FORMAT, "the offset overflows"},
        {17, 1, TENSOR_F32, 0, WF_ERROR_FORMAT, "lie beyond the file's end"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        buffer b = make_one_tensor(CASES[i].columns, CASES[i].rows, CASES[i].type, CASES[i].offset, 64);
        assert_refused(&b, CASES[i].status, CASES[i].part);
    }
    for (uint64_t n_dims = 0; n_dims < 6; n_dims += 5) {
        buffer b = {0};
        put_preamble(&b, 3, 1, 0);
        put_string(&b, "w"), put_u32(&b, n_dims);
        for (int i = 0; i < 64; i++) buffer_append_char(&b, 1);
        assert_refused(&b, WF_ERROR_FORMAT, n_dims ? "5 dimensions" : "0 dimensions");
    }
}

// Two F32 tensors of 16 values (64 bytes), the second at `offset`.
static buffer make_two_tensors(uint64_t offset)
{
    buffer b = {0};
    put_preamble(&b, 3, 2, 0);
    put_tensor(&b, "first", 16, 1, TENSOR_F32, 64), put_tensor(&b, "second", 16, 1, TENSOR_F32, offset);
    put_padding(&b, 32);
    for (int i = 0; i < 192; i++) buffer_append_char(&b, 0);
    return b;
}

static void test_overlap(void **state)
{
    (void)state;
    for (uint64_t offset = 32; offset <= 96; offset += 32) {
        buffer b = make_two_tensors(offset);
        assert_refused(&b, WF_ERROR_FORMAT, " overlaps tensor '");
    }
    for (uint64_t offset = 0; offset <= 128; offset += 128) {
        buffer b = make_two_tensors(offset);
        parsed p = parse_bytes(b.data, b.len);
        assert_int_equal(p.status, WF_OK);
        parsed_free(&p);
        buffer_free(&b);
    }
}

static buffer make_aligned(uint64_t type, uint64_t alignment)
{
    buffer b = {0};
    put_preamble(&b, 3, 1, 1);
    put_key(&b, "general.alignment", type);
    put_u32(&b, alignment);
    put_tensor(&b, "w", 4, 1, TENSOR_F32, 0);
    put_padding(&b, 1024);
    for (int i = 0; i < 1024; i++) buffer_append_char(&b, (char)i);
    return b;
}

static void test_alignment(void **state)
{
    (void)state;
    static const uint64_t BAD[] = {0, 1, 4, 24, 33, 131072, 0x80000000};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        buffer b = make_aligned(METADATA_U32, BAD[i]);
        assert_refused(&b, WF_ERROR_FORMAT, "'general.alignment'");
    }
    buffer b = make_aligned(METADATA_F32, 0x42000000);
    assert_refused(&b, WF_ERROR_FORMAT, "'general.alignment': not an integer");
    b = make_aligned(METADATA_U32, 1024);
    parsed p = parse_bytes(b.data, b.len);
    assert_int_equal(p.status, WF_OK);
    assert_int_equal(checkpoint_tensor_at(p.file, 0)->offset, 1024);
    parsed_free(&p);
    buffer_free(&b);
}

// ---- on disk

static void test_files(void **state)
{
    (void)state;
    char path[] = "/tmp/gguf_test.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    buffer b = make_sample();
    size_t kept = b.len - 210; // all but the last tensor
    assert_int_equal(write(fd, b.data, b.len), b.len);
    wf_error err;
    checkpoint *file;
    assert_int_equal(gguf_open(path, &file, &err), WF_OK);
    assert_true(checkpoint_mtime_ns(file) > 0);
    assert_int_equal(checkpoint_find_tensor(file, "k.weight")->data[0], 192);
    checkpoint_close(file);

    assert_int_equal(ftruncate(fd, (off_t)kept), 0);
    assert_status(gguf_open(path, &file, &err), WF_ERROR_FORMAT, &err, "'k.weight': bytes");
    assert_null(file);
    assert_int_equal(gguf_open_header(path, &file, &err), WF_OK);
    assert_null(checkpoint_find_tensor(file, "k.weight")->data);
    assert_int_equal(checkpoint_find_tensor(file, "q4.weight")->data[0], 64);
    checkpoint_close(file);

    assert_int_equal(ftruncate(fd, 100), 0);
    assert_int_equal(gguf_open_header(path, &file, &err), WF_ERROR_FORMAT);
    close(fd);
    unlink(path);
    assert_status(gguf_open(path, &file, &err), WF_ERROR_IO, &err, path);
    assert_null(file);
    checkpoint_close(NULL);
    buffer_free(&b);
}

// 100,000 keys and as many tensors: a second where a quadratic reader takes minutes.
static void test_large_tables(void **state)
{
    (void)state;
    enum { N = 100000 };
    buffer b = {0};
    char name[32];
    put_preamble(&b, 3, N, N);
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "key.%d", N - i);
        put_key(&b, name, METADATA_U32), put_u32(&b, (uint64_t)i);
    }
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "blk.%d.weight", i);
        put_tensor(&b, name, 1, 1, TENSOR_I8, 32 * (uint64_t)(N - 1 - i));
    }
    put_padding(&b, 32);
    for (int i = 0; i < 32 * N; i++) buffer_append_char(&b, 0);
    assert_false(b.failed);
    clock_t start = clock();
    parsed p = parse_bytes(b.data, b.len);
    assert_int_equal(p.status, WF_OK);
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "key.%d", N - i);
        assert_int_equal(checkpoint_find(p.file, name)->u, i);
    }
    assert_true((double)(clock() - start) / CLOCKS_PER_SEC < 5);
    parsed_free(&p);
    buffer_free(&b);
}

static void test_tokens(void **state)
{
    static const struct {
        const char *key;
        int64_t n_tokens;
        int32_t id;
        bool bad;
    } cases[] = {{"u8", 256, 255, false},        {"u8", 255, -1, true},
                 {"u16", 1 << 20, 65535, false}, {"u32", INT64_MAX, -1, true}, // 4294967295
                 {"i8", INT64_MAX, -1, true},    {"u64", INT64_MAX, -1, true},
                 {"i64", INT64_MAX, -1, true},   {"none", 10, -1, false}};
    (void)state;
    buffer b = make_sample();
    parsed p = parse_bytes(b.data, b.len);
    wf_error err;
    int32_t id;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(checkpoint_get_token(p.file, cases[i].key, cases[i].n_tokens, &id, &err), WF_OK);
        assert_int_equal(id, cases[i].id);
        assert_true(checkpoint_token_is_bad(p.file, cases[i].key, cases[i].n_tokens) == cases[i].bad);
    }
    assert_status(checkpoint_get_token(p.file, "string", 10, &id, &err), WF_ERROR_FORMAT, &err, "not an integer");
    assert_false(checkpoint_token_is_bad(p.file, "string", 10));
    parsed_free(&p);
    buffer_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_tensors),
        cmocka_unit_test(test_getters),
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_version_2_without_tensors),
        cmocka_unit_test(test_every_truncation_is_refused),
        cmocka_unit_test(test_every_bit_flip_is_survived),
        cmocka_unit_test(test_preamble),
        cmocka_unit_test(test_bad_values),
        cmocka_unit_test(test_bad_names),
        cmocka_unit_test(test_bad_tensors),
        cmocka_unit_test(test_overlap),
        cmocka_unit_test(test_alignment),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_large_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
