// Axes through reshapes that merge and split dimensions.
#include "compiler/raise/normal/test_graph.h"

static const char TEXT[] =
    "func.func @main(%x: tensor<2x3x64xf32>, %d: tensor<?x3x64xf32>) -> (tensor<2x3x64xf32>, tensor<6x64xf32>, "
    "tensor<4x96xf32>) {\n"
    "  %m = tensor.collapse_shape %x [[0, 1], [2]] : tensor<2x3x64xf32> into tensor<6x64xf32>\n"
    "  %b = tensor.expand_shape %m [[0, 1], [2]] output_shape [2, 3, 64] : tensor<6x64xf32> into tensor<2x3x64xf32>\n"
    "  %s = tosa.const_shape {values = dense<[4, 96]> : tensor<2xindex>} : () -> !tosa.shape<2>\n"
    "  %o = tosa.reshape %x, %s : (tensor<2x3x64xf32>, !tosa.shape<2>) -> tensor<4x96xf32>\n"
    "  return %b, %m, %o : tensor<2x3x64xf32>, tensor<6x64xf32>, tensor<4x96xf32>\n}\n";

// Merged and split again, axes are what they were.
static void test_there_and_back(void **state)
{
    (void)state;
    test_graph g;
    reader r = {.deep = true};
    ref root;
    test_graph_open(&g, TEXT);
    assert_true(root_ref(test_result(&g, 0), &root));
    node n = read_node(&r, &root);
    assert_true(mlirValueEqual(n.self.v, test_argument(&g, 0)));
    for (int i = 0; i < 3; i++) assert_int_equal(n.self.axis[i], i);
    reader shallow = {0};
    assert_true(mlirValueEqual(read_node(&shallow, &root).self.v, test_result(&g, 0)));
    test_graph_close(&g);
}

// [6, 64] from [2, 3, 64]: axis 0 is split, its parts have axes of their own.
static void test_parts(void **state)
{
    (void)state;
    test_graph g;
    reader r = {.deep = true};
    ref root;
    int place;
    test_graph_open(&g, TEXT);
    assert_true(root_ref(test_result(&g, 1), &root));
    node n = read_node(&r, &root);
    assert_true(mlirValueEqual(n.self.v, test_argument(&g, 0)));
    for (int i = 0; i < 2; i++) {
        const axis_group *group = axis_as_part(&r, n.self.axis[i], &place);
        assert_non_null(group);
        assert_int_equal(place, i);
        assert_int_equal(group->whole, 0);
        assert_int_equal(group->size[i], 2 + i);
        assert_true(axis_covers(&r, n.self.axis[i], 0));
        assert_false(axis_covers(&r, n.self.axis[i], 1));
    }
    assert_int_equal(n.self.axis[2], 1);
    test_graph_close(&g);
}

// [4, 96] from [2, 3, 64]: no sizes but all of them agree, so one block has both.
static void test_one_block(void **state)
{
    (void)state;
    test_graph g;
    reader r = {.deep = true};
    ref root;
    test_graph_open(&g, TEXT);
    assert_true(root_ref(test_result(&g, 2), &root));
    node n = read_node(&r, &root);
    assert_true(mlirValueEqual(n.self.v, test_argument(&g, 0)));
    for (int i = 0; i < 3; i++) {
        assert_true(axis_covers(&r, n.self.axis[i], 0) && axis_covers(&r, n.self.axis[i], 1));
        assert_true(n.self.axis[i] >= AXIS_FRESH);
    }
    test_graph_close(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_one_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
