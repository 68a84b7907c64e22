// Whole programs: every kernel comes out once and works, and the number of threads changes no byte.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/codegen/object.h"
#include "compiler/kernel/builder.h"
#include "runtime/program/executable.h"

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

// A program of n_kernels kernels without calls.
static wf_status compile(void (*build)(builder *b), int n_kernels, int n_threads, buffer *image, wf_error *err)
{
    static program_area areas[FUNCTION_ARRAYS] = {{"arena", AREA_ARENA, {{0}}},
                                                  {"constants", AREA_CONSTANTS, {{0}}},
                                                  {"math", AREA_MATH, {{8}}},
                                                  {"fault", AREA_FAULT, {{8}}},
                                                  {"weights", AREA_WEIGHTS, {{0}}}};
    static char names[N_KERNELS][16];
    static const char *list[N_KERNELS];
    for (int i = 0; i < n_kernels; i++) {
        snprintf(names[i], sizeof names[i], "k%d", i);
        list[i] = names[i];
    }
    const program p = {.name = "test",
                       .n_dims = 1,
                       .dims = program_sequence_dims,
                       .n_areas = FUNCTION_ARRAYS,
                       .areas = areas,
                       .n_kernels = (uint32_t)n_kernels,
                       .kernels = list};
    cpu_features cpu;
    compiler_context c;
    builder b;
    TRY(cpu_detect(&cpu, err));
    TRY(compiler_context_create(&c, err));
    builder_init(&b, c.mlir, &cpu);
    for (int i = 0; i < n_kernels; i++) build_kernel(&b, i);
    if (build) build(&b);
    wf_status status = program_emit(&c, &p, b.module, &cpu, n_threads, (view){0}, image, err);
    mlirModuleDestroy(b.module);
    compiler_context_destroy(&c);
    return status;
}

static void test_kernels(void **state)
{
    (void)state;
    for (int n_kernels = 0; n_kernels <= N_KERNELS; n_kernels += n_kernels < 4 ? 1 : 7) {
        buffer image = {0};
        executable exe;
        wf_error err = {0};
        if (compile(NULL, n_kernels, 3, &image, &err) != WF_OK ||
            executable_load(image.data, image.len, "test", &exe, &err) != WF_OK)
            fail_msg("%s", err.message);
        buffer_free(&image);
        float x[N_KERNELS], y = 0;
        for (int i = 0; i < N_KERNELS; i++) x[i] = (float)(i + 1);
        void *operands[] = {&y, x};
        for (int i = 0; i < n_kernels; i++) {
            exe.kernels[i](operands, NULL, 0, 1);
            assert_float_equal(y, (float)((i + 1) * (i + 2)) / 2, 0);
        }
        executable_free(&exe);
    }
}

static void test_any_number_of_threads(void **state)
{
    (void)state;
    buffer one = {0};
    assert_int_equal(compile(NULL, N_KERNELS, 1, &one, NULL), WF_OK);
    for (int n_threads = 2; n_threads <= OBJECT_PARTS + 1; n_threads++) {
        buffer more = {0};
        assert_int_equal(compile(NULL, N_KERNELS, n_threads, &more, NULL), WF_OK);
        assert_true(view_equal(buffer_view(&one), buffer_view(&more)));
        buffer_free(&more);
    }
    buffer_free(&one);
}

// An op that MLIR's verifier refuses.
static void build_invalid(builder *b, const char *name, const char *op)
{
    kernel_begin(b, name);
    value x = load(b, operand(b, 1), (value){0}, 0, b->f32), operands[] = {x, x};
    store(b, op1(b, op, b->f64, 2, operands, 0, NULL), operand(b, 0), (value){0}, 0);
    kernel_end(b);
}

static void build_bad(builder *b) { build_invalid(b, "bad", "arith.addf"); }

static void test_failure(void **state)
{
    (void)state;
    for (int n_threads = 1; n_threads < 4; n_threads++) {
        buffer image = {0};
        wf_error err = {0};
        assert_int_equal(compile(build_bad, N_KERNELS, n_threads, &image, &err), WF_ERROR_COMPILE);
        if (!strstr(err.message, "arith.addf")) fail_msg("%s", err.message);
        buffer_free(&image);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kernels),
        cmocka_unit_test(test_any_number_of_threads),
        cmocka_unit_test(test_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
