// For tests: an object of the system's C compiler, and a program that calls what is in it.
#ifndef WELFORD_RUNTIME_PROGRAM_TEST_PROGRAM_H
#define WELFORD_RUNTIME_PROGRAM_TEST_PROGRAM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/file.h"
#include "runtime/program/executable.h"

// Constants in .rodata and in sections for merging, a call within the object, a table of addresses (.data.rel.ro), a
// 64-byte aligned table.
static const char KERNELS[] =
    "typedef long long i64;\n"
    "static const float table[16] __attribute__((aligned(64))) = {1, 2, 3, 4, 5, 6, 7, 8};\n"
    "static const char *const words[] = {\"zero\", \"one\", \"two\"};\n"
    "__attribute__((noinline)) float multiply(float x, i64 i) { return x * table[i & 7] + 0.1f; }\n"
    "void scale(void *const *b, const i64 *d, i64 begin, i64 end) {\n"
    "    for (i64 i = begin; i < end; i++) ((float *)b[1])[i] = multiply(((const float *)b[0])[i], i + d[0]);\n"
    "}\n"
    "void spell(void *const *b, const i64 *d, i64 begin, i64 end) {\n"
    "    for (i64 i = begin; i < end; i++) ((char *)b[0])[i] = words[d[0]][i];\n"
    "}\n"
    "void where(void *const *b, const i64 *d, i64 begin, i64 end) { *(const void **)b[0] = table; }\n";
static const char *const NAMES[] = {"scale", "spell", "where"};
enum { N_NAMES = 3 };

typedef struct object {
    char *data;
    size_t bytes;
} object;

static inline object compile(const char *source, const char *flags)
{
    char folder[] = "/tmp/welford-program-XXXXXX", path[64], command[512];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/k.c", folder);
    assert_int_equal(file_write(path, source, strlen(source), NULL), WF_OK);
    snprintf(command, sizeof command, "${CC:-cc} -c -O2 -fPIC -fvisibility=hidden %s %s/k.c -o %s/k.o", flags, folder,
             folder);
    assert_int_equal(system(command), 0);
    snprintf(path, sizeof path, "%s/k.o", folder);
    object o;
    assert_int_equal(file_read(path, &o.data, &o.bytes, NULL), WF_OK);
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
    return o;
}

// A program of one call of "scale": tokens -> arena.
static const char *const PROGRAM_KERNELS[] = {"scale", "where"};
static const program_call CALL = {
    .kernel = 0,
    .label = "test",
    .n_buffers = 2,
    .n_sizes = 1,
    .buffers = (const program_buffer[]){{.area = BASE_TOKENS, .bytes = {{[DIM_TOKENS] = 4}}},
                                        {.area = BASE_ARENA, .bytes = {{[DIM_TOKENS] = 4}}, .written = true}},
    .sizes = (const affine[]){{{[DIM_ONE] = 2}}},
    .grain = 1,
    .tiles = {.a = {{[DIM_TOKENS] = 1}}, .divisor = 1, .factor = 1},
};

static inline program make_plan(void)
{
    static program_area areas[BASE_COUNT];
    program p = {
        .architecture = "test",
        .name = "test",
        .n_vocab = 8,
        .n_ctx_train = 64,
        .n_embd = 64,
        .kv = {.n_layer = 1, .n_kv_heads = 1, .head_dim = 16},
        .n_kernels = 2,
        .kernels = PROGRAM_KERNELS,
        .n_calls = 1,
        .calls = &CALL,
    };
    program_set_sequence(&p, affine_of(DIM_TOKENS, 64), 0, areas);
    return p;
}

#endif
