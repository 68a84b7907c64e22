// The elementary functions against libm in f64: relative error over their ranges, and where results leave the floats.
#include "compiler/kernel/math.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/kernel/harness.h"

static const char *const CPUS[] = {"native", "haswell", "emulated-avx512"};
enum { N_CPUS = sizeof CPUS / sizeof *CPUS, N_FUNCTIONS = 5, WIDTH = 16 };

static const char *const NAMES[N_FUNCTIONS] = {"exp", "exp2", "silu", "gelu", "tanh"};
enum { EXP, EXP2, SILU, GELU, TANH };

static value apply(builder *b, int f, value x)
{
    static value (*const functions[])(builder *, value) = {math_exp, math_exp2_nonpositive, math_silu, math_gelu_tanh,
                                                           math_tanh};
    return functions[f](b, x);
}

static double reference(int f, double x)
{
    switch (f) {
    case EXP: return exp(x);
    case EXP2: return exp2(x);
    case SILU: return x / (1 + exp(-x));
    case GELU: return x / (1 + exp(-2 * sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    default: return tanh(x);
    }
}

typedef struct code {
    harness h;
    kernel_fn functions[N_FUNCTIONS];
} code;

// Kernel f: y[i] = f(x[i]); a tile is 16 values.
static code compile(const char *cpu)
{
    code c;
    wf_error err = {0};
    if (harness_open(&c.h, cpu, &err) != WF_OK) fail_msg("%s", err.message);
    builder *b = &c.h.builder;
    for (int f = 0; f < N_FUNCTIONS; f++) {
        int n = b->target.lanes;
        kernel_begin(b, NAMES[f]);
        value x = operand(b, 0), y = operand(b, 1);
        loop l;
        loop_begin(b, &l, b->begin, b->end, 1, 0, NULL);
        value offset = mul_i(b, l.iv, WIDTH * 4);
        for (int i = 0; i < WIDTH; i += n) {
            value v = load(b, x, offset, i * 4, vec(b, n, b->f32));
            store(b, apply(b, f, v), y, offset, i * 4);
        }
        // the first value once more, as a scalar
        store(b, apply(b, f, load(b, x, offset, 0, b->f32)), y, offset, 0);
        loop_end(b, &l, NULL);
        kernel_end(b);
    }
    if (harness_compile(&c.h, NAMES, N_FUNCTIONS, c.functions, &err) != WF_OK) fail_msg("%s", err.message);
    return c;
}

enum { N = 1 << 16 };

static void check_range(const code *c, const char *cpu, int f, double lo, double hi, double bound)
{
    float *x = malloc(N * sizeof *x), *y = malloc(N * sizeof *y);
    assert_true(x && y);
    for (int i = 0; i < N; i++) x[i] = (float)(lo + (hi - lo) * i / (N - 1));
    c->functions[f]((void *const[]){x, y}, NULL, 0, N / WIDTH);
    double worst = 0;
    float at = 0;
    for (int i = 0; i < N; i++) {
        double want = reference(f, (double)x[i]), error = fabs((double)y[i] - want);
        if (want != 0) error /= fabs(want);
        if (error > worst || isnan(error)) worst = error, at = x[i];
        if (isnan(error)) break;
    }
    if (!(worst <= bound)) fail_msg("%s, %s: relative error %.3g at %.9g", cpu, NAMES[f], worst, (double)at);
    free(x);
    free(y);
}

static void check_value(const code *c, const char *cpu, int f, float x, float want)
{
    float xs[WIDTH], ys[WIDTH];
    for (int i = 0; i < WIDTH; i++) xs[i] = x;
    c->functions[f]((void *const[]){xs, ys}, NULL, 0, 1);
    for (int i = 0; i < WIDTH; i++) {
        bool same = isnan(want) ? isnan(ys[i]) : ys[i] == want;
        if (!same)
            fail_msg("%s, %s(%.9g) is %.9g in lane %d, not %.9g", cpu, NAMES[f], (double)x, (double)ys[i], i,
                     (double)want);
    }
}

static void test_functions(void **state)
{
    const char *cpu = *state;
    code c = compile(cpu);
    check_range(&c, cpu, EXP, -87, 88, 2e-7);
    check_range(&c, cpu, EXP, 88, 88.7228, 2e-7);
    check_range(&c, cpu, EXP, -87.3, -87, 2e-7);
    check_range(&c, cpu, EXP, -1e-3, 1e-3, 2e-7);
    check_range(&c, cpu, EXP2, -126, 0, 2e-7);
    check_range(&c, cpu, EXP2, -1, 0, 2e-7);
    check_range(&c, cpu, SILU, -86, 100, 4e-7);
    check_range(&c, cpu, SILU, -1e-3, 1e-3, 4e-7);
    check_range(&c, cpu, GELU, -3, 100, 2e-6); // to the left the rounding of the exponent shows
    check_range(&c, cpu, GELU, -9, -3, 2e-5);
    check_range(&c, cpu, TANH, -20, 20, 5e-7);
    check_range(&c, cpu, TANH, -1, 1, 5e-7);
    check_range(&c, cpu, TANH, -1e-20, 1e-20, 5e-7);
    harness_close(&c.h);
}

static void test_extremes(void **state)
{
    const char *cpu = *state;
    code c = compile(cpu);
    for (int f = 0; f < N_FUNCTIONS; f++) check_value(&c, cpu, f, NAN, NAN);
    static const float denormals[] = {0, -0.0f, 1e-45f, -1e-45f, 1e-39f, -1e-39f, 1.1754942e-38f};
    for (size_t i = 0; i < sizeof denormals / sizeof *denormals; i++) {
        check_value(&c, cpu, EXP, denormals[i], 1);
        check_value(&c, cpu, EXP2, denormals[i], 1);
        check_value(&c, cpu, TANH, denormals[i], denormals[i]);
        check_value(&c, cpu, SILU, denormals[i], denormals[i] / 2);
        check_value(&c, cpu, GELU, denormals[i], denormals[i] / 2);
    }
    static const float large[] = {89, 1000, 1e30f, 3.4028234e38f, INFINITY};
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
        check_value(&c, cpu, EXP, large[i], INFINITY);
        check_value(&c, cpu, EXP, -large[i], 0);
        check_value(&c, cpu, TANH, large[i], 1);
        check_value(&c, cpu, TANH, -large[i], -1);
        check_value(&c, cpu, SILU, large[i], large[i]);
        check_value(&c, cpu, GELU, large[i], large[i]);
        if (!isinf(large[i])) check_value(&c, cpu, GELU, -large[i], 0);
    }
    check_value(&c, cpu, SILU, -1e30f, 0);
    static const float below[] = {-127, -127.5f, -200, -1e30f, -INFINITY};
    for (size_t i = 0; i < sizeof below / sizeof *below; i++) check_value(&c, cpu, EXP2, below[i], 0);
    harness_close(&c.h);
}

int main(void)
{
    struct CMUnitTest tests[2 * N_CPUS];
    for (int i = 0; i < N_CPUS; i++) {
        tests[2 * i] = (struct CMUnitTest)cmocka_unit_test_prestate(test_functions, (void *)(uintptr_t)CPUS[i]);
        tests[2 * i + 1] = (struct CMUnitTest)cmocka_unit_test_prestate(test_extremes, (void *)(uintptr_t)CPUS[i]);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
