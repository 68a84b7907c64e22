// Sound files are read to the letter; each kind of damage is refused by name.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "format/safetensors.h"

// A file with this header and n_data bytes 0, 1, 2, ...
static void make_file(buffer *file, const char *header, size_t n_data)
{
    uint64_t n = strlen(header);
    buffer_clear(file);
    for (int i = 0; i < 8; i++) buffer_append_char(file, (char)(n >> (8 * i)));
    buffer_append(file, header, n);
    for (size_t i = 0; i < n_data; i++) buffer_append_char(file, (char)i);
    assert_false(file->failed);
}

static wf_status parse(const buffer *file, bool cut_short, arena *memory, safetensors *s, wf_error *err)
{
    return safetensors_parse((const unsigned char *)file->data, file->len, "x", cut_short, memory, s, err);
}

static void refuses(const char *header, size_t n_data, const char *reason)
{
    buffer file = {0};
    arena memory = {0};
    safetensors s;
    wf_error err = {0};
    make_file(&file, header, n_data);
    assert_int_not_equal(parse(&file, false, &memory, &s, &err), WF_OK);
    if (!strstr(err.message, reason)) fail_msg("%s: '%s' lacks '%s'", header, err.message, reason);
    arena_free(&memory);
    buffer_free(&file);
}

static const char TWO[] = "{\"b\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[4,28]},"
                          "\"__metadata__\":{\"format\":\"pt\"},"
                          "\"a\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[0,4]}}   ";

static void test_reads(void **state)
{
    (void)state;
    buffer file = {0};
    arena memory = {0};
    safetensors s;
    make_file(&file, TWO, 28);
    assert_int_equal(parse(&file, false, &memory, &s, NULL), WF_OK);
    assert_int_equal(s.n_tensors, 2);
    assert_int_equal(s.header_bytes, 8 + sizeof TWO - 1);
    assert_string_equal(s.tensors[0].name, "a");
    assert_string_equal(s.tensors[1].name, "b");
    assert_string_equal(s.tensors[1].dtype, "F32");
    assert_int_equal(s.tensors[1].n_dims, 2);
    assert_int_equal(s.tensors[1].dims[1], 3);
    assert_int_equal(s.tensors[1].bytes, 24);
    assert_int_equal(*s.tensors[1].data, 4);
    arena_free(&memory);
    buffer_free(&file);
}

static void test_empty_and_scalar(void **state)
{
    (void)state;
    buffer file = {0};
    arena memory = {0};
    safetensors s;
    make_file(&file, "{}", 0);
    assert_int_equal(parse(&file, false, &memory, &s, NULL), WF_OK);
    make_file(&file,
              "{\"a\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]},"
              "\"z\":{\"dtype\":\"F16\",\"shape\":[0,7],\"data_offsets\":[0,0]}}",
              8);
    assert_int_equal(parse(&file, false, &memory, &s, NULL), WF_OK);
    assert_string_equal(s.tensors[0].name, "z");
    assert_int_equal(s.tensors[1].n_dims, 0);
    arena_free(&memory);
    buffer_free(&file);
}

static void test_every_cut_is_refused(void **state)
{
    (void)state;
    buffer file = {0};
    make_file(&file, TWO, 28);
    for (size_t bytes = 0; bytes < file.len; bytes++) {
        arena memory = {0};
        safetensors s;
        wf_error err = {0};
        unsigned char *copy = malloc(bytes ? bytes : 1);
        if (bytes) memcpy(copy, file.data, bytes);
        assert_int_equal(safetensors_parse(copy, bytes, "x", false, &memory, &s, &err), WF_ERROR_FORMAT);
        // Cut in its data it may still be looked at.
        bool header_is_whole = bytes >= 8 + sizeof TWO - 1;
        assert_int_equal(safetensors_parse(copy, bytes, "x", true, &memory, &s, &err),
                         header_is_whole ? WF_OK : WF_ERROR_FORMAT);
        if (header_is_whole) assert_null(s.tensors[1].data);
        arena_free(&memory);
        free(copy);
    }
    buffer_free(&file);
}

static void test_header_length(void **state)
{
    (void)state;
    unsigned char bytes[64] = {0};
    static const uint64_t lengths[] = {0, 57, 100000001, UINT64_MAX, UINT64_MAX - 7, (uint64_t)1 << 63};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        arena memory = {0};
        safetensors s;
        for (int j = 0; j < 8; j++) bytes[j] = (unsigned char)(lengths[i] >> (8 * j));
        assert_int_equal(safetensors_parse(bytes, sizeof bytes, "x", false, &memory, &s, NULL), WF_ERROR_FORMAT);
        arena_free(&memory);
    }
}

#define T(dtype, shape, offsets) "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static void test_refuses(void **state)
{
    (void)state;
    refuses("[]", 0, "begin with '{'");
    refuses(" {}", 0, "begin with '{'");
    refuses("{", 0, "header");
    refuses("{} x", 0, "header");
    refuses("{\"a\":" T("F32", "[1]", "[0,4]") ",\"a\":" T("F32", "[1]", "[0,4]") "}", 4, "duplicate");
    refuses("{\"a\":1}", 0, "not an object");
    refuses("{\"a\":{}}", 0, "no dtype");
    refuses("{\"a\":" T("F33", "[1]", "[0,4]") "}", 4, "dtype 'F33'");
    refuses("{\"a\":" T("F32", "3", "[0,4]") "}", 4, "no shape");
    refuses("{\"a\":" T("F32", "[-1]", "[0,4]") "}", 4, "something else than sizes");
    refuses("{\"a\":" T("F32", "[1.0]", "[0,4]") "}", 4, "something else than sizes");
    refuses("{\"a\":" T("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]") "}", 4, "9 dimensions");
    refuses("{\"a\":" T("F32", "[4294967296,4294967296]", "[0,4]") "}", 4, "overflows");
    refuses("{\"a\":" T("F32", "[4611686018427387904]", "[0,0]") "}", 0, "no number of bytes");
    refuses("{\"a\":" T("F4", "[3]", "[0,1]") "}", 1, "no number of bytes");
    refuses("{\"a\":" T("F32", "[1]", "[0]") "}", 4, "pair of offsets");
    refuses("{\"a\":" T("F32", "[1]", "[-4,0]") "}", 4, "pair of offsets");
    refuses("{\"a\":" T("F32", "[1]", "[4,0]") "}", 4, "ends before it begins");
    refuses("{\"a\":" T("F32", "[2]", "[0,4]") "}", 4, "ask for 8 bytes");
    refuses("{\"a\":" T("F32", "[1]", "[4,8]") "}", 8, "begins at offset 4");
    refuses("{\"a\":" T("F32", "[1]", "[0,4]") ",\"b\":" T("F32", "[1]", "[8,12]") "}", 12, "begins at offset 8");
    refuses("{\"a\":" T("F32", "[2]", "[0,8]") ",\"b\":" T("F32", "[1]", "[4,8]") "}", 8, "begins at offset 4");
    refuses("{\"a\":" T("F32", "[2]", "[0,8]") "}", 4, "ends at offset 8");
    refuses("{\"a\":" T("F32", "[1]", "[0,4]") "}", 5, "1 bytes behind");
    refuses("{\"__metadata__\":1}", 0, "not an object");
    refuses("{\"__metadata__\":{\"a\":1}}", 0, "not a string");
    refuses("{\"a\\u0000b\":1}", 0, "header");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads),         cmocka_unit_test(test_empty_and_scalar),
        cmocka_unit_test(test_header_length), cmocka_unit_test(test_every_cut_is_refused),
        cmocka_unit_test(test_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
