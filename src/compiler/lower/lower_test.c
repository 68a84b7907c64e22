// Plans of functions that no frontend writes yet: the calls, and the weights that they read.
#include "compiler/lower/lower.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/dialect/context.h"
#include "format/gguf.h"

static void put(buffer *b, uint64_t number, int bytes)
{
    for (int i = 0; i < bytes; i++) buffer_append_char(b, (char)(number >> (8 * i)));
}

static void put_tensor(buffer *file, const char *name, int n_dims, int64_t cols, int64_t rows, size_t offset)
{
    put(file, strlen(name), 8);
    buffer_append(file, name, strlen(name));
    put(file, (uint64_t)n_dims, 4);
    put(file, (uint64_t)cols, 8);
    if (n_dims > 1) put(file, (uint64_t)rows, 8);
    put(file, TENSOR_F32, 4);
    put(file, offset, 8);
}

// A checkpoint of a table "t" [64, 64] and vectors "g" and "b" [64].
static checkpoint *make_checkpoint(buffer *file)
{
    buffer_append(file, "GGUF", 4);
    put(file, 3, 4);
    put(file, 3, 8);
    put(file, 0, 8);
    put_tensor(file, "t", 2, 64, 64, 0);
    put_tensor(file, "g", 1, 64, 1, 16384);
    put_tensor(file, "b", 1, 64, 1, 16640);
    while (file->len % 32) put(file, 0, 1);
    for (int i = 0; i < 16896; i++) put(file, 0, 1);
    checkpoint *c;
    wf_error err = {0};
    if (gguf_parse((const unsigned char *)file->data, file->len, "test.gguf", &c, &err) != WF_OK)
        fail_msg("%s", err.message);
    return c;
}

// The program of `norm` applied to %x, an embedding, with %g and %b at hand. Its result stands for the logits.
static wf_status lower_one(const char *norm, program *p, wf_error *err)
{
    char *text;
    buffer bytes = {0};
    checkpoint *file = make_checkpoint(&bytes);
    assert_true(asprintf(&text,
                         "func.func @f(%%ids: tensor<?xi32>, %%which: tensor<?xi32>) -> tensor<?x64xf32> {\n"
                         "  %%t = \"wf.weight\"() {name = \"t\"} : () -> tensor<64x64xf32>\n"
                         "  %%g = \"wf.weight\"() {name = \"g\"} : () -> tensor<64xf32>\n"
                         "  %%b = \"wf.weight\"() {name = \"b\"} : () -> tensor<64xf32>\n"
                         "  %%e = \"wf.embed\"(%%ids, %%t) : (tensor<?xi32>, tensor<64x64xf32>) -> tensor<?x64xf32>\n"
                         "  %%x = \"wf.select_rows\"(%%e, %%which) : (tensor<?x64xf32>, tensor<?xi32>) -> "
                         "tensor<?x64xf32>\n"
                         "  %%y = %s -> tensor<?x64xf32>\n"
                         "  return %%y : tensor<?x64xf32>\n}\n",
                         norm) > 0);
    compiler_context c;
    assert_int_equal(compiler_context_create(&c, err), WF_OK);
    MlirModule module = mlirModuleCreateParse(c.mlir, mlir_text(text));
    assert_false(mlirModuleIsNull(module));
    cpu_features cpu;
    assert_int_equal(cpu_detect(&cpu, err), WF_OK);
    builder kernels;
    buffer constants = {0};
    builder_init(&kernels, c.mlir, &cpu);
    model_facts facts = {.architecture = "test",
                         .name = "test",
                         .n_vocab = 64,
                         .n_embd = 64,
                         .n_ctx_train = 8,
                         .n_layer = 1,
                         .n_heads = 1,
                         .n_kv_heads = 1,
                         .head_dim = 64};
    const lower_options lowered = {.file = file, .facts = &facts};
    MlirOperation function = mlirBlockGetFirstOperation(mlirModuleGetBody(module));
    wf_status status = lower_function(function, &lowered, &kernels, p, &constants, err);
    if (status == WF_OK) assert_true(mlirOperationVerify(mlirModuleGetOperation(kernels.module)));
    mlirModuleDestroy(kernels.module);
    buffer_free(&constants);
    mlirModuleDestroy(module);
    compiler_context_destroy(&c);
    checkpoint_close(file);
    buffer_free(&bytes);
    free(text);
    return status;
}

static void check_weights(const program *p, const program_call *call, const char *const *names, uint32_t n)
{
    assert_int_equal(call->n_buffers, 2 + n);
    for (uint32_t i = 0; i < n; i++) {
        const program_buffer *w = &call->buffers[2 + i];
        assert_int_equal(w->area, BASE_WEIGHTS);
        size_t found = 0;
        while (found < p->n_weights && strcmp(p->weights[found].sources[0], names[i])) found++;
        assert_true(found < p->n_weights);
        assert_int_equal(w->offset.c[DIM_ONE], p->weights[found].offset);
    }
}

static void test_layer_norm(void **state)
{
    (void)state;
    static const struct {
        const char *op, *kernel;
        uint32_t n;
        const char *weights[2];
    } cases[] = {
        {"\"wf.layer_norm\"(%x, %g, %b) {eps = 1.0e-5, operandSegmentSizes = array<i32: 1, 1, 1>} : "
         "(tensor<?x64xf32>, tensor<64xf32>, tensor<64xf32>)",
         "layer_norm_64_",
         2,
         {"g", "b"}},
        {"\"wf.layer_norm\"(%x, %b) {eps = 1.0e-5, operandSegmentSizes = array<i32: 1, 0, 1>} : "
         "(tensor<?x64xf32>, tensor<64xf32>)",
         "layer_norm_64_",
         1,
         {"b"}},
        {"\"wf.layer_norm\"(%x, %g) {eps = 1.0e-5, operandSegmentSizes = array<i32: 1, 1, 0>} : "
         "(tensor<?x64xf32>, tensor<64xf32>)",
         "layer_norm_64_",
         1,
         {"g"}},
        {"\"wf.rms_norm\"(%x, %g) {eps = 1.0e-5} : (tensor<?x64xf32>, tensor<64xf32>)", "rms_norm_64_", 1, {"g"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        program p = {0};
        wf_error err = {0};
        if (lower_one(cases[i].op, &p, &err) != WF_OK) fail_msg("%s", err.message);
        const program_call *call = &p.calls[p.n_calls - 1];
        const char *kernel = p.kernels[call->kernel];
        assert_memory_equal(kernel, cases[i].kernel, strlen(cases[i].kernel));
        check_weights(&p, call, cases[i].weights, cases[i].n);
        bool beta = cases[i].n == 2 || cases[i].weights[0][0] == 'b';
        assert_int_equal(strstr(kernel, "_beta") != NULL, beta);
        program_free(&p);
    }
}

// 1 is added to gamma where it is packed, and to nothing else.
static void test_layer_norm_plus_one(void **state)
{
    (void)state;
    program p = {0};
    wf_error err = {0};
    if (lower_one("\"wf.layer_norm\"(%x, %g, %b) {eps = 1.0e-5, plus_one = true, operandSegmentSizes = "
                  "array<i32: 1, 1, 1>} : (tensor<?x64xf32>, tensor<64xf32>, tensor<64xf32>)",
                  &p, &err) != WF_OK)
        fail_msg("%s", err.message);
    check_weights(&p, &p.calls[p.n_calls - 1], (const char *const[]){"g", "b"}, 2);
    for (uint32_t i = 0; i < p.n_weights; i++)
        assert_int_equal(p.weights[i].plus_one, p.weights[i].sources[0][0] == 'g');
    program_free(&p);
}

// gelu by erf is not gelu by tanh, which kernels compute.
static void test_activations(void **state)
{
    (void)state;
    static const struct {
        const char *op, *kernel; // NULL: there is none
    } cases[] = {
        {"\"wf.glu\"(%x, %x) {activation = \"silu\"} : (tensor<?x64xf32>, tensor<?x64xf32>)", "swiglu_64"},
        {"\"wf.glu\"(%x, %x) {activation = \"gelu_tanh\"} : (tensor<?x64xf32>, tensor<?x64xf32>)", "geglu_64"},
        {"\"wf.glu\"(%x, %x) {activation = \"gelu\"} : (tensor<?x64xf32>, tensor<?x64xf32>)", NULL},
        {"\"wf.glu\"(%x, %x) {activation = \"silu\", rounded = f16} : (tensor<?x64xf32>, tensor<?x64xf32>)", NULL},
        {"\"wf.linear\"(%x, %t, %t) {glu = \"silu\", operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0>} : "
         "(tensor<?x64xf32>, tensor<64x64xf32>, tensor<64x64xf32>)",
         "linear_"},
        {"\"wf.linear\"(%x, %t, %t) {glu = \"gelu\", operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0>} : "
         "(tensor<?x64xf32>, tensor<64x64xf32>, tensor<64x64xf32>)",
         NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        program p = {0};
        wf_error err = {0};
        wf_status status = lower_one(cases[i].op, &p, &err);
        assert_int_equal(status, cases[i].kernel ? WF_OK : WF_ERROR_UNSUPPORTED);
        if (cases[i].kernel) {
            const char *kernel = p.kernels[p.calls[p.n_calls - 1].kernel];
            assert_memory_equal(kernel, cases[i].kernel, strlen(cases[i].kernel));
        }
        program_free(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_layer_norm), cmocka_unit_test(test_layer_norm_plus_one),
                                       cmocka_unit_test(test_activations)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
