// Functions on arrays through the public interface, from text, bytes and .wf files: what they say of themselves, calls
// with sizes that stay open and sizes that cannot, memory of either side, several threads on cold caches.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "welford.h"

enum { N_THREADS = 4 };

static const char ANY[] = "func.func @main(%a: tensor<?x8xf32>, %b: tensor<?x8xf32>) -> tensor<?x8xf32> {\n"
                          "  %0 = tosa.add %a, %b : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>\n"
                          "  return %0 : tensor<?x8xf32>\n}\n";
// No program can be for any sizes.
static const char EACH[] =
    "func.func @main(%a: tensor<?x?xf32>) -> tensor<?x2xf32> {\n"
    "  %s = tosa.const_shape {values = dense<[-1, 2]> : tensor<2xindex>} : () -> !tosa.shape<2>\n"
    "  %0 = tosa.reshape %a, %s : (tensor<?x?xf32>, !tosa.shape<2>) -> tensor<?x2xf32>\n"
    "  return %0 : tensor<?x2xf32>\n}\n";
// One program is for any sizes.
static const char OPEN[] =
    "func.func @main(%a: tensor<?x8xf32>, %b: tensor<?x8xf32>) -> tensor<?x8xf32> {\n"
    "  %0 = linalg.add ins(%a, %b : tensor<?x8xf32>, tensor<?x8xf32>) outs(%a : tensor<?x8xf32>) -> tensor<?x8xf32>\n"
    "  return %0 : tensor<?x8xf32>\n}\n";

static wf_function *open_text(const char *text, const wf_function_options *options)
{
    wf_function *f;
    wf_error err = {0};
    if (wf_function_open_bytes(text, strlen(text), "test.mlir", options, &f, &err)) fail_msg("%s", err.message);
    return f;
}

static wf_array matrix(float *data, int64_t rows, int64_t cols)
{
    return (wf_array){.data = data, .shape = {WF_F32, 2, {rows, cols}}};
}

static void test_any_size(void **state)
{
    (void)state;
    _Alignas(64) float a[33], b[32], sum[33];
    for (int cached = 0; cached < 2; cached++) {
        wf_function *f = open_text(ANY, NULL);
        assert_int_equal(wf_function_cached(f), cached);
        assert_string_equal(wf_function_name(f), "main");
        assert_int_equal(wf_function_arguments(f), 2);
        assert_int_equal(wf_function_results(f), 1);
        wf_array said = wf_function_argument(f, 1);
        assert_string_equal(said.name, "argument1");
        assert_true(said.shape.type == WF_F32 && said.shape.n_dims == 2);
        assert_true(said.shape.dims[0] == -1 && said.shape.dims[1] == 8);
        assert_int_equal(wf_function_result(f, 0).shape.dims[0], -1);
        assert_null(wf_function_result(f, 1).name);
        for (int64_t rows = 1; rows <= 4; rows++) {
            for (int i = 0; i < 32; i++) a[i + 1] = (float)i, b[i] = (float)(2 * i);
            const wf_array arguments[] = {matrix(a + 1, rows, 8), matrix(b, rows, 8)}; // one lies askew
            wf_array ours = {0}, given = matrix(sum + (rows & 1), rows, 8);
            wf_shape shape;
            assert_int_equal(wf_function_shapes(f, arguments, 2, &shape, NULL), WF_OK);
            assert_true(shape.n_dims == 2 && shape.dims[0] == rows && shape.dims[1] == 8);
            assert_int_equal(wf_function_call(f, arguments, 2, &ours, 1, NULL), WF_OK);
            assert_int_equal(wf_function_call(f, arguments, 2, &given, 1, NULL), WF_OK);
            for (int i = 0; i < 8 * rows; i++) assert_true(((float *)ours.data)[i] == (float)(3 * i));
            assert_memory_equal(ours.data, given.data, (size_t)rows * 8 * sizeof(float));
            wf_free(ours.data);
        }
        wf_function_close(f);
    }
}

static void test_each_size(void **state)
{
    (void)state;
    _Alignas(64) float a[64];
    static const int64_t SIZES[][2] = {{4, 3}, {2, 5}, {4, 3}, {8, 8}};
    for (int i = 0; i < 64; i++) a[i] = (float)i;
    for (int round = 0; round < 2; round++) {
        wf_function *f = open_text(EACH, NULL);
        wf_array said = wf_function_argument(f, 0);
        assert_true(said.shape.n_dims == 2 && said.shape.dims[0] == -1 && said.shape.dims[1] == -1);
        said = wf_function_result(f, 0);
        assert_true(said.shape.n_dims == 2 && said.shape.dims[0] == -1 && said.shape.dims[1] == 2);
        for (int i = 0; i < 4; i++) {
            wf_array x = matrix(a, SIZES[i][0], SIZES[i][1]), y = {0};
            wf_error err;
            if (wf_function_call(f, &x, 1, &y, 1, &err)) fail_msg("%s", err.message);
            assert_true(y.shape.dims[0] == SIZES[i][0] * SIZES[i][1] / 2 && y.shape.dims[1] == 2);
            assert_memory_equal(y.data, a, (size_t)(SIZES[i][0] * SIZES[i][1]) * sizeof *a);
            assert_true(!round || wf_function_cached(f));
            wf_free(y.data);
        }
        char *text;
        assert_int_equal(wf_function_print(f, WF_PRINT_REPORT, &text, NULL), WF_OK);
        assert_non_null(strstr(text, "sizes            those of these arrays: test.mlir:3:"));
        wf_free(text);
        assert_int_equal(wf_function_print(f, WF_PRINT_PLAN, &text, NULL), WF_OK);
        assert_non_null(strstr(text, "result0"));
        wf_free(text);
        wf_function_close(f);
    }
}

static void refuse_call(wf_function *f, const wf_array *arguments, size_t n, wf_array *results, size_t m,
                        const char *message)
{
    wf_error err = {0};
    assert_int_equal(wf_function_call(f, arguments, n, results, m, &err), WF_ERROR_USAGE);
    assert_string_equal(err.message, message);
}

static void test_refusals(void **state)
{
    (void)state;
    _Alignas(64) float a[16] = {0};
    wf_error err = {0};
    wf_function *f = open_text(EACH, NULL);
    wf_array x = matrix(a, 4, 2), y = matrix(a + 8, 2, 2), i8 = x, odd = matrix(a, 3, 3), none = matrix(NULL, 4, 2);
    i8.name = "x.npy", i8.shape.type = WF_I8;
    refuse_call(f, &x, 1, &y, 1, "test.mlir: result 0 is 4x2xf32, the array for it 2x2xf32");
    refuse_call(f, &x, 1, &y, 0, "test.mlir: the function has 1 result, there are 0 arrays for them");
    refuse_call(f, &x, 0, &y, 1, "the function takes 1 argument, 0 are given");
    refuse_call(f, &i8, 1, &y, 1, "argument 0 (x.npy) is 4x2xi8, the function takes ?x?xf32");
    refuse_call(f, &none, 1, &y, 1, "test.mlir: an argument has no data");
    odd.shape.n_dims = 9;
    refuse_call(f, &odd, 1, &y, 1, "test.mlir: argument 0: its type, rank or a size makes no sense");
    wf_function_close(f);
    wf_function_options hint = {.arguments = &i8, .n_arguments = 1}; // refused before anything is compiled
    assert_int_equal(wf_function_open_bytes(EACH, sizeof EACH - 1, "test.mlir", &hint, &f, &err), WF_ERROR_USAGE);
    assert_null(f);
    assert_non_null(strstr(err.message, "(x.npy)"));
    wf_function_options other = {.entry = "other"};
    assert_int_equal(wf_function_open_bytes(EACH, sizeof EACH - 1, "test.mlir", &other, &f, &err), WF_ERROR_USAGE);
    assert_string_equal(err.message, "test.mlir: there is no function 'other'");
    assert_int_equal(wf_function_open("/nowhere.mlir", NULL, &f, &err), WF_ERROR_IO);
    assert_int_equal(wf_function_open_bytes("WFFILE01", 8, "short.wf", NULL, &f, &err), WF_ERROR_FORMAT);
}

// ---- what the compiler prints, and what it found

static void count_prints(void *context, const char *text, size_t bytes)
{
    size_t *count = context;
    assert_non_null(memmem(text, bytes, "linalg.", 7));
    ++*count;
}

static void test_print(void **state)
{
    (void)state;
    size_t count = 0;
    const wf_function_options options = {
        .print_ir_after = "bind", .print = count_prints, .print_context = &count, .no_cache = true};
    wf_function_close(open_text(OPEN, &options));
    assert_int_equal(count, 1);
}

static void test_fusions(void **state)
{
    (void)state;
    wf_function *f = open_text(OPEN, NULL);
    wf_fusion row;
    char *text;
    size_t n = 0;
    assert_int_equal(wf_function_print(f, WF_PRINT_REPORT, &text, NULL), WF_OK);
    for (const char *at = text; wf_function_fusion(f, n, &row); n++) { // in the order of the table
        assert_true(row.fused <= row.found && row.why_not);
        at = strstr(at, row.name);
        assert_non_null(at);
    }
    assert_true(n > 0);
    assert_false(wf_function_fusion(f, n, &row));
    wf_free(text);
    wf_function_close(f);
}

// ---- saving

static void test_save(void **state)
{
    _Alignas(64) float a[64];
    wf_error err = {0};
    char path[64];
    snprintf(path, sizeof path, "%s/saved.wf", (const char *)*state);
    for (int i = 0; i < 64; i++) a[i] = (float)i;
    for (int any = 0; any < 2; any++) {
        wf_function *f = open_text(any ? OPEN : EACH, NULL), *saved;
        const wf_array arguments[] = {matrix(a, 3, 8), matrix(a, 3, 8)}, other[] = {matrix(a, 5, 8), matrix(a, 5, 8)};
        const size_t n = any ? 2 : 1;
        wf_array y = {0}, z = {0};
        if (!any) { // for which sizes?
            assert_int_equal(wf_function_save(f, path, &err), WF_ERROR_USAGE);
            assert_non_null(strstr(err.message, "call the function first"));
        }
        assert_int_equal(wf_function_call(f, arguments, n, &y, 1, NULL), WF_OK);
        if (wf_function_save(f, path, &err)) fail_msg("%s", err.message);
        if (wf_function_open(path, NULL, &saved, &err)) fail_msg("%s", err.message);
        assert_int_equal(wf_function_call(saved, arguments, n, &z, 1, NULL), WF_OK);
        assert_memory_equal(y.data, z.data, 24 * sizeof(float));
        wf_free(z.data);
        z.data = NULL;
        assert_int_equal(wf_function_call(saved, other, n, &z, 1, NULL), any ? WF_OK : WF_ERROR_USAGE);
        assert_int_equal(wf_function_save(saved, path, &err), WF_ERROR_USAGE);
        assert_non_null(strstr(err.message, "a .wf file already"));
        wf_free(y.data);
        wf_free(z.data);
        wf_function_close(saved);
        assert_int_equal(wf_function_save(f, "/nowhere/f.wf", &err), WF_ERROR_IO);
        wf_function_close(f);
    }
}

// ---- threads

typedef struct task {
    wf_pool *pool;
    pthread_barrier_t *start;
    const char *text;
    float out[16];
    wf_error err;
} task;

static void *run_task(void *context)
{
    task *t = context;
    _Alignas(64) float a[16];
    wf_function *f;
    const wf_function_options options = {.pool = t->pool, .fuse = "elementwise"}; // another key: not yet in the cache
    for (int i = 0; i < 16; i++) a[i] = (float)i;
    const wf_array arguments[] = {matrix(a, 2, 8), matrix(a, 2, 8)};
    wf_array result = {.data = NULL};
    pthread_barrier_wait(t->start);
    size_t n = t->text == ANY ? 2 : 1;
    if (wf_function_open_bytes(t->text, strlen(t->text), "test.mlir", &options, &f, &t->err)) return NULL;
    for (int i = 0; i < 100 && !t->err.status; i++) {
        wf_function_call(f, arguments, n, &result, 1, &t->err);
        if (!t->err.status) memcpy(t->out, result.data, sizeof t->out);
    }
    wf_free(result.data);
    wf_function_close(f);
    return NULL;
}

// Different functions, and the same one opened twice, on one pool.
static void test_threads(void **state)
{
    (void)state;
    static task tasks[N_THREADS];
    pthread_t threads[N_THREADS];
    pthread_barrier_t start;
    wf_pool *pool;
    assert_int_equal(wf_pool_create(2, &pool, NULL), WF_OK);
    assert_int_equal(pthread_barrier_init(&start, NULL, N_THREADS), 0);
    for (int i = 0; i < N_THREADS; i++) {
        tasks[i] = (task){.pool = pool, .start = &start, .text = i % 2 ? EACH : ANY};
        assert_int_equal(pthread_create(&threads[i], NULL, run_task, &tasks[i]), 0);
    }
    for (int i = 0; i < N_THREADS; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < N_THREADS; i++) {
        if (tasks[i].err.status) fail_msg("%d: %s", i, tasks[i].err.message);
        for (int k = 0; k < 16; k++) assert_true(tasks[i].out[k] == (float)(i % 2 ? k : 2 * k));
    }
    pthread_barrier_destroy(&start);
    wf_pool_free(pool);
}

// One array as argument and result: what is not written over stays, in place; two arrays: the argument stays as it is.
static void test_donated(void **state)
{
    (void)state;
    static const char TEXT[] =
        "func.func @main(%c: tensor<8x4xf32>, %r: tensor<1x4xf32>, %p: tensor<1xi64>) -> tensor<8x4xf32> {\n"
        "  %z = arith.constant 0 : index\n  %i = tensor.extract %p[%z] : tensor<1xi64>\n"
        "  %k = arith.index_cast %i : i64 to index\n"
        "  %y = tensor.insert_slice %r into %c[%k, 0] [1, 4] [1, 1] : tensor<1x4xf32> into tensor<8x4xf32>\n"
        "  return %y : tensor<8x4xf32>\n}\n";
    _Alignas(64) float cache[32], other[33], row[4] = {1, 2, 3, 4};
    for (int named = 0; named < 2; named++) {
        const wf_donation donated = {.name = named ? "argument0" : NULL};
        wf_function *f = open_text(TEXT, &(wf_function_options){.donated = &donated, .n_donated = 1});
        assert_int_equal(wf_function_donor(f, 0), 0);
        assert_int_equal(wf_function_donor(f, 1), 3);
        memset(cache, 0, sizeof cache);
        for (int64_t k = 0; k < 8; k++) {
            const wf_array arguments[] = {
                matrix(cache, 8, 4), matrix(row, 1, 4), {.data = &k, .shape = {WF_I64, 1, {1}}}};
            wf_array same = matrix(cache, 8, 4), apart = matrix(other + (k & 1), 8, 4), ours = {0};
            float before[32];
            memcpy(before, cache, sizeof cache);
            assert_int_equal(wf_function_call(f, arguments, 3, &apart, 1, NULL), WF_OK);
            assert_int_equal(wf_function_call(f, arguments, 3, &ours, 1, NULL), WF_OK);
            assert_memory_equal(cache, before, sizeof cache);
            assert_int_equal(wf_function_call(f, arguments, 3, &same, 1, NULL), WF_OK);
            assert_ptr_equal(same.data, cache);
            for (int i = 0; i < 32; i++) assert_true(cache[i] == (i / 4 <= k ? row[i % 4] : 0));
            assert_memory_equal(cache, apart.data, sizeof cache);
            assert_memory_equal(cache, ours.data, sizeof cache);
            wf_free(ours.data);
        }
        wf_function_close(f);
    }
}

static int set_up(void **state)
{
    static char folder[] = "/tmp/welford-function-XXXXXX";
    *state = folder;
    return !mkdtemp(folder) || setenv("WELFORD_CACHE", folder, 1);
}

static int tear_down(void **state)
{
    char command[64];
    snprintf(command, sizeof command, "rm -r %s", (const char *)*state);
    return system(command);
}

// ---- weights

enum { ROWS = 3, IN = 64, OUT = 32 };

typedef struct layer {
    _Alignas(64) float x[ROWS * IN], gain[IN], w[IN * OUT], v[OUT * OUT], bias[OUT], y[ROWS * OUT];
} layer;

// Gain, a matrix [in, out] with a bias, and one [out, in]; as arguments or as constants.
static void write_layer(const layer *l, bool constants, char *text, size_t bytes)
{
    static const char BODY[] =
        "  %n = \"wf.rms_norm\"(%x, %gain) {eps = 1.0e-5 : f64} : (tensor<?x64xf32>, tensor<64xf32>) -> "
        "tensor<?x64xf32>\n"
        "  %i = tensor.empty() : tensor<32x64xf32>\n"
        "  %t = linalg.transpose ins(%w : tensor<64x32xf32>) outs(%i : tensor<32x64xf32>) permutation = [1, 0]\n"
        "  %m = \"wf.linear\"(%n, %t, %bias) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 1, 0, 0, 0>} : "
        "(tensor<?x64xf32>, tensor<32x64xf32>, tensor<32xf32>) -> tensor<?x32xf32>\n"
        "  %y = \"wf.linear\"(%m, %v) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0>} : "
        "(tensor<?x32xf32>, tensor<32x32xf32>) -> tensor<?x32xf32>\n"
        "  return %y : tensor<?x32xf32>\n}\n";
    const struct {
        const char *name, *type;
        const float *values;
        size_t count;
    } parts[] = {{"gain", "tensor<64xf32>", l->gain, IN},
                 {"w", "tensor<64x32xf32>", l->w, (size_t)IN * OUT},
                 {"bias", "tensor<32xf32>", l->bias, OUT},
                 {"v", "tensor<32x32xf32>", l->v, (size_t)OUT * OUT}};
    size_t at = (size_t)snprintf(text, bytes, "func.func @main(%%x: tensor<?x64xf32>");
    for (int i = 0; i < 4 && !constants; i++)
        at += (size_t)snprintf(text + at, bytes - at, ", %%%s: %s%s", parts[i].name, parts[i].type,
                               i == 3 ? " {wf.name = \"v\"}" : "");
    at += (size_t)snprintf(text + at, bytes - at, ") -> tensor<?x32xf32> {\n");
    for (int i = 0; i < 4 && constants; i++) {
        at += (size_t)snprintf(text + at, bytes - at, "  %%%s = arith.constant dense<\"0x", parts[i].name);
        const unsigned char *p = (const unsigned char *)parts[i].values;
        for (size_t k = 0; k < 4 * parts[i].count; k++) at += (size_t)snprintf(text + at, bytes - at, "%02X", p[k]);
        at += (size_t)snprintf(text + at, bytes - at, "\"> : %s\n", parts[i].type);
    }
    at += (size_t)snprintf(text + at, bytes - at, "%s", BODY);
    assert_true(at < bytes);
}

static void fill(float *x, size_t n, uint32_t seed)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525 + 1013904223;
        x[i] = (float)(seed >> 8) * 0x1p-23f - 1;
    }
}

static void call_layer(wf_function *f, layer *l, float *y)
{
    wf_error err;
    const wf_array x = matrix(l->x, ROWS, IN);
    wf_array out = matrix(y, ROWS, OUT);
    if (wf_function_call(f, &x, 1, &out, 1, &err)) fail_msg("%s", err.message);
}

static char *report_of(const wf_function *f, wf_print what)
{
    char *text;
    assert_int_equal(wf_function_print(f, what, &text, NULL), WF_OK);
    return text;
}

static void assert_origin(const wf_function *f, const char *origin)
{
    char *text = report_of(f, WF_PRINT_REPORT);
    if (!strstr(text, origin)) fail_msg("'%s' is not in %s", origin, text);
    wf_free(text);
}

// Lent weights give the bits that constants give; what is packed follows by wf_function_renew, what is read as it is at
// once; the second function finds the pack in the cache.
static void test_lent_weights(void **state)
{
    (void)state;
    layer *l = aligned_alloc(64, sizeof *l);
    enum { BYTES = 100000 };
    char *text = malloc(BYTES);
    assert_true(l && text);
    fill((float *)l, sizeof *l / sizeof(float), 1);
    write_layer(l, true, text, BYTES);
    wf_function *constants = open_text(text, NULL);
    call_layer(constants, l, l->y);
    write_layer(l, false, text, BYTES);
    float askew[IN + 1];
    memcpy(askew + 1, l->gain, sizeof l->gain);
    for (int round = 0; round < 4; round++) {
        const wf_weight lent[] = {
            {.index = 1, .data = round % 2 ? askew + 1 : l->gain, .shape = {WF_F32, 1, {IN}}},
            {.name = "argument2", .data = l->w, .shape = {WF_F32, 2, {IN, OUT}}},
            {.name = "v", .data = l->v, .shape = {WF_F32, 2, {OUT, OUT}}},
            {.name = "3", .data = l->bias, .shape = {WF_F32, 1, {OUT}}},
        };
        float y[ROWS * OUT], other[ROWS * OUT];
        const wf_function_options options = {.lent = lent, .n_lent = 4, .no_cache = round == 3};
        wf_function *f = open_text(text, &options);
        assert_int_equal(wf_function_arguments(f), 1);
        assert_string_equal(wf_function_argument(f, 0).name, "argument0");
        assert_null(wf_function_argument(f, 1).name);
        assert_origin(f, round == 0 || round == 3 ? "packed now" : "from the cache");
        call_layer(f, l, y);
        assert_memory_equal(y, l->y, sizeof y);
        char *plan = report_of(f, WF_PRINT_PLAN);
        assert_non_null(strstr(plan, "argument0, argument1 -> arena")); // the gain, where it lies
        wf_free(plan);

        fill(l->v, (size_t)OUT * OUT, 7);
        write_layer(l, true, text, BYTES);
        wf_function *changed = open_text(text, NULL);
        call_layer(changed, l, other);
        call_layer(f, l, y);
        assert_memory_equal(y, l->y, sizeof y); // packed
        wf_error err;
        if (wf_function_renew(f, &lent[2], &err)) fail_msg("%s", err.message);
        call_layer(f, l, y);
        assert_memory_equal(y, other, sizeof y);
        assert_int_equal(wf_function_renew(f, &(wf_weight){.name = "w"}, &err), WF_ERROR_USAGE);
        assert_string_equal(err.message, "test.mlir: no weight 'w' was given from memory");
        wf_weight wrong = lent[1];
        wrong.shape.dims[0] = OUT;
        assert_int_equal(wf_function_renew(f, &wrong, &err), WF_ERROR_USAGE);
        wf_function_close(changed);
        char *folder = getenv("WELFORD_CACHE"), path[128];
        snprintf(path, sizeof path, "%s/lent.wf", folder);
        if (wf_function_save(f, path, &err)) fail_msg("%s", err.message);
        wf_function *saved; // with all weights, as they are now
        if (wf_function_open(path, NULL, &saved, &err)) fail_msg("%s", err.message);
        assert_int_equal(wf_function_arguments(saved), 1);
        fill(l->gain, IN, 8);
        call_layer(saved, l, y);
        assert_memory_equal(y, other, sizeof y);
        wf_function_close(saved);
        wf_function_close(f);
        fill((float *)l, sizeof *l / sizeof(float), 1);
        call_layer(constants, l, l->y);
        write_layer(l, false, text, BYTES);
    }
    wf_function_close(constants);
    free(text);
    free(l);
}

static void test_lent_refusals(void **state)
{
    (void)state;
    static const float data[64] = {0};
    static const struct {
        wf_weight weight;
        const char *message;
    } CASES[] = {
        {{.index = 7, .data = data, .shape = {WF_F32, 1, {8}}},
         "test.mlir: no argument of the function is called 'argument7'"},
        {{.name = "x", .data = data, .shape = {WF_F32, 1, {8}}},
         "test.mlir: no argument of the function is called 'x'"},
        {{.index = 1, .data = data, .shape = {WF_F16, 2, {1, 8}}},
         "argument 1 (argument1): wrong type: it is 1x8xf16, the function takes ?x8xf32"},
        {{.index = 1, .data = data, .shape = {WF_F32, 2, {8, 1}}},
         "argument 1 (argument1): wrong size: it is 8x1xf32, the function takes ?x8xf32"},
        {{.index = 1, .shape = {WF_F32, 2, {1, 8}}}, "test.mlir: weight 'argument1' has no data"},
        {{.index = 1, .data = data, .shape = {WF_F32, 2, {0, 8}}}, "test.mlir: weight 'argument1' has no elements"},
        {{.index = 1, .data = data, .shape = {WF_F32, 2, {-1, 8}}},
         "test.mlir: the shape of a weight 0: its type, rank or a size makes no sense"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        wf_function *f;
        wf_error err = {0};
        const wf_function_options options = {.lent = &CASES[i].weight, .n_lent = 1};
        assert_int_equal(wf_function_open_bytes(ANY, sizeof ANY - 1, "test.mlir", &options, &f, &err), WF_ERROR_USAGE);
        assert_string_equal(err.message, CASES[i].message);
        assert_null(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_size), cmocka_unit_test(test_each_size),    cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_print),    cmocka_unit_test(test_fusions),      cmocka_unit_test(test_save),
        cmocka_unit_test(test_threads),  cmocka_unit_test(test_lent_weights), cmocka_unit_test(test_lent_refusals),
        cmocka_unit_test(test_donated),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
