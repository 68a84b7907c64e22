// Beginnings of files of each kind, and those that only look like one.
#include "format/file_kind.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h> // needs those above

#define BYTES(text) ((view){(text), sizeof(text) - 1})
#define LFS "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
#define ZEROS_8 "\0\0\0\0\0\0\0\0"
#define ZEROS_64 ZEROS_8 ZEROS_8 ZEROS_8 ZEROS_8 ZEROS_8 ZEROS_8 ZEROS_8 ZEROS_8

static const struct {
    view bytes;
    const char *what; // how it begins; NULL: not known
} CASES[] = {
    {BYTES(""), "an empty file"},
    {BYTES("GGUF\3\0\0\0"), "a GGUF file"},
    {BYTES("GGU"), NULL},
    {BYTES("FUGG\0\0\0\3"), "a big-endian GGUF file"},
    {BYTES("lmgg\0\0\0\0"), "a GGML file"},
    {BYTES("tjgg\3\0\0\0"), "a GGJT file"},
    {BYTES("ML\xefR\1"), "MLIR bytecode"},
    {BYTES("\x93NUMPY\1\0"), "a NumPy array"},
    {BYTES(LFS), "a git LFS pointer"},
    {BYTES("version https://hawser.github.com/spec/v1\noid sha256:0\nsize 9\n"), "a git LFS pointer"},
    {BYTES("version https://git-lfs.example.org/spec/v1\n"), NULL},
    {BYTES("PK\3\4....m/models/model.json"), "a program of torch.export"},
    {BYTES("PK\3\4....archive/data.pkl"), "a PyTorch checkpoint"},
    {BYTES("PK\3\4....a.npy"), "a NumPy archive"},
    {BYTES("PK\3\4....readme"), "a zip archive"},
    {BYTES("\x80\2}q"), "a Python pickle"},
    {BYTES("\x80\7}q"), NULL},
    {BYTES("\x1c\0\0\0TFL3"), "a TensorFlow Lite file"},
    {BYTES("\x89HDF\r\n\x1a\n"), "an HDF5 file"},
    {BYTES("\x1f\x8b\10"), "compressed by gzip"},
    {BYTES("\x28\xb5\x2f\xfd"), "compressed by zstd"},
    {BYTES("\xfd"
           "7zXZ"),
     "compressed by xz"},
    {BYTES("BZh9"), "compressed by bzip2"},
    {BYTES(ZEROS_64 ZEROS_64 ZEROS_64 ZEROS_64 "\0ustar"), "a tar archive"},
    {BYTES(ZEROS_64 ZEROS_64 ZEROS_64 ZEROS_64 "\0usta"), NULL},
    {BYTES("\x7f"
           "ELF\2"),
     "a program or library"},
    {BYTES("BC\xc0\xde"), "LLVM bitcode"},
    {BYTES("; ModuleID = 'm'"), "LLVM IR"},
    {BYTES("\24\0\0\0\0\0\0\0{\"__metadata__\":{}}"), "a safetensors file"},
    {BYTES("\24\0\0\0\0\0\0\1{\"__metadata__\":{}}"), NULL}, // a header of 2^56 bytes
    {BYTES(" \n<!DocType html><p>"), "a web page"},
    {BYTES("<HTML>"), "a web page"},
    {BYTES("<htm"), NULL},
    {BYTES("\10\12\22\7pytorch\32\0052.1.0"), "an ONNX file"},
    {BYTES("\10\77\22\7pytorch\32\0052.1.0"), NULL}, // of version 63
    {BYTES("{ \"a\": 1}"), "a JSON file"},
    {BYTES("\n{}"), "a JSON file"},
    {BYTES("{a}"), NULL},
    {BYTES("// a comment\n\n// another\nmodule {"), "MLIR text"},
    {BYTES("\"builtin.module\"() ({"), "MLIR text"},
    {BYTES("{-# dialect_resources"), "MLIR text"},
    {BYTES("// nothing but a comment"), NULL},
    {BYTES("a text"), NULL},
    {BYTES("\0\0\0\0"), NULL},
};

// On a heap copy of the exact size, so that a read beyond the end is seen by the sanitizer.
static const file_kind *find(view bytes)
{
    char *copy = malloc(bytes.len + !bytes.len);
    assert_non_null(copy);
    memcpy(copy, bytes.data, bytes.len);
    const file_kind *kind = file_kind_find((view){copy, bytes.len});
    free(copy);
    return kind;
}

static void test_kinds(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        const file_kind *kind = find(CASES[i].bytes);
        const char *found = kind ? kind->what : "nothing", *wanted = CASES[i].what ? CASES[i].what : "nothing";
        if (strncmp(found, wanted, strlen(wanted))) fail_msg("case %zu: found %s, not %s", i, found, wanted);
    }
}

// Every beginning of every case is looked at without reading beyond it.
static void test_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
        for (size_t n = 0; n < CASES[i].bytes.len; n++) find((view){CASES[i].bytes.data, n});
}

static void test_who_takes_it(void **state)
{
    (void)state;
    assert_true(find(BYTES("GGUF"))->is_model && !find(BYTES("GGUF"))->is_graph);
    assert_true(find(BYTES("module {}"))->is_graph && !find(BYTES("module {}"))->is_model);
    assert_true(find(BYTES(LFS))->stands_in && find(BYTES("<html>"))->stands_in);
    assert_false(find(BYTES("{}"))->stands_in);
}

static void expect_open(const char *text, size_t bytes, const char *reason)
{
    char path[] = "/tmp/welford-kind-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, text, bytes) == (ssize_t)bytes);
    close(fd);
    file_map map;
    wf_error err = {0};
    wf_status status = file_kind_map_open(path, &map, &err);
    assert_int_equal(status, reason ? WF_ERROR_FORMAT : WF_OK);
    assert_int_equal(map.bytes, reason ? 0 : bytes);
    if (reason) assert_true(strstr(err.message, path) && strstr(err.message, reason));
    file_map_close(&map);
    remove(path);
}

// A long file that begins as a pointer is none.
static void test_stand_ins(void **state)
{
    (void)state;
    char text[1024] = LFS;
    expect_open(LFS, sizeof LFS - 1, "git lfs pull");
    expect_open("<!doctype HTML>", 15, "/resolve/");
    expect_open(text, 1023, "git lfs pull");
    expect_open(text, 1024, NULL);
    expect_open("{}", 2, NULL);
    expect_open("", 0, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_who_takes_it),
        cmocka_unit_test(test_stand_ins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
