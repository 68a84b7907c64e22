#include "format/npy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static void write_and_read_back(void **state)
{
    (void)state;
    static const float f32[] = {1.5f, -2, 3, 4, 5, 6};
    static const double f64[] = {1e300, -1e-300};
    static const int64_t i64[] = {INT64_MIN, INT64_MAX, 0};
    static const int32_t i32[] = {-7};
    static const struct {
        npy_type type;
        uint32_t n_dims;
        int64_t dims[3];
        const void *data;
        size_t count;
    } cases[] = {
        {NPY_F32, 2, {2, 3}, f32, 6},
        {NPY_F32, 3, {1, 6, 1}, f32, 6},
        {NPY_F64, 1, {2}, f64, 2},
        {NPY_I64, 1, {3}, i64, 3},
        {NPY_I32, 0, {0}, i32, 1},
        {NPY_F32, 2, {0, 5}, f32, 0},
        {NPY_U8, 2, {2, 2}, "\x01\x02\x03\xff", 4},
        {NPY_I8, 1, {4}, "\x01\x02\x03\xff", 4},
        {NPY_BOOL, 1, {4}, "\x01\x00\x01\x01", 4},
        {NPY_F16, 1, {2}, "\x00\x3c\xff\x7b", 2},
        {NPY_I16, 2, {1, 2}, "\x01\x02\x03\xff", 2},
        {NPY_U16, 1, {2}, "\x80\x3f\x03\xff", 2},
    };
    char path[] = "/tmp/npy_test.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        wf_error err = {0};
        npy_array array;
        assert_int_equal(npy_write(path, cases[i].type, cases[i].dims, cases[i].n_dims, cases[i].data, &err), WF_OK);
        assert_int_equal(npy_open(path, &array, &err), WF_OK);
        assert_int_equal(array.type, cases[i].type);
        assert_int_equal(array.n_dims, cases[i].n_dims);
        assert_int_equal(array.count, cases[i].count);
        for (uint32_t d = 0; d < array.n_dims; d++) assert_int_equal(array.dims[d], cases[i].dims[d]);
        assert_memory_equal(array.data, cases[i].data, cases[i].count * npy_item_bytes(array.type));
        assert_int_equal(((const unsigned char *)array.data - array.map.data) % 64, 0);
        npy_close(&array);
    }
    unlink(path);
}

// A file around `header`, version 1, with `extra` bytes of values.
static wf_status parse_header(const char *header, size_t extra, npy_array *array, wf_error *err)
{
    static _Alignas(16) unsigned char file[512];
    memset(file, 0, sizeof file);
    size_t length = strlen(header), padded = (10 + length + 15) / 16 * 16 - 10;
    assert_true(10 + padded + extra <= sizeof file);
    memcpy(file, "\x93NUMPY\x01\x00", 8);
    file[8] = (unsigned char)padded;
    memset(file + 10, ' ', padded);
    memcpy(file + 10, header, length);
    return npy_parse(file, 10 + padded + extra, "test.npy", array, err);
}

static void other_spellings_are_read(void **state)
{
    (void)state;
    npy_array array;
    wf_error err;
    assert_int_equal(parse_header("{\"shape\":(2,2),\"fortran_order\":False,\"descr\":\"<f4\"}", 16, &array, &err),
                     WF_OK);
    assert_int_equal(array.count, 4);
    assert_int_equal(parse_header("{'descr': '<i8', 'fortran_order': False, 'shape': ()}", 8, &array, &err), WF_OK);
    assert_int_equal(array.count, 1);
}

static void damaged_headers_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t extra;
        wf_status status;
        const char *reason;
    } cases[] = {
        {"", 0, WF_ERROR_FORMAT, "dict"},
        {"{'descr': '<f4'", 0, WF_ERROR_FORMAT, "does not end"},
        {"{'descr': '<f4", 0, WF_ERROR_FORMAT, "string does not end"},
        {"{'descr': '<f4', 'shape': (1,)}", 4, WF_ERROR_FORMAT, "missing"},
        {"{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}", 8, WF_ERROR_UNSUPPORTED, "<c8"},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (1,)}", 4, WF_ERROR_UNSUPPORTED, "Fortran"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", 4, WF_ERROR_FORMAT, "more than the 4 bytes"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", 8, WF_ERROR_FORMAT, "4 bytes too many"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", 4, WF_ERROR_FORMAT, "dimension was expected"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1 1)}", 4, WF_ERROR_FORMAT, "shape does not end"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", 4, WF_ERROR_FORMAT, "too large"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}", 4, WF_ERROR_FORMAT,
         "needs more"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1)}", 4, WF_ERROR_FORMAT, "8 dimensions"},
        {"{'descr': '<f4', 'descr': '<f4'}", 4, WF_ERROR_FORMAT, "repeated"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        npy_array array;
        wf_error err = {0};
        assert_int_equal(parse_header(cases[i].header, cases[i].extra, &array, &err), cases[i].status);
        assert_non_null(strstr(err.message, cases[i].reason));
        assert_non_null(strstr(err.message, "test.npy"));
    }
}

// No beginning of a good file is a good file, and none is read beyond its end (each lies in its own allocation).
static void truncated_files_are_refused(void **state)
{
    (void)state;
    static const char whole[] =
        "\x93NUMPY\x01\x00\x46\x00{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }            "
        "\nabcd";
    size_t bytes = sizeof whole - 1;
    npy_array array;
    wf_error err;
    for (size_t n = 0; n <= bytes; n++) {
        unsigned char *copy = malloc(n ? n : 1);
        memcpy(copy, whole, n);
        wf_status status = npy_parse(copy, n, "test.npy", &array, &err);
        assert_int_equal(status, n < bytes ? WF_ERROR_FORMAT : WF_OK);
        free(copy);
    }
}

static void writing_errors_are_reported(void **state)
{
    (void)state;
    wf_error err = {0};
    const int64_t dims[] = {1};
    assert_int_equal(npy_write("/nowhere/x.npy", NPY_F32, dims, 1, &(float){1}, &err), WF_ERROR_IO);
    assert_non_null(strstr(err.message, "/nowhere/x.npy"));
    assert_int_equal(npy_write("/dev/full", NPY_F32, dims, 1, &(float){1}, &err), WF_ERROR_IO);
    assert_int_equal(npy_write("/dev/null", NPY_F32, dims, 1, &(float){1}, &err), WF_OK);
    assert_int_equal(npy_open("/nowhere/x.npy", &(npy_array){0}, &err), WF_ERROR_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(write_and_read_back),         cmocka_unit_test(other_spellings_are_read),
        cmocka_unit_test(damaged_headers_are_refused), cmocka_unit_test(truncated_files_are_refused),
        cmocka_unit_test(writing_errors_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
