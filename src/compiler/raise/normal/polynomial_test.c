// Values as polynomials of the argument.
#include "compiler/raise/normal/polynomial.h"

#include "compiler/raise/normal/test_graph.h"

// The result as a polynomial of argument 0, whose body is `ops`, from %x to %y.
static bool read_ops(const char *ops, polynomial *p)
{
    char text[2048];
    test_graph g;
    reader r = {0};
    ref x, y;
    snprintf(text, sizeof text,
             "func.func @main(%%x: tensor<4xf32>, %%z: tensor<4xf32>) -> tensor<4xf32> {\n"
             "  %%two = arith.constant dense<2.0> : tensor<4xf32>\n"
             "  %%three = arith.constant dense<3.0> : tensor<4xf32>\n%s"
             "  return %%y : tensor<4xf32>\n}\n",
             ops);
    test_graph_open(&g, text);
    assert_true(root_ref(test_argument(&g, 0), &x) && root_ref(test_result(&g, 0), &y));
    bool found = read_polynomial(&r, &y, &x, p);
    test_graph_close(&g);
    return found;
}

static void expect_polynomial(const char *ops, double c0, double c1, double c2, double c3)
{
    polynomial p;
    assert_true(read_ops(ops, &p));
    const double want[] = {c0, c1, c2, c3};
    for (int i = 0; i <= MAX_DEGREE; i++)
        if (p.of[i] != want[i]) fail_msg("power %d has %g, not %g:\n%s", i, p.of[i], want[i], ops);
}

static void test_forms(void **state)
{
    (void)state;
    expect_polynomial("  %y = arith.mulf %x, %two : tensor<4xf32>\n", 0, 2, 0, 0);
    // 3 - (x / 2 + x^3)
    expect_polynomial("  %h = arith.divf %x, %two : tensor<4xf32>\n  %c = math.powf %x, %three : tensor<4xf32>\n"
                      "  %s = arith.addf %h, %c : tensor<4xf32>\n  %y = arith.subf %three, %s : tensor<4xf32>\n",
                      3, -0.5, 0, -1);
    // (x + 2)(x + 3) x
    expect_polynomial("  %a = arith.addf %x, %two : tensor<4xf32>\n  %b = arith.addf %three, %x : tensor<4xf32>\n"
                      "  %c = arith.mulf %a, %b : tensor<4xf32>\n  %y = arith.mulf %x, %c : tensor<4xf32>\n",
                      0, 6, 5, 1);
}

static void test_refused(void **state)
{
    (void)state;
    polynomial p;
    assert_false(read_ops("  %y = arith.addf %x, %z : tensor<4xf32>\n", &p)); // of another value
    assert_false(read_ops("  %y = arith.divf %two, %x : tensor<4xf32>\n", &p));
    assert_false(read_ops("  %y = math.exp %x : tensor<4xf32>\n", &p));
    assert_false(read_ops("  %a = arith.mulf %x, %x : tensor<4xf32>\n  %y = arith.mulf %a, %a : tensor<4xf32>\n", &p));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_forms), cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
