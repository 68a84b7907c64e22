// Nests of many shapes on every instruction set, against plain C in double precision.
#include "compiler/lower/lower.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/codegen/object.h"
#include "compiler/frontend/mlir/graph_file.h"
#include "compiler/kernel/harness.h"
#include "runtime/function.h"

static const char *const CPUS[] = {"native", "haswell", "emulated-avx512"};
enum { N_CPUS = 3 };

// Compiles the only function of `text` for this CPU and runs it with 3 threads.
static wf_status run_text(const char *cpu, const char *text, void *const *arrays, wf_error *err)
{
    harness h;
    TRY(harness_open(&h, cpu, err));
    MlirModule module = {0};
    program p = {0};
    executable exe = {0};
    thread_pool *pool = NULL;
    function *f = NULL;
    buffer constants = {0}, image = {0};
    wf_status status;
    TRY_GOTO(graph_file_read(&h.context, text, strlen(text), "test", &module, err), done);
    MlirOperation op = mlirBlockGetFirstOperation(mlirModuleGetBody(module));
    const lower_options options = {.chain = true};
    TRY_GOTO(lower_function(op, &options, &h.builder, &p, &constants, err), done);
    TRY_GOTO(program_emit(&h.context, &p, h.builder.module, &h.cpu, 2, buffer_view(&constants), &image, err), done);
    TRY_GOTO(executable_load(image.data, image.len, "test", &exe, err), done);
    TRY_GOTO(thread_pool_create(3, &pool, err), done);
    TRY_GOTO(function_of_program(&exe, NULL, pool, &f, err), done);
    status = function_call(f, arrays, err);
done:
    function_close(f);
    if (pool) thread_pool_free(pool);
    executable_free(&exe);
    program_free(&p);
    buffer_free(&constants);
    buffer_free(&image);
    if (module.ptr) mlirModuleDestroy(module);
    harness_close(&h);
    return status;
}

static void expect_run(const char *cpu, const char *text, void *const *arrays)
{
    wf_error err = {0};
    if (run_text(cpu, text, arrays, &err) != WF_OK) fail_msg("%s: %s\n%s", cpu, err.message, text);
}

static void fill(float *x, int n, unsigned seed)
{
    for (int i = 0; i < n; i++) {
        seed = seed * 1664525 + 1013904223;
        x[i] = (float)(seed >> 8) / 8388608.0f - 1;
    }
}

static void expect_near(double got, double want, double tolerance, const char *cpu, const char *what)
{
    if (!(fabs(got - want) <= tolerance)) fail_msg("%s, %s: %.9g instead of %.9g", cpu, what, got, want);
}

// c = a b, b [k, n] or [n, k]: register tiles along n, and sums across k.
static void check_product(const char *cpu, int m, int n, int k, bool transposed)
{
    char *text;
    int b_rows = transposed ? n : k, b_cols = transposed ? k : n;
    assert_true(
        asprintf(
            &text,
            "func.func @main(%%a: tensor<%dx%dxf32>, %%b: tensor<%dx%dxf32>) -> tensor<%dx%dxf32> {\n"
            "  %%z = arith.constant 0.0 : f32\n  %%e = tensor.empty() : tensor<%dx%dxf32>\n"
            "  %%f = linalg.fill ins(%%z : f32) outs(%%e : tensor<%dx%dxf32>) -> tensor<%dx%dxf32>\n"
            "  %%y = linalg.generic {indexing_maps = [affine_map<(i, j, l) -> (i, l)>, affine_map<(i, j, l) -> (%s)>,"
            " affine_map<(i, j, l) -> (i, j)>], iterator_types = [\"parallel\", \"parallel\", \"reduction\"]}"
            " ins(%%a, %%b : tensor<%dx%dxf32>, tensor<%dx%dxf32>) outs(%%f : tensor<%dx%dxf32>) {\n"
            "  ^bb0(%%p: f32, %%q: f32, %%o: f32):\n    %%t = arith.mulf %%p, %%q : f32\n"
            "    %%s = arith.addf %%o, %%t : f32\n    linalg.yield %%s : f32\n  } -> tensor<%dx%dxf32>\n"
            "  return %%y : tensor<%dx%dxf32>\n}\n",
            m, k, b_rows, b_cols, m, n, m, n, m, n, m, n, transposed ? "j, l" : "l, j", m, k, b_rows, b_cols, m, n, m,
            n, m, n) > 0);
    float *a = malloc(sizeof *a * (size_t)(m * k)), *b = malloc(sizeof *b * (size_t)(n * k)),
          *c = malloc(sizeof *c * (size_t)(m * n));
    fill(a, m * k, 1);
    fill(b, n * k, 2);
    expect_run(cpu, text, (void *[]){a, b, c});
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            double sum = 0;
            for (int l = 0; l < k; l++)
                sum += (double)a[i * k + l] * (double)(transposed ? b[j * k + l] : b[l * n + j]);
            expect_near((double)c[i * n + j], sum, 2e-7 * k + 1e-6, cpu, transposed ? "a b^T" : "a b");
        }
    free(a);
    free(b);
    free(c);
    free(text);
}

static void test_products(void **state)
{
    (void)state;
    static const int SIZES[][3] = {{1, 1, 1}, {1, 37, 5}, {6, 16, 64}, {7, 33, 100}, {25, 130, 9}, {12, 32, 31}};
    for (int c = 0; c < N_CPUS; c++)
        for (size_t i = 0; i < sizeof SIZES / sizeof *SIZES; i++)
            for (int t = 0; t < 2; t++) check_product(CPUS[c], SIZES[i][0], SIZES[i][1], SIZES[i][2], t);
}

// Row sums, then x - sum: two calls in one chain; and the maximum of columns.
static void check_rows(const char *cpu, int rows, int cols)
{
    char *text;
    assert_true(
        asprintf(
            &text,
            "func.func @main(%%x: tensor<%dx%dxf32>) -> (tensor<%dx%dxf32>, tensor<%dxf32>) {\n"
            "  %%z = arith.constant 0.0 : f32\n  %%low = arith.constant 0xFF800000 : f32\n"
            "  %%e = tensor.empty() : tensor<%dxf32>\n  %%d = tensor.empty() : tensor<%dx%dxf32>\n"
            "  %%g = tensor.empty() : tensor<%dxf32>\n"
            "  %%f = linalg.fill ins(%%z : f32) outs(%%e : tensor<%dxf32>) -> tensor<%dxf32>\n"
            "  %%h = linalg.fill ins(%%low : f32) outs(%%g : tensor<%dxf32>) -> tensor<%dxf32>\n"
            "  %%s = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>],"
            " iterator_types = [\"parallel\", \"reduction\"]} ins(%%x : tensor<%dx%dxf32>) outs(%%f : tensor<%dxf32>) "
            "{\n"
            "  ^bb0(%%p: f32, %%o: f32):\n    %%t = arith.addf %%p, %%o : f32\n    linalg.yield %%t : f32\n"
            "  } -> tensor<%dxf32>\n"
            "  %%y = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>,"
            " affine_map<(i, j) -> (i, j)>], iterator_types = [\"parallel\", \"parallel\"]}"
            " ins(%%x, %%s : tensor<%dx%dxf32>, tensor<%dxf32>) outs(%%d : tensor<%dx%dxf32>) {\n"
            "  ^bb0(%%p: f32, %%q: f32, %%o: f32):\n    %%t = arith.subf %%p, %%q : f32\n    linalg.yield %%t : f32\n"
            "  } -> tensor<%dx%dxf32>\n"
            "  %%m = linalg.generic {indexing_maps = [affine_map<(i, j) -> (j, i)>, affine_map<(i, j) -> (i)>],"
            " iterator_types = [\"parallel\", \"reduction\"]} ins(%%y : tensor<%dx%dxf32>) outs(%%h : tensor<%dxf32>) "
            "{\n"
            "  ^bb0(%%p: f32, %%o: f32):\n    %%t = arith.maxnumf %%p, %%o : f32\n    linalg.yield %%t : f32\n"
            "  } -> tensor<%dxf32>\n  return %%y, %%m : tensor<%dx%dxf32>, tensor<%dxf32>\n}\n",
            rows, cols, rows, cols, cols, rows, rows, cols, cols, rows, rows, cols, cols, rows, cols, rows, rows, rows,
            cols, rows, rows, cols, rows, cols, rows, cols, cols, cols, rows, cols, cols) > 0);
    size_t count = (size_t)(rows * cols);
    float *x = malloc(sizeof *x * count), *y = malloc(sizeof *y * count), *m = malloc(sizeof *m * (size_t)cols);
    fill(x, rows * cols, 3);
    expect_run(cpu, text, (void *[]){x, y, m});
    for (int j = 0; j < cols; j++) {
        float greatest = -INFINITY;
        for (int i = 0; i < rows; i++) greatest = fmaxf(greatest, y[i * cols + j]);
        expect_near((double)m[j], (double)greatest, 0, cpu, "maximum of a column");
    }
    for (int i = 0; i < rows; i++) {
        double sum = 0;
        for (int j = 0; j < cols; j++) sum += (double)x[i * cols + j];
        for (int j = 0; j < cols; j++)
            expect_near((double)y[i * cols + j], (double)x[i * cols + j] - sum, 1e-6 * sqrt(cols) + 1e-6, cpu,
                        "x - sum");
    }
    free(x);
    free(y);
    free(m);
    free(text);
}

static void test_rows(void **state)
{
    (void)state;
    static const int SIZES[][2] = {{1, 1}, {3, 7}, {40, 128}, {17, 1000}, {500, 3}, {2, 4099}};
    for (int c = 0; c < N_CPUS; c++)
        for (size_t i = 0; i < sizeof SIZES / sizeof *SIZES; i++) check_rows(CPUS[c], SIZES[i][0], SIZES[i][1]);
}

// Sums of bf16 are kept in f32: 1000 times 1 is 1000, not the 256 at which bf16 stops to grow.
static void test_half_sums(void **state)
{
    (void)state;
    static const char TEXT[] =
        "func.func @main(%x: tensor<2x1000xbf16>) -> tensor<2xbf16> {\n  %z = arith.constant 0.0 : bf16\n"
        "  %e = tensor.empty() : tensor<2xbf16>\n  %f = linalg.fill ins(%z : bf16) outs(%e : tensor<2xbf16>) -> "
        "tensor<2xbf16>\n"
        "  %s = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>], "
        "iterator_types ="
        " [\"parallel\", \"reduction\"]} ins(%x : tensor<2x1000xbf16>) outs(%f : tensor<2xbf16>) {\n  ^bb0(%p: bf16, "
        "%o: bf16):\n"
        "    %t = arith.addf %p, %o : bf16\n    linalg.yield %t : bf16\n  } -> tensor<2xbf16>\n  return %s : "
        "tensor<2xbf16>\n}\n";
    uint16_t x[2000], y[2];
    for (int i = 0; i < 2000; i++) x[i] = 0x3f80;
    for (int c = 0; c < N_CPUS; c++) {
        expect_run(CPUS[c], TEXT, (void *[]){x, y});
        assert_int_equal(y[0], 0x447a); // 1000
        assert_int_equal(y[1], 0x447a);
    }
}

static void test_refusals(void **state)
{
    (void)state;
    static const char *const CASES[][2] = {
        {"func.func @main(%x: tensor<?xf32>) -> tensor<?xf32> {\n  return %x : tensor<?xf32>\n}\n",
         "a shape that the arguments do not fix"},
        {"func.func @main(%x: tensor<4xf80>) -> tensor<4xf80> {\n  return %x : tensor<4xf80>\n}\n",
         "a type that is not supported"},
        {"func.func @main(%x: f32) -> f32 {\n  return %x : f32\n}\n", "a scalar as argument or result"},
        {"func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {\n  cf.br ^a\n^a:\n  return %x : tensor<4xf32>\n}\n",
         "with branches"},
        {"func.func @main(%x: tensor<4xf32>, %i: tensor<index>) -> tensor<2xf32> {\n  %o = tensor.extract %i[] : "
         "tensor<index>\n"
         "  %y = tensor.extract_slice %x[%o] [2] [1] : tensor<4xf32> to tensor<2xf32>\n  return %y : "
         "tensor<2xf32>\n}\n",
         "an offset, a size or a stride that is computed"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        wf_error err = {0};
        float x[8] = {0};
        assert_int_equal(run_text("native", CASES[i][0], (void *[]){x, x, x}, &err), WF_ERROR_UNSUPPORTED);
        if (!strstr(err.message, CASES[i][1])) fail_msg("case %zu: %s", i, err.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_half_sums),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
