// Views through reshapes, transpositions and slices, as digits of the indices.
#include "compiler/raise/normal/strided.h"

#include "compiler/raise/normal/test_graph.h"

// The view that result 0 is of argument 0.
static void open_view(test_graph *g, const char *text, strided *s)
{
    reader r = {0};
    test_graph_open(g, text);
    assert_true(strided_start(s, test_result(g, 0)));
    while (!mlirValueEqual(s->v, test_argument(g, 0))) assert_true(strided_step(&r, s, false));
}

static void expect_digit(const strided *s, int axis, int i, int view_axis, int64_t size, int64_t weight)
{
    assert_true(i < s->at[axis].n);
    assert_int_equal(s->at[axis].d[i].axis, view_axis);
    assert_int_equal(s->at[axis].d[i].size, size);
    assert_int_equal(s->at[axis].d[i].weight, weight);
}

static void test_split_and_transposed(void **state)
{
    (void)state;
    test_graph g;
    strided s;
    open_view(&g,
              "func.func @main(%x: tensor<6x64xf32>) -> tensor<4x6x16xf32> {\n"
              "  %h = tensor.expand_shape %x [[0], [1, 2]] output_shape [6, 4, 16] : tensor<6x64xf32> into "
              "tensor<6x4x16xf32>\n"
              "  %e = tensor.empty() : tensor<4x6x16xf32>\n"
              "  %t = linalg.transpose ins(%h : tensor<6x4x16xf32>) outs(%e : tensor<4x6x16xf32>) permutation = "
              "[1, 0, 2]\n"
              "  return %t : tensor<4x6x16xf32>\n}\n",
              &s);
    assert_int_equal(s.rank, 2);
    assert_true(is_whole_axis(&s.at[0], test_result(&g, 0), 1));
    assert_int_equal(s.at[1].n, 2); // heads, then features of a head
    expect_digit(&s, 1, 0, 0, 4, 1);
    expect_digit(&s, 1, 1, 2, 16, 1);
    assert_false(is_in_order(&s, test_result(&g, 0)));
    test_graph_close(&g);
}

static void test_slice_has_a_fixed_digit(void **state)
{
    (void)state;
    test_graph g;
    strided s;
    open_view(&g,
              "func.func @main(%x: tensor<3x64xf32>) -> tensor<3x32xf32> {\n"
              "  %s = tensor.extract_slice %x[0, 32] [3, 32] [1, 1] : tensor<3x64xf32> to tensor<3x32xf32>\n"
              "  return %s : tensor<3x32xf32>\n}\n",
              &s);
    assert_int_equal(s.at[1].n, 2);
    expect_digit(&s, 1, 0, AXIS_FIXED, 2, 1); // the second of two halves
    expect_digit(&s, 1, 1, 1, 32, 1);
    digits low;
    assert_true(cut_digits(&s.at[1], 32, &low));
    assert_true(is_whole_axis(&low, test_result(&g, 0), 1));
    assert_false(cut_digits(&s.at[1], 3, &low)); // no digits end there
    test_graph_close(&g);
}

// Reshapes of every kind that change nothing in sum; others that do not, and one whose sizes are not known.
static void test_behind_moves(void **state)
{
    (void)state;
    test_graph g;
    test_graph_open(
        &g,
        "func.func @main(%x: tensor<2x16x64xf32>, %d: tensor<?x?x64xf32>) -> (tensor<2x16x64xf32>, "
        "tensor<2x16x64xf32>, tensor<32x64xf32>, tensor<?x?x64xf32>) {\n"
        "  %r = tensor.collapse_shape %x [[0, 1], [2]] : tensor<2x16x64xf32> into tensor<32x64xf32>\n"
        "  %f = tensor.collapse_shape %r [[0, 1]] : tensor<32x64xf32> into tensor<2048xf32>\n"
        "  %b = tensor.expand_shape %f [[0, 1, 2]] output_shape [2, 16, 64] : tensor<2048xf32> into "
        "tensor<2x16x64xf32>\n"
        "  %e = tensor.empty() : tensor<16x2x64xf32>\n"
        "  %t = linalg.transpose ins(%x : tensor<2x16x64xf32>) outs(%e : tensor<16x2x64xf32>) permutation = [1, 0, 2]\n"
        "  %tf = tensor.collapse_shape %t [[0, 1, 2]] : tensor<16x2x64xf32> into tensor<2048xf32>\n"
        "  %tb = tensor.expand_shape %tf [[0, 1, 2]] output_shape [2, 16, 64] : tensor<2048xf32> into "
        "tensor<2x16x64xf32>\n"
        "  %c0 = arith.constant 0 : index\n  %c1 = arith.constant 1 : index\n"
        "  %n = tensor.dim %d, %c0 : tensor<?x?x64xf32>\n  %m = tensor.dim %d, %c1 : tensor<?x?x64xf32>\n"
        "  %dr = tensor.collapse_shape %d [[0, 1], [2]] : tensor<?x?x64xf32> into tensor<?x64xf32>\n"
        "  %db = tensor.expand_shape %dr [[0, 1], [2]] output_shape [%m, %n, 64] : tensor<?x64xf32> into "
        "tensor<?x?x64xf32>\n"
        "  return %b, %tb, %r, %db : tensor<2x16x64xf32>, tensor<2x16x64xf32>, tensor<32x64xf32>, "
        "tensor<?x?x64xf32>\n}\n");
    assert_true(mlirValueEqual(behind_moves(test_result(&g, 0)), test_argument(&g, 0)));
    assert_null(behind_moves(test_result(&g, 1)).ptr); // transposed between
    assert_null(behind_moves(test_result(&g, 2)).ptr); // another type
    assert_null(behind_moves(test_result(&g, 3)).ptr); // the two sizes may have changed places
    test_graph_close(&g);
}

static void test_keeps_last(void **state)
{
    (void)state;
    test_graph g;
    test_graph_open(
        &g, "func.func @main(%x: tensor<2x16x64xf32>) -> (tensor<32x64xf32>, tensor<64x32xf32>, tensor<2x1024xf32>) {\n"
            "  %a = tensor.collapse_shape %x [[0, 1], [2]] : tensor<2x16x64xf32> into tensor<32x64xf32>\n"
            "  %s = tosa.const_shape {values = dense<[64, 32]> : tensor<2xindex>} : () -> !tosa.shape<2>\n"
            "  %b = tosa.reshape %x, %s : (tensor<2x16x64xf32>, !tosa.shape<2>) -> tensor<64x32xf32>\n"
            "  %c = tensor.collapse_shape %x [[0], [1, 2]] : tensor<2x16x64xf32> into tensor<2x1024xf32>\n"
            "  return %a, %b, %c : tensor<32x64xf32>, tensor<64x32xf32>, tensor<2x1024xf32>\n}\n");
    assert_true(keeps_last(test_result(&g, 0), 1));
    assert_false(keeps_last(test_result(&g, 0), 2));
    assert_false(keeps_last(test_result(&g, 1), 1));
    assert_false(keeps_last(test_result(&g, 2), 1));
    assert_false(keeps_last(test_argument(&g, 0), 1)); // no reshape
    test_graph_close(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split_and_transposed),
        cmocka_unit_test(test_slice_has_a_fixed_digit),
        cmocka_unit_test(test_behind_moves),
        cmocka_unit_test(test_keeps_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
