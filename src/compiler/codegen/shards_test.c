// Sharing kernels out: every kernel comes out once and works, and the number of threads changes no byte.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/codegen/shards.h"
#include "runtime/program.h"

enum { N_KERNELS = 11 };

// Adds up i + 1 times what stands in the second operand; kernels of different lengths.
static void build_kernel(builder *b, int i)
{
    char name[16];
    snprintf(name, sizeof name, "k%d", i);
    kernel_begin(b, name);
    value sum = const_f(b, b->f32, 0), x = operand(b, 1);
    for (int k = 0; k <= i; k++) sum = add_f(b, sum, load(b, x, (value){0}, 4 * k, b->f32));
    store(b, sum, operand(b, 0), (value){0}, 0);
    kernel_end(b);
}

static size_t compile(kernel_shards *s, int n_kernels, int n_threads, view objects[N_SHARDS])
{
    cpu_features cpu;
    wf_error err = {0};
    size_t n = 0;
    if (cpu_detect(&cpu, &err) != WF_OK || shards_create(s, &cpu, &err) != WF_OK) fail_msg("%s", err.message);
    for (int i = 0; i < n_kernels; i++) build_kernel(shards_next(s), i);
    if (shards_compile(s, n_threads, objects, &n, &err) != WF_OK) fail_msg("%s", err.message);
    return n;
}

static void test_kernels(void **state)
{
    (void)state;
    static char names[N_KERNELS][16];
    const char *list[N_KERNELS];
    for (int i = 0; i < N_KERNELS; i++) {
        snprintf(names[i], sizeof names[i], "k%d", i);
        list[i] = names[i];
    }
    kernel_shards s;
    view objects[N_SHARDS];
    size_t n = compile(&s, N_KERNELS, 3, objects), code_bytes;
    assert_int_equal(n, N_SHARDS);
    kernel_fn functions[N_KERNELS];
    void *code;
    wf_error err = {0};
    if (objects_load(objects, n, "test", list, N_KERNELS, functions, &code, &code_bytes, &err) != WF_OK)
        fail_msg("%s", err.message);
    shards_free(&s);
    float x[N_KERNELS], y = 0;
    for (int i = 0; i < N_KERNELS; i++) x[i] = (float)(i + 1);
    void *operands[] = {&y, x};
    for (int i = 0; i < N_KERNELS; i++) {
        functions[i](operands, NULL, 0, 1);
        assert_float_equal(y, (float)((i + 1) * (i + 2)) / 2, 0);
    }
    objects_unload(code, code_bytes);
}

static void test_any_number_of_threads(void **state)
{
    (void)state;
    kernel_shards one, more;
    view first[N_SHARDS], other[N_SHARDS];
    size_t n = compile(&one, N_KERNELS, 1, first);
    for (int n_threads = 2; n_threads <= N_SHARDS + 1; n_threads++) {
        assert_int_equal(compile(&more, N_KERNELS, n_threads, other), n);
        for (size_t i = 0; i < n; i++) assert_true(view_equal(first[i], other[i]));
        shards_free(&more);
    }
    shards_free(&one);
}

static void test_fewer_kernels_than_shards(void **state)
{
    (void)state;
    for (int n_kernels = 0; n_kernels < N_SHARDS; n_kernels++) {
        kernel_shards s;
        view objects[N_SHARDS];
        assert_int_equal(compile(&s, n_kernels, 2, objects), n_kernels);
        shards_free(&s);
    }
}

// An op that MLIR's verifier refuses.
static void build_invalid(builder *b, const char *name, const char *op)
{
    kernel_begin(b, name);
    value x = load(b, operand(b, 1), (value){0}, 0, b->f32), operands[] = {x, x};
    store(b, op1(b, op, b->f64, 2, operands, 0, NULL), operand(b, 0), (value){0}, 0);
    kernel_end(b);
}

// The first shard's failure is told, on any number of threads.
static void test_failure(void **state)
{
    (void)state;
    cpu_features cpu;
    wf_error err = {0};
    assert_int_equal(cpu_detect(&cpu, &err), WF_OK);
    for (int n_threads = 1; n_threads < 4; n_threads++) {
        kernel_shards s;
        assert_int_equal(shards_create(&s, &cpu, &err), WF_OK);
        for (int i = 0; i < N_SHARDS; i++) build_kernel(shards_next(&s), i);
        build_invalid(&s.builders[1], "bad1", "arith.addf");
        build_invalid(&s.builders[2], "bad2", "arith.mulf");
        view objects[N_SHARDS];
        size_t n;
        err = (wf_error){0};
        assert_int_equal(shards_compile(&s, n_threads, objects, &n, &err), WF_ERROR_COMPILE);
        assert_non_null(strstr(err.message, "arith.addf"));
        shards_free(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kernels),
        cmocka_unit_test(test_any_number_of_threads),
        cmocka_unit_test(test_fewer_kernels_than_shards),
        cmocka_unit_test(test_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
