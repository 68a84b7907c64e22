// Values of what depends on constants alone.
#include "compiler/raise/normal/constant.h"

#include "compiler/raise/normal/test_graph.h"

static void expect_values(const const_tensor *t, int n, const double *want)
{
    assert_non_null(t);
    assert_int_equal(t->count, n);
    for (int i = 0; i < n; i++)
        if (t->data[i] != want[i]) fail_msg("element %d: %g instead of %g", i, t->data[i], want[i]);
}

static void test_causal_mask(void **state)
{
    (void)state;
    test_graph g;
    test_graph_open(&g, "func.func @main(%x: tensor<3xi32>) -> (tensor<3x3xf32>, tensor<3xi32>) {\n"
                        "  %e = tensor.empty() : tensor<3x3xf32>\n"
                        "  %zero = arith.constant 0.0 : f32\n  %low = arith.constant -1.0e+30 : f32\n"
                        "  %y = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>], iterator_types = "
                        "[\"parallel\", \"parallel\"]} outs(%e : tensor<3x3xf32>) {\n"
                        "  ^bb0(%o: f32):\n"
                        "    %i = linalg.index 0 : index\n    %j = linalg.index 1 : index\n"
                        "    %c = arith.cmpi sgt, %j, %i : index\n"
                        "    %s = arith.select %c, %low, %zero : f32\n    linalg.yield %s : f32\n"
                        "  } -> tensor<3x3xf32>\n"
                        "  %two = arith.constant dense<2> : tensor<3xi32>\n"
                        "  %z = arith.addi %x, %two : tensor<3xi32>\n"
                        "  return %y, %z : tensor<3x3xf32>, tensor<3xi32>\n}\n");
    evaluator e = evaluator_start();
    const double low = (double)-1.0e+30f;
    expect_values(evaluate(&e, test_result(&g, 0)), 9, (double[]){0, low, low, 0, 0, low, 0, 0, 0});
    assert_null(evaluate(&e, test_result(&g, 1))); // depends on an argument
    evaluator_free(&e);
    test_graph_close(&g);
}

static void test_resources_and_moves(void **state)
{
    (void)state;
    test_graph g;
    test_graph_open(
        &g, "func.func @main() -> (tensor<2x2xi64>, tensor<1x4xi32>) {\n"
            "  %r = arith.constant dense_resource<r> : tensor<2x2xi64>\n"
            "  %e = tensor.empty() : tensor<2x2xi64>\n"
            "  %t = linalg.transpose ins(%r : tensor<2x2xi64>) outs(%e : tensor<2x2xi64>) permutation = [1, 0]\n"
            "  %i = \"tosa.const\"() <{values = dense<[[3, 1]]> : tensor<1x2xi32>}> : () -> tensor<1x2xi32>\n"
            "  %c = tosa.concat %i, %i {axis = 1 : i32} : (tensor<1x2xi32>, tensor<1x2xi32>) -> tensor<1x4xi32>\n"
            "  return %t, %c : tensor<2x2xi64>, tensor<1x4xi32>\n}\n"
            "{-# dialect_resources: { builtin: { r: "
            "\"0x080000000100000000000000FEFFFFFFFFFFFFFF03000000000000000400000000000000\" } } #-}\n");
    evaluator e = evaluator_start();
    expect_values(evaluate(&e, test_result(&g, 0)), 4, (double[]){1, 3, -2, 4});
    expect_values(evaluate(&e, test_result(&g, 1)), 4, (double[]){3, 1, 3, 1});
    evaluator_free(&e);
    test_graph_close(&g);
}

static void test_places(void **state)
{
    (void)state;
    test_graph g;
    const char *text =
        "func.func @main(%%x: tensor<2x3xf32>) -> tensor<3xf32> {\n"
        "  %%e = tensor.empty() : tensor<3xf32>\n"
        "  %%i = arith.constant dense<[0, 1, %d]> : tensor<3xi64>\n"
        "  %%y = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = "
        "[\"parallel\"]} ins(%%i : tensor<3xi64>) outs(%%e : tensor<3xf32>) {\n"
        "  ^bb0(%%a: i64, %%o: f32):\n"
        "    %%r = arith.index_cast %%a : i64 to index\n    %%c = linalg.index 0 : index\n"
        "    %%v = tensor.extract %%x[%%r, %%c] : tensor<2x3xf32>\n    linalg.yield %%v : f32\n"
        "  } -> tensor<3xf32>\n  return %%y : tensor<3xf32>\n}\n";
    for (int last = 0; last < 3; last++) {
        char source[2048];
        snprintf(source, sizeof source, text, last);
        test_graph_open(&g, source);
        evaluator e = evaluator_start();
        const const_tensor *t = evaluate_places(&e, mlirOpResultGetOwner(test_result(&g, 0)));
        if (last == 2)
            assert_null(t); // beyond the end
        else
            expect_values(t, 3, (double[]){0, 4, 3.0 * last + 2});
        evaluator_free(&e);
        test_graph_close(&g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_causal_mask),
        cmocka_unit_test(test_resources_and_moves),
        cmocka_unit_test(test_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
