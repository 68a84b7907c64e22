// Every op with all that it may have: what is read and written again is the same op.
#include "compiler/dialect/wf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/dialect/context.h"

typedef union any_op {
    weight_op weight;
    embed_op embed;
    select_rows_op select_rows;
    columns_op columns;
    store_rows_op store_rows;
    quantize_op quantize;
    softcap_op softcap;
    softmax_op softmax;
    norm_op norm;
    linear_op linear;
    blocks_op blocks;
    glu_op glu;
    rope_table_op rope_table;
    rope_op rope;
    rope_store_op rope_store;
    attention_op attention;
} any_op;

static const char TEXT[] =
    "func.func @f(%ids: tensor<4xi32>, %x: tensor<4x64xf32>, %g: tensor<64xf32>, %h: tensor<16xf32>,\n"
    "             %w: tensor<64x64xf32>, %b: tensor<64xf32>, %k: tensor<6x32xf32>, %k4: tensor<4x32xf32>,\n"
    "             %m: tensor<4x6xf32>, %s: tensor<4xf32>, %c: tensor<4x1xf32>) {\n"
    "  %0 = \"wf.weight\"() {name = \"t\"} : () -> tensor<9x64xf32>\n"
    "  %1 = \"wf.embed\"(%ids, %0) {scale = 8.0 : f64} : (tensor<4xi32>, tensor<9x64xf32>) -> tensor<4x64xf32>\n"
    "  %2 = \"wf.select_rows\"(%x, %ids) : (tensor<4x64xf32>, tensor<4xi32>) -> tensor<4x64xf32>\n"
    "  %3 = \"wf.columns\"(%x) {first = 32 : i64} : (tensor<4x64xf32>) -> tensor<4x16xf32>\n"
    "  %4 = \"wf.quantize\"(%x) : (tensor<4x64xf32>) -> tensor<4x64x!wf.q8>\n"
    "  %5 = \"wf.softcap\"(%x) {cap = 30.0 : f64} : (tensor<4x64xf32>) -> tensor<4x64xf32>\n"
    "  %6 = \"wf.softmax\"(%x, %c) {zero_masked = true} : (tensor<4x64xf32>, tensor<4x1xf32>) -> tensor<4x64xf32>\n"
    "  %7 = \"wf.softmax\"(%x) : (tensor<4x64xf32>) -> tensor<4x64xf32>\n"
    "  %8 = \"wf.rms_norm\"(%x, %h) {eps = 1.0e-6 : f64, n_heads = 4 : i64, plus_one = true}\n"
    "      : (tensor<4x64xf32>, tensor<16xf32>) -> tensor<4x64xf32>\n"
    "  %9 = \"wf.rms_norm\"(%x) {axes = 2 : i64, eps = 0.0 : f64, rounded = f16} : (tensor<4x64xf32>) -> "
    "tensor<4x64xf32>\n"
    "  %10:2 = \"wf.residual_norm\"(%x, %2, %g) {eps = 1.0e-5 : f64}\n"
    "      : (tensor<4x64xf32>, tensor<4x64xf32>, tensor<64xf32>) -> (tensor<4x64xf32>, tensor<4x64x!wf.q8>)\n"
    "  %11 = \"wf.layer_norm\"(%x, %b) {eps = 1.0e-5 : f64, operandSegmentSizes = array<i32: 1, 0, 1>}\n"
    "      : (tensor<4x64xf32>, tensor<64xf32>) -> tensor<4x64xf32>\n"
    "  %12 = \"wf.linear\"(%x, %w, %w, %b, %b) {operandSegmentSizes = array<i32: 1, 1, 1, 0, 1, 1, 0, 0>}\n"
    "      : (tensor<4x64xf32>, tensor<64x64xf32>, tensor<64x64xf32>, tensor<64xf32>, tensor<64xf32>)\n"
    "      -> tensor<4x128xf32>\n"
    "  %13 = \"wf.linear\"(%4, %w, %w) {glu = \"gelu_tanh\", operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, "
    "0>}\n"
    "      : (tensor<4x64x!wf.q8>, tensor<64x64xf32>, tensor<64x64xf32>) -> tensor<4x64xf32>\n"
    "  %14 = \"wf.linear\"(%x, %w, %x) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 1>}\n"
    "      : (tensor<4x64xf32>, tensor<64x64xf32>, tensor<4x64xf32>) -> tensor<4x64xf32>\n"
    "  %15 = \"wf.glu\"(%x, %x) {activation = \"gelu\", rounded = bf16} : (tensor<4x64xf32>, tensor<4x64xf32>)\n"
    "      -> tensor<4x64xf32>\n"
    "  %16:2 = \"wf.rope_table\"() {table = 1 : i64} : () -> (tensor<4x8xf32>, tensor<4x8xf32>)\n"
    "  %17 = \"wf.rope\"(%x, %16#0, %16#1) {interleaved = true, n_heads = 4 : i64}\n"
    "      : (tensor<4x64xf32>, tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x64xf32>\n"
    "  %18 = \"wf.rope_store\"(%x, %k4, %k4, %16#0, %16#1, %h, %h) {cache = 3 : i64, eps = 1.0e-6 : f64,\n"
    "      interleaved = false, n_heads = 4 : i64, n_kv_heads = 2 : i64,\n"
    "      operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 1, 1>, plus_one = true}\n"
    "      : (tensor<4x64xf32>, tensor<4x32xf32>, tensor<4x32xf32>, tensor<4x8xf32>, tensor<4x8xf32>, tensor<16xf32>,\n"
    "         tensor<16xf32>) -> tensor<4x64xf32>\n"
    "  %19 = \"wf.attention\"(%x, %k, %k, %m, %s) {causal = true, fused = true, n_heads = 4 : i64, n_kv_heads = 2 : "
    "i64,\n"
    "      operandSegmentSizes = array<i32: 1, 1, 1, 1, 1>, scale = 0.25 : f64, softcap = 50.0 : f64, window = 3 : "
    "i64,\n"
    "      zero_masked = true} : (tensor<4x64xf32>, tensor<6x32xf32>, tensor<6x32xf32>, tensor<4x6xf32>, "
    "tensor<4xf32>)\n"
    "      -> tensor<4x64xf32>\n"
    "  %20 = \"wf.attention\"(%x, %k4, %k4) {cache = 0 : i64, causal = true, n_heads = 4 : i64, n_kv_heads = 2 : i64,\n"
    "      operandSegmentSizes = array<i32: 1, 1, 1, 0, 0>, scale = 0.25 : f64}\n"
    "      : (tensor<4x64xf32>, tensor<4x32xf32>, tensor<4x32xf32>) -> tensor<4x64xf32>\n"
    "  %21 = \"wf.cached_attention\"(%x) {cache = 2 : i64, causal = true, n_heads = 4 : i64, n_kv_heads = 2 : i64,\n"
    "      scale = 0.25 : f64} : (tensor<4x64xf32>) -> tensor<4x64x!wf.q8>\n"
    "  %22 = \"wf.store_rows\"(%k, %k4, %ids) {drops = true} : (tensor<6x32xf32>, tensor<4x32xf32>, tensor<4xi32>)\n"
    "      -> tensor<6x32xf32>\n"
    "  %q = arith.constant dense<3> : tensor<4x64xi8>\n"
    "  %d = arith.constant dense<0.5> : tensor<4x2xf16>\n"
    "  %23 = \"wf.blocks\"(%q, %d) : (tensor<4x64xi8>, tensor<4x2xf16>) -> tensor<4x64x!wf.q4_0>\n"
    "  return\n"
    "}\n";

// Reads `op` as what it is and writes it again before itself; false when nobody can read it.
static bool copy(MlirOperation op, MlirValue *y)
{
    op_builder b = op_builder_before(op);
    any_op a;
#define COPY(X)                                                                                                        \
    if (X##_read(op, &a.X)) return *y = X##_write(&b, &a.X), true
    COPY(weight);
    COPY(embed);
    COPY(select_rows);
    COPY(columns);
    COPY(store_rows);
    COPY(quantize);
    COPY(softcap);
    COPY(softmax);
    COPY(norm);
    COPY(linear);
    COPY(blocks);
    COPY(glu);
    COPY(rope_table);
    COPY(rope);
    COPY(rope_store);
    COPY(attention);
#undef COPY
    return cached_attention_read(op, &a.attention) && (*y = cached_attention_write(&b, &a.attention), true);
}

// The op's text, without the names of its results.
static char *text_of(MlirOperation op, buffer *out)
{
    print_operation(op, out);
    char *at = strstr(out->data, "\"wf.");
    return at ? at : out->data;
}

static MlirModule parse(compiler_context *c, const char *text)
{
    wf_error err = {0};
    if (compiler_context_create(c, &err) != WF_OK) fail_msg("%s", err.message);
    compiler_context_watch(c, &err);
    MlirModule module = mlirModuleCreateParse(c->mlir, mlir_text(text));
    compiler_context_watch(c, NULL);
    if (mlirModuleIsNull(module)) fail_msg("%s", err.message);
    return module;
}

static void test_read_then_write(void **state)
{
    (void)state;
    compiler_context c;
    wf_error err = {0};
    MlirModule module = parse(&c, TEXT);
    if (wf_verify(mlirModuleGetOperation(module), &err) != WF_OK) fail_msg("%s", err.message);
    MlirOperation function = mlirBlockGetFirstOperation(mlirModuleGetBody(module));
    MlirBlock body = mlirRegionGetFirstBlock(mlirOperationGetRegion(function, 0));
    int n = 0;
    for (MlirOperation op = mlirBlockGetFirstOperation(body); !op_is(op, "func.return");
         op = mlirOperationGetNextInBlock(op)) {
        MlirValue y;
        if (op_is(op, "arith.constant")) continue;
        n++;
        buffer before = {0}, after = {0};
        if (!copy(op, &y)) fail_msg("op %d is not read", n);
        assert_string_equal(text_of(op, &before), text_of(defining_op(y), &after));
        buffer_free(&before);
        buffer_free(&after);
        mlirOperationDestroy(defining_op(y));
    }
    assert_int_equal(n, 24);
    mlirModuleDestroy(module);
    compiler_context_destroy(&c);
}

// A null op, as of a block's argument, is no op of any kind; nor is one of another name.
static void test_other_ops(void **state)
{
    (void)state;
    compiler_context c;
    MlirModule module = parse(&c, "func.func @f(%x: tensor<4x64xf32>) {\n  return\n}\n");
    MlirOperation function = mlirBlockGetFirstOperation(mlirModuleGetBody(module));
    norm_op norm;
    linear_op linear;
    assert_false(norm_read((MlirOperation){0}, &norm));
    assert_false(linear_read(function, &linear));
    mlirModuleDestroy(module);
    compiler_context_destroy(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_read_then_write), cmocka_unit_test(test_other_ops)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
